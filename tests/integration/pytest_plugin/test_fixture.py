"""The plugin's fixture `gil`."""

from __future__ import annotations

import pytest

from tests.integration.pytest_plugin.plugin_runs import FIXTURE, run
from tests.markers import needs_watch

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


@pytest.mark.slow
@needs_watch
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
        "--gilx-budget=2",
    )
    found = done.parseoutcomes()
    assert found.keys() <= {"passed", "xfailed", "skipped", "warnings", "warning"}
