"""What ratios of durations show, and how sure that is.

Everything here is about the median of the log ratios of blocks, and uses only their order
or their signs: durations on a shared machine have no bell shape, and if two arms are the
same, the random order within a block makes either sign as likely, whatever the machine
does.
"""

from __future__ import annotations

import math
from functools import cache
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "NOTHING_KNOWN",
    "anytime_interval",
    "evidence",
    "log_ratios",
    "median_interval",
    "median_ratio",
    "preset_interval",
]

NOTHING_KNOWN = (0.0, math.inf)
"""The interval of a ratio of which too few blocks tell nothing."""


def log_ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Return the natural logarithms of the ratios within each block."""
    return [math.log(a / b) for a, b in zip(numerators, denominators, strict=True)]


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """Return the median of the ratios within each block, taken on their logarithms.

    So that the ratio turned round gives exactly the inverse.
    """
    return math.exp(median(log_ratios(numerators, denominators)))


def median_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Return the interval of the true median of values whose number was set beforehand.

    Two order statistics, each the same number of places from its end, interpolated
    between the two pairs whose levels enclose the one asked for (Hettmansperger and
    Sheather, Confidence intervals based on interpolated order statistics, Statistics &
    Probability Letters 4, 1986). A percentile bootstrap of the median picks its ends from
    the same order statistics, but too far inside for few blocks: at 7 blocks its interval
    for 95 % misses in some 12 % of all cases, at 21 in 8 %, where this one misses in some
    5 % at any number (``benchmarks/interval_coverage.py`` simulates both).

    Parameters
    ----------
    values : sequence of float
        Independent values of anything, in any unit.
    level : float
        Probability that the interval holds the true median, below 1.

    Returns
    -------
    (float, float)
        Low and high, in the values' unit; infinite if there are too few of them for the
        level (fewer than 6 at 95 %).

    """
    n, ordered = len(values), sorted(values)
    inner = 0  # places left off at each end
    while inner < n // 2 and _level(n, inner + 1) >= level:
        inner += 1
    if inner == 0:
        return -math.inf, math.inf
    share = 0.0
    if inner < n // 2:
        outer_level, inner_level = _level(n, inner), _level(n, inner + 1)
        step = (outer_level - level) / (outer_level - inner_level)
        share = (n - inner) * step / (inner + (n - 2 * inner) * step)
    # Written so that equal values give just that value, and the median is between.
    low, high = ordered[inner - 1], ordered[n - inner]
    low += share * (ordered[min(inner, n - 1)] - low)
    high -= share * (high - ordered[max(n - inner - 1, 0)])
    return low, high


def preset_interval(logs: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Return the interval of the median ratio, for a number of blocks set beforehand.

    Parameters
    ----------
    logs : sequence of float
        Log ratios, one a block. When sampling was stopped by what they showed, the
        interval lies; `anytime_interval` does not.
    level : float
        Probability that the interval holds the true median ratio, below 1.

    Returns
    -------
    (float, float)
        Low and high, as ratios, see `median_interval`; `NOTHING_KNOWN` if there are too
        few blocks.

    """
    low, high = median_interval(logs, level)
    return math.exp(low), math.exp(high)


@cache
def _level(n: int, place: int) -> float:
    """Return how surely the median is between the place-th of n values from each end."""
    return 1 - 2 * sum(math.comb(n, j) for j in range(place)) / float(2**n)


@cache
def evidence(blocks: int, above: int) -> float:
    """Return the e-value of so many log ratios above a limit, against a median at it.

    If the median is not above the limit, each block is above it with a probability of at
    most 1/2. The likelihood of what was seen under a probability p, over that under 1/2,
    averaged over all p from 1/2 to 1,

        2 * integral from 1/2 to 1 of 2^n p^k (1 - p)^(n - k) dp
            = sum over j <= k of C(n + 1, j) / ((n + 1) C(n, k)),

    is then a supermartingale that starts at 1. It reaches 1/alpha at any time at all with
    a probability of at most alpha (Ville, Etude critique de la notion de collectif, 1939;
    for mixtures: Robbins, Statistical methods related to the law of the iterated
    logarithm, Annals of Mathematical Statistics 41, 1970). So blocks may be looked at as
    often as one likes, and sampling may stop whenever it shows enough.

    Parameters
    ----------
    blocks : int
        How many blocks there were (n).
    above : int
        In how many of them the log ratio was above the limit (k); equal is not above.

    """
    ways = sum(math.comb(blocks + 1, j) for j in range(above + 1))
    return ways / ((blocks + 1) * math.comb(blocks, above))


def anytime_interval(logs: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Return the interval of the median ratio that is right whenever one stops.

    All limits that `evidence` does not speak against from either side, at half of what
    the level leaves each: an interval between order statistics. The intervals after every
    block, taken together, all hold the true median with that probability (Howard and
    Ramdas, Sequential estimation of quantiles, Bernoulli 28, 2022).

    Parameters
    ----------
    logs : sequence of float
        Log ratios, one a block.
    level : float
        The probability, below 1.

    Returns
    -------
    (float, float)
        Low and high, as ratios; `NOTHING_KNOWN` if the blocks are too few for the level
        (fewer than 8 at 95 %).

    """
    n, ordered = len(logs), sorted(logs)
    needed = _agreeing(n, level)
    if needed is None:
        return NOTHING_KNOWN
    return math.exp(ordered[n - needed]), math.exp(ordered[needed - 1])


@cache
def _agreeing(blocks: int, level: float) -> int | None:
    """Return how many blocks on one side are evidence enough; None if all are not."""
    for above in range(blocks // 2, blocks + 1):
        if evidence(blocks, above) >= 2 / (1 - level):
            return above
    return None
