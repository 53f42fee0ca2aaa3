"""Usage of the GIL by calls."""

from __future__ import annotations

import math
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from itertools import repeat as times
from typing import TYPE_CHECKING, Any

from gilx.callable_lookup import check_call
from gilx.errors import (
    MOST_CALLS,
    above_zero,
    at_least,
    number_between,
)
from gilx.estimate import Estimate
from gilx.sampling.usage import FirstCall, ran_without_gil
from gilx.sampling.watch import COST, watch_with_callers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gilx.sampling.usage import GilUsage
    from gilx.sampling.watch import Watch

# A call costs Python some tens of nanoseconds, with the GIL held. A function that takes
# shorter than this can't be distinguished from that.
_TOO_SHORT = 1e-6
_PILOT = 0.05  # seconds that a first guess takes, where the budget has them
_TIMED = 1e-5  # seconds of calls that are timed one by one, for some 0.1 us each
_SAMPLE_COST = 40e-6  # seconds of CPU, about
_Z_SQUARED = 3.85  # of the normal distribution, at 95 %
_SAMPLES_IF_ALL_ALIKE = 4.0  # times 1 / precision


def probe(
    fn: Callable[..., Any],
    *args: Any,  # noqa: ANN401 - whatever fn takes
    repeat: int | None = None,
    precision: float = 0.01,
    budget: float = 5.0,
    cost: float = COST,
    warmup: bool = True,
) -> GilUsage:
    """Call a function and measure the share of its time for which it held the GIL.

    In a Python that runs without a GIL, the usage says what each thread did meanwhile, as
    that of `gilx.watch` does, and ``held`` is unknown.

    The first call warms up: it may compile, import or fill a cache, and has figures of
    its own, ``first``. If it leaves no time in the budget for another that takes as long,
    its figures are the result, and ``is_first`` says so. Then the function is called once
    more, and, if that was too little to look at, as often as the precision needs and the
    budget allows. How often is decided by numbers of samples, not by what they show.

    Parameters
    ----------
    fn : callable
        The callable; bind keywords with ``functools.partial``.
    *args
        Arguments of the call.
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
        Whether the first call warms up; if not, it counts as any other, and calls are
        made for as long as the precision may need, whatever is seen, or the budget.

    Returns
    -------
    GilUsage
        What was seen; ``result`` is what the last call returned.

    Raises
    ------
    ArgumentError
        An argument is not as described.
    WatchUnavailableError
        The GIL, or a Python without one, can't be watched here.
    Exception
        What the function raises, with a note that says what was seen until then.

    """
    check_call(fn)
    precision = number_between("precision", precision, 0.001, 0.5)
    budget = above_zero("budget", budget)
    cost = number_between("cost", cost, 0, 0.5, above=True)
    if repeat is not None:
        repeat = at_least("repeat", repeat, 1, MOST_CALLS)
    first = None
    if warmup:
        usage, _ = _calls(fn, args, 1, cost, needs_gil=False)
        if _is_all(usage, repeat, budget):
            return _if_long_enough(replace(usage, is_first=True))
        first = FirstCall.of(usage)
    if repeat is not None:
        each = first.wall if first else 0.0
        usage, _ = _calls(fn, args, repeat, cost, each, needs_gil=False)
        return replace(usage, first=first)

    if first is None:
        return _if_long_enough(_all_calls(fn, args, precision, budget, cost))
    return replace(
        probe_warm(
            *(fn, args, precision, budget),
            spent=first.wall,
            cost=cost,
            needs_gil=False,
        ),
        first=first,
    )


def probe_warm(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    precision: float,
    budget: float,
    *,
    spent: float = 0.0,
    cost: float = COST,
    needs_gil: bool = True,
) -> GilUsage:
    """Return what `probe` does of a function that was called before.

    Parameters
    ----------
    fn, args, precision, budget, cost
        As `probe` has them.
    spent : float
        Seconds of the budget that are spent already.
    needs_gil : bool
        Raise NoGilError if there is no GIL.

    """
    count, each = 1, 0.0
    while True:
        usage, _ = _calls(fn, args, count, cost, each, needs_gil=needs_gil)
        each = usage.wall / count
        spent += usage.wall
        pilot = min(_PILOT, budget / 10)
        if usage.wall >= pilot / 2 or spent >= budget / 2:
            break
        count = max(2 * count, min(20 * count, math.ceil(pilot / usage.wall * count)))
    needed = enough = _samples_needed(usage, precision)
    while usage.samples - usage.late < enough and usage.wall < budget - spent:
        seconds = min(needed * usage.resolution, budget - spent)
        count = max(count, math.ceil(seconds / each))
        usage, _ = _calls(fn, args, count, cost, each, needs_gil=needs_gil)
        each = usage.wall / count
        spent += usage.wall
        # Calls or samples that a busy machine delays make for a wrong guess.
        enough = needed / 2
    return _if_long_enough(usage)


def _all_calls(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    precision: float,
    budget: float,
    cost: float,
) -> GilUsage:
    """Watch the first call and those after it, for a time that is set beforehand.

    It is as long as the precision may need, whatever is seen, or the budget.
    """
    watching = watch_with_callers(cost=cost, needs_gil=False)
    with _noting(watching), watching:
        begin = time.perf_counter()
        result = fn(*args)
        samples = _Z_SQUARED * 0.25 / precision**2
        until = begin + min(budget, samples * _SAMPLE_COST / cost)
        count, now = 1, time.perf_counter()
        longest = now - begin
        while now < until:
            result = fn(*args)
            count, before, now = count + 1, now, time.perf_counter()
            longest = max(longest, now - before)
    return within_calls(watching.usage_of_calls(count, result), longest)


def probe_with_watch(
    fn: Callable[[], Any], *, repeat: int, budget: float, warmup: bool, stacks: bool
) -> tuple[GilUsage, Watch]:
    """Watch so many calls of a function, as `probe` does; return their watch, too.

    It keeps stacks if `stacks` is true.
    """
    first = None
    if warmup:
        usage, watching = _calls(fn, (), 1, COST, stacks=stacks, needs_gil=False)
        if _is_all(usage, repeat, budget):
            return replace(usage, is_first=True), watching
        first = FirstCall.of(usage)
    each = first.wall if first else 0.0
    usage, watching = _calls(fn, (), repeat, COST, each, stacks=stacks, needs_gil=False)
    return replace(usage, first=first), watching


def _is_all(first: GilUsage, repeat: int | None, budget: float) -> bool:
    """Return whether a first call leaves no time for another that takes as long."""
    return repeat in (None, 1) and first.wall > budget - first.wall


def _calls(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    count: int,
    cost: float,
    each: float = 0.0,
    *,
    stacks: bool = False,
    needs_gil: bool = True,
) -> tuple[GilUsage, Watch]:
    """Watch so many calls; each takes about so many seconds, or that is not known."""
    watching = watch_with_callers(cost=cost, stacks=stacks, needs_gil=needs_gil)
    result, longest = None, math.inf
    with _noting(watching), watching:
        if count > 1 and each >= _TIMED:
            result, longest = _timed(fn, args, count)
        else:
            for _ in times(None, count):
                result = fn(*args)
    usage = watching.usage_of_calls(count, result)
    return within_calls(usage, longest), watching


def _timed(
    fn: Callable[..., Any], args: tuple[Any, ...], count: int
) -> tuple[object, float]:
    """Make calls; return what the last one returned, and the seconds of the longest."""
    result, longest = None, 0.0
    clock = time.perf_counter
    before = clock()
    for _ in range(count):  # a number tells samples of one call from those of the next
        result = fn(*args)
        after = clock()
        longest = max(longest, after - before)
        before = after
    return result, longest


def within_calls(usage: GilUsage, longest: float) -> GilUsage:
    """Return the usage of calls, of which none took longer than so many seconds.

    No hold in compiled code is longer than a call. Python code, also that between two
    calls, answers within the switch interval.
    """
    most = max(longest, sys.getswitchinterval())
    return replace(
        usage,
        longest_hold=_at_most(usage.longest_hold, most),
        sites=tuple(
            replace(site, longest_hold=_at_most(site.longest_hold, most))
            for site in usage.sites
        ),
    )


def _at_most(hold: Estimate, most: float) -> Estimate:
    """Return the length of a hold that is known to be no longer than `most`.

    If its lower bound contradicts that, the samples were of several calls.
    """
    if not hold.known or hold.high <= most:
        return hold
    low = hold.low if hold.low <= most else 0.0
    return Estimate(min(hold.value, most), low, most)


@contextmanager
def _noting(watching: Watch) -> Iterator[None]:
    """Add to an exception the usage until then."""
    try:
        yield
    except BaseException as error:
        if watching.ended:
            usage = watching.usage
            what = "watch" if ran_without_gil(usage) else "usage of the GIL"
            error.add_note(f"gilx: the call's {what} until then: {usage.sentence()}")
        raise


def _samples_needed(usage: GilUsage, precision: float) -> float:
    """Return the number of samples that make the interval narrow enough, by a pilot."""
    seen = usage.samples - usage.late
    held = usage.held.value if usage.held.known else 0.5
    # As if two more samples of either kind had been taken: the pilot may be wrong.
    share = (held * seen + 2) / (seen + 4)
    return max(
        _SAMPLES_IF_ALL_ALIKE / precision, _Z_SQUARED * share * (1 - share) / precision**2
    )


def _if_long_enough(usage: GilUsage) -> GilUsage:
    each = usage.wall / usage.repeats
    if each >= _TOO_SHORT:
        return usage
    return replace(
        usage,
        inconclusive_reason=f"too short: a call takes {each * 1e9:.0f} ns, hardly more"
        " than an empty call",
    )
