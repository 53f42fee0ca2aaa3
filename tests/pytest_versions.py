"""Check that installing gilx changes no run of pytest that does not use it.

::

    python -m tests.pytest_versions WHEEL [VERSION...]

Each version of pytest gets an environment of its own. Everything in it is run without gilx,
then gilx is installed from the wheel, and everything is run again: exit status, output and
JUnit report must be the same, apart from times and gilx's name in the list of plugins.
Versions that gilx does not support must also skip the tests that use it, and say why once.

Exit status: 0 when all was well, 1 when not.
"""

from __future__ import annotations

import argparse
import difflib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import NamedTuple

OLDEST_SUPPORTED = 8
# What else is installed are the newest versions that go with that pytest; but pluggy 1.0 is
# the oldest that works on Python 3.11, and newer releases of pytest-cov do not work with it.
OLD_PLUGGY = ["pluggy==1.0.*", "pytest-cov<5"]
VERSIONS = {
    "6.2": ["pytest==6.2.*", *OLD_PLUGGY],
    "7.0": ["pytest==7.0.*", *OLD_PLUGGY],
    "7.4": ["pytest==7.4.*"],
    "8.0": ["pytest==8.0.*"],
    "8.4": ["pytest==8.4.*"],
    "9": ["pytest==9.*"],
}
OTHER_PLUGINS = ["pytest-xdist", "pytest-cov"]

PASSING = """
import unittest

import pytest


@pytest.fixture
def number():
    return 1


@pytest.mark.parametrize("other", [1, 2])
def test_function(number, other, tmp_path):
    assert number <= other


class TestClass:
    def test_method(self, number):
        assert number


class TestCase(unittest.TestCase):
    def test_method(self):
        self.assertTrue(True)


def doubled(x):
    '''
    >>> doubled(2)
    4
    '''
    return 2 * x
"""
MIXED = (
    PASSING
    + """

@pytest.fixture
def broken():
    yield
    raise RuntimeError("teardown")


def test_failure(number):
    print("captured")
    assert number == 2


def test_error(broken):
    pass


def test_warning():
    import warnings

    warnings.warn("a warning")


def test_skip():
    pytest.skip("not today")


@pytest.mark.xfail
def test_xfail():
    raise ValueError


@pytest.mark.xfail
def test_xpass():
    pass


async def test_coroutine():
    pass
"""
)
UNKNOWN_MARKER = PASSING + "\n@pytest.mark.unheard_of\ndef test_marked(): pass\n"
KNOWN_MARKER = PASSING + "\n@pytest.mark.slow\ndef test_marked(): pass\n"
INI = "[pytest]\nmarkers = slow: takes long\n"
ADDOPTS = (
    "[pytest]\naddopts = -ra -v --strict-markers\nxfail_strict = true\n"
    "filterwarnings = error\njunit_family = xunit2\n"
)

USES = """
import pytest


def test_fixture(gil):
    gil.releases(sorted, [])


@pytest.mark.releases_gil(at_least=0.5)
def test_marker():
    raise AssertionError("a test that can't be checked was run")


@pytest.mark.longest_hold
def test_longest_hold():
    raise AssertionError("a test that can't be checked was run")


@pytest.mark.scales
class TestClass:
    def test_method(self):
        raise AssertionError("a test that can't be checked was run")


def test_other():
    pass
"""


class Case(NamedTuple):
    """A run of pytest, and the exit status that it must have."""

    status: int
    test: str
    options: tuple[str, ...] = ()
    ini: str = ""
    lists_plugins: bool = False
    """True if the output describes each plugin's options, so that it must differ."""


CASES = {
    "bare": Case(0, PASSING),
    "failures": Case(1, MIXED),
    "verbose": Case(1, MIXED, ("-v", "-rA", "--showlocals", "--setup-show")),
    "warnings are errors": Case(1, MIXED, ("-q", "-W", "error")),
    "first failure": Case(1, MIXED, ("-x", "-k", "failure or method")),
    "nothing selected": Case(5, MIXED, ("-k", "no_such_test")),
    "collection": Case(0, MIXED, ("--collect-only",)),
    "doctest": Case(0, PASSING, ("--doctest-modules", "-v")),
    "unknown marker": Case(2, UNKNOWN_MARKER, ("--strict-markers",)),
    "known marker": Case(0, KNOWN_MARKER, ("--strict-markers", "--strict-config"), INI),
    "addopts": Case(1, MIXED, (), ADDOPTS),
    "unknown option": Case(4, PASSING, ("--no-such-option",)),
    "no:gilx": Case(1, MIXED, ("-p", "no:gilx")),
    "--help": Case(0, PASSING, ("--help",), lists_plugins=True),
    "--markers": Case(0, PASSING, ("--markers",), lists_plugins=True),
    "--fixtures": Case(0, PASSING, ("--fixtures",), lists_plugins=True),
    # One worker, since several finish in any order.
    "xdist": Case(1, MIXED, ("-n", "1", "-v", "-rA")),
    "cov": Case(1, MIXED, ("--cov=.", "--cov-report=term-missing")),
    "xdist and cov": Case(1, MIXED, ("-n", "1", "--cov=.", "-W", "error")),
}


class Result(NamedTuple):
    """Everything that a run leaves behind."""

    status: int
    output: str
    errors: str
    junit: str


class Environment:
    """A virtual environment with one version of pytest, and a folder to run it in."""

    def __init__(self, folder: Path, requirements: list[str]) -> None:
        self._python = folder / "venv/bin/python"
        self._tests = folder / "tests"
        venv.create(folder / "venv", symlinks=True)  # pip is taken from this Python
        self.install("--only-binary=:all:", *requirements)

    def install(self, *words: str) -> None:
        """Have pip install something."""
        pip = (sys.executable, "-m", "pip", "--python", str(self._python))
        options = ("-qq", "--disable-pip-version-check")
        subprocess.run([*pip, "install", *options, *words], check=True)

    def pytest(self, test: str, *options: str, ini: str = "") -> Result:
        """Run pytest on one file, in a folder that holds nothing else."""
        shutil.rmtree(self._tests, ignore_errors=True)
        self._tests.mkdir()
        (self._tests / "test_it.py").write_text(test, "utf-8")
        (self._tests / "pytest.ini").write_text(ini or "[pytest]\n", "utf-8")
        variables = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTEST", "PYTHON", "COV"))
        }
        done = subprocess.run(
            [self._python, "-m", "pytest", "--junitxml=junit.xml", *options],
            cwd=self._tests,
            env=variables | {"COLUMNS": "100"},
            capture_output=True,
            text=True,
            check=False,
        )
        junit = self._tests / "junit.xml"
        return Result(
            done.returncode,
            comparable(done.stdout),
            comparable(done.stderr),
            comparable(junit.read_text("utf-8") if junit.exists() else ""),
        )


def comparable(output: str) -> str:
    """Return output without what differs from run to run, and without gilx's name."""
    lines = []
    for line in output.splitlines():
        if line.startswith("plugins: "):
            names = line.removeprefix("plugins: ").split(", ")
            others = [name for name in names if not name.startswith("gilx-")]
            if not others:
                continue
            line = "plugins: " + ", ".join(others)  # noqa: PLW2901 - what is compared
        # A time's digits decide how long the line around it is.
        plain = re.sub(r"\b\d+\.\d+s\b", "TIME", line)
        plain = re.sub(r'\b(time|timestamp)="[^"]*"', r'\1=""', plain)
        plain = re.sub(r"\bpytest-of-\S+", "TMP", plain)
        plain = re.sub(r"\b0x[0-9a-f]+\b", "ADDRESS", plain)
        lines.append(re.sub(r"={2,}", "==", plain))
    return "\n".join(lines)


def differences(case: Case, before: Result, after: Result) -> list[str]:
    """Return how a run with gilx installed differs from one without; empty if it does not."""
    without, with_gilx = (
        [
            f"exit status {run.status}",
            *("" if case.lists_plugins else run.output).splitlines(),
            *run.errors.splitlines(),
            *run.junit.splitlines(),
        ]
        for run in (before, after)
    )
    return list(
        difflib.unified_diff(without, with_gilx, "without gilx", "with gilx", lineterm="")
    )


def wrong_uses(environment: Environment) -> list[str]:
    """Return what is wrong where tests use gilx and the version is not supported."""
    ini = "[pytest]\naddopts = --strict-markers --strict-config -W error\n"
    unused = "def test_other(): pass\n"
    skipped = "1 passed, 4 skipped"
    runs = {
        "tests": (0, skipped, environment.pytest(USES, ini=ini)),
        "xdist": (0, skipped, environment.pytest(USES, "-n", "2", ini=ini)),
        "fail": (
            1,
            "1 passed, 4 errors",
            environment.pytest(USES, "--gilx-inconclusive=fail", ini=ini),
        ),
        "options": (
            0,
            "1 passed",
            environment.pytest(unused, "--gilx-budget=3", "--gilx-under-xdist", ini=ini),
        ),
        "settings": (
            0,
            "1 passed",
            environment.pytest(unused, ini=ini + "gilx_inconclusive = skip\n"),
        ),
    }
    wrong = []
    for name, (status, summary, run) in runs.items():
        sections = run.output.count("== gilx: nothing was checked ==")
        if (run.status, sections) != (status, 1) or summary not in run.output:
            wrong.append(
                f"{name}: expected status {status}, {summary!r} and one section of gilx's,"
                f" got status {run.status}\n{run.output}\n{run.errors}"
            )
    return wrong


def check(version: str, wheel: Path, folder: Path) -> list[str]:
    """Return what is wrong with a version of pytest; empty if nothing is."""
    environment = Environment(folder, [*VERSIONS[version], *OTHER_PLUGINS])
    before = {
        name: environment.pytest(case.test, *case.options, ini=case.ini)
        for name, case in CASES.items()
    }
    wrong = [
        f"{name}: expected status {CASES[name].status} without gilx, got {run.status}"
        f"\n{run.output}\n{run.errors}"
        for name, run in before.items()
        if run.status != CASES[name].status
    ]
    environment.install("--no-deps", str(wheel))
    for name, case in CASES.items():
        after = environment.pytest(case.test, *case.options, ini=case.ini)
        if lines := differences(case, before[name], after):
            wrong.append("\n".join([f"{name}:", *lines]))
    if int(version.partition(".")[0]) < OLDEST_SUPPORTED:
        wrong += wrong_uses(environment)
    return wrong


def main() -> int:
    """Check each version, and print what is wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.pytest_versions", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("wheel", type=Path, help="gilx, as it would be installed")
    parser.add_argument(
        "versions", nargs="*", metavar="version", help=", ".join(VERSIONS)
    )
    options = parser.parse_args()
    if unknown := set(options.versions) - set(VERSIONS):
        parser.error(f"version must be among {', '.join(VERSIONS)}, got {min(unknown)}")
    bad = 0
    for version in options.versions or VERSIONS:
        with tempfile.TemporaryDirectory() as folder:
            wrong = check(version, options.wheel.resolve(), Path(folder))
        bad += len(wrong)
        print(f"pytest {version}: {len(CASES)} runs with and without gilx:", end=" ")
        print(
            "\n".join([f"{len(wrong)} wrong", *wrong]) if wrong else "the same",
            flush=True,
        )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
