"""The command `gilx`, run in this process where a process of its own is not the point."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gilx import cli

__all__ = ["run_here"]


def run_here(
    capsys: pytest.CaptureFixture[str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Return the status and the output of a command line."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        sys.exit(cli.main(arguments))
    status = caught.value.code
    assert isinstance(status, int)
    output, errors = capsys.readouterr()
    return subprocess.CompletedProcess(arguments, status, output, errors)
