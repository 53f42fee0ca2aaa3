"""Programs that `gilx probe` finds, and targets that it refuses."""

from __future__ import annotations

import os
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from gilx import cli
from tests.integration.probe_program.program_runs import PROBE, assert_same, python, write
from tests.markers import needs_watch

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = [
    needs_watch,
]


def test_syntax_error_in_a_zip_file_is_the_program_s(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "whole.zip", "w") as archive:
        archive.writestr("__main__.py", "x = (")
    assert_same(tmp_path, "whole.zip")


def test_script_may_come_from_a_pipe(tmp_path: Path) -> None:
    assert_same(tmp_path, "/dev/stdin", "a", stdin="import sys\nprint(sys.argv)\n")


def test_installed_module_runs(tmp_path: Path) -> None:
    assert_same(tmp_path, "-m", "json.tool", stdin='{"a": 1}')
    assert_same(tmp_path, "-m", "this")
    assert_same(tmp_path, "-m", "json.tool", "--help")


def test_package_that_sets_its_path_is_asked_for_its_modules(tmp_path: Path) -> None:
    write(tmp_path / "package/__init__.py", "__path__ = ['elsewhere']")
    write(tmp_path / "elsewhere/__main__.py", "print(__file__)")
    assert_same(tmp_path, "-m", "package")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("nope.py",), "target: expected a script that exists, got 'nope.py'"),
        (("nope",), "target: expected module:callable, -m module, or a script,"),
        (("empty",), "target: expected a script, or a directory or zip file with a"),
        (("empty.zip",), "target: expected a script, or a directory or zip file with a"),
        (("broken.zip",), "target: expected a valid zip file, got 'broken.zip'"),
        (("broken",), "target: expected a valid zip file, got 'broken'"),
        (("damaged.zip",), "target: can't read __main__ in 'damaged.zip': "),
        (("-m", "nope"), "-m: no module named 'nope'"),
        (("-m", "nope.nope"), "-m: no module named 'nope'"),
        (("-m", "script.py"), "-m: 'script' is not a package"),
        (
            ("-m", "nope.py"),
            "-m: no module named 'nope'; scripts are given without -m",
        ),
        (("-m", "package"), "-m: package 'package' has no __main__ module"),
        (("-m", "package.nope"), "-m: no module named 'package.nope'"),
        (("-m", "names"), "-m: package 'names' has no __main__ module"),
        (("-m", "math"), "-m: 'math' has no Python code that could be run"),
        (("-m", "sys"), "-m: 'sys' has no Python code that could be run"),
        (("-m", ""), "-m: expected the name of a module, got ''"),
        (("-m", ".script"), "-m: expected the name of a module, got '.script'"),
        (
            ("-m", "package..nope"),
            "-m: expected the name of a module, got 'package..nope'",
        ),
        (("--repeat", "2", "script.py"), "repeat: expected only with module:callable"),
        (("--budget", "2", "script.py"), "budget: expected only with module:callable"),
        (("--trace", "no/x", "script.py"), "trace: can't write 'no/x': No such"),
        (("--html", "empty", "script.py"), "html: expected the name of a file, got"),
        (("--plot", "", "script.py"), "plot: expected the name of a file, got ''"),
        (
            ("--plot", "x.pdf", "script.py"),
            "plot: expected a name that ends with .png or .svg, got 'x.pdf'",
        ),
    ],
    ids=str,
)
def test_bad_target_is_one_line_and_runs_nothing(
    words: tuple[str, ...],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write(tmp_path / "script.py", "print('script')")
    write(tmp_path / "package/__init__.py", "print('package')")
    write(tmp_path / "names/module.py", "print('module')")
    (tmp_path / "empty").mkdir()
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("module.py", "print('module')")
    with zipfile.ZipFile(tmp_path / "damaged.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__main__.py", "print('__main__')\n" * 50)
    data = bytearray((tmp_path / "damaged.zip").read_bytes())
    data[45:55] = 10 * b"\xff"
    (tmp_path / "damaged.zip").write_bytes(data)
    (tmp_path / "broken.zip").write_bytes(b"no zip file")
    (tmp_path / "broken").write_bytes(b"PK\x03\x04 and no more")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    modules = set(sys.modules)
    with pytest.raises(SystemExit) as caught:
        sys.exit(cli.main(["probe", *words]))
    assert caught.value.code == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith(f"gilx probe: {expected}")
    assert errors.count("\n") == 1
    assert not {"script", "package", "names"} & (set(sys.modules) - modules)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_script_that_cannot_be_read(tmp_path: Path) -> None:
    write(tmp_path / "script.py", "print()").chmod(0)
    done = python(*PROBE, "script.py", cwd=tmp_path)
    assert done.returncode == 2
    assert (
        done.stderr == "gilx probe: target: can't read 'script.py': Permission denied\n"
    )
