"""Blocks: several arms timed in random order, so that they can be compared honestly.

A shared machine changes its speed within seconds, by far more than what is compared. A
block holds one sample of every arm, close together; ratios are taken within a block.
"""

from __future__ import annotations

import math
import random
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

__all__ = ["calls_needed", "time_blocks"]

Arm = TypeVar("Arm", bound="Hashable")
Sample = TypeVar("Sample")

_MOST_CALLS = 10_000_000


def time_blocks(
    arms: Mapping[Arm, Callable[[], Sample]],
    blocks: int,
    *,
    seed: int = 0,
    between: Callable[[int], None] | None = None,
    settle: Callable[[], None] | None = None,
    enough: Callable[[Mapping[Arm, Sequence[Sample]]], bool] | None = None,
    budget: float = math.inf,
    warm_up: bool = True,
) -> dict[Arm, list[Sample]]:
    """Time every arm once in each block, in an order drawn anew for each.

    Parameters
    ----------
    arms : mapping
        What to time: functions that return their own duration, in seconds, or a sample
        that tells more.
    blocks : int
        How many blocks at most, at least 1.
    seed : int
        Seed of the orders.
    between : callable, optional
        Called with the number of blocks done before each one, the first one included:
        the place to show progress, since nothing is being timed.
    settle : callable, optional
        Called before every arm: the place to wait until nothing from the arm before it
        uses a CPU, and to prepare what an arm uses up.
    enough : callable, optional
        Called with the samples after each block; true ends it. What is concluded then
        must be right whenever one stops: see `gilx.speedup.statistics.anytime_interval`.
    budget : float
        Seconds: no block is begun that would be expected to end after them. One block is
        always made.
    warm_up : bool
        Whether to make one block first that is not counted, to warm caches up.

    Returns
    -------
    dict
        For each arm its samples, in the order of the blocks.

    """
    orders = random.Random(seed)
    samples: dict[Arm, list[Sample]] = {arm: [] for arm in arms}
    begin = perf_counter()
    first = -1 if warm_up else 0
    for block in range(first, blocks):
        spent = perf_counter() - begin
        done = block - first
        if block > 0 and spent * (done + 1) / done > budget:
            break
        if between is not None:
            between(max(0, block))
        order = list(arms)
        orders.shuffle(order)
        for arm in order:
            if settle is not None:
                settle()
            sample = arms[arm]()
            if block >= 0:
                samples[arm].append(sample)
        if block >= 0 and enough is not None and enough(samples):
            break
    return samples


def calls_needed(
    timed: Callable[[int], float], seconds: float, *, first: float | None = None
) -> tuple[int, float]:
    """Return how many calls in a row last about so long, and how long one of them takes.

    Calls are made until the time for them is well above what a timer and a loop cost:
    twice as many each time, or as many as the last time makes seem right.

    Parameters
    ----------
    timed : callable
        Makes so many calls and returns their wall time in seconds.
    seconds : float
        How long all calls should take, above 0.
    first : float, optional
        How long one call takes, where that is known already.

    Returns
    -------
    (int, float)
        How many, at least 1 and at most ten million; seconds of one call.

    """
    calls, spent = 1, timed(1) if first is None else first
    while spent < seconds / 4 and calls < _MOST_CALLS:
        likely = calls * seconds / 2 / max(spent, 1e-9)
        calls = min(_MOST_CALLS, max(2 * calls, min(20 * calls, int(likely))))
        spent = timed(calls)
    each = spent / calls
    return max(1, min(_MOST_CALLS, round(seconds / max(each, 1e-9)))), each
