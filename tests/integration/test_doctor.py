"""The command `gilx doctor`."""

from __future__ import annotations

import json
import os
import sysconfig
from typing import TYPE_CHECKING, Any

import pytest

from gilx.system.conditions import Conditions
from gilx.system.environment import Environment
from tests.command import CompletedProcess, run_gilx, run_here
from tests.markers import needs_affinity

if TYPE_CHECKING:
    from pathlib import Path


def doctor(*arguments: str, **options: Any) -> CompletedProcess:
    return run_gilx("doctor", "--seconds=0.1", *arguments, **options)


def test_the_page() -> None:
    done = doctor()
    assert done.returncode in (0, 1), done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith("Python       ")
    assert ("Nothing makes measuring here doubtful." in done.stdout) == (
        done.returncode == 0
    )
    assert ("\nWhat makes measuring here doubtful:\n* " in done.stdout) == (
        done.returncode == 1
    )


def test_json() -> None:
    done = doctor("--json")
    found = json.loads(done.stdout)
    assert (found["schema"], found["version"]) == ("gilx.doctor", 1)
    assert done.returncode == int(found["doubtful"])
    assert found["doubtful"] == any(one["doubtful"] for one in found["findings"])
    environment = Environment.from_json(json.dumps(found["environment"]))
    assert environment.same_machine(Environment.here())
    conditions = Conditions.from_json(json.dumps(found["conditions"]))
    assert conditions.seconds >= 0.1


@needs_affinity
def test_one_cpu() -> None:
    cpu = str(min(os.sched_getaffinity(0)))
    done = doctor(before=("taskset", "-c", cpu))
    assert done.returncode == 1, done.stderr
    assert "* one usable CPU (1 of " in done.stdout


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
