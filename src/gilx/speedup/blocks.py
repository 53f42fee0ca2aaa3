"""Blocks: several arms timed in random order, so that they can be compared honestly.

A shared machine changes its speed within seconds, by far more than what is compared. A
block holds one sample of every arm, close together; ratios are taken within a block.
"""

from __future__ import annotations

import math
import random
from itertools import count
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

from gilx.errors import real_at_least

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping

Arm = TypeVar("Arm", bound="Hashable")
Sample = TypeVar("Sample")

_MOST_CALLS = 10_000_000


class _StoppedError(Exception):
    """Carries a `StopIteration` out of a generator, which would turn it into another."""


class AsItself:
    """Context that raises a `StopIteration` of an arm of `interleaved` as itself."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        if isinstance(error, _StoppedError):
            assert error.__cause__ is not None  # as it was raised
            raise error.__cause__ from None


def interleaved(
    arms: Mapping[Arm, Callable[[], Sample]],
    *,
    seed: int = 0,
    settle: Callable[[], None] | None = None,
    budget: float = math.inf,
    warm_up: bool = True,
) -> Iterator[dict[Arm, Sample]]:
    """Yield blocks, in each of which every arm was timed once, in an order drawn anew.

    The caller's loop says when there are enough; what it concludes then must be right
    whenever one stops (see `RunningMedian.interval`). Nothing is timed
    while its body runs, so that it is the place to show progress.

    Parameters
    ----------
    arms : mapping
        What to time: functions that return their own duration, in seconds, or a sample
        that tells more.
    seed : int
        Seed of the orders.
    settle : callable, optional
        Called before every arm: the place to wait until nothing from the arm before it
        uses a CPU, and to prepare what an arm uses up.
    budget : float
        Seconds, at least 0: no block is begun that would be expected to end after them.
        One block is always made.
    warm_up : bool
        Whether to make one block first that is not yielded, to warm caches up.

    Yields
    ------
    dict
        For each arm its sample.

    Raises
    ------
    ArgumentError
        The budget is not such a number.
    BaseException
        Whatever an arm raises; a `StopIteration` as itself in a context of `AsItself`.

    """
    if budget != math.inf:
        budget = real_at_least("budget", budget, 0)
    orders = random.Random(seed)
    spent = 0.0
    for done in count():
        # The warm-up does not count as a block, and one is always made.
        if done > warm_up and spent * (done + 1) / done > budget:
            return
        begin = perf_counter()
        block: dict[Arm, Sample] = {}
        for arm in orders.sample(list(arms), len(arms)):
            try:
                if settle is not None:
                    settle()
                block[arm] = arms[arm]()
            except StopIteration as error:
                raise _StoppedError from error
        spent += perf_counter() - begin
        if done >= warm_up:
            yield block


def samples_of(
    blocks: Iterable[Mapping[Arm, Sample]],
) -> dict[Arm, list[Sample]]:
    """Return the samples of each arm, in the order of the blocks."""
    samples: dict[Arm, list[Sample]] = {}
    for block in blocks:
        for arm, sample in block.items():
            samples.setdefault(arm, []).append(sample)
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
