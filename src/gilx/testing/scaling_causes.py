"""Likely causes of missing speedup, from waits of threads that call at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.speedup.losses import LOCKS, SHARED, STOPS, WITHOUT_GIL

if TYPE_CHECKING:
    from gilx.speedup.comparison import Comparison
    from gilx.speedup.losses import Loss
    from gilx.speedup.waits_together import WaitsTogether

_LEAST = 0.1  # of a worker: a smaller loss is not mentioned


def cause_of_waits(together: WaitsTogether | None, comparison: Comparison) -> str:
    """Return what threads likely wait for, and what to do; '' if that is open."""
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
