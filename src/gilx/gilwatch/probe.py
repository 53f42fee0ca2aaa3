"""How much of a call holds the GIL."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import repeat as times
from typing import TYPE_CHECKING, Any

from gilx.errors import ArgumentError, at_least, number_between
from gilx.gilwatch.watch import COST, repeated, watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.gilwatch.usage import GilUsage

__all__ = ["probe"]

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
) -> GilUsage:
    """Call a function and tell how much of its time it held the GIL.

    The function is called once; then, if that was too little to look at, as often as the
    precision needs and the budget allows. How often is decided before those calls, not by
    what they show.

    Parameters
    ----------
    fn : callable
        What to call. Keywords go in with ``functools.partial``.
    *args
        What to call it with.
    repeat : int, optional
        Call it exactly that often, at least 1.
    precision : float
        Half the width that the interval of ``held`` should have at most, 0.001 to 0.5.
    budget : float
        Seconds that all calls together may take. One call is always made, however long,
        and no call is ended: if `fn` does not return, neither does this.
    cost : float
        The share of one CPU that the sampler may take, above 0 and at most 0.5.

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
        return _calls(fn, args, at_least("repeat", repeat, 1), cost)

    count, spent = 1, 0.0
    while True:
        usage = _calls(fn, args, count, cost)
        spent += usage.wall
        pilot = min(_PILOT, budget / 10)
        if usage.wall >= pilot / 2 or spent >= budget / 2:
            break
        count = max(2 * count, min(20 * count, math.ceil(pilot / usage.wall * count)))
    seconds = _looks_needed(usage, precision) * usage.resolution
    calls = math.ceil(min(seconds, budget - spent) / usage.wall * count)
    if calls > count:
        usage = _calls(fn, args, calls, cost)
    return _if_long_enough(usage)


def _calls(
    fn: Callable[..., Any], args: tuple[Any, ...], count: int, cost: float
) -> GilUsage:
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
    return repeated(watching.usage, count, result)


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
