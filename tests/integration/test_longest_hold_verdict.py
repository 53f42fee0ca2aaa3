"""Verdicts on the longest hold. A busy machine may leave them open, and never wrong."""

from __future__ import annotations

import time
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any

import pytest

from gilx import ckernels, testing
from gilx.testing import LongestHoldEvidence, judge_longest_hold
from tests.first_call import compiled_on_first_use
from tests.markers import needs_no_gil, needs_watch
from tests.trying import first_that

if TYPE_CHECKING:
    from collections.abc import Callable

LONG = partial(ckernels.spin, 300_000_000, 0, 300_000_000)
SHORT = partial(ckernels.spin, 5_000_000, 5_000_000, 100_000_000)


def spins() -> None:
    ckernels.spin(300_000_000, 0, 300_000_000)


def counts() -> int:
    total = 0
    for number in range(2_000_000):
        total += number
    return total


def short_calls_without_a_variable() -> None:
    """Make calls between which nothing on the stack changes."""
    for _ in repeat(None, 100):
        ckernels.spin(2_000_000, 0, 2_000_000)


@needs_watch
@pytest.mark.parametrize("call", [LONG, spins])
def test_long_hold_never_passes(call: Callable[[], object]) -> None:
    verdict = judge_longest_hold(call)
    assert verdict.outcome != "pass"
    assert verdict.what == "longest_hold"
    evidence = verdict.evidence
    assert isinstance(evidence, LongestHoldEvidence)
    assert evidence.most >= 0.3


@needs_watch
@pytest.mark.parametrize(
    "call",
    [
        SHORT,
        counts,
        short_calls_without_a_variable,
        *(
            pytest.param(call, marks=pytest.mark.slow)
            for call in (
                partial(ckernels.spin, 3_000_000, 5_000, 200_000_000),
                partial(time.sleep, 0.1),
                int,
            )
        ),
    ],
)
def test_short_holds_never_fail(call: Callable[[], object]) -> None:
    verdict = judge_longest_hold(call, budget=2)
    assert verdict.outcome != "fail", verdict


@needs_watch
def test_limit_above_the_hold_never_fails() -> None:
    hold = partial(ckernels.spin, 60_000_000, 0, 60_000_000)
    verdict = first_that(
        lambda verdict: verdict.outcome != "inconclusive",
        lambda: judge_longest_hold(hold, at_most=2),
    )
    assert verdict.outcome == "pass"


@needs_watch
def test_call_that_takes_no_longer_than_the_limit_passes_on_any_machine() -> None:
    verdict = judge_longest_hold(time.sleep, 0.001, at_most=1000, budget=0.2)
    assert verdict.outcome == "pass"
    assert verdict.reason.startswith("no hold of the GIL lasts longer than ")
    assert verdict.reason.endswith("; asked for: at most 1e+03 s")


@needs_watch
def test_failure_names_the_line() -> None:
    verdict = judge_longest_hold(spins, budget=20)
    if verdict.outcome == "inconclusive":
        pytest.skip(verdict.reason)
    line = spins.__code__.co_firstlineno + 1
    assert f"test_longest_hold_verdict.py:{line} `ckernels.spin(" in verdict.reason
    assert "Py_BEGIN_ALLOW_THREADS" in verdict.advice
    with pytest.raises(testing.Failure, match="holds the GIL for"):
        testing.insist(verdict)


@needs_watch
def test_call_that_takes_the_whole_budget_is_made_once() -> None:
    made: list[int] = []

    def slow() -> None:
        made.append(0)
        time.sleep(0.3)

    verdict = judge_longest_hold(slow, budget=0.05)
    assert made == [0]
    assert verdict.outcome != "fail"
    assert verdict.notes[-1].startswith("only the first call was watched")


@needs_watch
def test_first_call_may_hold_the_gil_for_longer() -> None:
    held: list[int] = []

    def compiles_first() -> None:
        if not held:
            ckernels.spin(300_000_000, 0, 300_000_000)
        held.append(0)

    assert judge_longest_hold(compiles_first).outcome != "fail"
    evidence = judge_longest_hold(compiled_on_first_use(0.5, 0.002), budget=3).evidence
    assert isinstance(evidence, LongestHoldEvidence)
    assert evidence.first_seconds >= 0.5
    assert evidence.calls >= 10


@pytest.mark.slow
@needs_watch
def test_fresh_arguments_for_every_call() -> None:
    made: list[int] = []
    used: list[int] = []

    def setup() -> tuple[int]:
        ckernels.spin(60_000_000, 0, 60_000_000)  # its holds do not count
        made.append(len(made))
        return (made[-1],)

    def use(what: str, number: int) -> None:
        assert what == "x"
        used.append(number)
        time.sleep(0.02)

    verdict = judge_longest_hold(use, "x", setup=setup, budget=3)
    assert verdict.outcome != "fail"
    assert sorted(used) == sorted(set(used))
    assert set(used) <= set(made)


@needs_watch
def test_exception_of_the_call_comes_through() -> None:
    calls: list[int] = []

    def fails_later() -> None:
        calls.append(0)
        if len(calls) > 3:
            raise ZeroDivisionError("of the call")

    with pytest.raises(ZeroDivisionError, match="of the call") as raised:
        judge_longest_hold(fails_later)
    assert raised.value.__notes__ == [
        "gilx: raised while fails_later was called to be judged"
    ]


@needs_no_gil
@pytest.mark.parametrize("call", [LONG, partial(time.sleep, 0.001)])
def test_build_without_a_gil(call: Any) -> None:
    verdict = judge_longest_hold(call)
    assert verdict.outcome == "inconclusive"
    assert verdict.reason
