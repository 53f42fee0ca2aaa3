"""Runs of a program with and without `gilx probe`, and their comparison."""

from __future__ import annotations

import os
import re
import textwrap
from typing import TYPE_CHECKING

from tests.command import CompletedProcess, run_python

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


PROBE = ("-m", "gilx", "probe")


def python(
    *words: str, cwd: Path, stdin: str | None = None, flags: Sequence[str] = ()
) -> CompletedProcess:
    """Run Python with its own environment variables only, and a sanitizer's."""
    names = ("PATH", "HOME", "LD_PRELOAD", "ASAN_OPTIONS", "UBSAN_OPTIONS")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return run_python(*flags, *words, input=stdin, cwd=cwd, env=kept)


def assert_same(
    cwd: Path, *words: str, stdin: str | None = None, flags: Sequence[str] = ()
) -> str:
    """Compare a program with and without gilx; return the text that gilx adds."""
    alone = python(*words, cwd=cwd, stdin=stdin, flags=flags)
    watched = python(*PROBE, *words, cwd=cwd, stdin=stdin, flags=flags)
    output, text = _constant(alone.stdout), _constant(watched.stdout)
    assert _constant(watched.stderr) == _constant(alone.stderr)
    assert text[: len(output)] == output
    assert watched.returncode == alone.returncode
    return text[len(output) :]


def _constant(text: str) -> str:
    """Return a text without addresses and process numbers."""
    return re.sub("(?<=0x)[0-9a-f]+|(?<=pid=)[0-9]+", "...", text)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def assert_one_usage(text: str, name: str = "script.py") -> None:
    """Check that the text is one usage and nothing else."""
    begin = rf"{re.escape(name)}( (holds|releases)|: inconclusive: )"
    assert re.match(begin, text), text
    assert text.count("  held by any thread: ") == 1
    assert text.count("\n  longest hold of any thread: ") == 1
    assert re.search(r"\n  (time|activities|lines): .*\n(    .*\n)*\Z", text), text
