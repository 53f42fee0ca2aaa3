"""Costs of releasing the GIL: taking it back, and handing it over."""

from __future__ import annotations

import math
import time
from bisect import bisect_right
from dataclasses import dataclass
from functools import partial
from operator import call
from statistics import fmean, median
from typing import TYPE_CHECKING, Any

from gilx._compat import gil_enabled
from gilx.errors import above_zero, at_least, real_at_least
from gilx.estimate import Estimate
from gilx.formatting import duration, percent
from gilx.sampling.background_calls import Load

if TYPE_CHECKING:
    from collections.abc import Sequence

# Seconds: the longest hold after which a hand-over is measured. A thread that waits for
# the GIL wakes up once a switch interval, 5 ms by default, to ask for it. However long a
# hold is, the waiting thread's CPU has slept for at most that time when the GIL comes.
_LONGEST_HOLD = 5e-3


@dataclass(frozen=True)
class ReleaseCosts:
    """Costs of releasing the GIL on this machine; medians of rounds, in seconds.

    An interval holds all rounds; with seven, it holds the true median in 98 % of cases.
    """

    release: Estimate
    """Giving the GIL back and taking it again while nobody else wants it (with the GIL
    off: detaching and attaching), two readings of the clock included."""
    handover: Estimate | None
    """Time for which the GIL stays unused when it goes to a thread that waits for it;
    None with the GIL off."""
    hold: float
    """Time for which the GIL was held before each hand-over: a CPU that has been waiting
    for longer takes longer to wake."""
    gil: bool
    rounds: int
    """Number of rounds."""
    estimated_for: float | None = None
    """The hold that was asked for, if it is longer than `hold`: the hand-over after it is
    not measured but estimated to be the same. None if it was measured."""

    def says_of(self, released: float) -> str:
        """Say in words whether a release that lasts this many seconds pays.

        Raises
        ------
        ArgumentError
            `released` is negative, infinite or not a number.

        """
        released = real_at_least("released", released, 0)
        release = self.release.value
        price = f"letting go and taking back costs {duration(release)}"
        if 0.001 * released <= release < released:
            price += f", {percent(release / released)} of it"
        length = f"a release of {duration(released)}"
        if released <= release:
            return f"{length} is too small to pay: {price}, which is more than it gives"
        if self.handover is None:
            return f"{length} blocks no other thread here, where there is no GIL: {price}"
        handover = self.handover.value
        taking = f"a waiting thread takes over in {duration(handover)}"
        if released <= handover:
            return f"{length} is too small to pay: {taking}, and {price}"
        if released <= 10 * handover:
            return f"{length} pays only in part: {taking}, and {price}"
        return f"{length} pays: {taking}, and {price}"

    def __str__(self) -> str:
        what = "release and re-take" if self.gil else "detach and re-attach"
        lines = [f"{what}, nobody waiting: {self.release.text(duration)}"]
        if self.handover is not None:
            lines.append(
                f"hand-over to a waiting thread, after holds of {duration(self.hold)}:"
                f" {self.handover.text(duration)}"
            )
            if self.estimated_for is not None:
                lines.append(
                    "estimated to be the same after holds of"
                    f" {duration(self.estimated_for)}, which take too long to measure"
                )
        return "\n".join(lines)


def release_costs(
    *, hold: float = 200e-6, rounds: int = 7, budget: float = 2.0
) -> ReleaseCosts:
    """Measure what letting the GIL go costs on this machine.

    Uncontended: one thread lets the GIL go and takes it back, over and over. Contended:
    threads take turns at holding the GIL and sleep in between; there are so many that one
    always wants it. A hand-over lasts from when one thread lets the GIL go until the next
    one runs; its cost is the average without the longest 5 %. Other threads of the
    process that want the GIL meanwhile spoil both figures.

    A hand-over after holds of more than 5 ms is not measured, but estimated to last as
    long as one after 5 ms: a thread that waits for the GIL wakes up once a switch
    interval, so that longer holds make no difference, but take long to measure.

    Parameters
    ----------
    hold : float
        How long to hold before a hand-over, in seconds, at least 1e-6. Hand-overs after
        short holds are quicker, since CPUs are still awake.
    rounds : int
        How many rounds, at least 1, if the budget allows it.
    budget : float
        Seconds that all rounds may take, above 0: no round is begun that would be
        expected to end after them. One round is always made.

    Returns
    -------
    ReleaseCosts
        Medians and intervals.

    Raises
    ------
    ArgumentError
        An argument is not as described; the message names it.
    NotCompiledError
        gilx was installed without its compiled parts.

    """
    from gilx.ckernels import spin  # noqa: PLC0415 - not in every installation

    hold = real_at_least("hold", hold, 1e-6)
    rounds = at_least("rounds", rounds, 1)
    budget = above_zero("budget", budget)
    measured = min(hold, _LONGEST_HOLD)
    releases: list[float] = []
    handovers: list[float] = []
    begin = time.perf_counter()
    for done in range(rounds):
        if done and (time.perf_counter() - begin) * (done + 1) / done > budget:
            break
        cycles = spin(1000, 1000, 3_000_000)
        while cycles.cycles == 0:  # the machine gave the thread no CPU in that time
            cycles = spin(1000, 1000, 3_000_000)
        releases.append((cycles.held_max_ns - cycles.held_min_ns) * 1e-9 / cycles.cycles)
        if gil_enabled():
            handovers.append(_handover(measured))
    return ReleaseCosts(
        release=_all_of(releases),
        handover=_all_of(handovers) if handovers else None,
        hold=measured,
        gil=gil_enabled(),
        rounds=len(releases),
        estimated_for=hold if handovers and measured < hold else None,
    )


def _all_of(rounds: Sequence[float]) -> Estimate:
    """Return the median of rounds, with an interval that holds them all."""
    return Estimate(median(rounds), min(rounds), max(rounds))


def _handover(hold: float) -> float:
    """Return how long the GIL stays unused between holds, on average."""
    from gilx.ckernels import spin  # noqa: PLC0415 - not in every installation

    # The shortest sleep lasts some 60 us, or 100 us with a late wake-up. Threads for all
    # holds that fit into that time may be asleep, while one more holds and one waits.
    threads = 2 + min(30, math.ceil(100e-6 / hold))
    length = int(hold * 1e9)
    # Hold, take the time, let go, take the time with the GIL back. The interpreter would
    # give the GIL away before the time is taken, if it ran between these calls and a
    # thread had asked for the GIL during a long hold: so they are called from C, and the
    # switch interval of the process stays as it is.
    turn: tuple[partial[Any], ...] = (
        partial(spin, length, 0, length),
        partial(time.perf_counter_ns),
        partial(time.sleep, 1e-9),
        partial(time.perf_counter_ns),
    )
    given: list[int] = []
    taken: list[int] = []

    def take_a_turn() -> None:
        _, begin, _, end = map(call, turn)
        given.append(begin)
        taken.append(end)

    with Load(take_a_turn, threads) as load:
        time.sleep(max(30e-3, 10 * threads * hold))
        load.check()
    # A thread gets the GIL from the last one that let it go before.
    given.sort()
    gaps = sorted(end - given[bisect_right(given, end) - 1] for end in taken)
    # The longest are those in which the system ran something else.
    return fmean(gaps[: math.ceil(0.95 * len(gaps))]) * 1e-9
