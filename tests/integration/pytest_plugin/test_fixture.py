"""The plugin's fixture `gil`."""

from __future__ import annotations

import pytest

from tests.integration.pytest_plugin.plugin_runs import FIXTURE, run

pytest_plugins = ["pytester"]


pytestmark = pytest.mark.thread_unsafe(reason="pytest runs in this process, too")


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


LONGEST = """
    def f(outcome):
        return outcome

    def test_it(gil):
        verdict = gil.longest_hold(f, {outcome!r}, at_most=0.5, budget=3)
        assert verdict.what == "longest_hold"

    def test_default(gil):
        gil.longest_hold(f, setup=lambda: ({outcome!r},))
"""


@pytest.mark.usefixtures("made_up")
def test_longest_hold_that_passes(pytester: pytest.Pytester) -> None:
    done = run(pytester, LONGEST.format(outcome="pass"), "--gilx-budget=7")
    done.assert_outcomes(passed=2)
    done.stdout.fnmatch_lines(
        [
            "pass: test_longest_hold_that_passes.py::test_it (longest_hold, 250 ms)",
            "    f: so it was asked for (at_most=0.5, budget=3)",
            "pass: test_longest_hold_that_passes.py::test_default (longest_hold, 250 ms)",
            "    f: so it was asked for (at_most=0.05, budget=7.0)",
        ]
    )


@pytest.mark.usefixtures("made_up")
def test_longest_hold_that_fails(pytester: pytest.Pytester) -> None:
    done = run(pytester, LONGEST.format(outcome="fail"))
    done.assert_outcomes(failed=2)
    done.stdout.fnmatch_lines(
        ["E       gilx.testing.*: gilx: f: fail: so it was asked for (at_most=0.5,*"]
    )
    done.stdout.no_fnmatch_line("*checks.py:*")


@pytest.mark.usefixtures("made_up")
def test_longest_hold_that_is_open_is_skipped(pytester: pytest.Pytester) -> None:
    done = run(pytester, LONGEST.format(outcome="inconclusive"))
    done.assert_outcomes(skipped=2)
