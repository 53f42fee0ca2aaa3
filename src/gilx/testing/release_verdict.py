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
from gilx.sampling.usage_advice import gil_turned_on
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
_STAGE = 0.18  # seconds of the first stage: enough samples for limits of 0.1 and 0.9
_GROWTH = 2.0  # each stage is about as long as all before it
_MUCH_UNKNOWN = 0.03
_MUCH_STOPPED = 0.3  # of the time
_PREPARED = 0.02  # seconds of calls whose arguments are prepared together
CHEAPER_COLLECTIONS = (
    "which never releases it: gc.freeze() before the work leaves out the objects that are"
    " there already, gc.disable() around the work puts collections off, and larger"
    " thresholds (gc.set_threshold) make them rarer"
)


def watch_until_clear(
    call: PreparedCall,
    limit: float,
    budget: float,
    *,
    warmup: float | None = None,
    alpha: float = _ALPHA,
) -> ReleaseEvidence:
    """Watch calls until it is clear on which side of a limit the hold fraction is.

    The first call warms up and counts only if it leaves no time for another. Then come
    stages, each as long as all before it: the decision after stage k is by an interval
    from all stages so far, which misses with a probability of alpha / (k (k + 1)). These
    probabilities add up to alpha, so that more than one test does not make a wrong end
    more likely (the error is spent over the tests: Lan and DeMets, Discrete sequential
    boundaries for clinical trials, Biometrika 70, 1983; the sum bounds it however they
    depend on each other, by Boole's inequality).

    Parameters
    ----------
    call : PreparedCall
        The call.
    limit : float
        Hold fraction, 0 to 1.
    budget : float
        Seconds. One call is always made, however long.
    warmup : float, optional
        Additional seconds for the first call; by default it is part of the budget,
        and may take half of it.
    alpha : float
        Largest probability that the interval misses at any stage.

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
            each = usage.wall / usage.repeats  # it may have been that of the first call
            evidence = _evidence(usage, limit, stage, alpha, first.wall)
            spent = perf_counter() - begin
            if evidence.side or each > budget - spent or spent >= 0.95 * budget:
                return evidence
            stage, seconds = stage + 1, max(_STAGE, usage.wall * (_GROWTH - 1))


def _watch(call: PreparedCall, count: int, before: GilUsage | None = None) -> GilUsage:
    """Watch so many calls; with a setup, some at a time.

    Return their usage, together with that of the calls before, unless the GIL has been
    turned on meanwhile, for instance by an import.
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
        latest = watching.usage_of_calls(some)
        alike = usage is not None and usage.backend == latest.backend
        usage = usage + latest if usage is not None and alike else latest
        count -= some
    assert usage is not None  # something was watched
    return usage


def _evidence(
    usage: GilUsage, limit: float, stage: int, alpha: float, first: float
) -> ReleaseEvidence:
    each = usage.wall / usage.repeats
    sums = usage.sums
    shortage = sums.shortage_of_attached if sums.without_gil else sums.shortage
    if gil_turned_on(usage):
        shortage = usage.inconclusive_reason
    return ReleaseEvidence(
        limit=limit,
        level=1 - alpha / (stage * (stage + 1)),
        stages=stage,
        first_seconds=first,
        usage=usage,
        reason=shortage
        if each >= TOO_SHORT
        else f"too short: a call takes {duration(each)}, hardly more than an empty call",
    )


def judge_release(
    fn: Callable[..., object],
    *args: Any,  # noqa: ANN401 - whatever fn takes
    at_least: float = 0.9,
    budget: float = 5.0,
    setup: Callable[[], object] | None = None,
) -> Verdict:
    """Say whether a call releases the GIL for at least a share of its time.

    Like `gilx.testing.assert_releases_gil`, but the verdict is returned, whatever it is.
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

    Like `gilx.testing.assert_holds_gil`, but the verdict is returned, whatever it is.
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
        evidence = watch_until_clear(call, limit, budget)
    except WatchUnavailableError as error:
        refusal = str(error)
    if refusal is not None:
        evidence = nothing_watched(limit, refusal)
        # A skip must not hide an error of the call.
        with raising(call.name):
            call.timed(1)
    side = evidence.side if holds else -evidence.side
    outcome: Outcome = "pass" if side > 0 else "fail" if side < 0 else "inconclusive"
    return Verdict(
        outcome,
        _reason(evidence, share, holds=holds),
        evidence,
        what,
        call.name,
        perf_counter() - begin,
        why_held(evidence) if outcome == "fail" and not holds else "",
        tuple(
            usage_notes(evidence.usage, evidence.first_seconds) if evidence.usage else ()
        ),
    )


def nothing_watched(limit: float, why: str) -> ReleaseEvidence:
    """Return the evidence without a watch, with the reason for that."""
    return ReleaseEvidence(
        limit=limit, level=1.0, stages=0, first_seconds=0.0, usage=None, reason=why
    )


def _reason(evidence: ReleaseEvidence, share: float, *, holds: bool) -> str:
    if evidence.reason or evidence.usage is None:
        return evidence.reason
    word, share_found, where = "holds the GIL for", evidence.held, ""
    if not holds:
        word, share_found = "releases the GIL for", evidence.held.complement()
        held_in = evidence.usage.where_held() if evidence.side > 0 else ""
        where = f"; it holds the GIL for the rest, {held_in}" if held_in else ""
    if evidence.without_gil:
        word = "is attached for" if holds else "is detached for"
    busy = ""
    if evidence.side == 0 and evidence.usage.unknown > _MUCH_UNKNOWN:
        busy = (
            "the machine is too busy for a verdict: samples were late for"
            f" {percent(evidence.usage.unknown)} of the time; the call "
        )
    return (
        f"{busy}{word} {percent(share_found.value)} of its time"
        f" ({percent(share_found.low)} to {percent(share_found.high)}); asked for: at"
        f" least {percent(share)}{where}"
    )


def why_held(evidence: ReleaseEvidence) -> str:
    """Return the likely cause of a held GIL, and where to look."""
    if evidence.without_gil:
        return _why_attached(evidence)
    if evidence.usage is not None and _collects(evidence.usage):
        cause = f"most of what holds the GIL is garbage collection, {CHEAPER_COLLECTIONS}"
    elif evidence.held.value > 0.98:
        cause = (
            "nothing in the call releases the GIL: check that the code"
            " uses Py_BEGIN_ALLOW_THREADS in C, `with nogil` in Cython (a function marked"
            " nogil can be called without the GIL, but does not release it), or py.detach"
            " or allow_threads in Rust, and that these arguments reach that code"
        )
    elif evidence.where:
        cause = (
            f"the call holds the GIL {evidence.where}: look at the code there that"
            " converts or copies arguments and results"
        )
    elif evidence.call_seconds < 1e-4:
        cause = (
            "calls are short, so Python's own work around each call counts: try larger"
            " arguments"
        )
    else:
        cause = (
            "a part of the call holds the GIL: look at conversions of arguments and"
            " results, callbacks into Python, and loops that take the GIL back in each"
            " round"
        )
    return f"{cause}. `gilx probe` shows which lines hold the GIL"


def _why_attached(evidence: ReleaseEvidence) -> str:
    """Return the likely cause of an attached thread, and where to look."""
    usage = evidence.usage
    assert usage is not None  # something was watched
    requesters = usage.world.asked_by if usage.world is not None else ()
    own = usage.by_thread[0].native_id
    if (
        requesters
        and requesters[0].native_id == own
        and requesters[0].share.value > _MUCH_STOPPED
    ):
        cause = (
            "the call stops all threads for much of that time, as the garbage collector"
            " does:"
            " gc.freeze() before the work leaves out the objects that are there already,"
            " gc.disable() around the work puts collections off"
        )
    elif evidence.held.value > 0.98:
        cause = (
            "nothing in the call detaches: check that the code detaches the thread, by"
            " Py_BEGIN_ALLOW_THREADS in C, `with nogil` in Cython, or py.detach or"
            " allow_threads in Rust, and that these arguments reach that code"
        )
    elif evidence.call_seconds < 1e-4:
        cause = (
            "calls are short, so Python's own work around each call counts: try larger"
            " arguments"
        )
    else:
        cause = (
            "a part of the call is attached: look at conversions of arguments and"
            " results, callbacks into Python, and loops that attach in each round"
        )
    return f"{cause}. `gilx probe` shows what each thread does"


def _collects(usage: GilUsage) -> bool:
    """Return whether the calling thread holds the GIL mostly in the garbage collector."""
    return mostly_collector(usage.lines(), usage.by_thread[0].name)


def usage_notes(usage: GilUsage, first: float) -> list[str]:
    """Return further facts about calls; the first one took `first` seconds."""
    notes = []
    if usage.wall > 0.05 and usage.cpu > 1.2 * usage.wall:
        notes.append(
            f"the process used {usage.cpu / usage.wall:.1f} CPUs: the call has threads"
            " of its own, or other threads run; only the calling thread is judged"
        )
    if usage.repeats == 1 and usage.wall == first:
        notes.append(
            "only the first call was watched, which may compile, import or fill a cache:"
            " a larger budget leaves time for others"
        )
    else:
        notes += call_warnings(first, usage.wall / usage.repeats)
    return notes
