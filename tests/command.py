"""Programs and the command `gilx`, run in another process or in this one."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from gilx import cli

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["CompletedProcess", "run_gilx", "run_here", "run_program", "run_python"]

CompletedProcess = subprocess.CompletedProcess[str]


def run_program(
    *words: str | Path,
    check: bool = False,
    timeout: float = 100,
    **options: Any,
) -> CompletedProcess:
    """Return the status and the output of a program; its status must be 0 if `check`."""
    done = subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=timeout, **options
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def run_python(
    *words: str | Path, before: Sequence[str] = (), **options: Any
) -> CompletedProcess:
    """Run the Python of the tests; words such as ``taskset -c 0`` go `before` it."""
    return run_program(*before, sys.executable, *words, **options)


def run_gilx(*words: str | Path, **options: Any) -> CompletedProcess:
    """Run the command ``gilx`` in another process."""
    return run_python("-m", "gilx", *words, **options)


def run_here(capsys: pytest.CaptureFixture[str], *arguments: str) -> CompletedProcess:
    """Return the status and the output of a command line that is run in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        sys.exit(cli.main(arguments))
    status = caught.value.code
    assert isinstance(status, int)
    output, errors = capsys.readouterr()
    return CompletedProcess(arguments, status, output, errors)
