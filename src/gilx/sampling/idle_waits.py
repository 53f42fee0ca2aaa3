"""Waits for locks in order, those of idle threads last.

A thread that waits for nearly all of the time, for the end of another thread or for work
from a queue, holds nothing up. The sampler adds up the waits of all threads for each lock
and each line. So a wait counts as one of idle threads if it is for the end of a thread,
or if it is longer than all waits together of the threads that also did something else.
"""

from __future__ import annotations

import math
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gilx.sampling.lock_waits import LockWait
    from gilx.sampling.thread_usage import ThreadUsage
    from gilx.sampling.usage import GilUsage
    from gilx.sampling.waiting_sites import WaitingSite

_IDLE = 0.9  # of the time that a thread was there
_ABOVE = 1.2  # factor on a sum of waits, above the error of samples
_JOIN = "threading.py", "Thread.join"


def locks_in_order(usage: GilUsage) -> list[LockWait]:
    """Return the locks that threads waited for, those of idle threads last."""
    most = _ABOVE * _waits_of_active(usage)
    return sorted(
        usage.locks,
        key=lambda one: (one.kind == "event" or one.waiting > most, -one.waiting),
    )


def lines_in_order(usage: GilUsage) -> list[tuple[bool, WaitingSite]]:
    """Return the lines where threads waited for locks, those of idle threads last.

    Each entry is a pair: True if only idle threads waited there, and the line.
    """
    return [one for one in sites_in_order(usage) if one[1].kind == "line"]


def sites_in_order(usage: GilUsage) -> list[tuple[bool, WaitingSite]]:
    """Return the places where threads waited for locks, those of idle threads last.

    Each entry is a pair: True if only idle threads waited there, and the place, which may
    be unknown.
    """
    most = _ABOVE * _waits_of_active(usage)
    sites = [
        (_is_join(one) or one.waiting_lock.value > most, one)
        for one in usage.waiting_sites
        if one.waiting_lock.known
    ]
    return sorted(sites, key=lambda one: (one[0], -one[1].waiting_lock.value))


def _is_join(site: WaitingSite) -> bool:
    return (PurePath(site.file).name, site.function) == _JOIN


def _waits_of_active(usage: GilUsage) -> float:
    """Return the time for which threads that are not idle waited for locks.

    It is infinite if that is not known.
    """
    shares = [
        one.waiting_lock.value for one in usage.by_thread if not _is_idle(one, usage)
    ]
    waits = usage.wall * sum(shares)
    return math.inf if math.isnan(waits) else waits


def _is_idle(thread: ThreadUsage, usage: GilUsage) -> bool:
    there = min(1.0, thread.sums.alive / max(1.0, usage.sums.counted))
    return thread.waiting_lock.value >= _IDLE * there
