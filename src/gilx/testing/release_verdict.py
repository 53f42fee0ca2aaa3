"""Verdicts on releases and holds of the GIL: calls are watched until they are clear.

Without a GIL, a call that releases it detaches the thread instead, and a stop of all
threads waits for those that are attached.
"""

from __future__ import annotations

import math
from itertools import repeat
from time import perf_counter
from typing import TYPE_CHECKING, Any

from gilx.errors import WatchUnavailableError, above_zero, number_between
from gilx.formatting import duration, percent
from gilx.sampling.site_words import mostly_collector
from gilx.sampling.watch import watch_with_callers
from gilx.speedup.blocks import calls_needed
from gilx.speedup.comparison_warnings import TOO_SHORT, call_warnings
from gilx.speedup.prepared_call import PreparedCall, raising
from gilx.testing.verdict import ReleaseEvidence, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.sampling.usage import GilUsage
    from gilx.speedup.scaling_decision import Outcome

_ALPHA = 1e-3  # how often, at most, a verdict may be wrong by chance
_STAGE = 0.18  # seconds of the first stage: enough looks for limits of 0.1 and 0.9
_GROWTH = 2.0  # each stage sees as much as all before, about
_MUCH_UNKNOWN = 0.03
_MUCH_STOPPED = 0.3  # of the time
_PREPARED = 0.02  # seconds of calls that have their arguments ready at once
CHEAPER_COLLECTIONS = (
    "which never releases it: gc.freeze() before the work leaves out the objects that are"
    " there already, gc.disable() around the work puts collections off, and larger"
    " thresholds (gc.set_threshold) make them rarer"
)


def watched(
    call: PreparedCall,
    limit: float,
    budget: float,
    *,
    warmup: float | None = None,
    alpha: float = _ALPHA,
) -> ReleaseEvidence:
    """Watch calls until it is clear on which side of a limit the hold fraction is.

    The first call warms up and counts only if it leaves no time for another. Then stages,
    each as long as all before it: after stage k it is decided by an interval of all that
    was seen that misses with a probability of alpha / (k (k + 1)). These add up to
    alpha, so that more than one test does not make a wrong end more likely (the error is
    spent over the tests: Lan and DeMets, Discrete sequential boundaries for clinical
    trials, Biometrika 70, 1983; the sum bounds it however they depend on each other, by
    Boole's inequality).

    Parameters
    ----------
    call : PreparedCall
        What to call.
    limit : float
        Hold fraction, 0 to 1.
    budget : float
        Seconds. One call is always made, however long.
    warmup : float, optional
        Additional seconds for the first call; by default it is part of the budget,
        and may take half of it.
    alpha : float
        How often, at most, the interval may miss at any stage.

    Raises
    ------
    WatchUnavailableError
        The GIL, or a Python without one, can't be watched here.

    """
    begin = perf_counter()
    usage: GilUsage | None = None
    with raising(call.name):
        first = _watch(call, 1)
        if first.wall > (budget / 2 if warmup is None else warmup):
            return _evidence(first, limit, 1, alpha, first.wall)
        if warmup is not None:
            begin = perf_counter()
        left = budget - (perf_counter() - begin)
        known = first.wall >= min(left / 10, _STAGE / 4)
        _, each = calls_needed(
            call.timed,
            min(_STAGE, left / 10),
            first=first.wall if known else call.timed(1),
        )
        stage, seconds = 1, _STAGE
        while True:
            left = budget - (perf_counter() - begin)
            usage = _watch(call, max(1, math.ceil(min(seconds, left) / each)), usage)
            each = usage.wall / usage.repeats  # so far it may have been the first call's
            found = _evidence(usage, limit, stage, alpha, first.wall)
            spent = perf_counter() - begin
            if found.side or each > budget - spent or spent >= 0.95 * budget:
                return found
            stage, seconds = stage + 1, max(_STAGE, usage.wall * (_GROWTH - 1))


def _watch(call: PreparedCall, count: int, before: GilUsage | None = None) -> GilUsage:
    """Watch so many calls; with a setup, some at a time.

    Return their usage, together with that of the calls before, unless the GIL has been
    turned on meanwhile, by an import for one.
    """
    usage = before
    while count > 0:
        some = count
        if call.has_setup and count > 1:
            each = usage.wall / usage.repeats if usage else _PREPARED
            some = min(count, call.most, max(1, math.ceil(_PREPARED / each)))
        call.prepare(some)
        make = call.make
        with watch_with_callers(needs_gil=False) as watching:
            for _ in repeat(None, some):
                make()
        found = watching.usage_of_calls(some)
        alike = usage is not None and usage.backend == found.backend
        usage = usage + found if usage is not None and alike else found
        count -= some
    assert usage is not None  # something was watched
    return usage


def _evidence(
    usage: GilUsage, limit: float, stage: int, alpha: float, first: float
) -> ReleaseEvidence:
    each = usage.wall / usage.repeats
    sums = usage.sums
    shortage = sums.shortage_of_attached if sums.without_gil else sums.shortage
    return ReleaseEvidence(
        limit=limit,
        level=1 - alpha / (stage * (stage + 1)),
        stages=stage,
        first_seconds=first,
        usage=usage,
        reason=shortage
        if each >= TOO_SHORT
        else f"too short: a call takes {duration(each)}, hardly more than calling does",
    )


def judge_release(
    fn: Callable[..., object],
    *args: Any,  # noqa: ANN401 - whatever fn takes
    at_least: float = 0.9,
    budget: float = 5.0,
    setup: Callable[[], object] | None = None,
) -> Verdict:
    """Say whether a call releases the GIL for at least a share of its time.

    As `gilx.testing.assert_releases_gil`, but what was found is returned, whatever it is.
    """
    return _judge("releases_gil", fn, args, at_least, budget, setup)


def judge_hold(
    fn: Callable[..., object],
    *args: Any,  # noqa: ANN401 - whatever fn takes
    at_least: float = 0.9,
    budget: float = 5.0,
    setup: Callable[[], object] | None = None,
) -> Verdict:
    """Say whether a call holds the GIL for at least a share of its time.

    As `gilx.testing.assert_holds_gil`, but what was found is returned, whatever it is.
    """
    return _judge("holds_gil", fn, args, at_least, budget, setup)


def _judge(
    what: str,
    fn: Callable[..., object],
    args: tuple[Any, ...],
    share: float,
    budget: float,
    setup: Callable[[], object] | None,
) -> Verdict:
    begin = perf_counter()
    call = PreparedCall(fn, args, setup)
    share = number_between("at_least", share, 0, 1, above=True)
    budget = above_zero("budget", budget)
    holds = what == "holds_gil"
    limit = share if holds else 1 - share
    refusal = None
    try:
        found = watched(call, limit, budget)
    except WatchUnavailableError as error:
        refusal = str(error)
    if refusal is not None:
        found = nothing_watched(limit, refusal)
        # What is wrong with the call is not hidden by a skip.
        with raising(call.name):
            call.timed(1)
    side = found.side if holds else -found.side
    outcome: Outcome = "pass" if side > 0 else "fail" if side < 0 else "inconclusive"
    return Verdict(
        outcome,
        _reason(found, share, holds=holds),
        found,
        what,
        call.name,
        perf_counter() - begin,
        why_held(found) if outcome == "fail" and not holds else "",
        tuple(usage_notes(found.usage, found.first_seconds) if found.usage else ()),
    )


def nothing_watched(limit: float, why: str) -> ReleaseEvidence:
    """Return the evidence if there is nothing to watch, and why."""
    return ReleaseEvidence(
        limit=limit, level=1.0, stages=0, first_seconds=0.0, usage=None, reason=why
    )


def _reason(found: ReleaseEvidence, share: float, *, holds: bool) -> str:
    if found.reason or found.usage is None:
        return found.reason
    word, share_found, where = "holds the GIL for", found.held, ""
    if not holds:
        word, share_found = "releases the GIL for", found.held.complement()
        held_in = found.usage.where_held() if found.side > 0 else ""
        where = f"; it holds the GIL for the rest, {held_in}" if held_in else ""
    if found.without_gil:
        word = "is attached for" if holds else "is detached for"
    busy = ""
    if found.side == 0 and found.usage.unknown > _MUCH_UNKNOWN:
        busy = (
            "the machine is too busy to tell: samples were late for"
            f" {percent(found.usage.unknown)} of the time; it "
        )
    return (
        f"{busy}{word} {percent(share_found.value)} of its time"
        f" ({percent(share_found.low)} to {percent(share_found.high)}); asked for: at"
        f" least {percent(share)}{where}"
    )


def why_held(found: ReleaseEvidence) -> str:
    """Say what likely makes a call hold the GIL, and what to look at."""
    if found.without_gil:
        return _why_attached(found)
    if found.usage is not None and _collects(found.usage):
        cause = f"most of what holds the GIL is garbage collection, {CHEAPER_COLLECTIONS}"
    elif found.held.value > 0.98:
        cause = (
            "nothing in it releases the GIL: look for Py_BEGIN_ALLOW_THREADS in C,"
            " `with nogil` in Cython (a function marked nogil only may be called without"
            " the GIL, it does not release it), py.detach or allow_threads in Rust, or a"
            " branch that is not taken with these arguments"
        )
    elif found.where:
        cause = (
            f"it holds the GIL {found.where}: look at what converts or copies arguments"
            " and results there"
        )
    elif found.call_seconds < 1e-4:
        cause = (
            "calls are short, so that what Python does around them counts: try larger"
            " arguments"
        )
    else:
        cause = (
            "a part of it holds the GIL: look at conversions of arguments and results,"
            " callbacks into Python, and loops that take the GIL back in each round"
        )
    return f"{cause}. `gilx probe` shows which lines hold it"


def _why_attached(found: ReleaseEvidence) -> str:
    """Say what likely keeps a thread attached, and what to look at."""
    usage = found.usage
    assert usage is not None  # something was watched
    asked = usage.world.asked_by if usage.world is not None else ()
    own = usage.by_thread[0].native_id
    if asked and asked[0].native_id == own and asked[0].share.value > _MUCH_STOPPED:
        cause = (
            "it stops all threads for much of that time, as the garbage collector does:"
            " gc.freeze() before the work leaves out the objects that are there already,"
            " gc.disable() around the work puts collections off"
        )
    elif found.held.value > 0.98:
        cause = (
            "nothing in it detaches: look for Py_BEGIN_ALLOW_THREADS in C, `with nogil`"
            " in Cython, py.detach or allow_threads in Rust, which detach the thread, or"
            " a branch that is not taken with these arguments"
        )
    elif found.call_seconds < 1e-4:
        cause = (
            "calls are short, so that what Python does around them counts: try larger"
            " arguments"
        )
    else:
        cause = (
            "a part of it is attached: look at conversions of arguments and results,"
            " callbacks into Python, and loops that attach in each round"
        )
    return f"{cause}. `gilx probe` shows what each thread does"


def _collects(usage: GilUsage) -> bool:
    """Return whether the calling thread holds the GIL mostly in the garbage collector."""
    return mostly_collector(usage.lines(), usage.by_thread[0].name)


def usage_notes(usage: GilUsage, first: float) -> list[str]:
    """Return what else should be known of calls; the first one took so many seconds."""
    notes = []
    if usage.wall > 0.05 and usage.cpu > 1.2 * usage.wall:
        notes.append(
            f"the process used {usage.cpu / usage.wall:.1f} CPUs: the call has threads"
            " of its own, or others run; only the calling thread is judged"
        )
    if usage.repeats == 1 and usage.wall == first:
        notes.append(
            "only the first call was watched, which may compile, import or fill a cache:"
            " a larger budget leaves time for others"
        )
    else:
        notes += call_warnings(first, usage.wall / usage.repeats)
    return notes
