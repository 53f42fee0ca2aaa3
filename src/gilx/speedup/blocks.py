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
    """Carries a `StopIteration` out of a generator, which makes it a RuntimeError."""


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
    """Yield blocks: every arm timed once, in an order that is drawn anew each time.

    The caller's loop decides when there are enough blocks. Its conclusion must be valid
    whenever it stops (see `RunningMedian.interval`). Nothing is timed while the body of
    the loop runs, so the body is the place to show progress.

    Parameters
    ----------
    arms : mapping
        What to time: functions that return their own duration, in seconds, or a sample
        that has more than the duration.
    seed : int
        Seed of the orders.
    settle : callable, optional
        Called before every arm: the place to wait until nothing from the arm before it
        uses a CPU, and to prepare what an arm uses up.
    budget : float
        Seconds, at least 0: no block is begun that is expected to end after that time.
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
        The budget is not a number of at least 0.
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
    """Return the number of calls that take about so long in a row, and the time of one.

    Batches of calls are made until one takes much longer than a timer and a loop. Each
    has twice as many calls as the batch before, or more if that one was far too short.

    Parameters
    ----------
    timed : callable
        Makes so many calls and returns their wall time in seconds.
    seconds : float
        How long all calls should take, above 0.
    first : float, optional
        How long one call takes, if that is known already.

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
