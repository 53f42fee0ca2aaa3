"""Verdicts: what they are, how they raise, and what arguments are refused."""

from __future__ import annotations

import pickle
import textwrap
import time
import unittest
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gilx import GilUsage, testing
from gilx.errors import ArgumentError
from gilx.sampling.usage_advice import GIL_TURNED_ON
from gilx.speedup.prepared_call import PreparedCall
from gilx.system.environment import usable_cpus
from gilx.testing import (
    Failure,
    Inconclusive,
    ScalingEvidence,
    Verdict,
    release_verdict,
)
from gilx.testing.release_verdict import nothing_watched
from tests.command import run_python
from tests.markers import needs_gil
from tests.unit.hold_sums import sums, usage_of
from tests.unit.made_up_sites import found, usage_with

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.concurrent_callers

CHECKS = [
    testing.assert_releases_gil,
    testing.assert_holds_gil,
    testing.assert_longest_hold,
    testing.assert_scales,
    testing.judge_release,
    testing.judge_hold,
    testing.judge_longest_hold,
    testing.judge_scaling,
]
# Those that ask for a share.
SHARES = [check for check in CHECKS if "longest" not in check.__name__]
TOO_MANY = usable_cpus() + 1


def verdict(outcome: Any) -> Verdict:
    return Verdict(
        outcome, "it was so", nothing_watched(0.1, ""), "releases_gil", "f", 0.5, "a bug"
    )


def test_what_passed_is_returned() -> None:
    assert testing.insist(verdict("pass")) == verdict("pass")


def test_a_failure_has_all_of_the_verdict() -> None:
    with pytest.raises(AssertionError, match=r"f: fail: it was so\n  likely: a bug") as e:
        testing.insist(verdict("fail"))
    assert isinstance(e.value, Failure)
    assert e.value.verdict == verdict("fail")


def test_what_can_not_be_told_is_skipped() -> None:
    with pytest.raises(Inconclusive, match="f: inconclusive: it was so") as e:
        testing.insist(verdict("inconclusive"))
    assert isinstance(e.value, unittest.SkipTest)
    assert e.value.verdict == verdict("inconclusive")


@pytest.mark.parametrize("outcome", ["fail", "inconclusive"])
def test_what_is_raised_can_be_sent(outcome: str) -> None:
    """As it is by plugins that run tests in other processes."""
    with pytest.raises((Failure, Inconclusive)) as e:
        testing.insist(verdict(outcome))
    again = pickle.loads(pickle.dumps(e.value))
    assert str(again) == str(e.value)
    assert again.verdict == verdict(outcome)


@pytest.mark.parametrize(
    "found",
    [
        verdict("pass"),
        testing.judge_scaling(int, workers=TOO_MANY),
        testing.judge_release(sum, range(10_000), budget=0.1),
    ],
)
def test_json_and_back(found: Verdict) -> None:
    assert Verdict.from_json(found.to_json()) == found


@pytest.mark.parametrize(
    "change",
    [
        ('"pass"', '"perhaps"'),
        ('"limit": 0.1', '"limit": "low"'),
    ],
)
def test_other_json_is_refused(change: tuple[str, str]) -> None:
    text = verdict("pass").to_json().replace(*change)
    assert text != verdict("pass").to_json()
    with pytest.raises(ArgumentError, match="text"):
        Verdict.from_json(text)


@pytest.mark.parametrize("scaling", [False, True])
def test_evidence_with_a_usage_of_no_calls_is_refused(*, scaling: bool) -> None:
    evidence = replace(nothing_watched(0.1, ""), level=0.999, usage=usage_of(sums(5, 95)))
    found = replace(verdict("pass"), evidence=evidence)
    where = "text.evidence"
    if scaling:
        of_threads = testing.judge_scaling(int, workers=TOO_MANY).evidence
        assert isinstance(of_threads, ScalingEvidence)
        found = replace(found, evidence=replace(of_threads, release=evidence))
        where = "text.evidence.release"
    text = found.to_json()
    assert Verdict.from_json(text) == found
    text = text.replace('"repeats": 1', '"repeats": 0')
    with pytest.raises(ArgumentError, match=rf"{where}\.usage\.repeats: .* got 0"):
        Verdict.from_json(text)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"budget": 0}, "budget: expected above 0"),
        ({"setup": 1}, "setup: expected something to call, got 1"),
        ({"setup": lambda: 1}, "setup: expected it to return a tuple of arguments"),
    ],
)
def test_bad_arguments(
    check: Callable[..., Verdict], arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        check(int, **arguments)


@pytest.mark.parametrize("check", CHECKS)
def test_what_can_not_be_called(check: Callable[..., Verdict]) -> None:
    with pytest.raises(ArgumentError, match="fn: expected something to call, got 3"):
        check(3)


@pytest.mark.parametrize("check", SHARES)
@pytest.mark.parametrize("share", [0, -0.1, 1.01])
def test_thresholds(check: Callable[..., Verdict], share: Any) -> None:
    name = "efficiency" if "scal" in check.__name__ else "at_least"
    with pytest.raises(ArgumentError, match=f"{name}: expected"):
        check(int, **{name: share})


@pytest.mark.parametrize("workers", [1, 0, -2, 1.5, "2", True])
def test_fewer_than_two_workers(workers: Any) -> None:
    with pytest.raises(ArgumentError, match="workers: expected"):
        testing.assert_scales(int, workers=workers)


@pytest.mark.parametrize("check", CHECKS)
def test_what_it_raises_comes_through(check: Callable[..., Verdict]) -> None:
    with pytest.raises(ValueError, match="invalid literal") as e:
        check(int, "x")
    assert e.value.__notes__ == ["gilx: raised while int was called to be judged"]


def test_calls_have_fresh_arguments() -> None:
    made: list[object] = []
    numbers = iter(range(100))
    call = PreparedCall(
        lambda *given: made.append(given), ("a",), lambda: (next(numbers), "b")
    )
    call.prepare(3)
    call.prepare(2)
    for _ in range(3):
        call.make()
    assert sorted(made, key=str) == [("a", i, "b") for i in range(3)]


def test_a_call_with_a_setup_can_be_sent() -> None:
    call = PreparedCall(divmod, (17,), partial(tuple, [5]))
    call.prepare(1)
    make, prepare = pickle.loads(pickle.dumps((call.make, partial(call.prepare, 2))))
    prepare()
    assert [make(), make()] == [(3, 2), (3, 2)]
    with pytest.raises(IndexError):
        make()


def test_more_workers_than_cpus() -> None:
    found = testing.judge_scaling(sum, range(10), workers=TOO_MANY)
    assert found.outcome == "inconclusive"
    assert f"{TOO_MANY} workers need {TOO_MANY} CPUs" in found.reason


UNITTEST = """
import unittest
from gilx.testing import assert_scales

class Test(unittest.TestCase):
    def test_skipped(self):
        assert_scales(sum, range(10), workers=100_000)

unittest.main()
"""


def test_unittest_skips_what_is_inconclusive(tmp_path: Path) -> None:
    script = tmp_path / "case.py"
    script.write_text(textwrap.dedent(UNITTEST))
    done = run_python(script, timeout=60, check=True)
    assert "OK (skipped=1)" in done.stderr


def test_the_module_loads_no_numpy() -> None:
    code = "import gilx.testing, sys; sys.exit('numpy' in sys.modules)"
    run_python("-c", code, check=True, timeout=60)


def watch_of(usage: GilUsage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every watch of the assertions find that usage."""
    watching = SimpleNamespace(usage_of_calls=lambda count: replace(usage, repeats=count))
    monkeypatch.setattr(
        release_verdict, "watch_with_callers", lambda **_: nullcontext(watching)
    )


@pytest.mark.thread_unsafe(reason="replaces the watch")
def test_failure_names_three_lines_if_none_holds_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sites = [found(180, line=n, end_line=n) for n in range(41, 46)]
    watch_of(usage_with(*sites, held=900, free=100), monkeypatch)
    verdict = testing.judge_release(time.sleep, 0.001, budget=0.2)
    assert verdict.reason.endswith(
        "; it holds the GIL for the rest, spread over 5 lines"
        " (20 % in nowhere/features.py:41, 20 % in nowhere/features.py:42,"
        " 20 % in nowhere/features.py:43)"
    )


@needs_gil
@pytest.mark.thread_unsafe(reason="replaces the watch")
def test_failure_to_scale_names_the_line(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = usage_with(found(990), held=990, free=10, texts={41: "row.tolist()"})
    watch_of(usage, monkeypatch)
    verdict = testing.judge_scaling(time.sleep, 0.001, workers=2, budget=0.5)
    assert verdict.outcome == "fail"
    assert (
        "), nearly all of it in nowhere/features.py:41 `row.tolist()`; so 2 threads are"
    ) in verdict.reason
    assert verdict.reason.endswith("(asked for: 1.6 times)")


@pytest.mark.thread_unsafe(reason="replaces the watch")
def test_failure_names_the_line_that_holds_the_gil(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usage = usage_with(found(900), held=900, free=100, texts={41: "row.tolist()"})
    watch_of(usage, monkeypatch)
    verdict = testing.judge_release(time.sleep, 0.001, budget=0.2)
    assert verdict.outcome == "fail"
    assert verdict.reason.endswith(
        "; asked for: at least 90 %; it holds the GIL for the rest, nearly all of it in"
        " nowhere/features.py:41 `row.tolist()`"
    )
    assert Verdict.from_json(verdict.to_json()) == verdict
    held = testing.judge_hold(time.sleep, 0.001, budget=0.2, at_least=0.95)
    assert held.outcome == "fail"
    assert "features.py" not in held.reason


def test_no_verdict_is_by_calls_that_turned_the_gil_on() -> None:
    usage = usage_of(sums(0, 1000))
    assert release_verdict._evidence(usage, 0.1, 1, 1e-3, 0.1).side < 0
    reason = f"{GIL_TURNED_ON} by the import of a"
    usage = replace(usage, inconclusive_reason=reason)
    evidence = release_verdict._evidence(usage, 0.1, 1, 1e-3, 0.1)
    assert (evidence.side, evidence.reason) == (0, reason)
