"""The verdicts of a run, on the terminal and in a file."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING

from gilx.files import save_text
from gilx.formatting import duration, wrapped
from gilx.pytest_plugin.declarations import setting
from gilx.records import encode
from gilx.system.environment import Environment
from gilx.testing import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pytest

__all__ = ["save", "show", "show_unwritten"]

_SCHEMA = "gilx.verdicts"
_VERSION = 4


def show(reporter: pytest.TerminalReporter, texts: Sequence[tuple[str, str]]) -> None:
    """Write each test's verdict with its figures, and a warning if none is conclusive."""
    verdicts = [(test, Verdict.from_json(text)) for test, text in texts]
    counts: Counter[str] = Counter(verdict.outcome for _, verdict in verdicts)
    title = ", ".join(
        f"{counts[outcome]} {word}"
        for outcome, word in (
            ("fail", "failed"),
            ("inconclusive", "inconclusive"),
            ("pass", "passed"),
        )
        if outcome in counts
    )
    reporter.section(f"gilx: {title}")
    for test, verdict in verdicts:
        for line in _lines(test, verdict):
            reporter.write_line(line)
    if set(counts) == {"inconclusive"}:
        every = (
            "the only verdict is"
            if len(verdicts) == 1
            else f"all {len(verdicts)} verdicts are"
        )
        reporter.section(
            f"gilx: nothing was checked: {every} inconclusive", red=True, bold=True
        )
        if setting(reporter.config, "inconclusive") != "fail":
            reporter.write_line("--gilx-inconclusive=fail makes such tests fail.")


def _lines(test: str, verdict: Verdict) -> Iterator[str]:
    yield f"{verdict.outcome}: {test} ({verdict.what}, {duration(verdict.seconds)})"
    yield from _wrapped(f"{verdict.target}: {verdict.reason}")
    for note in verdict.notes:
        yield from _wrapped(f"note: {note}")


def _wrapped(words: str) -> list[str]:
    return wrapped(words, "    ", "    ")


def save(path: Path, texts: Sequence[tuple[str, str]], *, complete: bool) -> None:
    """Write all verdicts with what they were made on, and whether the run has ended.

    Directories that are missing are made, as for pytest's ``--junitxml``.

    Raises
    ------
    OSError
        The file can't be written.

    """
    verdicts = [{"test": test, "verdict": json.loads(text)} for test, text in texts]
    values = {
        "schema": _SCHEMA,
        "version": _VERSION,
        "complete": complete,
        "environment": encode(Environment.here()),
        "verdicts": verdicts,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_text(path, json.dumps(values, allow_nan=False) + "\n")


def show_unwritten(reporter: pytest.TerminalReporter, problem: str) -> None:
    """Write that the file of verdicts could not be written."""
    reporter.section(f"gilx: {problem}", red=True, bold=True)
