"""Verdicts on the longest hold, from made-up evidence."""

from __future__ import annotations

import math
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gilx import testing
from gilx.errors import ArgumentError, NoGilError, WatchUnavailableError
from gilx.estimate import Estimate
from gilx.sampling.request_timer import RequestTimer
from gilx.speedup.prepared_call import PreparedCall
from gilx.testing import LongestHoldEvidence, Verdict, longest_hold_verdict
from gilx.testing.longest_hold_verdict import no_holds_watched, watched_holds
from tests.unit.hold_sums import sums, usage_of
from tests.unit.made_up_sites import collector, found, usage_with

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilx import GilUsage

HOLD = Estimate(0.08, 0.079, 0.081)  # of samples
UNKNOWN = Estimate.unknown()


def ms(length: float) -> int:
    return int(length * 1_000_000)


def evidence(
    hold: Estimate = HOLD, *, of: GilUsage | None = None, **changes: Any
) -> LongestHoldEvidence:
    """Return evidence about calls of 200 ms, but for changes."""
    usage = of or usage_of(sums(50, 150))
    made: dict[str, Any] = {
        "first_seconds": 0.2, "longest_call": 0.2, "longest_gap": 0.082,
        "unanswered": 0.078, "knows_cpu_waits": True,
    }  # fmt: skip
    usage = replace(usage, longest_hold=hold)
    return replace(no_holds_watched(0.05, ""), **{**made, "usage": usage, **changes})


@pytest.mark.parametrize(
    ("changes", "side"),
    [
        ({}, 1),
        # Two witnesses are needed: samples, and a request that was not answered.
        ({"unanswered": 0.05}, 0),
        ({"hold": Estimate(0.08, 0.05, 0.081)}, 0),
        ({"hold": UNKNOWN}, 0),
        # Nothing is held for longer than a call takes, or another thread waits.
        ({"longest_call": 0.05}, -1),
        ({"longest_gap": 0.05}, -1),
        ({"longest_call": 0.051, "longest_gap": 0.051, "unanswered": 0.05}, 0),
        ({"limit": 0.0779}, 1),
        ({"limit": 0.078}, 0),
        ({"limit": 0.082}, -1),
        ({"reason": "there is no GIL"}, 0),
        ({"longest_gap": 0.04, "reason": "there is no GIL"}, 0),
    ],
)
def test_sides_of_a_limit(changes: dict[str, Any], side: int) -> None:
    assert evidence(**changes).side == side


def test_bounds_of_the_longest_hold() -> None:
    assert evidence().least == 0.078
    assert evidence(Estimate(0.07, 0.06, 0.09)).least == 0.06
    assert evidence(UNKNOWN).least == 0.0
    assert evidence(longest_call=0.03).least == evidence(longest_call=0.03).most == 0.03
    assert evidence().most == 0.082


def test_evidence_of_several_batches_has_the_larger_bounds() -> None:
    one = evidence(longest_call=0.02, longest_gap=0.03, unanswered=0.01)
    other = evidence(longest_call=0.04, longest_gap=0.02, unanswered=0.02)
    both = one + replace(other, left_out=3, knows_cpu_waits=False)
    assert (both.longest_call, both.longest_gap, both.unanswered) == (0.04, 0.03, 0.02)
    assert (both.calls, both.left_out, both.knows_cpu_waits) == (2, 3, False)
    assert both.seconds == pytest.approx(0.4)
    assert both.call_seconds == pytest.approx(0.2)


def judged(
    monkeypatch: pytest.MonkeyPatch, *batches: LongestHoldEvidence, budget: float = 100.0
) -> tuple[Verdict, list[int]]:
    """Return the verdict on batches, of which the last one comes again and again.

    Return the numbers of calls that were asked for, too.
    """
    counts: list[int] = []

    def watch(_call: object, count: int, limit: float) -> LongestHoldEvidence:
        batch = batches[min(len(counts), len(batches) - 1)]
        counts.append(count)
        assert batch.usage is not None
        # The first call of all has no number of calls yet.
        return replace(batch, limit=limit, usage=replace(batch.usage, repeats=count))

    monkeypatch.setattr(longest_hold_verdict, "_watch", watch)
    verdict = testing.judge_longest_hold(sum, [], at_most=0.05, budget=budget)
    return verdict, counts


SHORT: dict[str, Any] = {
    "longest_gap": 0.01,
    "unanswered": 0.004,
    "hold": Estimate(0.005, 0.004, 0.01),
}
OPEN: dict[str, Any] = {**SHORT, "longest_gap": 0.06}
UNANSWERED: dict[str, Any] = {"unanswered": 0.01}

pytestmark = pytest.mark.thread_unsafe(reason="replaces the watch")


def test_hold_that_is_longer_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict, counts = judged(monkeypatch, evidence(**SHORT), evidence())
    assert verdict.outcome == "fail"
    assert verdict.what == "longest_hold"
    assert verdict.reason == (
        "holds the GIL for 80 ms at a time (79 ms to 81 ms); asked for: at most 50 ms"
    )
    assert verdict.advice.startswith("compiled code runs for that time")
    assert counts == [1, 1]
    with pytest.raises(testing.Failure, match="holds the GIL for 80 ms at a time"):
        testing.insist(verdict)
    assert Verdict.from_json(verdict.to_json()) == verdict


def test_pass_needs_enough_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict, counts = judged(monkeypatch, evidence(**SHORT))
    assert verdict.outcome == "pass"
    assert verdict.reason == (
        "no hold of the GIL lasts longer than 10 ms; asked for: at most 50 ms"
    )
    assert sum(counts[1:]) >= 10
    assert isinstance(verdict.evidence, LongestHoldEvidence)
    assert verdict.evidence.calls == sum(counts[1:])
    assert verdict.evidence.seconds >= 0.5


def test_first_call_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict, _ = judged(monkeypatch, evidence(), evidence(**SHORT))
    assert verdict.outcome == "pass"


def test_first_call_counts_if_it_takes_half_of_the_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    verdict, counts = judged(monkeypatch, evidence(), budget=0.3)
    assert verdict.outcome == "fail"
    assert counts == [1]
    assert verdict.notes[-1].startswith("only the first call was watched")


def test_batches_that_leave_it_open_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    first = evidence(**SHORT)
    verdict, _ = judged(monkeypatch, first, evidence(**OPEN), evidence(**SHORT))
    assert verdict.outcome == "pass"
    assert verdict.notes == (
        (
            "1 more call left the question open, since a thread waited for a CPU or for"
            " another thread"
        ),
    )


def test_no_pass_if_samples_of_an_open_batch_found_a_longer_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = evidence(**SHORT)
    batches = first, evidence(**UNANSWERED), evidence(**SHORT)
    verdict, _ = judged(monkeypatch, *batches, budget=1.0)
    assert verdict.outcome == "inconclusive"
    assert verdict.reason == (
        "the machine is too busy for a verdict: its longest hold of the GIL lasts 10 ms to"
        " 82 ms; asked for: at most 50 ms"
    )


def test_no_pass_if_most_calls_leave_it_open(monkeypatch: pytest.MonkeyPatch) -> None:
    verdict, counts = judged(monkeypatch, evidence(**OPEN), budget=0.5)
    assert verdict.outcome == "inconclusive"
    assert isinstance(verdict.evidence, LongestHoldEvidence)
    assert verdict.evidence.left_out == sum(counts[1:])


@pytest.mark.parametrize(
    ("batch", "reason"),
    [
        (
            evidence(UNKNOWN, of=usage_of(sums(50, 150), sites_missing="it is off")),
            "the code that held the GIL is unknown, since it is off: ",
        ),
        (evidence(Estimate(0.01, 0.0, 0.08)), "another thread held the GIL, or it went "),
        (
            evidence(unanswered=0.0, knows_cpu_waits=False),
            "Linux does not say here how long threads wait for a CPU: ",
        ),
        (evidence(Estimate(0.051, 0.0505, 0.052), unanswered=0.045), "the limit is too "),
        (evidence(**UNANSWERED), "the machine is too busy for a verdict: "),
    ],
)
def test_inconclusive_verdicts_have_reasons(
    monkeypatch: pytest.MonkeyPatch, batch: LongestHoldEvidence, reason: str
) -> None:
    verdict, _ = judged(monkeypatch, batch, budget=0.5)
    assert verdict.outcome == "inconclusive"
    assert verdict.reason.startswith(reason)
    assert verdict.reason.endswith("; asked for: at most 50 ms")
    assert not verdict.advice


def test_failure_names_the_line_of_the_longest_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    most = found(900, line=40, hold_low=ms(9), hold_high=ms(10), hold_samples=9)
    longest = found(80, hold_low=ms(79), hold_high=ms(81), hold_samples=80)
    other = found(90, line=44, place=1, hold_low=ms(90), hold_high=ms(91), hold_samples=9)
    usage = usage_with(most, longest, other, held=980, free=20, texts={41: "sort(rows)"})
    verdict, _ = judged(monkeypatch, evidence(of=usage))
    assert verdict.reason == (
        "holds the GIL for 80 ms at a time (79 ms to 81 ms), in nowhere/features.py:41"
        " `sort(rows)`; asked for: at most 50 ms"
    )


def test_failure_names_no_line_that_several_threads_ran(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = found(80, place=-1, hold_low=ms(79), hold_high=ms(81), hold_samples=80)
    usage = usage_with(both, held=980, free=20)
    verdict, _ = judged(monkeypatch, evidence(of=usage))
    assert "features.py" not in verdict.reason


def test_failure_by_garbage_collection_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = collector(80, hold_low=ms(79), hold_high=ms(81), hold_samples=80)
    usage = usage_with(site, held=980, free=20)
    verdict, _ = judged(monkeypatch, evidence(of=usage))
    assert ", in the garbage collector; asked for" in verdict.reason
    assert verdict.advice.startswith(
        "the hold is a garbage collection, which never releases"
    )


@pytest.mark.parametrize(
    "error", [NoGilError("without a GIL"), WatchUnavailableError("an unknown version")]
)
def test_without_a_watch(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise error

    monkeypatch.setattr(longest_hold_verdict, "watch_with_callers", refuse)
    verdict = testing.judge_longest_hold(sum, [])
    assert verdict.outcome == "inconclusive"
    without_gil = isinstance(error, NoGilError)
    assert verdict.reason == str(error) or (without_gil and "stop" in verdict.reason)
    assert Verdict.from_json(verdict.to_json()) == verdict
    with pytest.raises(testing.Inconclusive, match=r"without a GIL|unknown version"):
        testing.assert_longest_hold(sum, [])
    with pytest.raises(ZeroDivisionError) as raised:
        testing.judge_longest_hold(divmod, 1, 0)
    assert raised.value.__context__ is None


@pytest.mark.parametrize("name", ["limit", "longest_gap", "left_out"])
def test_json_with_impossible_evidence_is_refused(name: str) -> None:
    change: dict[str, Any] = {name: -1}
    made = evidence(**change)
    verdict = Verdict("fail", "it was so", made, "longest_hold", "f", 0.5)
    with pytest.raises(ArgumentError, match=rf"text\.evidence\.{name}: .* got -1"):
        Verdict.from_json(verdict.to_json())


@pytest.mark.parametrize(
    ("at_most", "got"),
    [(0, "0"), (0.0099, "0.0099"), (-1, "-1"), (1e6, "1e\\+06"), (math.inf, "inf")],
)
def test_bad_limits(at_most: float, got: str) -> None:
    message = f"at_most: expected 0.01 to 86400 seconds, got {got}"
    with pytest.raises(ArgumentError, match=message):
        testing.assert_longest_hold(sum, [], at_most=at_most)


@pytest.mark.parametrize("at_most", ["1", None, math.nan])
def test_limits_that_are_no_numbers(at_most: Any) -> None:
    with pytest.raises(ArgumentError, match="at_most: expected "):
        testing.assert_longest_hold(sum, [], at_most=at_most)


def test_pauses_of_the_process_do_not_make_a_hold_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A late sample may be that of a process that was stopped."""

    @contextmanager
    def requests(_period: float) -> Iterator[RequestTimer]:
        timer = RequestTimer(_period)
        timer.longest, timer.unanswered, timer.knows_cpu_waits = 0.09, 0.08, True
        yield timer

    usage = replace(usage_of(sums(50, 150)), longest_hold=HOLD, lateness_max=0.03)
    watching = SimpleNamespace(usage_of_calls=lambda count: replace(usage, repeats=count))
    monkeypatch.setattr(
        longest_hold_verdict, "watch_with_callers", lambda: nullcontext(watching)
    )
    monkeypatch.setattr(longest_hold_verdict, "RequestTimer", requests)
    monkeypatch.setattr(
        longest_hold_verdict, "stolen_seconds", iter((1.0, 1.01)).__next__
    )
    batch = watched_holds(PreparedCall(sum, ([],), None), 0.05, 1e-9)
    assert batch.unanswered == pytest.approx(0.04)
    assert batch.longest_gap == 0.09
    # No hold is longer than a call.
    assert batch.longest_call < 0.09
    assert batch.longest_hold.high <= max(batch.longest_call, 0.005)
