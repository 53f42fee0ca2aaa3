"""Waits of threads that make the same calls at once, but for those for a GIL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilx._compat import gil_enabled
from gilx.errors import WatchUnavailableError
from gilx.estimate import Estimate
from gilx.formatting import percent
from gilx.sampling.clock_shares import clock_shares
from gilx.sampling.watch import watch_with_callers

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.sampling.thread_usage import ThreadUsage
    from gilx.sampling.usage import GilUsage
    from gilx.sampling.waiting_sites import WaitingSite
    from gilx.sampling.world import StopSite

POOL_THREADS = "gilx_"
"""Beginning of the names of the pool's threads; the caller is another worker."""

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

    @property
    def blocked(self) -> Estimate:
        """Both together."""
        both = self.stopped, self.parked
        return Estimate(
            sum(one.value for one in both),
            sum(one.low for one in both),
            sum(one.high for one in both),
        )

    @classmethod
    def of(cls, usage: GilUsage) -> WaitsTogether | None:
        """Return the waits of the calling thread and of a pool's; None if not known."""
        threads = workers_of(usage)
        without_gil = usage.sums.without_gil
        waits = [_waits(one, usage) for one in threads]
        if not waits or not all(one.known for each in waits for one in each):
            return None
        if not without_gil and not all(one.sums.gil_waits for one in threads):
            return None
        stopped, parked, in_calls = (_sum([each[i] for each in waits]) for i in range(3))
        parked = _without(parked, _seconds_in_pool(usage) / usage.wall)
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
        )


def watched_together(run: Callable[[], object]) -> tuple[WaitsTogether | None, str]:
    """Watch a run of calls on the pool of threads.

    Return what they waited for, or None and the reason that it is not known.
    """
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
    if usage.sums.without_gil == had_gil:
        return None, "the GIL was turned on meanwhile"
    if usage.inconclusive_reason:
        return None, usage.inconclusive_reason
    found = WaitsTogether.of(usage)
    return found, "" if found else usage.states_missing or "too few samples"


def workers_of(usage: GilUsage) -> list[ThreadUsage]:
    """Return the calling thread and the pool's threads."""
    own, *others = usage.by_thread
    return [own, *(one for one in others if one.name.startswith(POOL_THREADS))]


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
        for one in (sums.waiting_lock, sums.spinning)
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
