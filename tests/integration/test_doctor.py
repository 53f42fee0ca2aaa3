"""The command `gilx doctor`."""

from __future__ import annotations

import os
import sysconfig
from typing import TYPE_CHECKING, Any

import pytest

from tests.command import CompletedProcess, run_gilx, run_here

if TYPE_CHECKING:
    from pathlib import Path


def doctor(*arguments: str, **options: Any) -> CompletedProcess:
    return run_gilx("doctor", "--seconds=0.1", *arguments, **options)


@pytest.mark.skipif(
    sysconfig.get_config_var("Py_GIL_DISABLED") != 1,
    reason="needs a free-threaded build",
)
def test_the_gil_turned_on() -> None:
    done = doctor(env=os.environ | {"PYTHON_GIL": "1"})
    assert done.returncode == 1, done.stderr
    assert (
        "* a free-threaded build with the GIL on, as PYTHON_GIL=1 says so: "
        in done.stdout
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--seconds", "0"), "seconds: expected 0.1 to 3600, got 0"),
        (("--seconds", "x"), "seconds: expected a number, got 'x'"),
        (("no.such",), "module: can't import 'no.such': ModuleNotFoundError"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run_here(capsys, "doctor", *arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_modules_of_the_current_directory(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("print('imported')\n")
    done = doctor("mine", cwd=tmp_path)
    assert done.stderr == "imported\n"
    assert done.stdout.startswith("Python ")
