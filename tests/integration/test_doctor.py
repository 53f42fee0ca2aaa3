"""The command `gilx doctor`."""

from __future__ import annotations

import json
import os
import sysconfig
from typing import TYPE_CHECKING, Any

import pytest

from tests.command import CompletedProcess, run_gilx, run_here
from tests.markers import needs_c_compiler, needs_no_gil, needs_verdicts
from tests.undeclared_extension import build

if TYPE_CHECKING:
    from pathlib import Path


def doctor(*arguments: str, **options: Any) -> CompletedProcess:
    return run_gilx("doctor", "--seconds=0.1", *arguments, **options)


needs_free_threaded_build = pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="needs a free-threaded build"
)
WITHOUT = {name: text for name, text in os.environ.items() if name != "PYTHON_GIL"}


def findings(*arguments: str, **options: Any) -> dict[str, list[str]]:
    """Return what the doctor finds out about the GIL, by the findings' names."""
    done = doctor("--json=-", *arguments, **options)
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, list[str]] = {}
    for one in json.loads(done.stdout)["findings"]:
        if one["name"].startswith("gil-"):
            kind = one["name"] + (", warning" if one["is_warning"] else "")
            found.setdefault(kind, []).append(one["evidence"])
    return found


@pytest.fixture
def undeclared(tmp_path: Path) -> Path:
    """Make `first` and `second`, packages that turn the GIL on, and hide the warning."""
    for name in ("first", "second"):
        build(tmp_path / name, "_core")
        (tmp_path / name / "__init__.py").write_text(
            f"import warnings; warnings.simplefilter('ignore'); import {name}._core"
        )
    return tmp_path


@needs_free_threaded_build
@needs_c_compiler
def test_imports_that_turn_the_gil_on_are_named_with_their_files(
    undeclared: Path,
) -> None:
    found = findings("json", "first", "second", cwd=undeclared, env=WITHOUT)
    file = {
        name: next((undeclared / name).glob("_core*.so")) for name in ("first", "second")
    }
    assert found == {
        "gil-on, warning": [
            (
                "a free-threaded build with the GIL on, as loading first._core"
                f" ({file['first']}) turned it on"
            )
        ],
        "gil-import, warning": [
            (
                "importing second turns the GIL on, as it loads second._core"
                f" ({file['second']})"
            )
        ],
    }


@needs_free_threaded_build
@needs_c_compiler
def test_innermost_import_is_named(undeclared: Path) -> None:
    build(undeclared, "outer", declared=True, init_imports="first")
    (found,) = findings("outer", cwd=undeclared, env=WITHOUT).values()
    assert "as loading first._core (" in found[0]


@needs_free_threaded_build
@needs_c_compiler
def test_import_is_named_that_would_turn_on_a_gil_that_is_forced_off(
    undeclared: Path,
) -> None:
    found = findings("first", cwd=undeclared, env=WITHOUT | {"PYTHON_GIL": "0"})
    ((kind, (evidence,)),) = found.items()
    assert kind == "gil-import"
    assert evidence.startswith("importing first would turn the GIL on if nothing forced")


@needs_free_threaded_build
@needs_c_compiler
def test_module_that_python_imports_when_it_starts_is_named(undeclared: Path) -> None:
    (undeclared / "sitecustomize.py").write_text("import first")
    env = WITHOUT | {"PYTHONPATH": str(undeclared)}
    found = findings("json", env=env)
    assert list(found) == ["gil-on, warning"]
    assert "as loading first._core (" in found["gil-on, warning"][0]


@needs_free_threaded_build
def test_import_that_ends_the_process_is_unknown(tmp_path: Path) -> None:
    (tmp_path / "ends.py").write_text(
        "import os, sys; 'gilx.cli' in sys.modules or os._exit(3)"
    )
    found = findings("ends", cwd=tmp_path, env=WITHOUT)
    assert found == {
        "gil-import": [
            (
                "it is unknown if importing ends turns the GIL on, as the process that tried it"
                " ended with exit status 3"
            )
        ]
    }


@needs_no_gil
@needs_verdicts
def test_watch_without_a_gil_is_available() -> None:
    lines = doctor("json").stdout.splitlines()
    first = lines.index("watch        reads the states of threads")
    assert lines[first + 1].split() == ["stops", "of", "all", "threads:", "read"]
    assert lines[first + 2].startswith(f"{'':13}reads memory through ")
    assert not any(line.startswith("GIL watch") for line in lines)


@needs_free_threaded_build
@pytest.mark.parametrize("value", ["0", "1"])
def test_gil_that_is_forced_is_said(value: str) -> None:
    done = doctor("json", env=WITHOUT | {"PYTHON_GIL": value})
    assert f"{('off', 'on')[int(value)]}: PYTHON_GIL={value} says so" in done.stdout
    warning = "* a free-threaded build with the GIL on, as PYTHON_GIL=1 says so: start"
    assert (warning in done.stdout) == (value == "1")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--seconds", "0"), "seconds: expected 0.1 to 3600 seconds, got 0"),
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
