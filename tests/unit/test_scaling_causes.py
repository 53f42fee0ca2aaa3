"""Waits of threads without a GIL as evidence about scaling, of made-up comparisons."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gilx.estimate import Estimate
from gilx.speedup.comparison import RunningComparison
from gilx.speedup.losses import Loss
from gilx.speedup.waits_together import WaitsTogether
from gilx.testing.scaling_causes import cause_of_waits

pytestmark = [pytest.mark.any_python, pytest.mark.concurrent_callers]


def waits(low: float, high: float) -> WaitsTogether:
    """Return waits of two workers for locks, in workers."""
    nothing = Estimate(0.0, 0.0, 0.0)
    parked = Estimate((low + high) / 2, low, high)
    words = "a 'list' at 0x10", "asked for by a 50 %"
    return WaitsTogether(2, True, nothing, parked, nothing, True, *words)


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
    found = cause_of_waits(waits(0.5, 0.7), comparison)
    assert words in found
    assert bool(found) == bool(words)
    assert cause_of_waits(None, comparison) == ""
