"""Verdicts on release, hold and scaling: each of the three answers is reached."""

from __future__ import annotations

import contextlib
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from gilx import ckernels, testing
from gilx._compat import gil_enabled
from gilx.speedup.scaling_decision import FEWEST_BLOCKS
from gilx.system.environment import usable_cpus
from tests.markers import needs_verdicts, needs_watch
from tests.trying import TRIES, skip_if_late

from .conftest import MS

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.testing import Verdict

# The limits are far from the truth, so that much of the time may be unknown.
HOLDS = partial(ckernels.spin, MS, 0, 20 * MS)
RELEASES = partial(time.sleep, 0.02)


def assert_outcome(
    outcome: str, judge: Callable[..., Verdict], *arguments: Any, **options: Any
) -> Verdict:
    """Assert a verdict, and that it is the same as JSON and as an exception or none."""
    for _ in range(TRIES):
        verdict = judge(*arguments, **options)
        if verdict.outcome == outcome:
            break
        assert verdict.outcome == "inconclusive", verdict
    if verdict.outcome != outcome:
        skip_if_late(verdict.reason)
    assert verdict.outcome == outcome, verdict
    assert verdict.reason
    assert testing.Verdict.from_json(verdict.to_json()) == verdict
    if outcome == "pass":
        assert testing.insist(verdict) is verdict
    else:
        error = testing.Failure if outcome == "fail" else testing.Inconclusive
        with pytest.raises(error, match=outcome) as caught:
            testing.insist(verdict)
        assert vars(caught.value)["verdict"] == verdict
    return verdict


@needs_verdicts
def test_verdict_on_release_passes_fails_and_is_inconclusive() -> None:
    verdict = assert_outcome("pass", testing.judge_release, RELEASES, at_least=0.4)
    assert verdict.what == "releases_gil"
    verdict = assert_outcome("fail", testing.judge_release, HOLDS, at_least=0.6)
    assert "Py_BEGIN_ALLOW_THREADS" in verdict.advice
    verdict = assert_outcome("inconclusive", testing.judge_release, int, budget=0.05)
    assert verdict.reason.startswith("too short")


@needs_verdicts
def test_verdict_on_hold_passes_fails_and_is_inconclusive() -> None:
    verdict = assert_outcome("pass", testing.judge_hold, HOLDS, at_least=0.4)
    assert verdict.what == "holds_gil"
    assert_outcome("fail", testing.judge_hold, RELEASES, at_least=0.6)
    assert_outcome("inconclusive", testing.judge_hold, int, budget=0.05)


@needs_watch
def test_verdict_on_longest_hold_passes_fails_and_is_inconclusive() -> None:
    def holds(length: int) -> Callable[[], object]:
        return partial(ckernels.spin, length * MS, 0, length * MS)

    judge = testing.judge_longest_hold
    verdict = assert_outcome("pass", judge, holds(20), at_most=1)
    assert verdict.what == "longest_hold"
    verdict = assert_outcome("fail", judge, holds(500), at_most=0.05)
    assert "Py_BEGIN_ALLOW_THREADS" in verdict.advice
    verdict = assert_outcome("inconclusive", judge, holds(50), at_most=0.05, budget=0.5)
    assert verdict.reason.endswith("; asked for: at most 50 ms")


@pytest.mark.skipif(gil_enabled(), reason="needs a free-threaded build without the GIL")
def test_verdict_on_longest_hold_is_inconclusive_without_a_gil() -> None:
    verdict = assert_outcome("inconclusive", testing.judge_longest_hold, HOLDS)
    assert "gilx latency" in verdict.reason


def test_verdict_on_scaling_is_inconclusive_with_more_workers_than_cpus() -> None:
    workers = usable_cpus() + 1
    verdict = assert_outcome(
        "inconclusive", testing.judge_scaling, sum, range(10), workers=workers
    )
    assert f"{workers} workers need {workers} CPUs" in verdict.reason


@needs_watch
@pytest.mark.skipif(usable_cpus() < 2, reason="needs two CPUs")
def test_verdict_on_scaling_fails_where_the_gil_is_held() -> None:
    verdict = assert_outcome("fail", testing.judge_scaling, HOLDS, budget=10)
    assert verdict.what == "scales"


_turn = threading.Lock()


def take_turns() -> None:
    """Release the GIL, one thread at a time."""
    with _turn:
        RELEASES()


@pytest.mark.slow
def test_verdict_on_scaling_never_passes_where_threads_take_turns() -> None:
    verdict = testing.judge_scaling(take_turns, budget=3)
    assert verdict.outcome != "pass"


@pytest.mark.slow
@pytest.mark.skipif(usable_cpus() < 2, reason="needs two CPUs")
def test_verdict_on_scaling_passes_where_threads_wait_side_by_side() -> None:
    # Sleeping takes no CPU that others might need.
    verdict = assert_outcome(
        "pass", testing.judge_scaling, RELEASES, efficiency=0.6, budget=8
    )
    assert isinstance(verdict.evidence, testing.ScalingEvidence)
    assert verdict.evidence.comparison.ceiling_kind == "the same calls in processes"
    assert verdict.evidence.comparison.blocks >= FEWEST_BLOCKS


def test_assertions_are_the_verdicts() -> None:
    with pytest.raises(testing.Inconclusive):
        testing.assert_scales(sum, range(10), workers=usable_cpus() + 1)
    if not gil_enabled():
        return
    for assertion, call in (
        (testing.assert_releases_gil, RELEASES),
        (testing.assert_holds_gil, HOLDS),
    ):
        assert tried_assertion(assertion, call, at_least=0.4).outcome == "pass"
    with pytest.raises(testing.Failure, match="fail: releases the GIL for") as caught:
        tried_assertion(testing.assert_releases_gil, HOLDS, at_least=0.6)
    assert isinstance(caught.value, AssertionError)


def tried_assertion(assertion: Callable[..., Verdict], *args: Any, **options: Any) -> Any:
    """Return the verdict of an assertion that is made again while it is inconclusive."""
    for _ in range(TRIES - 1):
        with contextlib.suppress(testing.Inconclusive):
            return assertion(*args, **options)
    return assertion(*args, **options)
