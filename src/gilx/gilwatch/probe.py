"""How much of a call holds the GIL."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import repeat as times
from typing import TYPE_CHECKING, Any

from gilx.errors import ArgumentError, at_least, number_between
from gilx.gilwatch.usage import FirstCall
from gilx.gilwatch.watch import COST, repeated, watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.gilwatch.timeline import Timeline
    from gilx.gilwatch.usage import GilUsage
    from gilx.gilwatch.watch import Watch

__all__ = ["probe", "probe_with_timeline"]

# A call costs Python some tens of nanoseconds, with the GIL held. A function that takes
# no longer than this can't be told from that.
_TOO_SHORT = 1e-6
_PILOT = 0.05  # seconds that a first guess takes, where the budget has them
_LOOKS_IF_ALL_ALIKE = 4.0  # times 1 / precision


def probe(
    fn: Callable[..., Any],
    *args: Any,  # noqa: ANN401 - whatever fn takes
    repeat: int | None = None,
    precision: float = 0.01,
    budget: float = 5.0,
    cost: float = COST,
    warmup: bool = True,
) -> GilUsage:
    """Call a function and tell how much of its time it held the GIL.

    The first call warms up: it may compile, import or fill a cache, and is told apart as
    ``first``. If it leaves no time in the budget for another that takes as long, its
    figures are the result, and ``is_first`` says so. Then the function is called once
    more, and, if that was too little to look at, as often as the precision needs and the
    budget allows. How often is decided before those calls, not by what they show.

    Parameters
    ----------
    fn : callable
        What to call. Keywords go in with ``functools.partial``.
    *args
        What to call it with.
    repeat : int, optional
        Watch exactly so many calls after the one that warms up, at least 1; more than
        one whatever the budget.
    precision : float
        Half the width that the interval of ``held`` should have at most, 0.001 to 0.5.
    budget : float
        Seconds that all calls together may take. One call is always made, however long,
        and no call is ended: if `fn` does not return, neither does this.
    cost : float
        The share of one CPU that the sampler may take, above 0 and at most 0.5.
    warmup : bool
        Whether the first call warms up; if not, it counts as any other.

    Returns
    -------
    GilUsage
        What was seen; ``result`` is what the last call returned.

    Raises
    ------
    ArgumentError
        An argument is not as described.
    WatchUnavailableError
        The GIL can't be watched here; NoGilError, one kind of it, if there is none.
    Exception
        What the function raises, with a note that says what was seen until then.

    """
    if not callable(fn):
        raise ArgumentError(f"fn: expected something to call, got {fn!r}")
    number_between("precision", precision, 0.001, 0.5)
    number_between("budget", budget, 0, math.inf, above=True)
    if repeat is not None:
        repeat = at_least("repeat", repeat, 1)
    first = None
    if warmup:
        usage, _ = _calls(fn, args, 1, cost)
        if _is_all(usage, repeat, budget):
            return _if_long_enough(replace(usage, is_first=True))
        first = FirstCall.of(usage)
    if repeat is not None:
        usage, _ = _calls(fn, args, repeat, cost)
        return replace(usage, first=first)

    count, spent = 1, 0.0 if first is None else first.wall
    while True:
        usage, _ = _calls(fn, args, count, cost)
        spent += usage.wall
        pilot = min(_PILOT, budget / 10)
        if usage.wall >= pilot / 2 or spent >= budget / 2:
            break
        count = max(2 * count, min(20 * count, math.ceil(pilot / usage.wall * count)))
    seconds = _looks_needed(usage, precision) * usage.resolution
    calls = math.ceil(min(seconds, budget - spent) / usage.wall * count)
    if calls > count:
        usage, _ = _calls(fn, args, calls, cost)
    return _if_long_enough(replace(usage, first=first))


def probe_with_timeline(
    fn: Callable[[], Any], *, repeat: int, budget: float, warmup: bool
) -> tuple[GilUsage, Timeline]:
    """Watch so many calls of a function, as `probe` does; return their timeline, too."""
    first = None
    if warmup:
        usage, watching = _calls(fn, (), 1, COST)
        if _is_all(usage, repeat, budget):
            return replace(usage, is_first=True), watching.timeline
        first = FirstCall.of(usage)
    usage, watching = _calls(fn, (), repeat, COST)
    return replace(usage, first=first), watching.timeline


def _is_all(first: GilUsage, repeat: int | None, budget: float) -> bool:
    """Return whether a first call leaves no time for another that takes as long."""
    return repeat in (None, 1) and first.wall > budget - first.wall


def _calls(
    fn: Callable[..., Any], args: tuple[Any, ...], count: int, cost: float
) -> tuple[GilUsage, Watch]:
    watching = watch(cost=cost)
    result = None
    try:
        with watching:
            for _ in times(None, count):
                result = fn(*args)
    except BaseException as error:
        if watching.ended:
            seen = watching.usage.sentence()
            error.add_note(f"gilx: what was seen of the call until then: {seen}")
        raise
    return repeated(watching.usage, count, result), watching


def _looks_needed(usage: GilUsage, precision: float) -> float:
    """Return how many looks make the interval narrow enough, by what a pilot showed."""
    seen = usage.looks - usage.late
    held = 0.5 if math.isnan(usage.held) else usage.held
    # As if two looks of either kind had been seen besides: the pilot may be wrong.
    share = (held * seen + 2) / (seen + 4)
    return max(_LOOKS_IF_ALL_ALIKE / precision, 3.85 * share * (1 - share) / precision**2)


def _if_long_enough(usage: GilUsage) -> GilUsage:
    each = usage.wall / usage.repeats
    if each >= _TOO_SHORT:
        return usage
    return replace(
        usage,
        doubt=f"too short: a call takes {each * 1e9:.0f} ns, hardly more than calling"
        " anything does",
    )
