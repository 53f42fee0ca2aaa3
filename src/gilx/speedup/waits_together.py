"""Waits of threads that make the same calls at once.

Samples of thread states are a different kind of evidence from clocks: a thread that waits
for the GIL or for another lock is found waiting, whatever else the machine has to do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING

from gilx._compat import gil_enabled
from gilx.errors import WatchUnavailableError
from gilx.estimate import Estimate, independent_sum
from gilx.formatting import percent
from gilx.sampling.clock_shares import clock_shares
from gilx.sampling.thread_usage import waits_of
from gilx.sampling.usage import ran_without_gil
from gilx.sampling.watch import watch_with_callers

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.sampling.thread_usage import ThreadUsage
    from gilx.sampling.usage import GilUsage
    from gilx.sampling.waiting_sites import WaitingSite
    from gilx.sampling.world import StopSite

POOL_THREADS = "gilx_"
"""Beginning of the names of the pool's threads; the caller is another worker."""

_ALPHA = 1e-3  # how often a bound that decides may miss
_MOST_WAITED = 2 / 3
_FEWEST = 3  # samples that have to find a thread waiting for a lock
_LEAST = 0.002  # of a thread's time
_UNSURE = 0.3  # of a worker: an interval that is wider determines nothing
_MOST_SITES = 5
_NAMED = 0.005  # of the time
_FOUND = 0.02  # of a worker: with a GIL, waits for other locks that are worth naming
_NOTHING = Estimate(0.0, 0.0, 0.0)
_KINDS = "object", "mutex", "spinning"
_POOL_FILES = "gilx/pools/", "concurrent/futures/"
_CALLS = "gilx/speedup/"  # compiled functions are called there, and wait there
_POOL_LOCK = "_queue.SimpleQueue"  # of workers that wait to begin, and for the last one


@dataclass(frozen=True)
class WaitsTogether:
    """Waits of all workers together while they called, as parts of one worker's time.

    Two workers that both wait for half of the time wait for 1.
    """

    workers: int
    without_gil: bool
    stopped: Estimate
    """Without a GIL: until all threads had stopped, or until they could go on."""
    parked: Estimate
    """Asleep, waiting for a lock other than the GIL."""
    system_call: Estimate
    """Waiting in system calls, such as those for input and output."""
    found_locks: bool
    """True if workers waited for locks, or spun on them."""
    locks: str
    """Without a GIL: locks that they waited for, in words; empty if there were none."""
    stops: str
    """Threads that asked for stops, and those that were late, in words."""
    lock_sites: tuple[WaitingSite, ...] = ()
    """Lines where threads waited for locks, at most five."""
    stop_sites: tuple[StopSite, ...] = ()
    """Lines where stops were asked for, or waited for a thread, at most five."""
    hindered: Estimate = field(default_factory=Estimate.unknown)
    """Waits for the GIL, for other locks and for stops, of all workers together, while
    they had calls to make. Its bounds miss in at most 1 of 1000 cases each; without a GIL
    they are at 95 %. Waits for a GIL whose holder had no CPU are left out: the machine is
    to blame for them."""
    blocked: Estimate = field(default_factory=Estimate.unknown)
    """The same, and in system calls or in a way that is not known; unknown without a GIL,
    where waits are not known so well."""
    waiting_cpu: float = math.nan
    """Waits for a CPU, of all workers together; not a number if they are not known."""
    waiting_gil: Estimate = field(default_factory=Estimate.unknown)
    """Waits for the GIL, of all workers together, with the time that it takes to hand it
    over. Unknown without a GIL."""

    @classmethod
    def of(
        cls, usage: GilUsage, *, level: float = 1 - 2 * _ALPHA
    ) -> WaitsTogether | None:
        """Return the waits of the calling thread and of a pool's; None if not known.

        `level` is that of the bounds of `hindered`.
        """
        threads = workers_of(usage)
        without_gil = usage.sums.without_gil
        waits = [_waits(one, usage) for one in threads]
        if not waits or not all(one.known for each in waits for one in each):
            return None
        if not without_gil and not all(one.sums.gil_waits for one in threads):
            return None
        stopped, parked, in_calls = (_sum([each[i] for each in waits]) for i in range(3))
        in_pool = _seconds_in_pool(usage) / usage.wall
        parked = _without(parked, in_pool)
        if without_gil:
            hindered = _sum([stopped, parked])
            blocked = Estimate.unknown()
        else:
            hindered, blocked = _blocked(threads, usage, in_pool, level)
        waited = any(map(_waits_for_lock, threads))
        locks = _lock_words(usage) if without_gil and waited else ""
        world = usage.world
        return cls(
            workers=len(threads),
            without_gil=without_gil,
            stopped=stopped,
            parked=parked,
            system_call=in_calls,
            found_locks=bool(locks) if without_gil else parked.low > _FOUND,
            locks=locks,
            stops="; ".join(
                f"{words} {', '.join(names)}"
                for words, some in (("asked for by", "asked_by"), ("late:", "late"))
                if world is not None
                and (
                    names := [
                        str(one)
                        for one in getattr(world, some)[:_MOST_SITES]
                        if one.share.value >= _NAMED
                    ]
                )
            ),
            lock_sites=tuple(
                site
                for site in usage.waiting_sites
                if site.kind == "line" and site.sums.lock > 0 and not _is_own(site.file)
            )[:_MOST_SITES],
            stop_sites=tuple(
                site
                for site in (() if world is None else world.sites)
                if site.kind == "line" and not _is_own(site.file)
            )[:_MOST_SITES],
            hindered=hindered,
            blocked=blocked,
            waiting_cpu=sum(one.waiting_cpu.value for one in threads),
            waiting_gil=Estimate.unknown()
            if without_gil
            else _sum([one.waiting_gil for one in threads]),
        )

    def hindrance(self, efficiency: float) -> int:
        """Return whether workers wait too much to reach an efficiency.

        Workers that reach it wait for locks and stops for less than the rest of their
        time. That they do is believed only if they wait so little in all: for some
        libraries, locks are system calls. While one of them waits for a CPU, others are
        less likely to be in the way of each other, so that less waiting is allowed then:
        only time in which no worker waits for a CPU counts as time in which they could
        have hindered each other. What is left of it is taken to be a third, if it is
        less, as in `gilx.speedup.comparison.without_waits`.

        Parameters
        ----------
        efficiency : float
            The share of the ceiling that is asked for.

        Returns
        -------
        int
            1 if they certainly wait for more, -1 if they certainly wait for less, 0 if
            that is not known.

        """
        hindered, most = self.hindered, (1 - efficiency) * self.workers
        if hindered.known and hindered.low > most:
            return 1
        if not self.blocked.known or math.isnan(self.waiting_cpu):
            return 0
        free = 1 - min(_MOST_WAITED, self.waiting_cpu)
        return -int(self.blocked.high < most * free)


class TogetherWatch:
    """Watches of runs of calls on a pool of threads, which count together.

    What is asked after each of several runs is wrong more often than what is asked once.
    So bounds after run k miss in at most 1 of 1000 k (k + 1) cases, which adds up to 1 of
    1000 (see `gilx.testing.release_verdict.watch_until_clear`).
    """

    def __init__(self) -> None:
        self._usage: GilUsage | None = None
        self._runs = 0
        self.seconds: float = 0.0
        """Wall time of the runs, also of those that showed nothing."""
        self.waits: WaitsTogether | None = None
        """Waits of the workers; None if they are not known."""
        self.missing: str = ""
        """Reason why they are not known; empty if they are."""

    def watch(self, run: Callable[[], object]) -> None:
        """Watch a run of calls, and add it to those before."""
        begin = perf_counter()
        usage, missing = _usage_of(run)
        self.seconds += perf_counter() - begin
        self._runs += 1
        if usage is None:
            if self.waits is None:
                self.missing = missing
            return
        self._usage = usage if self._usage is None else self._usage + usage
        spent = 2 * _ALPHA / (self._runs * (self._runs + 1))
        found = WaitsTogether.of(self._usage, level=1 - spent)
        if found is not None:
            self.waits, self.missing = found, ""
        elif self.waits is None:
            self.missing = self._usage.states_missing or "too few samples"


def _usage_of(run: Callable[[], object]) -> tuple[GilUsage | None, str]:
    """Watch a run; return its usage, or None and the reason that there is none."""
    had_gil = gil_enabled()
    watching = watch_with_callers(needs_gil=False)
    try:
        watching.__enter__()
    except WatchUnavailableError as error:
        return None, str(error)
    try:
        run()
    finally:
        watching.stop()
    usage = watching.usage
    if ran_without_gil(usage) == had_gil:
        return None, "the GIL was turned on meanwhile"
    return (None, usage.inconclusive_reason) if usage.inconclusive_reason else (usage, "")


def workers_of(usage: GilUsage) -> list[ThreadUsage]:
    """Return the calling thread and the pool's threads."""
    own, *others = usage.by_thread
    return [own, *(one for one in others if one.name.startswith(POOL_THREADS))]


def _blocked(
    threads: list[ThreadUsage], usage: GilUsage, in_pool: float, level: float
) -> tuple[Estimate, Estimate]:
    """Return the waits for the GIL and locks, and all, while workers had calls to make.

    A worker that is done waits for the others: that is neither a wait that calls make,
    nor time in which they could.
    """
    waits = [waits_of(one.sums, usage.sums, level) for one in threads]
    if not all(one.known for each in waits for one in each):
        return Estimate.unknown(), Estimate.unknown()
    gil, lock, other = (independent_sum([each[i] for each in waits]) for i in range(3))
    gil = gil.times(1 - _stalled(threads))
    count = len(threads)
    active = count - min(in_pool, count - 1)
    locks = _without(independent_sum([gil, lock]), in_pool)
    every = _without(independent_sum([gil, lock, other]), in_pool)
    return locks.times(count / active), every.times(count / active)


def _stalled(threads: list[ThreadUsage]) -> float:
    """Return the part of the time of holds in which the holder had no CPU.

    A sample finds a CPU clock that stands also if it was the sampler that took the CPU.
    The scheduler's clock says for how long threads really waited.
    """
    held = sum(one.sums.holding.time for one in threads)
    if held <= 0:
        return 0.0
    stalled = 0.0
    for sums in (one.sums for one in threads):
        if sums.off_time > 0 and sums.cpu_wait is not None:
            waited = min(1.0, sums.cpu_wait / sums.off_time)
            stalled += sums.held_off_cpu * waited
    return min(1.0, stalled / held)


def _waits(thread: ThreadUsage, usage: GilUsage) -> tuple[Estimate, ...]:
    """Return the shares of time in which a thread was stopped, parked and in calls."""
    if not usage.sums.without_gil:
        return _NOTHING, thread.waiting_lock, thread.system_call
    parts = clock_shares(thread.sums, usage.sums).parts
    return parts["stopped"], parts["waiting_lock"], thread.system_call


def _sum(shares: list[Estimate]) -> Estimate:
    """Return shares of several threads together: nothing if they determine nothing."""
    value, low, high = (
        sum(getattr(one, end) for one in shares) for end in ("value", "low", "high")
    )
    return Estimate(value if high - low <= _UNSURE * len(shares) else low, low, high)


def _without(share: Estimate, part: float) -> Estimate:
    ends = (max(0.0, end - part) for end in (share.value, share.low, share.high))
    return Estimate(*ends)


def _seconds_in_pool(usage: GilUsage) -> float:
    """Return for how long workers waited for one another, to begin and at the end."""
    return sum(
        site.waiting_lock.value
        for site in usage.waiting_sites
        if _is_in(site.file, _POOL_FILES)
    )


def _waits_for_lock(thread: ThreadUsage) -> bool:
    """Return whether enough samples found a thread waiting for a lock, or spinning."""
    sums = thread.sums
    return any(
        one.time > _LEAST * sums.known and one.time**2 >= _FEWEST * one.squares
        for one in (sums.waiting_lock, sums.spinning, sums.spun_without_cpu)
    )


def _lock_words(usage: GilUsage) -> str:
    """Return the locks that were found often enough, but for those of the pool."""
    locks = [
        one
        for one in usage.locks
        if one.samples >= _FEWEST
        and one.kind in _KINDS
        and one.type != _POOL_LOCK
        and one.waiting > 0
    ]
    whole = sum(one.waiting for one in locks)
    return ", ".join(
        f"{one.name} ({percent(one.waiting / whole)} of the waits)"
        for one in locks[:_MOST_SITES]
    )


def _is_own(file: str) -> bool:
    """Return whether a line is one of gilx's or of the pool, which waits for its end."""
    return _is_in(file, (*_POOL_FILES, _CALLS))


def _is_in(file: str, parts: tuple[str, ...]) -> bool:
    return any(part in file.replace("\\", "/") for part in parts)
