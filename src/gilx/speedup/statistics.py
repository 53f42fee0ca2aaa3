"""Medians and intervals of ratios of durations.

Everything here is about the median of the log ratios of blocks, and uses only their order
or their signs: durations on a shared machine are not normally distributed, and if two
arms are the same, the random order within a block makes both signs equally likely,
whatever the machine does.
"""

from __future__ import annotations

import importlib
import math
from bisect import bisect_left, bisect_right, insort
from functools import lru_cache, partial
from itertools import count, islice
from typing import TYPE_CHECKING

from gilx.estimate import Estimate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gilx.speedup.weighed_evidence import WeighedEvidence

FEWEST_VALUES = 4
"""Least number of values that can decide anything."""

_MOST_LIMITS = 4

NOTHING_KNOWN = (0.0, math.inf)
"""The interval of a ratio with too few blocks."""

# Relative error of tails. It is above the rounding errors, so that the continued fraction
# ends, and far below any difference that matters: with ten million blocks, one more block
# on a side still raises the evidence by more than 0.1 %.
_PRECISION = 1e-14


def log_ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Return the natural logarithms of the ratios within each block."""
    return [math.log(a / b) for a, b in zip(numerators, denominators, strict=True)]


def median_interval(values: Sequence[float], level: float = 0.95) -> tuple[float, float]:
    """Return the interval of the true median of values whose number was set beforehand.

    Its ends are two order statistics, each the same number of places from its end of the
    values, interpolated between the two pairs whose levels enclose the given one
    (Hettmansperger and Sheather, Confidence intervals based on interpolated order
    statistics, Statistics & Probability Letters 4, 1986). A percentile bootstrap of the
    median picks its ends from the same order statistics, but too far inside for few
    blocks: at 7 blocks its interval for 95 % misses in some 12 % of all cases, at 21 in
    8 %, where this one misses in some 5 % at any number
    (``benchmarks/accuracy/interval_coverage.py`` simulates both).

    Parameters
    ----------
    values : sequence of float
        Independent values, in any unit.
    level : float
        Probability that the interval holds the true median, below 1.

    Returns
    -------
    (float, float)
        Low and high, in the values' unit; infinite if there are too few of them for the
        level (fewer than 6 at 95 %).

    """
    return RunningMedian(values).preset_interval(level)


def _between_order_statistics(
    ordered: Sequence[float], level: float
) -> tuple[float, float]:
    n = len(ordered)
    # The number of places left off at each end. Levels fall from place to place.
    inner = bisect_right(
        range(1, n // 2 + 1), -level, key=lambda place: -_level(n, place)
    )
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


def _level(n: int, place: int) -> float:
    """Return the probability that the median is between two places from the ends."""
    outside = _log_choose(n, place - 1) - n * math.log(2)
    return 1 - 2 * math.exp(outside) * _lower_tail(n, place - 1)


def _log_choose(n: int, k: int) -> float:
    """Return the natural logarithm of the binomial coefficient C(n, k)."""
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _lower_tail(n: int, k: int) -> float:
    """Return the sum of C(n, j) over j <= k in units of C(n, k), for k <= n / 2.

    The sum is the incomplete beta function I_1/2(n - k, k + 1), times 2**n. Its continued
    fraction (NIST Digital Library of Mathematical Functions, 8.17.22) is evaluated by the
    method of Lentz, as modified by Thompson and Barnett. The number of steps depends on
    how many standard deviations k is below n / 2, and not on n: a few dozen for the tails
    that decide here, where the sum itself has thousands of terms.
    """
    a, b = n - k, k + 1
    numerator, inverse, value = 1.0, 0.0, 1.0
    for step in count(1):
        m, odd = divmod(step, 2)
        if odd:
            term = -(a + m) * (n + 1 + m) / 2 / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) / 2 / ((a + 2 * m - 1) * (a + 2 * m))
        # No partial numerator or denominator is 0 for k <= n / 2.
        inverse = 1 / (1 + term * inverse)
        numerator = 1 + term / numerator
        value *= numerator * inverse
        if abs(numerator * inverse - 1) <= _PRECISION:
            break
    return 0.5 / value


def log_evidence(blocks: int, above: int) -> float:
    """Return the logarithm of an e-value, for log ratios against a median at a limit.

    If the median is not above the limit, each block is above it with a probability of at
    most 1/2. The likelihood of the blocks under a probability p, over that under 1/2,
    averaged over all p from 1/2 to 1,

        2 * integral from 1/2 to 1 of 2^n p^k (1 - p)^(n - k) dp
            = sum over j <= k of C(n + 1, j) / ((n + 1) C(n, k)),

    is then a supermartingale that starts at 1. It reaches 1/alpha at any time at all with
    a probability of at most alpha (Ville, Etude critique de la notion de collectif, 1939;
    for mixtures: Robbins, Statistical methods related to the law of the iterated
    logarithm, Annals of Mathematical Statistics 41, 1970). So the evidence may be checked
    after each block, and sampling may stop as soon as it is enough.

    From 1,034 blocks on, the e-value itself may exceed the largest float, hence the
    logarithm.

    Parameters
    ----------
    blocks : int
        Number of blocks (n).
    above : int
        Number of blocks whose log ratio was above the limit (k); equal is not above.

    """
    if 2 * above <= blocks:
        return math.log(_lower_tail(blocks + 1, above) / (blocks + 1 - above))
    # The sum is 2^(n + 1) less its other tail.
    log_all = (blocks + 1) * math.log(2)
    below = blocks - above
    tail = math.exp(_log_choose(blocks + 1, below) - log_all)
    log_sum = log_all + math.log1p(-tail * _lower_tail(blocks + 1, below))
    return log_sum - math.log(blocks + 1) - _log_choose(blocks, above)


@lru_cache(maxsize=1024)
def blocks_needed(blocks: int, e_value: float) -> int | None:
    """Return the number of blocks on one side of a limit that are enough evidence.

    Parameters
    ----------
    blocks : int
        Number of blocks.
    e_value : float
        E-value to reach, above 1; not its logarithm, which `log_evidence` returns.

    Returns
    -------
    int or None
        At least half of the blocks; None if even all of them are not enough.

    """
    more = range((blocks + 1) // 2, blocks + 1)
    place = bisect_left(more, math.log(e_value), key=partial(log_evidence, blocks))
    return more[place] if place < len(more) else None


class RunningMedian:
    """Values that are added one at a time, and statistics of their median.

    The number of steps of each method grows no faster than the logarithm of the number of
    values, so that methods can be called after each of a million values.

    Parameters
    ----------
    values : iterable of float
        The first values, in any order.

    """

    def __init__(self, values: Iterable[float] = ()) -> None:
        self._values = list(values)
        self._ordered = sorted(self._values)
        self._weighed: dict[float, WeighedEvidence] = {}

    def __len__(self) -> int:
        return len(self._ordered)

    def add(self, value: float) -> None:
        """Add a value."""
        self._values.append(value)
        insort(self._ordered, value)

    @property
    def median(self) -> float | None:
        """The median of the values; None if there are none."""
        ordered, half = self._ordered, len(self._ordered) // 2
        if not ordered:
            return None
        return (
            ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
        )

    def above(self, limit: float) -> int:
        """Return how many values are above a limit."""
        return len(self._ordered) - bisect_right(self._ordered, limit)

    def below(self, limit: float) -> int:
        """Return how many values are below a limit."""
        return bisect_left(self._ordered, limit)

    def side(self, limit: float, alpha: float) -> int:
        """Return 1 if the true median is above a limit, -1 if below, 0 if that is open.

        Each of the two answers is wrong with a probability of at most alpha, however
        often this is called between values. The evidence is the mean of that by signs
        (`log_evidence`) and of that by sizes (`WeighedEvidence`), so that a few values
        that agree, far from the limit, decide early, and many widely spread values decide
        in the end.
        """
        count = len(self._ordered)
        if count < FEWEST_VALUES:
            return 0
        for side, by_size, beyond in zip(
            (1, -1),
            self._weigh(limit).logs(),
            (self.above(limit), self.below(limit)),
            strict=True,
        ):
            if 2 * beyond <= count:
                continue
            by_sign = log_evidence(count, beyond)
            most = max(by_size, by_sign)
            combined = most + math.log1p(math.exp(min(by_size, by_sign) - most))
            if combined - math.log(2) >= -math.log(alpha):
                return side
        return 0

    def _weigh(self, limit: float) -> WeighedEvidence:
        """Return the evidence by sizes about a limit."""
        evidence = self._weighed.get(limit)
        if evidence is None:
            # Limits that follow from other medians change: the latest few are enough.
            while len(self._weighed) >= _MOST_LIMITS:
                del self._weighed[next(iter(self._weighed))]
            # It needs NumPy, which takes long to load.
            module = importlib.import_module("gilx.speedup.weighed_evidence")
            evidence = self._weighed[limit] = module.WeighedEvidence(limit)
        for value in islice(self._values, evidence.count, evidence.most):
            evidence.add(value)
        return evidence

    def ratio(self, level: float = 0.95, *, preset: bool = False) -> Estimate:
        """Return the median ratio with its interval; the values are its logarithms.

        So the inverse of a ratio has exactly the inverse result.

        Parameters
        ----------
        level : float
            Probability that the interval holds the true median ratio, below 1.
        preset : bool
            Whether the number of values was set before the first one. If the values
            decided when sampling stopped, such an interval misses more often than its
            level allows.

        Returns
        -------
        Estimate
            Its interval is `NOTHING_KNOWN` if there are too few values. It is unknown if
            there are none.

        """
        middle = self.median
        if middle is None:
            return Estimate.unknown()
        low, high = self.preset_interval(level) if preset else self.interval(level)
        ends = NOTHING_KNOWN if math.isinf(high) else (math.exp(low), math.exp(high))
        return Estimate(math.exp(middle), *ends)

    def preset_interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the interval of the true median if the number of values was preset.

        See `median_interval`, which takes all values at once.
        """
        return _between_order_statistics(self._ordered, level)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the interval of the true median that holds whenever sampling stops.

        It has all limits that `log_evidence` does not reject from either side, each at
        half of the error that the level leaves, and lies between order statistics. With
        that probability, the intervals after each value all hold the true median (Howard
        and Ramdas, Sequential estimation of quantiles, Bernoulli 28, 2022).

        Parameters
        ----------
        level : float
            The probability, below 1.

        Returns
        -------
        (float, float)
            Low and high, in the values' unit; infinite if there are too few values for
            the level (fewer than 8 at 95 %).

        """
        n = len(self._ordered)
        needed = blocks_needed(n, 2 / (1 - level))
        if needed is None:
            return -math.inf, math.inf
        return self._ordered[n - needed], self._ordered[needed - 1]
