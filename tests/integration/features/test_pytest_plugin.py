"""The pytest plugin: fixture, markers, options, and other plugins beside it."""

from __future__ import annotations

import json

import pytest

from gilx.system.environment import usable_cpus
from gilx.testing import Verdict
from tests.markers import needs, needs_watch

pytest_plugins = ["pytester"]

# Calls and limits so far from each other that a busy machine does not change an answer.
HEAD = f"""
import functools
import time

import pytest

from gilx.ckernels import spin

HOLDS = functools.partial(spin, 1_000_000, 0, 20_000_000)
RELEASES = functools.partial(time.sleep, 0.02)
TOO_MANY = {usable_cpus() + 1}
"""
ANSWERS = (
    HEAD
    + """
def test_pass(gil):
    assert gil.releases(RELEASES, at_least=0.4).outcome == "pass"
    gil.holds(HOLDS, at_least=0.4)

@pytest.mark.releases_gil(at_least=0.4)
def test_pass_by_marker():
    RELEASES()

def test_fail(gil):
    gil.releases(HOLDS, at_least=0.6)

@pytest.mark.releases_gil(at_least=0.6)
def test_fail_by_marker():
    HOLDS()
"""
)
OPEN = (
    HEAD
    + """
def test_inconclusive(gil):
    gil.scales(RELEASES, workers=TOO_MANY)

@pytest.mark.scales(workers=TOO_MANY)
def test_inconclusive_by_marker():
    RELEASES()
"""
)


def run(
    pytester: pytest.Pytester, text: str, *options: str, apart: bool = False
) -> pytest.RunResult:
    """Run pytest on a file of tests; apart, where plugins change all of their process.

    Skip the test if the machine is too busy for a verdict, again and again.
    """
    pytester.makepyfile(text)
    start = pytester.runpytest_subprocess if apart else pytester.runpytest
    for _ in range(3):
        done = start("-p", "no:cacheprovider", "-rs", *options)
        if "samples were late" not in str(done.stdout):
            return done
    pytest.skip("this machine is busy: samples were late")


def verdicts(pytester: pytest.Pytester, file: str) -> dict[str, list[Verdict]]:
    """Return the verdicts in a file of ``--gilx-json``, by the names of their tests."""
    record = json.loads((pytester.path / file).read_text())
    assert record["schema"] == "gilx.verdicts"
    found: dict[str, list[Verdict]] = {}
    for each in record["verdicts"]:
        verdict = Verdict.from_json(json.dumps(each["verdict"]))
        found.setdefault(each["test"].partition("::")[2], []).append(verdict)
    return found


LONGEST = (
    HEAD
    + """
def test_pass(gil):
    assert gil.longest_hold(RELEASES, at_most=1).outcome == "pass"

@pytest.mark.longest_hold(at_most=1)
def test_pass_by_marker():
    RELEASES()

def test_fail(gil):
    gil.longest_hold(spin, 500_000_000, 0, 500_000_000, budget=30)

@pytest.mark.longest_hold(budget=30)
def test_fail_by_marker():
    spin(500_000_000, 0, 500_000_000)
"""
)


@needs_watch
def test_longest_holds_pass_and_fail(pytester: pytest.Pytester) -> None:
    done = run(pytester, LONGEST)
    done.assert_outcomes(passed=2, failed=2)
    done.stdout.fnmatch_lines(
        [
            ">       gil.longest_hold(spin, *",
            "*test_fail_by_marker: fail: holds the GIL for * ms at a time (*), in *",
            "*= gilx: 2 failed, 2 passed =*",
        ]
    )


@needs_watch
def test_fixture_and_marker_pass_and_fail(pytester: pytest.Pytester) -> None:
    done = run(pytester, ANSWERS, "--gilx-json=found.json")
    done.assert_outcomes(passed=2, failed=2)
    done.stdout.fnmatch_lines(
        [
            ">       gil.releases(HOLDS, at_least=0.6)",
            "*fail: releases the GIL for*asked for: at least 60 %",
            "*= gilx: 2 failed, 3 passed =*",
        ]
    )
    found = verdicts(pytester, "found.json")
    outcomes = {name: [one.outcome for one in all_] for name, all_ in found.items()}
    assert outcomes == {
        "test_pass": ["pass", "pass"],
        "test_pass_by_marker": ["pass"],
        "test_fail": ["fail"],
        "test_fail_by_marker": ["fail"],
    }


def test_inconclusive_verdict_skips_fails_or_warns(pytester: pytest.Pytester) -> None:
    done = run(pytester, OPEN)
    done.assert_outcomes(skipped=2)
    (file,) = pytester.path.glob("test_*.py")
    lines = file.read_text().splitlines()
    for check in ("    gil.scales(RELEASES, ", "@pytest.mark.scales("):
        place = f"{file.name}:{lines.index(f'{check}workers=TOO_MANY)') + 1}"
        done.stdout.fnmatch_lines(
            [f"SKIPPED [[]1] {place}: gilx: *: inconclusive: *workers need * CPUs*"]
        )
    done.stdout.fnmatch_lines(["*= gilx: 2 inconclusive =*"])
    done = run(pytester, OPEN, "--gilx-inconclusive=fail")
    done.assert_outcomes(failed=2)
    done.stdout.fnmatch_lines(["*gilx: *: inconclusive: *workers need * CPUs*"])
    done = run(pytester, OPEN, "--gilx-inconclusive=warn", "-Wdefault")
    done.assert_outcomes(passed=2)
    assert str(done.stdout).count("InconclusiveWarning: gilx: ") == 2
    done.stdout.fnmatch_lines(["*= gilx: 2 inconclusive =*"])


def test_settings_stand_in_a_file_and_options_go_first(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeini("[pytest]\ngilx_inconclusive = fail\ngilx_json = found.json\n")
    done = run(pytester, OPEN)
    done.assert_outcomes(failed=2)
    found = verdicts(pytester, "found.json")
    assert [one.what for [one] in found.values()] == ["scales", "scales"]
    done = run(pytester, OPEN, "--gilx-inconclusive=skip")
    done.assert_outcomes(skipped=2)
    done = run(pytester, OPEN, "--gilx-budget=0")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["ERROR: gilx: --gilx-budget: expected above 0*"])


def test_budget_of_the_option_is_that_of_tests_without_one(
    pytester: pytest.Pytester,
) -> None:
    text = f"{HEAD}\ndef test_open(gil):\n    gil.scales(time.sleep, 0.4)\n"
    if usable_cpus() < 2:
        pytest.skip("needs two CPUs")
    done = run(pytester, text, "--gilx-budget=0.5")
    done.assert_outcomes(skipped=1)
    done.stdout.fnmatch_lines(["SKIPPED*(budget: 500 ms, *"])


def test_misspelt_marker_is_an_error_of_the_collection(
    pytester: pytest.Pytester,
) -> None:
    text = "import pytest\n@pytest.mark.scales(worker=2)\ndef test_it(): raise SystemExit"
    done = run(pytester, text, "--strict-markers")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(
        ["*gilx: test_it: scales: expected keywords among*'worker'"]
    )


# ---- beside other plugins ----------------------------------------------------------------


@needs("xdist")
@needs_watch
def test_xdist_runs_release_checks_and_leaves_scaling_open(
    pytester: pytest.Pytester,
) -> None:
    text = (
        HEAD
        + """
def test_release(gil):
    gil.releases(RELEASES, at_least=0.4)

def test_scaling(gil):
    gil.scales(RELEASES)
"""
    )
    done = run(pytester, text, "-n2", "--gilx-json=found.json", apart=True)
    done.assert_outcomes(passed=1, skipped=1)
    done.stdout.fnmatch_lines(["SKIPPED*inconclusive: 1 other worker of pytest-xdist*"])
    assert len(verdicts(pytester, "found.json")) == 2


@needs("pytest_cov")
@needs_watch
def test_coverage_leaves_open_what_its_tracer_may_cause(
    pytester: pytest.Pytester,
) -> None:
    text = (
        HEAD
        + """
def compute():
    return sum(n for n in range(20_000))

def test_python(gil):
    gil.releases(compute)

def test_compiled(gil):
    gil.releases(HOLDS, at_least=0.6)

def test_scaling(gil):
    gil.scales(RELEASES)
"""
    )
    done = run(pytester, text, "--cov=.", apart=True)
    done.assert_outcomes(failed=1, skipped=2)
    done.stdout.fnmatch_lines(["SKIPPED*coverage traces Python code*"])
    done.stdout.fnmatch_lines(["fail: *::test_compiled (releases_gil, *"])
    done = run(pytester, text, "--cov=.", "--no-cov", "-k", "not scaling", apart=True)
    done.assert_outcomes(failed=2, deselected=1)


@needs("pytest_benchmark")
@needs_watch
def test_benchmark_fixture_goes_with_the_fixture_only(pytester: pytest.Pytester) -> None:
    text = (
        HEAD
        + """
def test_both(benchmark, gil):
    assert benchmark(int) == 0
    gil.releases(RELEASES, at_least=0.4)
"""
    )
    done = run(pytester, text, "--benchmark-max-time=0.05", apart=True)
    done.assert_outcomes(passed=1)
    text = (
        HEAD + "@pytest.mark.releases_gil\ndef test_it(benchmark):\n    benchmark(int)\n"
    )
    done = run(pytester, text, apart=True)
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*releases_gil: expected no fixture 'benchmark'*"])


@needs("pytest_run_parallel")
@needs_watch
def test_run_parallel_gives_checks_a_thread_of_their_own(
    pytester: pytest.Pytester,
) -> None:
    text = (
        HEAD
        + """
import threading

def in_main():
    return threading.current_thread() is threading.main_thread()

def test_fixture(gil):
    assert in_main()
    gil.releases(RELEASES, at_least=0.4)

@pytest.mark.releases_gil(at_least=0.4)
def test_marker():
    assert in_main()
    RELEASES()

def test_other():
    assert not in_main()
"""
    )
    done = run(pytester, text, "--parallel-threads=3", "--strict-markers", apart=True)
    done.assert_outcomes(passed=3)
    done.stdout.fnmatch_lines(["*= gilx: 2 passed =*"])


def test_plugin_can_be_left_out(pytester: pytest.Pytester) -> None:
    done = run(pytester, "def test_it(): pass", "-p", "no:gilx", "--markers", apart=True)
    done.stdout.no_fnmatch_line("*releases_gil*")
    done = run(pytester, "def test_it(): pass", "--markers", apart=True)
    done.stdout.fnmatch_lines(["@pytest.mark.releases_gil*", "@pytest.mark.scales*"])
    assert done.ret == 0
