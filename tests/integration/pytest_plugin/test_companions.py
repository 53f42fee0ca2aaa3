"""The plugin beside pytest-xdist, pytest-cov, pytest-benchmark and pytest-run-parallel."""

from __future__ import annotations

import json

import pytest

from tests.integration.pytest_plugin.plugin_runs import (
    CONFTEST,
    FIXTURE,
    assert_judged_by_the_watch,
)
from tests.markers import needs, needs_watch

pytest_plugins = ["pytester"]


pytestmark = pytest.mark.thread_unsafe(reason="pytest runs in this process, too")


@needs("xdist")
def test_xdist(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(FIXTURE.format(outcome="pass"))
    done = pytester.runpytest_subprocess("-n2", "-rs", "--gilx-json=found.json")
    done.assert_outcomes(passed=2, skipped=1)
    # Verdicts come from the workers; the GIL can be watched there, time not be taken.
    done.stdout.fnmatch_lines(["*= gilx: 1 inconclusive, 2 passed =*"])
    done.stdout.fnmatch_lines(
        [
            "SKIPPED*: gilx: f: inconclusive: 1 other worker of pytest-xdist run* without -n*"
        ]
    )
    found = json.loads((pytester.path / "found.json").read_text())
    assert len(found["verdicts"]) == 3

    done = pytester.runpytest_subprocess("-n2", "--gilx-under-xdist")
    done.assert_outcomes(passed=3)
    done = pytester.runpytest_subprocess("-n1")
    done.assert_outcomes(passed=3)


@needs("xdist")
def test_run_without_a_conclusive_verdict_says_so_once_under_xdist(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(FIXTURE.format(outcome="inconclusive"))
    done = pytester.runpytest_subprocess("-n2", "-q")
    done.assert_outcomes(skipped=3)
    done.stdout.fnmatch_lines(
        ["*= gilx: nothing was checked: all 3 verdicts are inconclusive =*"]
    )
    assert str(done.stdout).count("nothing was checked") == 1


@needs("xdist")
def test_wrong_markers_under_xdist(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        "import pytest\n@pytest.mark.scales(x=1)\ndef test_it(): raise SystemExit\n"
    )
    done = pytester.runpytest_subprocess("-n2")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["gilx: test_it: scales: expected keywords among*'x'"])


@needs("pytest_cov")
def test_coverage(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(FIXTURE.format(outcome="pass"))
    done = pytester.runpytest_subprocess("--cov=.", "-rs")
    done.assert_outcomes(passed=1, skipped=2)
    done.stdout.fnmatch_lines(
        [
            "SKIPPED*: f: inconclusive: * coverage traces Python code, which holds the GIL*",
            "SKIPPED*: f: inconclusive: coverage traces Python code, which makes timing*",
        ]
    )
    pytester.makepyfile(FIXTURE.format(outcome="fail"))
    done = pytester.runpytest_subprocess("--cov=.", "-rs")
    # A hold that is too short in spite of the tracer is one; a release is not.
    done.assert_outcomes(failed=1, skipped=2)
    done = pytester.runpytest_subprocess("--cov=.", "--no-cov")
    done.assert_outcomes(failed=3)


HELD_IN_CYTHON = """
import numpy as np
from gilx.cykernels import collatz_gil

OUT = np.zeros(20_000, np.int32)

def test_cython(gil):
    gil.releases(collatz_gil, 1, OUT, 0, len(OUT))
"""


HELD_IN_NUMBA = """
from numba import njit

@njit
def total(n):
    found = 0
    for i in range(n):
        found ^= i * i
    return found

def test_numba(gil):
    gil.releases(total, 10_000_000)
"""


@needs_watch
@needs("pytest_cov")
@needs("numba")
def test_compiled_functions_that_hold_fail_under_coverage(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(HELD_IN_CYTHON + HELD_IN_NUMBA)
    done = pytester.runpytest_subprocess("--cov=.", "-rs")
    assert_judged_by_the_watch(done, 2)


@needs("pytest_run_parallel")
def test_body_that_is_iterated_by_a_thread_is_judged(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        """
        import threading
        import pytest

        @pytest.mark.releases_gil
        def test_marker():
            main = threading.current_thread() is threading.main_thread()
            return "pass" if main else "fail"
        """
    )
    done = pytester.runpytest_subprocess("--iterations=3", "--strict-markers")
    done.assert_outcomes(passed=1)
