"""Shares of a thread's time where there is no GIL.

How long a thread ran and waited for a CPU is known from its clocks. Samples divide these
times, and the rest, by what the thread did.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilx.estimate import Estimate

if TYPE_CHECKING:
    from gilx.sampling.hold_fraction import HoldSums
    from gilx.sampling.thread_usage import ActivitySums, ThreadSums

# If samples and clocks differ by more than this share of the time, the sampler has
# changed what it sampled: that the samples divide a time rightly is not known then.
_MOST_DIFFERENT = 0.1
_LITTLE = 0.1  # of the time: without a sample, that it was nothing of one kind is known
_READY = "on_cpu", "off_cpu", "detached", "spinning"
SPINNING_WITHOUT_CPU = "spinning_without_cpu"
"""Name of the part of the wait for a CPU that a lock causes."""
_BLOCKED = (
    *("waiting_lock", "stopped", "sleeping", "reading", "polling", "waiting_child"),
    "other_call",
)


@dataclass(frozen=True)
class ClockShares:
    """Shares of the time of a watch for one thread, by names of its activities."""

    known: bool
    """True if there are any."""
    waiting_cpu: Estimate
    """Ready to run, but without a CPU, and not at the lock of an object."""
    parts: dict[str, Estimate]
    """Parts of the CPU time, of the wait for a CPU, and of the rest."""
    wholes: dict[tuple[str, ...], float]
    """These times, by the names of their parts."""

    def sum(self, *names: str) -> Estimate:
        """Return several parts together; unknown if one of them is.

        Parts of one time are not more than that, even if each of them may be all of it.
        """
        parts = [self.parts[name] for name in names]
        ends = zip(*((one.value, one.low) for one in parts), strict=True)
        value, low = map(sum, ends)
        if math.isnan(value):
            return Estimate.unknown()
        high = sum(
            min(whole, sum(self.parts[name].high for name in names if name in group))
            for group, whole in self.wholes.items()
        )
        return Estimate(value, low, max(value, high))


def clock_shares(sums: ThreadSums, watch: HoldSums) -> ClockShares:
    """Return the shares of a thread that has these sums in a watch."""
    unknown = Estimate.unknown()
    nothing = ClockShares(
        known=False,
        waiting_cpu=unknown,
        parts=dict.fromkeys((*_READY, *_BLOCKED, SPINNING_WITHOUT_CPU), unknown),
        wholes={},
    )
    if sums.clock_span <= 0 or watch.counted <= 0 or not sums.calls:
        return nothing
    scale = min(1.0, sums.alive / watch.counted)
    ran = min(1.0, sums.ran / sums.clock_span)
    groups: list[tuple[tuple[str, ...], float]] = [(_READY, ran)]
    waiting_cpu = unknown
    spinning = Estimate(0.0, 0.0, 0.0)
    different = False
    if sums.cpu_wait is not None:
        waited = min(1 - ran, sums.cpu_wait / sums.clock_span)
        spinning = _spinning_without_cpu(sums, watch, scale * waited)
        waiting_cpu = _rest(scale * waited, spinning)
        groups.append((_BLOCKED, max(0.0, 1 - ran - waited)))
        different = _differ(sums, ran + waited)
    parts = dict(nothing.parts)
    for names, share in groups:
        for name in names:
            parts[name] = _part(sums, name, names, watch, scale * share, different)
    wholes = {names: scale * share for names, share in groups}
    parts[SPINNING_WITHOUT_CPU] = spinning
    wholes[(SPINNING_WITHOUT_CPU,)] = spinning.high
    return ClockShares(known=True, waiting_cpu=waiting_cpu, parts=parts, wholes=wholes)


def _spinning_without_cpu(sums: ThreadSums, watch: HoldSums, whole: float) -> Estimate:
    """Return the part of a wait for a CPU in which it waited for an object's lock.

    A thread that spins yields its CPU to any other one that can run, and then waits for
    the CPU because of the lock (CPython: Python/lock.c).
    """
    spun = sums.spun_without_cpu
    if spun.time <= 0:  # which is also so without a sample
        return Estimate(0.0, 0.0, 0.0)
    return spun.share(sums.without_cpu, sums.without_cpu_squares, watch, whole)


def _rest(whole: float, part: Estimate) -> Estimate:
    ends = (max(0.0, whole - end) for end in (part.value, part.high, part.low))
    return Estimate(*ends)


def _differ(sums: ThreadSums, ready: float) -> bool:
    """Return whether the samples disagree with the clocks on how long it could run."""
    share = sums.ready / sums.known if sums.known > 0 else 0.0
    return abs(share - ready) > _MOST_DIFFERENT


def _part(
    sums: ThreadSums,
    name: str,
    names: tuple[str, ...],
    watch: HoldSums,
    whole: float,
    different: bool,
) -> Estimate:
    """Return the part of a time that one activity of several has."""
    each: ActivitySums = getattr(sums, name)
    time = sum(getattr(sums, one).time for one in names)
    squares = sum(getattr(sums, one).squares for one in names)
    if whole <= 0:
        return Estimate(0.0, 0.0, 0.0)
    if time <= 0:
        return Estimate(0.0, 0.0, whole) if whole <= _LITTLE else Estimate.unknown()
    part = each.share(time, squares, watch, whole)
    alone = each.time <= 0 or each.time >= time
    return part if alone or not different else Estimate(part.value, 0.0, whole)
