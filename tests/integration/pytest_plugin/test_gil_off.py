"""Runs that fail since an import turns the GIL on."""

from __future__ import annotations

import sys
import sysconfig
import xml.etree.ElementTree as ET
from importlib.machinery import ExtensionFileLoader
from typing import TYPE_CHECKING

import pytest

from gilx.pytest_plugin import gil_off
from gilx.system import gil_imports
from tests.markers import needs, needs_c_compiler
from tests.undeclared_extension import build, needs_undeclared_extension

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.thread_unsafe(reason="turns the GIL on, or seems to")

LAZY = """
    import pytest

    def test_before():
        pass

    {marker}
    def test_imports():
        import package
        {then}

    def test_after():
        pass
"""


@pytest.fixture
def package(pytester: pytest.Pytester) -> Path:
    """Make a package with an undeclared module, in a directory that is imported from."""
    file = build(pytester.path / "package", "_core")
    (file.parent / "__init__.py").write_text("import package._core\n")
    pytester.syspathinsert()
    return file


def run(pytester: pytest.Pytester, *options: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess(
        "-p", "no:cacheprovider", "--gilx-gil-off", "--junitxml=found.xml", *options
    )


def in_junit(pytester: pytest.Pytester, kind: str) -> tuple[str, str]:
    """Return the name of the one test of a kind, and what the file says of it."""
    (case,) = ET.parse(pytester.path / "found.xml").getroot().findall(f".//{kind}/..")
    text = case.find(kind).text  # type: ignore[union-attr]
    assert text
    return case.attrib["name"], text


def lines(place: str, package: Path, *importers: str) -> list[str]:
    first = (
        f"gilx: the GIL was turned on {place}, by the import of package._core ({package}),"
        " which does not declare that it can run without"
    )
    return [
        first,
        f"  imported by {package.parent / '__init__.py'}, line 1",
        *(f"  imported by {importer}" for importer in importers),
    ]


@needs_undeclared_extension
@needs_c_compiler
@pytest.mark.parametrize(
    ("marker", "then"),
    [
        ("", ""),
        ("", "pytest.skip('not here')"),
        ("", "assert 1 == 2, 'its own failure'"),
        ("@pytest.mark.xfail", "assert 1 == 2"),
    ],
)
def test_test_that_turns_the_gil_on_fails(
    marker: str, then: str, pytester: pytest.Pytester, package: Path
) -> None:
    file = pytester.makepyfile(LAZY.format(marker=marker, then=then))
    done = run(pytester)
    done.assert_outcomes(passed=2, failed=1)
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    said = lines(f"while {file.name}::test_imports ran", package, f"{file}, line 8")
    done.stdout.fnmatch_lines(["*= FAILURES =*", *said])
    done.stdout.fnmatch_lines(["*= gilx: the GIL was turned on =*", *said])
    name, text = in_junit(pytester, "failure")
    assert name == "test_imports"
    assert "\n".join(said) in text
    assert ("its own failure" in text) == ("its own" in then)


@needs_undeclared_extension
@needs_c_compiler
def test_collection_that_turns_the_gil_on_fails(
    pytester: pytest.Pytester, package: Path
) -> None:
    pytester.makepyfile(test_one="def test_one(): pass", test_two="import package")
    done = run(pytester)
    done.assert_outcomes(errors=1)
    assert done.ret == pytest.ExitCode.INTERRUPTED
    file = pytester.path / "test_two.py"
    said = lines("while test_two.py was collected", package, f"{file}, line 1")
    done.stdout.fnmatch_lines(["*ERROR collecting test_two.py*", *said])
    assert in_junit(pytester, "error") == ("test_two", "\n".join(said))


@needs_undeclared_extension
@needs_c_compiler
def test_conftest_that_turns_the_gil_on_is_named(
    pytester: pytest.Pytester, package: Path
) -> None:
    file = pytester.makeconftest("import package")
    pytester.makepyfile("def test_one(): pass")
    done = run(pytester)
    assert done.ret == pytest.ExitCode.INTERRUPTED
    place = "while plugins and conftest.py files were loaded"
    said = lines(place, package, f"{file}, line 1")
    done.stdout.fnmatch_lines(["*= gilx: the GIL was turned on =*", *said])
    assert in_junit(pytester, "error")[1] == "\n".join(said)


@needs_undeclared_extension
@needs_c_compiler
def test_module_that_was_imported_before_pytest_is_named(
    pytester: pytest.Pytester, package: Path
) -> None:
    (pytester.path / "sitecustomize.py").write_text("import package")
    pytester.makepyfile("def test_one(): pass")
    done = run(pytester)
    assert done.ret == pytest.ExitCode.INTERRUPTED
    (said,) = lines("before gilx's plugin was loaded", package)[:1]
    done.stdout.fnmatch_lines(["*= gilx: the GIL was turned on =*", said])


@needs_undeclared_extension
@needs_c_compiler
@pytest.mark.usefixtures("package")
def test_import_after_the_last_test_fails_the_run(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("def pytest_sessionfinish(): import package")
    pytester.makepyfile("def test_one(): pass")
    done = run(pytester)
    done.assert_outcomes(passed=1)
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.stdout.fnmatch_lines(["gilx: the GIL was turned on while no test ran, by *"])


@needs_undeclared_extension
@needs_c_compiler
@needs("xdist")
@pytest.mark.usefixtures("package")
def test_each_worker_checks(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("x", range(2))
        def test_imports(x, worker_id):
            import package
        """
    )
    done = run(pytester, "-n2", "--dist=each")
    done.assert_outcomes(passed=2, failed=2)
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.stdout.fnmatch_lines(["*= gilx: the GIL was turned on =*"])


@needs_undeclared_extension
@needs_c_compiler
@needs("xdist")
@pytest.mark.usefixtures("package")
def test_import_after_the_last_test_of_a_worker_fails_the_run(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(
        """
        def pytest_sessionfinish(session):
            if hasattr(session.config, "workerinput"):
                import package
        """
    )
    pytester.makepyfile("def test_one(): pass")
    done = run(pytester, "-n1")
    done.assert_outcomes(passed=1)
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.stdout.fnmatch_lines(["gilx: the GIL was turned on while no test ran, by *"])


@needs_undeclared_extension
@needs_c_compiler
def test_modules_that_declare_it_pass(pytester: pytest.Pytester) -> None:
    build(pytester.path, "good", declared=True)
    pytester.syspathinsert()
    pytester.makeini("[pytest]\ngilx_gil_off = true")
    pytester.makepyfile("import good, numpy\ndef test_one(): pass")
    done = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    done.assert_outcomes(passed=1)
    assert done.ret == 0
    done.stdout.fnmatch_lines(["gilx: the run fails if an import turns the GIL on"])


@pytest.mark.parametrize(
    ("free_threaded", "forced", "words"),
    [
        (
            False,
            "",
            "this build of Python always has the GIL: use a free-threaded build*",
        ),
        (
            True,
            "0",
            "PYTHON_GIL=0 keeps the GIL off, whatever is imported: run without it",
        ),
        (True, "1", "PYTHON_GIL=1 turns the GIL on: run without it"),
    ],
)
def test_option_in_vain_is_a_usage_error(
    free_threaded: bool,
    forced: str,
    words: str,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend(monkeypatch, free_threaded=free_threaded, forced=forced)
    pytester.makepyfile("def test_one(): pass")
    done = pytester.runpytest_inprocess("--gilx-gil-off")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"ERROR: gilx: --gilx-gil-off: {words}"])


@pytest.mark.parametrize(
    ("free_threaded", "forced", "words"),
    [
        (False, "", "this build of Python always has the GIL"),
        (True, "0", "PYTHON_GIL=0 keeps the GIL off, whatever is imported"),
    ],
)
def test_setting_in_vain_is_said_in_the_header(
    free_threaded: bool,
    forced: str,
    words: str,
    pytester: pytest.Pytester,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pretend(monkeypatch, free_threaded=free_threaded, forced=forced)
    pytester.makeini("[pytest]\ngilx_gil_off = true")
    pytester.makepyfile("def test_one(): pass")
    done = pytester.runpytest_inprocess()
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines([f"gilx: gilx_gil_off has no effect: {words}"])


def pretend(
    monkeypatch: pytest.MonkeyPatch, *, free_threaded: bool, forced: str = ""
) -> None:
    """Have the plugin take this for another build."""
    known = sysconfig.get_config_var
    monkeypatch.setattr(
        sysconfig,
        "get_config_var",
        lambda name: int(free_threaded) if name == "Py_GIL_DISABLED" else known(name),
    )
    monkeypatch.setattr("sys._xoptions", {})
    monkeypatch.delenv("PYTHON_GIL", raising=False)
    if forced:
        monkeypatch.setenv("PYTHON_GIL", forced)


def test_gil_that_came_back_unseen_fails_the_test(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, free_threaded=True)
    monkeypatch.setattr(sys, "_made_up_gil", False, raising=False)
    for module in (gil_off, gil_imports):
        monkeypatch.setattr(module, "gil_enabled", lambda: sys._made_up_gil)  # type: ignore[attr-defined]
    monkeypatch.setattr(gil_imports, "noted_imports", [])
    loader = ExtensionFileLoader.create_module
    pytester.makepyfile(
        """
        import sys

        def test_before():
            pass

        def test_turns_it_on():
            sys._made_up_gil = True

        def test_after():
            pass
        """
    )
    done = pytester.runpytest_inprocess("--gilx-gil-off")
    done.assert_outcomes(passed=2, failed=1)
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    place = "while *::test_turns_it_on ran"
    name = "an extension module that is unknown"
    done.stdout.fnmatch_lines(
        [f"gilx: the GIL was turned on {place}, by the import of {name}, which *"]
    )
    assert ExtensionFileLoader.create_module is loader
