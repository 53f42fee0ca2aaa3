"""The pytest plugin, run by pytest itself on small files of tests.

What it makes of verdicts is tried with verdicts that are made up, so that every outcome
comes when it is asked for. That it asks the right thing is tried with real ones.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import subprocess
import sys
import types
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import gilx.testing
from gilx import cykernels
from gilx._compat import gil_enabled
from gilx.pytest_plugin.tracing import is_python, tracing
from gilx.testing import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

pytest_plugins = ["pytester"]
pytestmark = pytest.mark.thread_unsafe(reason="pytest runs in this process, too")

can_watch = pytest.mark.skipif(
    not gil_enabled() or sys.platform != "linux", reason="there is no GIL to watch"
)


def needs(module: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(module) is None
    return pytest.mark.skipif(missing, reason=f"needs {module}")


JUDGES = '''
from gilx.testing import Verdict
from gilx.testing.release_verdict import nothing_watched

def judge(what):
    """Say what the callable asks for: it returns the outcome, and may be called again."""
    def judged(fn, *args, setup=None, **limits):
        outcome = fn(*args, *(setup() if setup else ()))
        asked = ", ".join(
            f"{name}={value}" for name, value in sorted(limits.items()) if value is not None
        )
        name = getattr(fn, "__qualname__", type(fn).__name__)
        reason = f"so it was asked for ({asked})"
        evidence = nothing_watched(0.1, "")
        notes = ("made up",)
        return Verdict(outcome, reason, evidence, what, name, 0.25, notes=notes)
    return judged
'''
PLUGINS = ("xdist", "cov", "run_parallel", "benchmark")


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks give the verdict that the callable returns."""
    names: dict[str, Any] = {}
    exec(JUDGES, names)
    for function, what in (
        ("judge_release", "releases_gil"),
        ("judge_hold", "holds_gil"),
        ("judge_scaling", "scales"),
    ):
        monkeypatch.setattr(gilx.testing, function, names["judge"](what))


FIXTURE = """
    def f(outcome, other=None):
        return other or outcome

    def test_releases(gil):
        verdict = gil.releases(f, {outcome!r}, at_least=0.5)
        assert verdict.what == "releases_gil"

    def test_holds(gil):
        gil.holds(f, {outcome!r}, budget=3)

    def test_scales(gil):
        gil.scales(f, None, setup=lambda: ({outcome!r},), workers=3, efficiency=0.7)
"""
MARKERS = """
    import pytest

    @pytest.fixture
    def outcome():
        return {outcome!r}

    @pytest.mark.releases_gil
    def test_releases(outcome, tmp_path):
        assert tmp_path.is_dir()
        return outcome

    class TestMarked:
        known = {outcome!r}

        @pytest.mark.scales(workers=3, budget=2)
        @pytest.mark.parametrize("x", [1, 2])
        def test_scales(self, x):
            return self.known

        @pytest.mark.releases_gil(at_least=0.4)
        @pytest.mark.scales(efficiency=0.5)
        def test_both(self):
            return self.known
"""


def run(pytester: pytest.Pytester, text: str, *options: str) -> pytest.RunResult:
    pytester.makepyfile(text)
    return pytester.runpytest("-p", "no:cacheprovider", *options)


@pytest.mark.usefixtures("made_up")
def test_what_passes(pytester: pytest.Pytester) -> None:
    done = run(pytester, FIXTURE.format(outcome="pass"))
    done.assert_outcomes(passed=3)
    done.stdout.fnmatch_lines(
        [
            "*= gilx: 3 passed =*",
            "pass: test_what_passes.py::test_releases (releases_gil, 250 ms)",
            "    f: so it was asked for (at_least=0.5)",
            "    note: made up",
            "pass: test_what_passes.py::test_holds (holds_gil, 250 ms)",
            "    f: so it was asked for (at_least=0.9, budget=3)",
            "pass: test_what_passes.py::test_scales (scales, 250 ms)",
            "    f: so it was asked for (efficiency=0.7, workers=3)",
        ]
    )


@pytest.mark.usefixtures("made_up")
def test_what_fails(pytester: pytest.Pytester) -> None:
    done = run(pytester, FIXTURE.format(outcome="fail"))
    done.assert_outcomes(failed=3)
    done.stdout.fnmatch_lines(
        [
            ">       *gil.releases(f, 'fail', at_least=0.5)",
            "E       gilx.testing.*: gilx: f: fail: so it was asked for (at_least=0.5)",
            "test_what_fails.py:5: *",
            "*= gilx: 3 failed =*",
        ]
    )
    # What is shown of the stack is the test's own.
    done.stdout.no_fnmatch_line("*checks.py:*")


@pytest.mark.usefixtures("made_up")
def test_what_passes_by_markers(pytester: pytest.Pytester) -> None:
    done = run(pytester, MARKERS.format(outcome="pass"))
    done.assert_outcomes(passed=4)
    done.stdout.fnmatch_lines(
        [
            "*= gilx: 5 passed =*",
            "pass: *::test_releases (releases_gil, *)",
            "    test_releases: so it was asked for (at_least=0.9)",
            "pass: *::TestMarked::test_scales[[]1[]] (scales, *)",
            "    test_scales[[]1[]]: so it was asked for (budget=2, *, workers=3)",
            "pass: *::TestMarked::test_scales[[]2[]] (scales, *)",
            "pass: *::TestMarked::test_both (releases_gil, *)",
            "    test_both: so it was asked for (at_least=0.4)",
            "pass: *::TestMarked::test_both (scales, *)",
            "    test_both: so it was asked for (efficiency=0.5, workers=2)",
        ]
    )


@pytest.mark.usefixtures("made_up")
def test_what_fails_by_markers(pytester: pytest.Pytester) -> None:
    done = run(pytester, MARKERS.format(outcome="fail"))
    done.assert_outcomes(failed=4)
    done.stdout.fnmatch_lines(
        [
            "*_ test_releases _*",
            "gilx: test_releases: fail: so it was asked for (at_least=0.9)",
            "*= gilx: 4 failed =*",
        ]
    )
    done.stdout.no_fnmatch_line("*During handling*")


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize("text", [FIXTURE, MARKERS], ids=["fixture", "markers"])
def test_what_is_inconclusive(pytester: pytest.Pytester, text: str) -> None:
    text = text.format(outcome="inconclusive")
    count = text.count("def test_") + text.count("parametrize")
    done = run(pytester, text, "-rs")
    done.assert_outcomes(skipped=count)
    # The line is the test's.
    line = 5 if "def f(" in text else 7
    done.stdout.re_match_lines(
        [
            rf"SKIPPED \[1\] test_what_is_inconclusive.py:{line}: gilx: .+: inconclusive: .+"
        ]
    )
    done = pytester.runpytest("--gilx-inconclusive=skip")
    done.assert_outcomes(skipped=count)

    done = pytester.runpytest("--gilx-inconclusive=fail")
    done.assert_outcomes(failed=count)
    done.stdout.fnmatch_lines(["gilx: *: inconclusive: so it was asked for (*"])

    done = pytester.runpytest("--gilx-inconclusive=warn", "-Wdefault")
    verdicts = count + text.count("releases_gil(")  # one test has both markers
    done.assert_outcomes(passed=count)
    assert str(done.stdout).count("InconclusiveWarning: gilx: ") == verdicts
    done.stdout.fnmatch_lines(["*InconclusiveWarning: gilx: *: inconclusive: so it *"])
    done.stdout.fnmatch_lines([f"*= gilx: {verdicts} inconclusive =*"])


@pytest.mark.usefixtures("made_up")
def test_what_is_inconclusive_hides_nothing(pytester: pytest.Pytester) -> None:
    done = run(
        pytester,
        """
        import pytest

        said = iter(["inconclusive", "fail", "inconclusive", "pass", "pass", "inconclusive"])

        @pytest.mark.releases_gil
        @pytest.mark.scales
        @pytest.mark.parametrize("number", range(3))
        def test_both(number):
            return next(said)
        """,
    )
    done.assert_outcomes(failed=1, skipped=2)
    done.stdout.fnmatch_lines(["*= gilx: 1 failed, 3 inconclusive, 2 passed =*"])


@pytest.mark.usefixtures("made_up")
def test_settings_in_a_file(pytester: pytest.Pytester) -> None:
    pytester.makeini(
        """
        [pytest]
        gilx_budget = 7
        gilx_inconclusive = fail
        gilx_json = found.json
        gilx_under_xdist = true
        """
    )
    done = run(pytester, FIXTURE.format(outcome="inconclusive"))
    done.assert_outcomes(failed=3)
    done.stdout.fnmatch_lines(["*asked for (at_least=0.5, budget=7.0)"])
    done.stdout.fnmatch_lines(["*asked for (at_least=0.9, budget=3)"])
    found = json.loads((pytester.path / "found.json").read_text())
    assert (found["schema"], found["version"]) == ("gilx.verdicts", 1)
    assert found["environment"]["gilx"] == gilx.__version__
    tests = [each["test"].partition("::")[2] for each in found["verdicts"]]
    assert tests == ["test_releases", "test_holds", "test_scales"]
    verdict = Verdict.from_json(json.dumps(found["verdicts"][2]["verdict"]))
    assert (verdict.outcome, verdict.what) == ("inconclusive", "scales")
    # The command line has the last word.
    done = pytester.runpytest(
        "--gilx-budget=9", "--gilx-inconclusive=skip", "--gilx-json=other.json"
    )
    done.assert_outcomes(skipped=3)
    done.stdout.fnmatch_lines(["*asked for (at_least=0.5, budget=9.0)"])
    assert (pytester.path / "other.json").exists()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--gilx-budget=x", "--gilx-budget: expected a number, got 'x'"),
        ("--gilx-budget=0", "--gilx-budget: expected above 0"),
        ("--gilx-budget=inf", "--gilx-budget: expected a finite number"),
        (
            "--gilx-inconclusive=x",
            "--gilx-inconclusive: expected one of skip, fail, warn; got 'x'",
        ),
        ("--gilx-json=", "--gilx-json: expected the name of a file"),
    ],
)
def test_wrong_options(pytester: pytest.Pytester, option: str, words: str) -> None:
    done = run(pytester, "def test_nothing(): pass", option)
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines([f"ERROR: gilx: {words}*"])


def test_json_that_cant_be_written(pytester: pytest.Pytester) -> None:
    done = run(pytester, "def test_nothing(): pass", "--gilx-json=no/such/place")
    assert done.ret != 0
    done.stderr.fnmatch_lines(["*gilx: --gilx-json: can't write */no/such/place*"])


@pytest.mark.parametrize(
    ("marker", "words"),
    [
        (
            "releases_gil(atleast=0.5)",
            "releases_gil: expected keywords among at_least, budget; got 'atleast'",
        ),
        (
            "scales(at_least=0.5)",
            "scales: expected keywords among workers, efficiency, budget, limit_threads; got 'at_least'",
        ),
        ("releases_gil(0.5)", "releases_gil: expected keywords (at_least, budget), got"),
        ("releases_gil(at_least=0)", "releases_gil: at_least: expected above 0 and"),
        ("releases_gil(at_least=1.1)", "releases_gil: at_least: expected above 0 and"),
        ("scales(workers=1)", "scales: workers: expected at least 2, got 1"),
        ("scales(workers=2.5)", "scales: workers: expected a whole number, got 2.5"),
        ("scales(efficiency='x')", "scales: efficiency: expected a number, got 'x'"),
        ("scales(limit_threads=0)", "scales: limit_threads: expected at least 1, got 0"),
        ("scales(budget=0)", "scales: budget: expected above 0"),
    ],
)
def test_wrong_markers(pytester: pytest.Pytester, marker: str, words: str) -> None:
    done = run(
        pytester,
        f"import pytest\n@pytest.mark.{marker}\ndef test_it(): raise SystemExit\n",
        "--strict-markers",
    )
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*ERROR collecting*", f"gilx: test_it: {words}*"])


def test_markers_where_they_say_nothing(pytester: pytest.Pytester) -> None:
    done = run(
        pytester,
        """
        import unittest
        import pytest

        class TestIt(unittest.TestCase):
            @pytest.mark.releases_gil
            def test_it(self):
                raise SystemExit
        """,
    )
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*gilx: releases_gil: expected a test function*"])
    (pytester.path / "test_markers_where_they_say_nothing.py").unlink()
    pytester.makepyfile(
        "import pytest\n@pytest.mark.scales\nasync def test_it(): raise SystemExit\n"
    )
    done = pytester.runpytest()
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["gilx: test_it: scales: expected a plain function*"])


@pytest.mark.usefixtures("made_up")
def test_what_the_body_raises_is_told(pytester: pytest.Pytester) -> None:
    done = run(
        pytester,
        """
        import pytest

        @pytest.mark.releases_gil
        def test_wrong():
            assert 1 + 1 == 3

        @pytest.mark.releases_gil
        @pytest.mark.xfail(raises=ZeroDivisionError)
        def test_expected():
            1 / 0

        @pytest.mark.scales
        def test_skipped():
            pytest.skip("not today")
        """,
        "-rs",
    )
    done.assert_outcomes(failed=1, xfailed=1, skipped=1)
    done.stdout.fnmatch_lines(["E       assert (1 + 1) == 3", "*not today*"])
    done.stdout.no_fnmatch_line("*= gilx:*")


def test_the_markers_are_listed(pytester: pytest.Pytester) -> None:
    done = pytester.runpytest("--markers")
    done.stdout.fnmatch_lines(
        ["@pytest.mark.releases_gil(at_least*", "@pytest.mark.scales(workers*"]
    )
    done = pytester.runpytest("--fixtures")
    done.stdout.fnmatch_lines(["gil -- *", "    Check what a call does with the GIL*"])


def test_nothing_is_loaded_until_a_test_asks(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Other plugins load what they like.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(
        """
        import sys

        def test_nothing():
            loaded = {
                name for name in sys.modules
                if name == "numpy" or name.startswith("gilx.")
            }
            assert loaded == {
                "gilx.pytest_plugin",
                "gilx.pytest_plugin.declarations",
                "gilx.pytest_plugin.hooks",
            }
        """
    )
    done = pytester.runpytest_subprocess("-p", "gilx.pytest_plugin")
    done.assert_outcomes(passed=1)
    done.stdout.no_fnmatch_line("*= gilx:*")
    assert "gilx" not in "".join(done.errlines)


OLD_PYTEST = """
import sys

import pytest

{change}
pytest.__version__ = "7.4.4"
sys.exit(pytest.main(sys.argv[1:]))
"""
USES = """
    import pytest

    def test_fixture(gil):
        gil.releases(sorted, [])

    @pytest.mark.releases_gil(at_least=7)
    def test_marker():
        raise AssertionError("a test that can't be checked was run")

    @pytest.mark.scales
    class TestMarked:
        def test_it(self):
            raise AssertionError("a test that can't be checked was run")

    def test_other():
        pass
"""
NOTHING_CHECKED = [
    "*= gilx: nothing was checked =*",
    "gilx needs pytest 8.0 or newer, and this is pytest 7.4.4.",
]


def run_old(
    pytester: pytest.Pytester,
    *options: str,
    change: str = "pytest.version_tuple = (7, 4, 4)",
) -> pytest.RunResult:
    """Run pytest as if it were an older one; tests/pytest_versions.py runs older ones."""
    code = OLD_PYTEST.format(change=change)
    return pytester.run(sys.executable, "-c", code, "-p", "no:xdist", *options)


# pytest 6 has no version_tuple.
@pytest.mark.parametrize(
    "change", ["pytest.version_tuple = (7, 4)", "del pytest.version_tuple"]
)
def test_unsupported_pytest_checks_nothing(
    pytester: pytest.Pytester, change: str
) -> None:
    pytester.makepyfile(USES)
    done = run_old(pytester, "--strict-markers", "-W", "error", "-rs", change=change)
    done.assert_outcomes(passed=1, skipped=3)
    done.stdout.fnmatch_lines(NOTHING_CHECKED)
    assert str(done.stdout).count("gilx: nothing was checked") == 1


def test_unsupported_pytest_fails_what_may_not_be_inconclusive(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(USES)
    done = run_old(pytester, "--gilx-inconclusive=fail")
    done.assert_outcomes(passed=1, errors=3)
    done.stdout.fnmatch_lines(NOTHING_CHECKED)


@pytest.mark.parametrize(
    "options", [("--gilx-budget=nonsense",), ("--gilx-under-xdist",)]
)
def test_unsupported_pytest_reports_options(
    pytester: pytest.Pytester, options: tuple[str, ...]
) -> None:
    pytester.makepyfile("def test_other(): pass")
    done = run_old(pytester, *options)
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(NOTHING_CHECKED)


def test_unsupported_pytest_reports_settings(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_other(): pass")
    pytester.makeini("[pytest]\ngilx_json = found.json\n")
    done = run_old(pytester, "--strict-config")
    done.assert_outcomes(passed=1)
    done.stdout.fnmatch_lines(NOTHING_CHECKED)
    assert not (pytester.path / "found.json").exists()


def test_unsupported_pytest_is_left_alone_when_gilx_is_not_used(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_nothing():
            assert {name for name in sys.modules if name.startswith("gilx.")} == {
                "gilx.pytest_plugin",
                "gilx.pytest_plugin.declarations",
                "gilx.pytest_plugin.unsupported",
            }
        """
    )
    done = run_old(pytester)
    done.assert_outcomes(passed=1)
    done.stdout.no_fnmatch_line("*nothing was checked*")


@can_watch
def test_real_verdicts(pytester: pytest.Pytester) -> None:
    """Whatever the machine does, no verdict is wrong."""
    done = run(
        pytester,
        """
        import functools
        import pytest
        from gilx.ckernels import spin

        released = functools.partial(spin, 0, 2_000_000, 20_000_000)
        held = functools.partial(spin, 2_000_000, 0, 20_000_000)

        def test_released(gil):
            assert gil.releases(released).outcome == "pass"

        @pytest.mark.releases_gil
        def test_released_by_marker():
            released()

        def test_held(gil):
            assert gil.holds(held).outcome == "pass"

        @pytest.mark.xfail(raises=AssertionError, strict=True)
        def test_wrong(gil):
            gil.releases(held)

        @pytest.mark.releases_gil
        @pytest.mark.xfail(strict=True)
        def test_wrong_by_marker():
            held()

        @pytest.mark.xfail(raises=AssertionError, strict=True)
        def test_wrong_scaling(gil):
            gil.scales(held, budget=3)
        """,
    )
    found = done.parseoutcomes()
    assert found.keys() <= {"passed", "xfailed", "skipped", "warnings", "warning"}


# Where tests run in processes of their own, the checks are made up in each of them.
CONFTEST = (
    JUDGES
    + """
import gilx.testing
gilx.testing.judge_release = judge("releases_gil")
gilx.testing.judge_hold = judge("holds_gil")
gilx.testing.judge_scaling = judge("scales")
"""
)


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


TRACED = """
import sys

def pytest_runtest_call(item):
    sys.settrace(lambda *_: None)

def pytest_runtest_teardown(item):
    sys.settrace(None)
"""
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


def assert_judged_by_the_watch(done: pytest.RunResult, tests: int) -> None:
    """Assert that no tracer was in the way of a failure; a busy machine may have been."""
    outcomes = done.parseoutcomes()
    assert outcomes.get("failed", 0) + outcomes.get("skipped", 0) == tests
    done.stdout.no_fnmatch_line("*traces Python code*")


@can_watch
def test_compiled_function_that_holds_fails_under_a_tracer(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(TRACED)
    pytester.makepyfile(HELD_IN_CYTHON)
    done = pytester.runpytest_subprocess("-rs", "-p", "no:cacheprovider")
    assert_judged_by_the_watch(done, 1)


@can_watch
@needs("pytest_cov")
@needs("numba")
def test_compiled_functions_that_hold_fail_under_coverage(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(HELD_IN_CYTHON + HELD_IN_NUMBA)
    done = pytester.runpytest_subprocess("--cov=.", "-rs")
    assert_judged_by_the_watch(done, 2)


@needs("pytest_benchmark")
@pytest.mark.usefixtures("made_up")
def test_benchmark(pytester: pytest.Pytester) -> None:
    done = run(
        pytester,
        """
        def test_it(benchmark, gil):
            assert benchmark(int) == 0
            gil.releases(str, "pass")
        """,
        "-p",
        "no:xdist",
    )
    done.assert_outcomes(passed=1)
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.releases_gil
        def test_it(benchmark):
            benchmark(int)
        """
    )
    done = pytester.runpytest()
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(
        ["gilx: test_it: releases_gil: expected no fixture 'bench*"]
    )


@needs("pytest_run_parallel")
def test_run_parallel(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(
        """
        import threading
        import pytest

        def here():
            return "pass" if threading.current_thread() is threading.main_thread() else "fail"

        def test_fixture(gil):
            gil.releases(here)

        @pytest.mark.releases_gil
        def test_marker():
            return here()

        def test_other():
            assert here() == "fail"
        """
    )
    done = pytester.runpytest_subprocess("--parallel-threads=3", "--strict-markers")
    done.assert_outcomes(passed=3)
    done.stdout.fnmatch_lines(["*= gilx: 2 passed =*"])
    # Repeated by a thread that is waited for: what is judged is the body all the same.
    done = pytester.runpytest_subprocess("--iterations=3", "-k", "marker")
    done.assert_outcomes(passed=1)


def test_who_traces() -> None:
    code = "from gilx.pytest_plugin.tracing import tracing; import {0}; {1}; print(tracing())"
    for module, start, said in (
        ("sys", "pass", ""),
        ("sys", "sys.settrace(lambda *_: None)", "__main__ traces Python code"),
        ("sys", "sys.setprofile(lambda *_: None)", "__main__ traces Python code"),
        (
            "threading",
            "threading.settrace(lambda *_: None)",
            "__main__ traces Python code",
        ),
        ("sys", "sys.monitoring.use_tool_id(3, 'mine')", "mine traces Python code"),
    ):
        if "monitoring" in start and sys.version_info < (3, 12):
            continue
        done = subprocess.run(
            [sys.executable, "-c", code.format(module, start)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == said
    assert isinstance(tracing(), str)


class Doubled:
    def __call__(self) -> None:
        pass

    @staticmethod
    def alone() -> None:
        pass


class Inherited(Doubled):
    pass


class Compiled:
    __call__ = cykernels.collatz_gil  # Cython binds it, as Python does


class Made:
    def __init__(self) -> None:
        pass


@pytest.mark.parametrize(
    ("fn", "right"),
    [
        (test_who_traces, True),
        (partial(partial(test_who_traces)), True),
        (Doubled(), True),
        (Doubled().__call__, True),
        (Inherited(), True),
        (vars(Doubled)["alone"], True),
        (functools.cache(test_who_traces), True),
        (Made, True),
        (sorted, False),
        (partial(sorted, []), False),
        ("a".join, False),
        (int, False),
        (functools.cache(sorted), False),
        (cykernels.collatz_gil, False),
        (partial(cykernels.collatz_gil, 1), False),
        (types.MethodType(cykernels.collatz_gil, 1), False),
        (Compiled(), False),
    ],
)
def test_only_functions_of_python_are_python(
    fn: Callable[..., object], *, right: bool
) -> None:
    assert is_python(fn) == right


def test_dispatcher_of_numba_is_compiled() -> None:
    numba = pytest.importorskip("numba")
    compiled = numba.njit(test_who_traces)
    assert hasattr(compiled, "__code__")
    assert not is_python(compiled)
    assert not is_python(partial(compiled, 1))
