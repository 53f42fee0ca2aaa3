"""Waits of threads without a GIL as evidence about scaling, of made-up comparisons."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gilx.estimate import Estimate
from gilx.speedup.comparison import RunningComparison
from gilx.speedup.losses import Loss
from gilx.speedup.waits_together import WaitsTogether
from gilx.testing.scaling_causes import cause_without_gil, contradiction

pytestmark = [pytest.mark.any_python, pytest.mark.concurrent_callers]


def waits(low: float, high: float) -> WaitsTogether:
    """Return waits of two workers for locks, in workers."""
    nothing = Estimate(0.0, 0.0, 0.0)
    parked = Estimate((low + high) / 2, low, high)
    words = "a 'list' at 0x10", "asked for by a 50 %"
    return WaitsTogether(2, True, nothing, parked, nothing, True, *words)


@pytest.mark.parametrize(
    ("low", "high", "contradicts"),
    [(0.5, 0.7, True), (0.3, 0.5, False), (0.41, 1.0, True), (0.0, 2.0, False)],
)
def test_watch_speaks_against_a_pass_if_threads_were_certainly_blocked(
    *, low: float, high: float, contradicts: bool
) -> None:
    assert bool(contradiction(waits(low, high), 0.8)) == contradicts
    assert contradiction(None, 0.8) == ""


def test_share_of_blocked_time_is_that_of_a_thread() -> None:
    assert "for at least 25 % of their time" in contradiction(waits(0.5, 0.7), 0.8)


@pytest.mark.parametrize(
    ("cause", "amount", "words"),
    [
        ("stops", 0.9, "stopped again and again (asked for by a 50 %)"),
        ("locks", 0.9, "wait for locks: a 'list' at 0x10"),
        ("shared memory", 0.9, "more CPU time in threads than in processes"),
        ("locks", 0.05, ""),
        ("machine", 0.9, ""),
    ],
)
def test_cause_of_a_failure_is_named(cause: str, amount: float, words: str) -> None:
    comparison = replace(
        RunningComparison(2).result(), losses=(Loss(cause, amount, "made up"),)
    )
    found = cause_without_gil(waits(0.5, 0.7), comparison)
    assert words in found
    assert bool(found) == bool(words)
    assert cause_without_gil(None, comparison) == ""
