"""gilx as its pure-Python wheel installs it: on this system, and made to look like others."""

from __future__ import annotations

import json
import os
import shutil
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import gilx
from tests import other_system
from tests.command import run_python

if TYPE_CHECKING:
    from tests.command import CompletedProcess

pytestmark = [pytest.mark.slow, pytest.mark.any_python]

MISSING = (
    "gilx's compiled parts, which this needs, are not installed here: its wheels for"
    " CPython on Linux have them"
)
# Modules that can't be imported. Others ask for compiled parts when these are used.
NEED_COMPILED_PARTS = {
    *("gilx.ckernels", "gilx.cykernels", "gilx.sampling._sampler"),
    *("gilx.pools.interpreters", "gilx.pools.processes"),
}


class Installation:
    """A copy of gilx without its compiled parts, as the first thing on Python's path."""

    def __init__(self, folder: Path, system: str) -> None:
        self.folder = folder
        path = [str(folder), os.environ.get("PYTHONPATH", "")]
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, path)),
        }
        if system != sys.platform:
            self.environment["GILX_TEST_SYSTEM"] = system

    def python(self, *words: str | Path, **options: Any) -> CompletedProcess:
        return run_python(*words, env=self.environment, **options)

    def answers(self, code: str) -> Any:
        """Return what a program prints as JSON."""
        done = self.python("-c", code, cwd=self.folder)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pure")
    compiled = shutil.ignore_patterns(
        "__pycache__", *(f"*{suffix}" for suffix in EXTENSION_SUFFIXES)
    )
    shutil.copytree(Path(gilx.__file__).parent, folder / "gilx", ignore=compiled)
    shutil.copy(other_system.__file__, folder / "sitecustomize.py")
    return folder


@pytest.fixture(params=list(dict.fromkeys([sys.platform, "darwin", "win32"])))
def installed(request: pytest.FixtureRequest, copy: Path) -> Installation:
    if request.param != sys.platform != "linux":
        pytest.skip("only Linux is made to look like another system")
    return Installation(copy, request.param)


def test_modules_load_or_say_that_compiled_parts_are_missing(
    installed: Installation,
) -> None:
    code = """
import importlib, json, pkgutil, sys, gilx
sys.modules["distributed"] = None  # it may not load on what looks like another system
missing = [name for name in gilx.__all__ if getattr(gilx, name, None) is None]
failed = {}
for module in pkgutil.walk_packages(gilx.__path__, "gilx."):
    if module.name == "gilx.__main__":
        continue
    try:
        importlib.import_module(module.name)
    except gilx.NotCompiledError as error:
        failed[module.name] = str(error)
    except gilx.MissingExtraError:
        continue
print(json.dumps([missing, failed]))
"""
    missing, failed = installed.answers(code)
    assert missing == []
    assert failed == dict.fromkeys(sorted(NEED_COMPILED_PARTS), MISSING)


COMMANDS = """
import contextlib, io, json
from gilx.cli import main
found = []
for words in {commands!r}:
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        status = main(words.split())
    found.append((status, output.getvalue(), errors.getvalue()))
print(json.dumps(found))
"""


def run_commands(installed: Installation, *commands: str) -> list[tuple[int, str, str]]:
    """Run commands one after another in one process; return status, output and errors."""
    found = installed.answers(COMMANDS.format(commands=commands))
    return [tuple(each) for each in found]


def test_commands_that_need_compiled_parts_say_so(installed: Installation) -> None:
    commands = (
        *("probe time:sleep 0.01", "probe --pid 1", "selftest", "demo --quick"),
        *("probe -- true", "probe --subprocesses --pid 1", "top --pid 1"),
        "run primes",
        *("run primes --variant c-nogil --pool native", "grain primes", "measure primes"),
    )
    for words, found in zip(commands, run_commands(installed, *commands), strict=True):
        assert found == (1, "", f"gilx {words.split()[0]}: {MISSING}\n")


def test_commands_that_need_none_work(installed: Installation) -> None:
    listed, run_in_python, run_in_numpy, examined, delayed = run_commands(
        installed,
        "kernels",
        "run primes --variant python --size 20000 --workers 2",
        "run mandelbrot --variant numpy --size 16 --pool serial",
        "doctor --seconds 0.1",
        "latency time:sleep 0.001 --budget 0.2",
    )
    for name in gilx.kernels.names():
        assert name in listed[1]
    for status, output, errors in (run_in_python, run_in_numpy):
        assert (status, errors) == (0, "")
        assert "the result is right." in output
    assert f"GIL watch    not available: {MISSING}\n" in examined[1]
    status, output, errors = delayed
    assert (status, errors) == (0, "")
    assert output.endswith(f"The costs of a release are unknown: {MISSING}.\n")


def test_version_is_printed(installed: Installation) -> None:
    done = installed.python("-m", "gilx", "--version", check=True)
    assert done.stdout == f"gilx {gilx.__version__}\n"


def test_kernels_have_their_variants_in_python_and_numpy(installed: Installation) -> None:
    code = """
import json, gilx
sizes = {"matmul": 8, "nbody": 8, "primes": 2000, "montecarlo": 1}
ran = []
for name in gilx.kernels.names():
    kernel = gilx.kernels.get(name)
    for variant in ("python", "numpy") if kernel.numpy else ("python",):
        for schedule in ("static", "dynamic"):
            done = gilx.run(name, variant=variant, size=sizes.get(name, 16), workers=3, schedule=schedule)
            done.problem.check(done.problem.out)
        ran.append(name)
    try:
        gilx.run(name, variant="cython-gil")
    except gilx.NotCompiledError as error:
        assert isinstance(error, ImportError)
print(json.dumps(ran))
"""
    assert set(installed.answers(code)) == set(gilx.kernels.names())


def test_speedups_are_measured_without_a_verdict(installed: Installation) -> None:
    code = """
import json, time, gilx
from gilx.pools import ExecutorPool
from concurrent.futures import ThreadPoolExecutor
reports = [gilx.measure(time.sleep, 0.002, workers=2, blocks=6, budget=0.5)]
with ThreadPoolExecutor(2) as executor:
    pools = ["serial", "threads", ExecutorPool(executor, 2)]
    reports.append(gilx.measure("primes", variants=["python", "numpy"], pools=pools, workers=2, size=5000, blocks=2, budget=1))
print(json.dumps([[row.pool, row.workers, row.speedup.known, row.outcome, row.is_aa, row.notes] for report in reports for row in report.rows]))
"""
    rows = installed.answers(code)
    assert [(pool, workers) for pool, workers, *_ in rows] == [
        ("threads", 2),
        *[("serial", 1), ("threads", 2), ("ThreadPoolExecutor", 2)] * (len(rows) // 3),
    ]
    assert len(rows) > 3
    for _, workers, known, outcome, null, notes in rows:
        assert known
        assert not null
        assert outcome == (None if workers == 1 else "inconclusive")
        assert f"no native threads to compare with: {MISSING}" in notes


def test_processes_of_an_executor_run_kernels(copy: Path) -> None:
    program = copy / "processes.py"
    program.write_text("""
from concurrent.futures import ProcessPoolExecutor
import multiprocessing, gilx
if __name__ == "__main__":
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn) as executor:
        done = gilx.run("collatz", variant="python", size=300, workers=2, pool=executor)
    done.problem.check(done.problem.out)
    print(done.pool)
""")
    done = Installation(copy, sys.platform).python(program, check=True)
    assert done.stdout == "ProcessPoolExecutor\n"


TESTS = """
import hashlib, pytest

DATA = bytes(100_000)

def test_releases(gil):
    gil.releases(hashlib.sha256, DATA)

def test_holds(gil):
    gil.holds(len, DATA)

def test_longest_hold(gil):
    gil.longest_hold(hashlib.sha256, DATA)

def test_scales(gil):
    gil.scales(hashlib.sha256, DATA)

@pytest.mark.releases_gil
def test_marked_releases():
    hashlib.sha256(DATA)

@pytest.mark.scales
@pytest.mark.releases_gil
def test_marked_both():
    hashlib.sha256(DATA)

def test_of_something_else():
    pass

@pytest.mark.parametrize("check", ["releases", "longest_hold", "scales"])
def test_broken(gil, check):
    getattr(gil, check)(hashlib.sha256, "no bytes")
"""


def run_pytest(installed: Installation, folder: Path, *options: str) -> str:
    (folder / "test_gil.py").write_text(TESTS)
    # pytest asks the console of Windows for what it captures by descriptors.
    lean = ("-p", "no:hypothesispytest", "-p", "no:cacheprovider", "--capture=sys")
    words = ("-m", "pytest", "-ra", "--rootdir", str(folder), *lean, *options)
    done = installed.python(*words, "test_gil.py", cwd=folder)
    assert done.returncode == 1, done.stdout + done.stderr
    return done.stdout


def test_checks_of_the_plugin_skip_with_the_reason(
    installed: Installation, tmp_path: Path
) -> None:
    output = run_pytest(installed, tmp_path)
    assert "3 failed, 1 passed, 6 skipped" in output
    skipped = [line for line in output.splitlines() if line.startswith("SKIPPED")]
    assert len(skipped) == 6
    assert all(line.endswith(f"inconclusive: {MISSING}") for line in skipped)
    assert "gilx: 7 inconclusive" in output  # a test has two markers
    # What is wrong with a call is not hidden.
    assert "FAILED test_gil.py::test_broken[releases] - TypeError" in output
    assert "FAILED test_gil.py::test_broken[longest_hold] - TypeError" in output
    assert "FAILED test_gil.py::test_broken[scales] - TypeError" in output


def test_checks_of_the_plugin_fail_if_that_is_asked_for(
    copy: Path, tmp_path: Path
) -> None:
    here = Installation(copy, sys.platform)
    assert "9 failed, 1 passed" in run_pytest(here, tmp_path, "--gilx-inconclusive=fail")
