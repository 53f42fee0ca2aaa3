"""Sums over the samples of watches, and the figures that follow from them."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, fields
from typing import Any

from gilx.estimate import Estimate
from gilx.sampling.ratio_interval import Ratio, interval

_FEWEST_SAMPLES = 10
_MOST_UNKNOWN = 0.2
_LEAST_LEFT = 0.02  # share of the time that other threads must leave to the watched one
_SLOWED = 1e-6  # seconds by which a hold and release take longer while they are read
_WATCH_ERROR = 0.01  # of a hold fraction of one half, however many samples there are


@dataclass(frozen=True)
class HoldSums:
    """Sums over the samples of one watch, or of several: they add up.

    Lengths of time are in nanoseconds.

    Attributes
    ----------
    own : Ratio
        Time during which the watched thread held the GIL (x), and time during which no
        other thread held it (y). Without a GIL: time during which the watched thread was
        attached to the interpreter (x), and time during which it waited neither for a
        stop of all threads nor for the end of one (y).
    locked : Ratio
        Time during which any thread held the GIL (x), of all known time (y).
    waiters : Ratio
        Number of threads that waited for the GIL, summed over time (x; not a share), and
        the time for which that number is known (y).
    wall : int
        Length of the watches, above 0.
    counted, unknown : float
        Length of the time slices that have a sample, and of those among them whose sample
        was late.
    missed : float
        Length of the time without any sample.
    unidentified : float
        Time during which a thread held the GIL that could not be identified. It may be
        the watched thread.
    read : int
        Length of the samples during which the watched thread could run.
    released : int
        Number of ends of its holds during that time.
    switches : int
        Number of times that the GIL went from one thread to another.
    samples, late : int
        Number of samples, and of late ones among them.
    lateness : float
        Total delay of the samples.
    cost : int
        CPU time of the sampler.
    prompt : bool
        Whether Linux gave the sampler a busy CPU at once, in all of the watches.
    stacks, stacks_squares : float
        Length of the time slices in whose samples the stack of the thread that held the
        GIL was to be read, and the sum of the squares of these lengths.
    most_waiters : float
        Largest number of threads that waited for the GIL in one sample.
    threads, threads_squares : float
        Time for which activities other than holding the GIL are known, summed over
        threads, and the sum of the squares of the slices that make it up.
    threads_missed : float
        Time for which threads existed but their activities are not known, summed over
        threads.
    asked, askable : int
        Number of times that a thread was asked what it did, and number of times that one
        could have been asked, in all samples.

    """

    own: Ratio
    locked: Ratio
    waiters: Ratio
    wall: int
    counted: float
    unknown: float
    missed: float
    unidentified: float
    read: int
    released: int
    switches: int
    samples: int
    late: int
    lateness: float
    cost: int
    prompt: bool
    stacks: float
    stacks_squares: float
    most_waiters: float
    threads: float
    threads_squares: float
    threads_missed: float
    asked: int
    askable: int

    def __add__(self, other: HoldSums) -> HoldSums:
        sums = {
            each.name: getattr(self, each.name) + getattr(other, each.name)
            for each in fields(self)
        }
        return HoldSums(
            **sums
            | {
                "prompt": self.prompt and other.prompt,
                "most_waiters": max(self.most_waiters, other.most_waiters),
            }
        )

    @property
    def valid(self) -> bool:
        """True if the sums may be those of a watch."""
        own, locked = (
            (each.x, each.y, each.xx, each.yy, each.dxx, each.dyy)
            for each in (self.own, self.locked)
        )
        waiters = astuple(self.waiters)
        numbers = (*own, *locked, *waiters, *astuple(self)[3:])
        return (
            self.wall > 0
            and all(0 <= number < math.inf for number in numbers)
            and max(self.unknown, self.unidentified) <= self.counted
            and self.late <= self.samples
            and self.asked <= self.askable
            and self.waiters.x <= self.waiters.y * self.most_waiters * (1 + 1e-9)
            and _may_be_squares(self.own.y, self.own.yy)
            and _may_be_squares(self.locked.y, self.locked.yy)
            and _may_be_squares(self.stacks, self.stacks_squares)
        )

    def figures(self) -> dict[str, Any]:
        """Return the fields of `GilUsage` that follow from the sums."""
        wall = self.wall / 1e9
        # A share of all time, not of the time that other threads left, to derive lengths.
        holding = self.own.x / max(1.0, self.counted)
        locked = interval(self.locked, self.unknown_share, prompt=self.prompt)
        return {
            "held": Estimate.unknown()
            if self.without_gil
            else Estimate(self.own.value, *self.interval()),
            "locked": Estimate(self.locked.value, *locked),
            "hold_length": self._mean_length(holding),
            "release_length": self._mean_length(1 - holding),
            "waited": self.waiting(self.waiters, wall),
            "wall": wall,
            "switches_per_second": self.switches / wall,
            "samples": self.samples,
            "late": self.late,
            "unknown": self.unknown_share,
            "lateness": self.lateness / max(1, self.samples) / 1e9,
            "cost": self.cost / self.wall,
            "resolution": wall / max(1, self.samples),
        }

    def waiting(self, waiters: Ratio, wall: float) -> Estimate:
        """Return the time for which threads waited, all together, in thread-seconds.

        Parameters
        ----------
        waiters : Ratio
            Number of threads that waited for the GIL, of some time.
        wall : float
            Length of that time in seconds.

        """
        if waiters.y <= 0 or self.waiters.y <= 0:
            return Estimate.unknown()
        most = max(1.0, self.most_waiters)
        share = Ratio(
            *(waiters.x / most, waiters.y, waiters.xx / most**2, waiters.xy / most),
            *(waiters.yy, waiters.dxx / most**2, 0.0, 0.0),
        )
        h = share.value
        varies = 2 * math.sqrt(h * (1 - h)) if self.prompt else 1.0
        bounds = interval(share, self.unknown_share * varies, prompt=self.prompt)
        return Estimate(h, *bounds).times(most * wall)

    @property
    def unknown_share(self) -> float:
        """Share of the time without a good sample."""
        whole = self.counted + self.missed
        return (self.unknown + self.missed) / whole if whole > 0 else 1.0

    def interval(self) -> tuple[float, float]:
        """Return the interval of the hold fraction, at 95 %."""
        low, high = interval(self.own, self.unknown_share, prompt=self.prompt)
        return low, min(1.0, high + self._hidden)

    def bounds(self, level: float) -> tuple[float, float]:
        """Return bounds of the hold fraction that are valid whatever late samples missed.

        They are as wide as if the GIL had been held, or free, for all of the unknown
        time. Nothing is assumed to be likely there, so no share of it is too large.
        """
        low, high = interval(self.own, level=level)
        unknown = self.unknown_share
        return max(0.0, low - unknown), min(1.0, high + unknown + self._hidden)

    @property
    def _hidden(self) -> float:
        """Growth of the hold fraction if it includes all unidentified holds."""
        if self.unidentified <= 0 or self.own.y <= 0:
            return 0.0
        most = (self.own.x + self.unidentified) / (self.own.y + self.unidentified)
        return most - self.own.value

    def _mean_length(self, share: float) -> tuple[float, float]:
        """Return bounds, at 95 %, of the mean length of holds or releases, in seconds.

        Holds end at some rate; the mean length is the share of the time over that rate.
        The number of ends within the time that was read is taken to be Poisson
        distributed, whose square root has a standard deviation of about 1/2 (Bartlett,
        The Square Root Transformation in Analysis of Variance, J. R. Stat. Soc. Suppl. 3,
        1936).

        The reads take the words' cache line from the CPU that holds and releases, so that
        cycles of both are longer while they are read: by 0.1 to 0.8 µs on the machines
        where that was measured (benchmarks/accuracy/hold_lengths.py). The lower bounds
        allow for it.

        Any length is possible if no sample is known to be of a time when the watched
        thread could run, which needs /proc, or if the thread was never found to hold, or
        never to release, the GIL.
        """
        wall, read = self.wall / 1e9, self.read / 1e9
        if self.read == 0 or share <= 0:
            return 0.0, wall
        most = (math.sqrt(self.released + 1) + 0.98) ** 2
        least = max(0.0, math.sqrt(self.released) - 0.98) ** 2
        low = min(wall, share * max(0.0, read / most - _SLOWED))
        return low, min(wall, share * read / least) if least > 0 else wall

    @property
    def without_gil(self) -> bool:
        """True if there was no GIL to watch."""
        return self.counted > 0 and self.locked.y <= 0

    @property
    def identified(self) -> bool:
        """True if most holds are those of threads that could be identified."""
        return self.unidentified <= _MOST_UNKNOWN * (self.counted + self.missed)

    @property
    def shortage(self) -> str:
        """Reason that the samples determine no bounds of the hold fraction, or ''."""
        whole = self.counted + self.missed
        if not self.identified:
            return (
                "the thread that held the GIL could not be identified for"
                f" {self.unidentified / whole * 100:.0f} % of the time"
            )
        other = not self._too_short and not self.without_gil
        if other and self.own.y < _LEAST_LEFT * whole:
            return "other threads held the GIL for nearly all of the time"
        return self._too_short

    @property
    def shortage_of_attached(self) -> str:
        """Reason that the samples determine no bounds of the attached time, or ''."""
        whole = self.counted + self.missed
        if self.without_gil and self.own.y <= 0 and not self._too_short:
            return "the state of the calling thread could not be read"
        if self.own.y < _LEAST_LEFT * whole and not self._too_short:
            return "all threads were stopped by others for nearly all of the time"
        return self._too_short

    @property
    def reason(self) -> str:
        """Reason that nothing can be concluded about the watched thread, or ''."""
        return self.shortage or self.too_late

    @property
    def reason_of_program(self) -> str:
        """Reason that nothing can be concluded about all threads together, or ''."""
        return self._too_short or self.too_late

    @property
    def _too_short(self) -> str:
        good = self.samples - self.late
        if good >= _FEWEST_SAMPLES:
            return ""
        return (
            f"too short: {good} good sample{'s' if good != 1 else ''},"
            f" at least {_FEWEST_SAMPLES} are needed"
        )

    @property
    def too_late(self) -> str:
        """Reason that late samples leave too much unknown, or ''."""
        if self.unknown_share <= _MOST_UNKNOWN:
            return ""
        return (
            "samples were late for"
            f" {self.unknown_share * 100:.0f} % of the time, since the CPUs were busy"
        )


def hold_side(held: Estimate, limit: float) -> int:
    """Return the side of a limit on which a hold fraction is.

    It is 1 above the limit, -1 below it, and 0 if that is open or the hold fraction is
    unknown. An interval that ends closer to the limit than the watch's own error leaves
    it open.
    """
    if not held.known:
        return 0
    error = 4 * _WATCH_ERROR * limit * (1 - limit)
    return int(held.low > limit + error) - int(held.high < limit - error)


def _may_be_squares(whole: float, squares: float) -> bool:
    """Return whether a sum of squares may be that of lengths that add up to `whole`."""
    return squares <= whole * whole or math.isclose(squares, whole * whole)


def agree(given: object, figure: object) -> bool:
    """Return whether two figures are the same, but for rounding."""
    return all(
        math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
        or (math.isnan(one) and math.isnan(other))
        for one, other in zip(_ends(given), _ends(figure), strict=True)
    )


def _ends(figure: Any) -> tuple[float, ...]:  # noqa: ANN401 - a figure of any kind
    if isinstance(figure, Estimate):
        return (figure.value, *figure.interval)
    return figure if isinstance(figure, tuple) else (figure,)
