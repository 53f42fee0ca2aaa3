"""The verdicts of a run, on the terminal and in a file."""

from __future__ import annotations

import json
import shutil
import textwrap
from typing import TYPE_CHECKING

import pytest

from gilx.files import save_text
from gilx.formatting import duration
from gilx.records import encode
from gilx.system.environment import Environment
from gilx.testing import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

__all__ = ["lines", "save", "title"]

_SCHEMA = "gilx.verdicts"
_VERSION = 1
_WIDTH = 90


def title(told: Sequence[tuple[str, str]]) -> str:
    """Return the section's title: how many there are of which outcome."""
    outcomes = [Verdict.from_json(text).outcome for _, text in told]
    parts = [
        f"{outcomes.count(outcome)} {word}"
        for outcome, word in (
            ("fail", "failed"),
            ("inconclusive", "inconclusive"),
            ("pass", "passed"),
        )
        if outcome in outcomes
    ]
    return f"gilx: {', '.join(parts)}"


def lines(told: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Return each test's verdict with its figures, as lines."""
    for test, text in told:
        verdict = Verdict.from_json(text)
        yield f"{verdict.outcome}: {test} ({verdict.what}, {duration(verdict.seconds)})"
        yield from _wrapped(f"{verdict.target}: {verdict.reason}")
        for note in verdict.notes:
            yield from _wrapped(f"note: {note}")


def _wrapped(words: str) -> Iterator[str]:
    width = min(_WIDTH, shutil.get_terminal_size().columns)
    # A number stays on the line of its unit.
    for line in textwrap.wrap(
        words.replace(" %", "\u00a0%"),
        width,
        initial_indent="    ",
        subsequent_indent="    ",
    ):
        yield line.replace("\u00a0", " ")


def save(path: Path, told: Sequence[tuple[str, str]]) -> None:
    """Write all verdicts with what they were made on.

    Raises
    ------
    UsageError
        The file can't be written.

    """
    verdicts = [{"test": test, "verdict": json.loads(text)} for test, text in told]
    values = {
        "schema": _SCHEMA,
        "version": _VERSION,
        "environment": encode(Environment.here()),
        "verdicts": verdicts,
    }
    try:
        save_text(path, json.dumps(values, allow_nan=False) + "\n")
    except OSError as error:
        raise pytest.UsageError(
            f"gilx: --gilx-json: can't write {str(path)!r}: {error.strerror}"
        ) from None
