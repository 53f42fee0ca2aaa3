"""Test files on which pytest runs with the plugin, and checks whose verdicts are made up."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

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


def assert_judged_by_the_watch(done: pytest.RunResult, tests: int) -> None:
    """Assert that no tracer prevented a failure; a busy machine may have."""
    outcomes = done.parseoutcomes()
    assert outcomes.get("failed", 0) + outcomes.get("skipped", 0) == tests
    done.stdout.no_fnmatch_line("*traces Python code*")


# Where tests run in processes of their own, the checks are made up in each of them.
CONFTEST = (
    JUDGES
    + """
import gilx.testing
gilx.testing.judge_release = judge("releases_gil")
gilx.testing.judge_hold = judge("holds_gil")
gilx.testing.judge_longest_hold = judge("longest_hold")
gilx.testing.judge_scaling = judge("scales")
"""
)
