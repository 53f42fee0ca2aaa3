"""Times of a monitor's threads where there is no GIL: sums that add up and only grow.

How long a thread ran is known from its clocks. The time between two samples goes as a
whole to what the later one found the thread doing, so that no time decreases from one
reading to the next.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from gilx.estimate import Estimate
from gilx.sampling.counters import StateSeconds
from gilx.sampling.ratio_interval import Ratio, interval
from gilx.sampling.world import StopSums

if TYPE_CHECKING:
    from gilx.sampling.hold_fraction import HoldSums

Found = tuple[
    tuple[tuple[float, float], ...],
    int,
    tuple[float, float],
    tuple[float, float],
    float,
]
"""Sums of a thread as `gilx.sampling._sampler.Sampler.read` returns them."""

_RUNNING = "attached", "detached", "spinning"
_RESTING = "parked", "stopped", "calling"
_PARTS = (*_RUNNING, *_RESTING, "asked", "late")
_NOTHING = StopSums()


@dataclass(frozen=True)
class ClockedSums:
    """Sums over the samples of threads with one name: they add up. Times are in ns.

    Attributes
    ----------
    attached, detached, spinning : StopSums
        Parts of the CPU time: attached to the interpreter, not attached, and spinning on
        the lock of an object.
    parked, stopped, calling : StopSums
        Parts of the time in which threads neither ran nor waited for a CPU: waiting for a
        lock, until the world goes on, and in other system calls.
    asked, late : StopSums
        Time for which they had asked for stops of the world, and stops waited for them.
    waited_cpu : float
        Time for which they waited for a CPU.
    unknown : float
        Time for which it is not known yet what they did.

    """

    attached: StopSums = _NOTHING
    detached: StopSums = _NOTHING
    spinning: StopSums = _NOTHING
    parked: StopSums = _NOTHING
    stopped: StopSums = _NOTHING
    calling: StopSums = _NOTHING
    asked: StopSums = _NOTHING
    late: StopSums = _NOTHING
    waited_cpu: float = 0.0
    unknown: float = 0.0

    @classmethod
    def of(cls, found: Found) -> ClockedSums:
        """Return the sums as the sampler has them."""
        times, waited, asked, late, unknown = found
        parts = (StopSums(*one) for one in (*times, asked, late))
        named = dict(zip(_PARTS, parts, strict=True))
        return cls(**named, waited_cpu=float(waited), unknown=unknown)

    def __add__(self, other: ClockedSums) -> ClockedSums:
        return ClockedSums(
            *(
                getattr(self, each.name) + getattr(other, each.name)
                for each in fields(self)
            )
        )

    def less(self, part: ClockedSums) -> ClockedSums:
        """Return what is left of the sums; rounding makes none of them negative."""

        def rest(name: str) -> StopSums:
            one, other = getattr(self, name), getattr(part, name)
            return StopSums(
                max(0.0, one.time - other.time), max(0.0, one.squares - other.squares)
            )

        return ClockedSums(
            **{name: rest(name) for name in _PARTS},
            waited_cpu=max(0.0, self.waited_cpu - part.waited_cpu),
            unknown=max(0.0, self.unknown - part.unknown),
        )

    @property
    def used(self) -> bool:
        """True if a thread did anything but sleep."""
        names = ("asked", "late", "parked", "stopped", *_RUNNING)
        return any(getattr(self, name).time > 0 for name in names)

    def seconds(
        self, watch: HoldSums, stops: Ratio | None, *, calls: bool, locks: bool = True
    ) -> StateSeconds:
        """Return the times in seconds.

        Parameters
        ----------
        watch : HoldSums
            Sums of the monitor.
        stops : Ratio, optional
            Sums for the time in which a stop was asked for or went on.
        calls : bool
            Whether it is known what threads do.
        locks : bool
            Whether waits for locks can be distinguished from those for the GIL.

        """

        def share(*names: str, group: tuple[str, ...]) -> Estimate:
            if not calls:
                return Estimate.unknown()
            part, whole = self._sum(names), self._sum(group)
            return _seconds(part, whole.time, whole.squares, watch, self.unknown)

        def of_stops(part: StopSums) -> Estimate:
            if stops is None:
                return Estimate.unknown()
            return _seconds(part, stops.y, stops.yy, watch, 0.0)

        running = share("spinning", group=_RUNNING)
        parked = share("parked", group=_RESTING)
        waited = self.waited_cpu / 1e9
        return StateSeconds(
            attached=share("attached", group=_RUNNING),
            detached=share("detached", group=_RUNNING),
            waiting_lock=_sum(running, parked, self.unknown / 1e9)
            if locks
            else Estimate.unknown(),
            waiting_cpu=Estimate(waited, waited, waited + self.unknown / 1e9)
            if calls
            else Estimate.unknown(),
            stopped=share("stopped", group=_RESTING),
            system_call=share("calling", group=_RESTING),
            asking=of_stops(self.asked),
            late=of_stops(self.late),
        )

    def _sum(self, names: tuple[str, ...]) -> StopSums:
        return sum((getattr(self, name) for name in names), _NOTHING)


def _sum(one: Estimate, other: Estimate, unknown: float) -> Estimate:
    """Return the sum of two times, each of which may have all of the unknown time."""
    if not (one.known and other.known):
        return Estimate.unknown()
    value = one.value + other.value
    high = max(value, one.high + other.high - unknown)
    return Estimate(value, one.low + other.low, high)


def _seconds(
    part: StopSums, whole: float, squares: float, watch: HoldSums, unknown: float
) -> Estimate:
    """Return a part of a time in seconds; of an `unknown` time nothing is known."""
    if whole <= 0:
        return Estimate(part.time / 1e9, part.time / 1e9, (part.time + unknown) / 1e9)
    h = min(1.0, part.time / whole)
    # Slices that are drawn at random.
    steps = 2 * max(0.0, part.squares * (1 - 2 * h) + h * h * squares)
    sums = part.time, whole, part.squares, part.squares, squares, steps
    low, high = interval(Ratio(*sums, 0.0, 0.0), watch.unknown_share, prompt=watch.prompt)
    return Estimate(
        part.time / 1e9,
        min(part.time, low * whole) / 1e9,
        max(part.time, high * whole + unknown) / 1e9,
    )
