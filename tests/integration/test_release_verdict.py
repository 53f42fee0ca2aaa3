"""Verdicts on the GIL. A busy machine may make them inconclusive, and never wrong."""

from __future__ import annotations

import gc
import time
from dataclasses import replace
from functools import partial, reduce
from operator import add
from typing import Any

import pytest

import gilx
from gilx import ckernels, testing
from gilx._compat import gil_enabled
from gilx.errors import NoGilError, WatchUnavailableError
from gilx.estimate import Estimate
from gilx.sampling.hold_fraction import hold_side
from gilx.speedup.prepared_call import PreparedCall
from gilx.testing import ReleaseEvidence, release_verdict
from gilx.testing.release_verdict import (
    judge_hold,
    judge_release,
    nothing_watched,
    watch_until_clear,
)
from tests.first_call import compiled_on_first_use
from tests.markers import needs_no_gil, needs_verdicts
from tests.trying import first_that
from tests.unit.hold_sums import sums, usage_of

HOLDS = partial(ckernels.spin, 1_000_000, 0, 20_000_000)
SLEEPS = partial(time.sleep, 0.02)
RELEASES = partial(ckernels.spin, 0, 1_000_000, 20_000_000)
HALF = partial(ckernels.spin, 500_000, 500_000, 20_000_000)


@pytest.mark.parametrize(
    ("held", "limit", "side"),
    [
        (Estimate(0.02, 0.0, 0.05), 0.1, -1),
        (Estimate(0.5, 0.45, 0.55), 0.1, 1),
        (Estimate(0.09, 0.05, 0.12), 0.1, 0),
        (Estimate(0.09, 0.08, 0.099), 0.1, 0),  # the watch itself errs by more than that
        (Estimate.unknown(), 0.1, 0),
        (Estimate(1.0, 0.96, 1.0), 1.0, 0),
    ],
)
def test_sides_of_a_limit(held: Estimate, limit: float, side: int) -> None:
    assert hold_side(held, limit) == side


def test_evidence_has_the_bounds_of_its_usage_at_its_level() -> None:
    usage = usage_of(sums(held=20, free=980))
    found = replace(nothing_watched(0.1, ""), usage=usage, level=0.999)
    assert found.held == usage.bounds(0.999)
    assert found.held.high > usage.bounds(0.95).high
    assert found.side == -1
    assert replace(found, reason="too short").side == 0
    assert replace(found, limit=0.001).side == 1
    assert nothing_watched(0.1, "").side == 0


@needs_verdicts
@pytest.mark.parametrize("call", [SLEEPS, RELEASES])
def test_what_releases_is_never_said_to_hold(call: Any) -> None:
    assert judge_release(call, budget=2).outcome != "fail"
    assert judge_hold(call, budget=2).outcome != "pass"


@needs_verdicts
@pytest.mark.parametrize("call", [HOLDS, partial(sum, range(100_000))])
def test_what_holds_is_never_said_to_release(call: Any) -> None:
    assert judge_release(call, budget=2).outcome != "pass"
    assert judge_hold(call, budget=2).outcome != "fail"


@needs_verdicts
def test_half_is_neither() -> None:
    assert judge_release(HALF).outcome != "pass"
    assert judge_hold(HALF).outcome != "pass"
    assert judge_release(HALF, at_least=0.2).outcome != "fail"


@needs_verdicts
def test_a_failure_says_what_to_look_at() -> None:
    found = judge_release(HOLDS)
    if found.outcome == "inconclusive":
        pytest.skip(found.reason)
    word = "releases the GIL" if gil_enabled() else "is detached"
    assert f"{word} for" in found.reason
    assert "asked for: at least 90 %" in found.reason
    assert "Py_BEGIN_ALLOW_THREADS" in found.advice


@needs_verdicts
def test_a_call_that_takes_the_whole_budget_is_made_once() -> None:
    made: list[float] = []

    def slow() -> None:
        made.append(0)
        time.sleep(0.3)

    found = judge_release(slow, budget=0.05)
    assert made == [0]
    assert isinstance(found.evidence, ReleaseEvidence)
    assert found.evidence.usage is not None
    assert found.evidence.usage.repeats == 1
    assert found.outcome != "fail"
    assert found.notes[-1].startswith("only the first call was watched")


@needs_verdicts
def test_a_long_first_call_says_nothing_of_the_length_of_others() -> None:
    def judged() -> ReleaseEvidence:
        found = judge_release(compiled_on_first_use(0.5, 0.002), budget=3).evidence
        assert isinstance(found, ReleaseEvidence)
        assert found.first_seconds >= 0.5
        return found

    def is_right(found: ReleaseEvidence) -> bool:
        # Stages are as long as they should be, not one call each: looks are spent on them.
        # On a busy machine, calls take longer.
        return (
            found.usage is not None
            and found.usage.repeats >= 40 * (found.stages - 1)
            and found.held.interval[0] < 0.1
        )

    first_that(is_right, judged)


@needs_verdicts
def test_a_result_that_is_kept_is_noticed() -> None:
    kept: list[bytes] = []

    def cached() -> None:
        time.sleep(0.001 if kept else 0.5)
        kept.append(b"")

    notes = judge_release(cached).notes
    assert any("if it keeps its result, give a setup that" in note for note in notes)


@needs_verdicts
@pytest.mark.parametrize("seconds", [0.0002, 0.03])
def test_fresh_arguments_for_every_call(seconds: float) -> None:
    made: list[int] = []

    def setup() -> tuple[int]:
        made.append(len(made))
        return (made[-1],)

    used: list[int] = []

    def use(what: str, number: int) -> None:
        assert what == "x"
        used.append(number)
        time.sleep(seconds)

    found = judge_release(use, "x", setup=setup, budget=0.5)
    assert found.outcome != "fail"
    assert sorted(used) == sorted(set(used))
    assert set(used) <= set(made)


@needs_verdicts
def test_evidence_is_of_all_watches_after_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[gilx.Watch] = []

    def recorded(*, needs_gil: bool) -> gilx.Watch:
        assert not needs_gil
        made.append(gilx.watch())
        return made[-1]

    monkeypatch.setattr(release_verdict, "watch_with_callers", recorded)
    call = PreparedCall(time.sleep, (0.0002,), lambda: ())
    found = watch_until_clear(call, 0.1, 5.0)
    assert found.usage is not None
    first, *others = (watch.usage for watch in made)
    assert len(others) > 1
    assert found.first_seconds == first.wall
    assert found.usage.sums == reduce(add, (usage.sums for usage in others))
    assert found.call_seconds == found.usage.wall / found.usage.repeats


@needs_verdicts
def test_every_further_look_has_less_error_to_spend(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ReleaseEvidence, "side", 0)
    monkeypatch.setattr(release_verdict, "_STAGE", 0.02)
    found = watch_until_clear(PreparedCall(time.sleep, (0.001,), None), 0.1, 0.5)
    assert found.stages >= 3
    assert found.level == 1 - 1e-3 / (found.stages * (found.stages + 1))
    spent = sum(1e-3 / (k * (k + 1)) for k in range(1, 100_000))
    assert spent < 1e-3


@pytest.mark.parametrize(
    "error", [NoGilError("without a GIL"), WatchUnavailableError("an unknown version")]
)
def test_without_a_watch(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*, needs_gil: bool) -> None:
        assert not needs_gil
        raise error

    monkeypatch.setattr(release_verdict, "watch_with_callers", refuse)
    found = judge_release(time.sleep, 0.001)
    assert found.outcome == "inconclusive"
    assert found.reason == str(error)
    with pytest.raises(testing.Inconclusive, match=str(error)):
        testing.assert_holds_gil(time.sleep, 0.001)


def test_what_a_call_raises_without_a_watch_is_all_that_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*, needs_gil: bool) -> None:
        assert not needs_gil
        raise WatchUnavailableError("an unknown version")

    monkeypatch.setattr(release_verdict, "watch_with_callers", refuse)
    with pytest.raises(ZeroDivisionError) as raised:
        judge_release(divmod, 1, 0)
    assert raised.value.__context__ is None


@needs_no_gil
@needs_verdicts
def test_without_a_gil_attached_time_is_judged() -> None:
    found = judge_release(HOLDS)
    if found.outcome == "inconclusive":
        pytest.skip(found.reason)
    assert "is detached for" in found.reason
    assert "Py_BEGIN_ALLOW_THREADS" in found.advice
    assert isinstance(found.evidence, ReleaseEvidence)
    assert found.evidence.without_gil
    assert found.evidence.usage is not None
    assert found.evidence.usage.attached.value > 0.5
    assert not found.evidence.usage.held.known
    assert testing.Verdict.from_json(found.to_json()) == found
    assert "is attached for" in judge_hold(RELEASES).reason


@needs_no_gil
@needs_verdicts
def test_call_that_stops_all_threads_is_named() -> None:
    kept: list[list[int]] = [[] for _ in range(200_000)]
    found = judge_release(gc.collect)
    assert found.outcome != "pass"
    if found.outcome == "fail":
        assert "gc.freeze()" in found.advice
    assert len(kept) == 200_000
