"""Blocks: several arms timed in random order, so that they can be compared honestly.

A shared machine changes its speed within seconds, by far more than what is compared. A
block holds one sample of every arm, close together; ratios are taken within a block.
"""

from __future__ import annotations

import random
from statistics import median
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

__all__ = ["median_ratio", "time_blocks"]

Arm = TypeVar("Arm", bound="Hashable")


def time_blocks(
    arms: Mapping[Arm, Callable[[], float]],
    blocks: int,
    *,
    seed: int = 0,
    between: Callable[[int], None] | None = None,
) -> dict[Arm, list[float]]:
    """Time every arm once in each block, in an order drawn anew for each.

    Parameters
    ----------
    arms : mapping
        What to time: functions that return their own duration, in seconds.
    blocks : int
        How many blocks, at least 1, after one that is not counted (it warms caches up).
    seed : int
        Seed of the orders.
    between : callable, optional
        Called with the number of blocks done before each one, the first one included:
        the place to show progress, since nothing is being timed.

    Returns
    -------
    dict
        For each arm its durations in seconds, in the order of the blocks.

    """
    orders = random.Random(seed)
    samples: dict[Arm, list[float]] = {arm: [] for arm in arms}
    for block in range(-1, blocks):
        if between is not None:
            between(max(0, block))
        order = list(arms)
        orders.shuffle(order)
        for arm in order:
            seconds = arms[arm]()
            if block >= 0:
                samples[arm].append(seconds)
    return samples


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Return the median of the ratios within each block."""
    return median(a / b for a, b in zip(numerators, denominators, strict=True))
