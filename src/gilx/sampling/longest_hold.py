"""Longest time for which a request for the GIL would have gone unanswered.

A thread that wants the GIL asks for it after the switch interval. Python code answers at
once, C code when it returns to Python or releases the GIL. So the longest hold is that of
the longest call into C, or the switch interval if Python code ran for that long.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from gilx.errors import ArgumentError, shown
from gilx.estimate import Estimate

if TYPE_CHECKING:
    from collections.abc import Sequence

WATCHED = 0  # the place of the watched thread among the sampler's
_RARE = 0.05  # probability of what is not taken to have happened by chance,
_RARE_RUN = 0.002  # if it is a longest run, of which a watch may have one at each site
_SHORTEST_SEEN = 1000  # nanoseconds, about
_NONE = Estimate(0.0, 0.0, 0.0)


class Stretch(NamedTuple):
    """A time for which a thread was seen at one instruction, always with the GIL."""

    low: int
    """Lower bound of its length, in nanoseconds."""
    high: int
    samples: int
    """Number of the samples in it."""


@dataclass(frozen=True)
class HoldBounds:
    """Bounds of a thread's holds by the GIL's words alone. Times are in seconds.

    Attributes
    ----------
    least, most : float
        Some hold was at least that long, and none was longer.
    stretch : float
        The longest time in which every read found the thread holding,
    run : int
        and the number of samples in it.
    mean : (float, float)
        Bounds, at 95 %, of the mean length of a hold.
    samples : int
        Number of samples.
    resolution : float
        Mean time between samples.
    share : float
        Share of the time that the thread held the GIL.
    unordered : bool
        Whether samples of holding and of not holding follow one another by chance.

    """

    least: float
    most: float
    stretch: float
    run: int
    mean: tuple[float, float]
    samples: int
    resolution: float
    share: float
    unordered: bool = False

    def by_chance(self, length: float, run: int) -> bool:
        """Return whether a stretch of so many samples may be several shorter holds.

        Either holds are known to end more often than once in such a time, or samples
        follow one another by chance and the longest of their runs is as long as chance
        makes it.
        """
        if self.mean[1] < length:
            return self.samples * math.pow(self.share, run) >= _RARE
        usual = max(run, length / self.resolution + 1)
        return self.unordered and is_run_of_chance(self.samples, self.share, run, usual)


NOTHING_KNOWN = HoldBounds(
    least=0.0,
    most=math.inf,
    stretch=0.0,
    run=0,
    mean=(0.0, math.inf),
    samples=0,
    resolution=math.inf,
    share=0.0,
)
"""The bounds of threads that are not watched."""


def is_resolved(low: float, high: float) -> bool:
    """Return whether the bounds of a length differ by a factor of 4 at most."""
    return low > 0 and high <= 4 * low


def is_run_of_chance(
    samples: int, share: float, length: float, usual: float | None = None
) -> bool:
    """Return whether chance makes the longest run of samples about that long.

    Parameters
    ----------
    samples : int
        Number of independent samples.
    share : float
        Probability that a sample belongs to a run.
    length : float
        Number of samples in the longest run.
    usual : float, optional
        Number that so long a time has usually: the sampler may have been late.

    The number of runs of at least that length, among all orders of the samples, is nearly
    Poisson distributed (Feller, An Introduction to Probability Theory and Its
    Applications, vol. 1, II.5 and XIII.7). The run is longer than chance makes it if one
    in 500 such series has a run of that length, and shorter if one in 500 has none, or if
    it is shorter than the mean run.
    """
    usual = length if usual is None else usual
    if usual * (1 - share) < 1:
        return False
    return _expected_runs(samples, share, length) >= _RARE_RUN and _expected_runs(
        samples, share, usual
    ) <= -math.log(_RARE_RUN)


def _expected_runs(samples: int, share: float, length: float) -> float:
    """Return the mean number of runs of at least some length, over all orders of samples.

    Each of the samples that belong to no run may be followed by one, and so may the
    start. It is as long if that many samples drawn without replacement belong to runs.
    """
    inside = samples * share
    if length > inside:
        return 0.0
    drawn = math.lgamma(inside + 1) - math.lgamma(inside - length + 1)
    of_all = math.lgamma(samples + 1) - math.lgamma(samples - length + 1)
    return (samples - inside + 1) * math.exp(drawn - of_all)


def longest_hold(
    holds: HoldBounds,
    stretches: Sequence[Stretch] | None,
    switch_interval: float,
) -> Estimate:
    """Return the longest time for which a request would have gone unanswered, in seconds.

    Parameters
    ----------
    holds : HoldBounds
        What the words show of one thread.
    stretches : sequence of Stretch, optional
        The thread's longest stretches within one call, the longest first; None if stacks
        were not read.
    switch_interval : float
        The switch interval, in seconds.

    """
    # Without stacks, any hold may have been one call.
    limit = math.inf if stretches is None else switch_interval
    call, by_chance = _longest_call(holds, stretches or ())
    if not call.known or by_chance:
        limit = max(limit, call.high) if call.known else limit
        call = _NONE
    by_chance = by_chance or holds.by_chance(holds.stretch, holds.run)
    code = _between_calls(holds, min(limit, holds.most), by_chance=by_chance)
    longest = longer(call, code)
    low = min(holds.most, max(min(limit, holds.least), longest.low))
    high = min(holds.most, longest.high)
    return Estimate(min(max(longest.value, low), high), low, high)


def _longest_call(
    holds: HoldBounds, stretches: Sequence[Stretch]
) -> tuple[Estimate, bool]:
    """Return the length of the longest stretch, and whether it is all made by chance.

    Of stretches by chance that are longer than holds are on average, each may be several
    holds: those that are not so long give the value and the lower bound.
    """
    call = stretch_length(stretches)
    if not call.known or not holds.by_chance(call.low, stretches[0].samples):
        return call, False
    shorter = [one for one in stretches if one.low / 1e9 <= holds.mean[1]]
    rest = stretch_length(shorter)
    if not rest.known or rest.low <= holds.mean[0]:
        return call, True
    if holds.by_chance(rest.low, shorter[0].samples):
        return call, True
    return Estimate(rest.value, rest.low, call.high), False


def _between_calls(holds: HoldBounds, most: float, *, by_chance: bool) -> Estimate:
    """Return the longest hold of at most that length, as far as the words show it.

    `by_chance`: whether samples in a row that found the thread holding show nothing.
    """
    stretch = min(holds.stretch, most)
    if stretch == most and not by_chance:
        return Estimate(most, most, most)
    low = min(most, holds.least)
    shortest, longest = holds.mean
    if shortest > 0 and longest < most:  # the longest one is as long as the mean at least
        return Estimate(math.sqrt(shortest * longest), max(low, shortest), most)
    if by_chance:
        least = min(most, max(low, shortest, _SHORTEST_SEEN * 1e-9))
        return Estimate(math.sqrt(least * most), low, most)
    if stretch <= 0:
        return Estimate(low, low, most)
    return Estimate((stretch + most) / 2, low, most)


def stretch_length(stretches: Sequence[Stretch]) -> Estimate:
    """Return the length, in seconds, of the longest of several stretches.

    Each stretch is known by its bounds. The k that may be the longest one are taken to
    be as long, so that the maximum of k lengths is sought: of the way from the lower
    bound of the longest one to its upper bound it has 1 / (k + 1) (as in the problem of
    estimating a maximum from k draws without replacement). The way is measured by ratios,
    since the bounds of a stretch that one sample found are orders of magnitude apart.

    Parameters
    ----------
    stretches : sequence of Stretch
        The longest one first; a length of 0: there is none.

    """
    if not stretches or stretches[0].high <= 0:
        return Estimate.unknown()
    low, high, _ = stretches[0]
    alike = sum(one.high >= low for one in stretches)
    least = min(high, max(low, _SHORTEST_SEEN))
    value = least * math.pow(high / least, 1 / (alike + 1))
    return Estimate(value, low, high).times(1e-9)


def longer(one: Estimate, other: Estimate) -> Estimate:
    """Return the larger of two lengths, as far as they are known."""
    if not (one.known and other.known):
        return one if one.known else other
    return Estimate(
        max(one.value, other.value), max(one.low, other.low), max(one.high, other.high)
    )


def length_in_order(name: str, length: Estimate) -> None:
    """Check that a length is not below 0, and within its bounds, if it is known.

    Raises
    ------
    ArgumentError
        It is not.

    """
    if length.known and not 0 <= length.low <= length.value <= length.high:
        raise ArgumentError(
            f"{name}: expected a length from 0 within its bounds, got {shown(length)}"
        )
