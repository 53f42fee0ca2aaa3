"""Verdicts on the longest hold: calls are watched until they are certain."""

from __future__ import annotations

import math
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from gilx.errors import NoGilError, WatchUnavailableError, above_zero, number_between
from gilx.formatting import duration
from gilx.pools.resource_usage import difference
from gilx.sampling.probe import within_calls
from gilx.sampling.request_timer import RequestTimer
from gilx.sampling.site_words import longest_site, site_and_caller
from gilx.sampling.watch import watch_with_callers
from gilx.speedup.prepared_call import PreparedCall, raising
from gilx.speedup.timings import stolen_seconds
from gilx.testing.release_verdict import CHEAPER_COLLECTIONS, usage_notes
from gilx.testing.verdict import LongestHoldEvidence, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.speedup.scaling_decision import Outcome

# Seconds. Python code holds the GIL for a switch interval, half of the shortest limit.
_SHORTEST_LIMIT, _LONGEST_LIMIT = 0.01, 86400.0
_BATCH = 0.2  # seconds of calls that are watched at a time
_ENOUGH, _FEWEST = 0.5, 10  # seconds and number of calls that a pass needs
_GROWTH = 20  # from one batch to the next, at most
_REQUESTS = 25  # in the time of the limit, at least
_LONGEST_PERIOD = 0.01  # seconds
_LEFT = 0.05  # share of the budget that is too little for another batch
_CLOSE = 0.2  # share of the limit: a longest hold within it is too close


def check_limit(at_most: object) -> float:
    """Return the longest hold that passes, in seconds.

    Raises
    ------
    ArgumentError
        The limit is not from 0.01 to 86400.

    """
    limits = _SHORTEST_LIMIT, _LONGEST_LIMIT
    return number_between("at_most", at_most, *limits, unit="seconds")


def judge_longest_hold(
    fn: Callable[..., object],
    *args: Any,  # noqa: ANN401 - whatever fn takes
    at_most: float = 0.05,
    budget: float = 5.0,
    setup: Callable[[], object] | None = None,
) -> Verdict:
    """Say whether a call holds the GIL for at most so many seconds at a time.

    Like `gilx.testing.assert_longest_hold`, but the verdict is returned, whatever it is.
    """
    begin = perf_counter()
    call = PreparedCall(fn, args, setup)
    limit = check_limit(at_most)
    budget = above_zero("budget", budget)
    refusal = None
    try:
        evidence = watched_holds(call, limit, budget)
    except NoGilError:
        # A thread may be attached for hours and hold nobody up, since Python code stops
        # at once for others; how soon a call stops is what counts, see gilx.latency.
        refusal = (
            "this Python runs without a GIL, so that nothing is held: `gilx latency`"
            " reports for how long a stop of all threads waits for a call, as `stop`"
        )
    except WatchUnavailableError as error:
        refusal = str(error)
    if refusal is not None:
        evidence = no_holds_watched(limit, refusal)
        # A skip must not hide an error of the call.
        with raising(call.name):
            call.timed(1)
    outcomes: dict[int, Outcome] = {1: "fail", 0: "inconclusive", -1: "pass"}
    outcome = outcomes[evidence.side]
    return Verdict(
        outcome,
        _reason(evidence),
        evidence,
        "longest_hold",
        call.name,
        perf_counter() - begin,
        _advice(evidence) if outcome == "fail" else "",
        tuple(_notes(evidence)),
    )


def watched_holds(call: PreparedCall, limit: float, budget: float) -> LongestHoldEvidence:
    """Watch calls until it is certain on which side of a limit their longest hold is.

    The first call warms up and counts only if it takes more than half of the budget. Then
    calls are watched in batches. A batch with a hold that is certainly longer than the
    limit decides. A batch that decides nothing, since the machine was busy, is left out.
    The other batches decide if they have enough calls, and more than those that are left
    out, unless samples of one that is left out found a hold longer than the limit.

    Parameters
    ----------
    call : PreparedCall
        The call.
    limit : float
        Longest hold that passes, in seconds.
    budget : float
        Seconds. One call is always made, however long.

    Raises
    ------
    WatchUnavailableError
        The GIL can't be watched here; NoGilError, one kind of it, if there is none.

    """
    begin = perf_counter()
    with raising(call.name):
        batch = _watch(call, 1, limit)
        first = batch.call_seconds
        if first > budget / 2:
            return replace(batch, first_seconds=first)
        batches = _Batches()
        count = 1
        while True:
            batch = replace(_watch(call, count, limit), first_seconds=first)
            batches.add(batch)
            left = budget - (perf_counter() - begin)
            over = left < max(batch.call_seconds, _LEFT * budget)
            if (found := batches.decided(over=over)) is not None:
                return found
            most = math.ceil(min(_BATCH, left) / batch.call_seconds)
            count = max(1, min(_GROWTH * count, call.most, most))


class _Batches:
    """Batches of calls so far."""

    def __init__(self) -> None:
        self._failed: LongestHoldEvidence | None = None
        self._open: LongestHoldEvidence | None = None  # the one with the longest hold
        self._passed: LongestHoldEvidence | None = None  # all together
        self._left_out = 0

    def add(self, batch: LongestHoldEvidence) -> None:
        """Add a batch."""
        if batch.side > 0:
            self._failed = batch
        elif batch.side == 0:
            if self._open is None or batch.longest_sampled > self._open.longest_sampled:
                self._open = batch
            self._left_out += batch.calls
        else:
            self._passed = batch if self._passed is None else self._passed + batch

    def decided(self, *, over: bool) -> LongestHoldEvidence | None:
        """Return the evidence that decides; None if there is none and time is left."""
        evidence = self._failed or self._passed_enough(over=over)
        if evidence is None and over:
            evidence = self._open
        return None if evidence is None else replace(evidence, left_out=self._left_out)

    def _passed_enough(self, *, over: bool) -> LongestHoldEvidence | None:
        """Return the batches that passed if these decide."""
        passed, left_open = self._passed, self._open
        if passed is None or passed.calls <= self._left_out:
            return None
        if left_open is not None and left_open.longest_sampled > left_open.limit:
            return None
        enough = passed.calls >= _FEWEST and passed.seconds >= _ENOUGH
        return passed if enough or over else None


def _watch(call: PreparedCall, count: int, limit: float) -> LongestHoldEvidence:
    """Watch so many calls, beside a thread that asks for the GIL."""
    call.prepare(count)
    make = call.make
    longest = 0.0
    stolen = stolen_seconds()
    period = min(limit / _REQUESTS, _LONGEST_PERIOD)
    with watch_with_callers() as watching, RequestTimer(period) as requests:
        before = perf_counter()
        # The counter of this loop separates samples of one call from those of the next.
        for _ in range(count):
            make()
            after = perf_counter()
            longest = max(longest, after - before)
            before = after
    usage = watching.usage_of_calls(count)
    # A hold does not include time in which the whole process was stopped, which makes a
    # sample late, or in which the hypervisor gave its CPU to another machine.
    pauses = usage.lateness_max + (difference(stolen_seconds(), stolen) or 0.0)
    return LongestHoldEvidence(
        limit=limit,
        first_seconds=longest,
        usage=within_calls(usage, min(longest, requests.longest)),
        longest_call=longest,
        longest_gap=requests.longest,
        unanswered=max(0.0, requests.unanswered - pauses),
        knows_cpu_waits=requests.knows_cpu_waits,
        left_out=0,
        reason="",
    )


def no_holds_watched(limit: float, why: str) -> LongestHoldEvidence:
    """Return the evidence that has only the reason that there is nothing to watch."""
    return LongestHoldEvidence(
        limit=limit,
        first_seconds=0.0,
        usage=None,
        longest_call=math.inf,
        longest_gap=math.inf,
        unanswered=0.0,
        knows_cpu_waits=False,
        left_out=0,
        reason=why,
    )


def _reason(evidence: LongestHoldEvidence) -> str:
    usage = evidence.usage
    if evidence.reason or usage is None:
        return evidence.reason
    asked = f"asked for: at most {duration(evidence.limit)}"
    if evidence.side < 0:
        return f"no hold of the GIL lasts longer than {duration(evidence.most)}; {asked}"
    hold = usage.longest_hold
    if evidence.side > 0:
        site = longest_site(usage.sites, usage.by_thread[0].name)
        where = f", in {site_and_caller(site)}" if site else ""
        return (
            f"holds the GIL for {duration(hold.value)} at a time ({duration(hold.low)} to"
            f" {duration(hold.high)}){where}; {asked}"
        )
    return (
        f"{_why_open(evidence)}: its longest hold of the GIL lasts"
        f" {duration(evidence.least)} to {duration(evidence.most)}; {asked}"
    )


def _why_open(evidence: LongestHoldEvidence) -> str:
    """Return the reason that neither side of the limit is certain."""
    usage = evidence.usage
    assert usage is not None
    if usage.sites_missing and evidence.unanswered > evidence.limit:
        return f"the code that held the GIL is unknown, since {usage.sites_missing}"
    if evidence.unanswered > evidence.limit:
        return "another thread held the GIL, or it went from thread to thread"
    if evidence.longest_sampled > evidence.limit and not evidence.knows_cpu_waits:
        return "Linux does not say here how long threads wait for a CPU"
    if abs(evidence.longest_sampled - evidence.limit) < _CLOSE * evidence.limit:
        return "the limit is too close for a verdict"
    return "the machine is too busy for a verdict"


def _advice(evidence: LongestHoldEvidence) -> str:
    """Return what likely causes a long hold, and what to look at."""
    usage = evidence.usage
    assert usage is not None  # something held the GIL
    site = longest_site(usage.sites, usage.by_thread[0].name)
    if site is not None and site.kind == "garbage collector":
        cause = f"the hold is a garbage collection, {CHEAPER_COLLECTIONS}"
    else:
        cause = (
            "compiled code runs for that time without returning to Python: let it release"
            " the GIL around the work (Py_BEGIN_ALLOW_THREADS in C, `with nogil` in"
            " Cython, py.detach or allow_threads in Rust), or call it with less work at a"
            " time"
        )
    return f"{cause}. `gilx probe` shows which lines hold the GIL"


def _notes(evidence: LongestHoldEvidence) -> list[str]:
    if evidence.usage is None:
        return []
    notes = usage_notes(evidence.usage, evidence.first_seconds)
    if evidence.left_out and evidence.side < 0:
        notes.append(
            f"{evidence.left_out} more call{'s' if evidence.left_out > 1 else ''} left"
            " the question open, since a thread waited for a CPU or for another thread"
        )
    return notes
