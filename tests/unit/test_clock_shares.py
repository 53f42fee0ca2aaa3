"""Shares of threads without a GIL: clocks say how long, samples divide."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import gilx
from gilx.sampling.ratio_interval import Ratio
from gilx.sampling.thread_usage import (
    ActivitySums,
    ThreadSums,
    ThreadUsage,
    in_order,
    shares_in_words,
)
from tests.unit.hold_sums import SLICE, sums, usage_of

pytestmark = [pytest.mark.any_python, pytest.mark.concurrent_callers]

_NOTHING = Ratio(*(0.0,) * 8)
COUNT = 1000
WATCH = sums(0, COUNT, own=_NOTHING, locked=_NOTHING, waiters=_NOTHING)
SHARES = (
    *("running", "detached", "waiting_lock", "waiting_cpu", "system_call", "stopped"),
)


def found(count: float) -> ActivitySums:
    square = float(SLICE) ** 2
    return ActivitySums(count * SLICE, count * square, count * square, square)


def thread(ran: float, waited: float | None, ready: float, **counts: Any) -> ThreadUsage:
    """Return a thread by what its clocks say, and by how often it was found doing what."""
    whole = float(COUNT * SLICE)
    activities: dict[str, Any] = {name: found(count) for name, count in counts.items()}
    made = ThreadSums(
        alive=whole,
        known=whole,
        squares=COUNT * float(SLICE) ** 2,
        cpu_wait=None if waited is None else waited * whole,
        calls=True,
        clock_span=whole,
        ran=ran * whole,
        ready=ready * whole,
        **activities,
    )
    return ThreadUsage.of("worker", 7, made, WATCH)


def test_watch_without_a_gil_is_known_by_its_sums() -> None:
    assert WATCH.without_gil
    assert not sums(1, 9).without_gil
    assert WATCH.reason == ""


def test_shares_add_up_to_what_the_clocks_say() -> None:
    usage = thread(
        *(0.6, 0.1, 0.7), on_cpu=300, detached=200, spinning=100, waiting_lock=60,
        stopped=90, sleeping=120, reading=30,
    )  # fmt: skip
    values = {name: getattr(usage, name).value for name in SHARES}
    assert values == pytest.approx({
        "running": 0.3, "detached": 0.2, "waiting_lock": 0.1 + 0.06, "waiting_cpu": 0.1,
        "system_call": 0.15, "stopped": 0.09,
    })  # fmt: skip
    assert sum(values.values()) == pytest.approx(1)
    for name in SHARES:
        share = getattr(usage, name)
        assert 0 <= share.low <= share.value <= share.high <= 1
    assert not usage.holding.known
    assert not usage.waiting_gil.known


def test_samples_do_not_change_what_the_clocks_say() -> None:
    usage = thread(0.9, 0.0, 0.85, on_cpu=10, waiting_lock=990)
    assert usage.running.value == pytest.approx(0.9)
    assert usage.waiting_lock.value == pytest.approx(0.1)


def test_intervals_are_wide_where_samples_and_clocks_disagree() -> None:
    few = thread(0.9, 0.0, 0.6, on_cpu=400, spinning=200, waiting_lock=100)
    assert few.running.value == pytest.approx(0.6)
    assert few.running.low == 0
    assert few.running.high == pytest.approx(0.9)
    agreeing = thread(0.9, 0.0, 0.88, on_cpu=400, spinning=200, waiting_lock=100)
    assert agreeing.running.low > 0.5
    # There is nothing to divide.
    assert few.waiting_lock.low > 0.08


def test_wait_for_a_cpu_at_the_lock_of_an_object_is_one_for_the_lock() -> None:
    before = thread(0.4, 0.5, 0.9, on_cpu=400, waiting_lock=100)
    assert before.waiting_cpu.interval == (0.5, 0.5)
    standing = replace(
        before.sums,
        without_cpu=480.0 * SLICE,
        without_cpu_squares=480.0 * SLICE**2,
        spun_without_cpu=found(240),
    )
    usage = ThreadUsage.of("worker", 7, standing, WATCH)
    assert usage.waiting_cpu.value == pytest.approx(0.25)
    assert 0.2 < usage.waiting_cpu.low < 0.25 < usage.waiting_cpu.high < 0.3
    assert usage.waiting_lock.value == pytest.approx(0.1 + 0.25)
    assert usage.waiting_lock.low < 0.35 < usage.waiting_lock.high
    assert usage.agrees(WATCH)
    values = (getattr(usage, name).value for name in SHARES)
    assert sum(values) == pytest.approx(1)


def test_parts_of_one_time_are_not_more_than_that_together() -> None:
    usage = thread(
        *(0.05, 0.0, 0.9), on_cpu=30, spinning=20, sleeping=300, reading=300,
        polling=300, waiting_lock=50,
    )  # fmt: skip
    assert usage.system_call.low < usage.system_call.value
    assert usage.system_call.high == pytest.approx(0.95)
    assert usage.waiting_lock.high == pytest.approx(1)


def test_wait_for_a_cpu_that_is_not_known_leaves_the_rest_unknown() -> None:
    usage = thread(0.5, None, 0.5, on_cpu=500, sleeping=500)
    assert usage.running.value == pytest.approx(0.5)
    for name in ("waiting_cpu", "system_call", "stopped", "waiting_lock"):
        assert not getattr(usage, name).known


def test_time_without_a_sample_is_not_guessed() -> None:
    usage = thread(0.4, 0.0, 0.4, on_cpu=400)
    assert not usage.system_call.known
    assert not usage.stopped.known
    little = thread(0.95, 0.0, 0.95, on_cpu=950)
    assert little.stopped.value == 0
    assert little.stopped.high == pytest.approx(0.05)


def test_thread_without_clocks_is_unknown() -> None:
    usage = ThreadUsage.of("worker", 7, ThreadSums(alive=5.0, known=5.0), WATCH)
    assert not any(getattr(usage, name).known for name in SHARES)


def test_thread_that_was_there_for_a_part_has_less_than_the_whole() -> None:
    whole = thread(0.5, 0.0, 0.5, on_cpu=500, sleeping=500).sums
    usage = ThreadUsage.of("worker", 7, replace(whole, alive=whole.alive / 4), WATCH)
    assert usage.running.value == pytest.approx(0.125)
    assert usage.system_call.value == pytest.approx(0.125)


def test_words_are_those_of_a_python_without_a_gil() -> None:
    usage = thread(0.6, 0.1, 0.7, on_cpu=300, detached=300, stopped=300)
    assert str(usage) == (
        "30 % running attached, 30 % running detached, 30 % waiting for the world,"
        " 10 % waiting for a CPU"
    )


def test_shares_that_are_unknown_are_not_nothing() -> None:
    assert str(thread(0.0, 0.0, 0.0, sleeping=0)) == "unknown"
    ran = thread(0.4, 0.0, 0.4, on_cpu=400)
    assert str(ran) == "40 % running attached, the rest unknown"
    empty = ThreadUsage.of("worker", 7, ThreadSums(alive=5.0, known=5.0), WATCH)
    assert shares_in_words(empty, without_gil=True) == "unknown"
    usage = usage_of(WATCH, by_thread=(empty,))
    assert "\n  thread worker: unknown\n" in str(usage)


def crowd() -> tuple[ThreadUsage, ...]:
    """Return the main thread, 20 that nearly always sleep, and one that computes."""
    lazy = thread(0.01, 0.0, 0.01, on_cpu=10, sleeping=990).sums
    hot = thread(0.9, 0.0, 0.9, on_cpu=900, sleeping=100).sums
    idle = thread(0.0, 0.0, 0.0, sleeping=1000).sums
    names = ["main", *(f"lazy {number}" for number in range(20)), "hot"]
    found = [idle, *[lazy] * 20, hot]
    return in_order(
        [
            (name, place, one)
            for place, (name, one) in enumerate(zip(names, found, strict=True))
        ],
        WATCH,
    )


def test_most_active_thread_comes_first() -> None:
    assert [one.name for one in crowd()[:3]] == ["main", "hot", "lazy 0"]


@pytest.mark.parametrize(("program", "mean"), [("", "1.0"), ("work.py", "0.9")])
def test_threads_that_are_not_shown_one_by_one_are_shown_on_average(
    program: str, mean: str
) -> None:
    text = str(usage_of(WATCH, by_thread=crowd(), program=program))
    assert "thread hot: 90 % running attached, 10.0 % sleeping" in text
    assert f"10 other threads, on average: {mean} % running attached, 99." in " ".join(
        text.split()
    )
    assert "holding" not in text


def test_watch_without_samples_has_no_words_on_a_gil() -> None:
    nothing = replace(WATCH, counted=0.0, samples=0)
    unknown = ThreadUsage.of("worker", 7, ThreadSums(), nothing)
    usage = usage_of(WATCH, by_thread=(unknown,), backend="thread states")
    usage = replace(usage, sums=nothing, inconclusive_reason=nothing.reason)
    text = str(usage)
    assert text.startswith("inconclusive: too short: 0 good samples")
    assert "\n  thread worker: unknown\n" in text
    for words in ("held", "hold", "switches", "GIL"):
        assert words not in text
    assert "longest hold: " in str(replace(usage, backend="internal headers"))


def test_usage_agrees_with_its_sums_only() -> None:
    usage = thread(0.6, 0.1, 0.7, on_cpu=300, detached=300, stopped=300)
    assert usage.agrees(WATCH)
    assert not replace(usage, stopped=gilx.Estimate(0.5, 0.4, 0.6)).agrees(WATCH)
    assert not replace(usage, sums=replace(usage.sums, ran=-1.0)).agrees(WATCH)


def test_sums_of_two_watches_add_up() -> None:
    one = thread(0.6, 0.1, 0.7, on_cpu=300, sleeping=300).sums
    both = one + one
    assert (both.clock_span, both.ran) == (2 * one.clock_span, 2 * one.ran)
    assert both.cpu_wait == 2 * (one.cpu_wait or 0)
    assert (one + replace(one, cpu_wait=None)).cpu_wait is None
    assert not both.idle
    assert in_order([("a", 1, one)], WATCH)[0].running.value == pytest.approx(0.6)
