"""A short watch of threads that make the same call over and over."""

from __future__ import annotations

import threading
from time import perf_counter
from typing import TYPE_CHECKING

from gilx.errors import WatchUnavailableError
from gilx.sampling.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.sampling.timeline import Timeline

_SECONDS = 0.08  # several turns of each thread at the usual switch interval
_COST = 0.2  # of a CPU: it is short, and its lanes should be sharp


def watched(call: Callable[[], object], workers: int) -> Timeline | None:
    """Return the timeline of the GIL while threads repeat a call until time is up.

    Parameters
    ----------
    call : callable
        What each thread calls.
    workers : int
        How many threads.

    Returns
    -------
    Timeline or None
        None if the GIL can't be watched, or there is none.

    """
    start = threading.Event()

    def repeat() -> None:
        start.wait()
        end = perf_counter() + _SECONDS
        while perf_counter() < end:
            call()

    threads = [
        threading.Thread(target=repeat, name=f"thread {number}", daemon=True)
        for number in range(1, workers + 1)
    ]
    for thread in threads:
        thread.start()
    try:
        with Watch(_COST) as watching:
            start.set()
            for thread in threads:
                thread.join()
    except WatchUnavailableError:
        return None
    finally:
        # Without a watch they still run, and would stand beside what is timed next.
        start.set()
        for thread in threads:
            thread.join()
    return watching.timeline
