"""Waits of threads without a GIL, as evidence about scaling."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.formatting import percent
from gilx.speedup.losses import LOCKS, SHARED, STOPS, WITHOUT_GIL

if TYPE_CHECKING:
    from gilx.speedup.comparison import Comparison
    from gilx.speedup.losses import Loss
    from gilx.speedup.waits_together import WaitsTogether

_LEAST = 0.1  # of a worker: less than that is not spoken of


def contradiction(together: WaitsTogether | None, efficiency: float) -> str:
    """Return the reason that threads can't be as fast as blocks show, or ''.

    Threads that are blocked for a larger share of their time than may be lost do not
    reach what is asked for, unless the blocks had another moment than the watch.
    """
    if together is None:
        return ""
    blocked = together.blocked
    least = blocked.low / together.workers
    if not blocked.known or least <= 1 - efficiency:
        return ""
    return (
        "blocks and the watch disagree: threads that make the same calls were found"
        f" waiting for locks and stops for at least {percent(least)} of their time"
    )


def cause_without_gil(together: WaitsTogether | None, comparison: Comparison) -> str:
    """Return what likely makes threads slow without a GIL, and what to do; '' if open."""
    causes = [loss for loss in comparison.losses if loss.cause in WITHOUT_GIL]
    main = max(causes, key=lambda loss: loss.amount, default=None)
    if together is None or main is None or main.amount < _LEAST:
        return ""
    if main.cause == STOPS:
        who = f" ({together.stops})" if together.stops else ""
        return (
            f"all threads are stopped again and again{who}{_place(main)}: make fewer"
            " reference cycles, gc.freeze() objects that stay, and let long calls of"
            " compiled code detach"
        )
    if main.cause == LOCKS:
        which = f": {together.locks}" if together.locks else ""
        return (
            f"threads wait for locks{which}{_place(main)}; let each thread have objects"
            " of its own, and do the work outside of locks"
        )
    assert main.cause == SHARED
    return (
        "the calls take more CPU time in threads than in processes, without locks: look"
        " for objects that all threads use, whose reference counts they share, and for"
        " memory that several of them write to"
    )


def _place(loss: Loss) -> str:
    site = next(iter(loss.sites), None)
    return "" if site is None else f", first in {site.place}"
