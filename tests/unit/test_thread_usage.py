"""Activities of threads: shares that follow from sums, and their sums."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

import gilx
from gilx.errors import ArgumentError
from gilx.sampling.thread_states import ACTIVITIES
from gilx.sampling.thread_usage import (
    ActivitySums,
    FoundThread,
    ThreadSums,
    ThreadUsage,
    in_order,
)
from tests.unit.hold_sums import SLICE, sums, thread_of, usage_of

if TYPE_CHECKING:
    from gilx import Estimate

pytestmark = [pytest.mark.any_python, pytest.mark.concurrent_callers]

WATCH = sums(0, 1000)
NAMES = (
    *("holding", "waiting_gil", "waiting_lock", "sleeping", "reading", "polling"),
    *("waiting_child", "other_call", "on_cpu", "off_cpu", "unknown"),
    *("detached", "spinning", "stopped"),
)
SHARES = [
    "holding",
    "waiting_gil",
    "waiting_lock",
    "waiting_cpu",
    "system_call",
    "running",
]


def samples(count: float) -> ActivitySums:
    """Return the sums of an activity that so many samples found, one after another."""
    square = float(SLICE) ** 2
    return ActivitySums(count * SLICE, count * square, count * square, square)


def thread(alive: int = 1000, **counts: Any) -> ThreadUsage:
    """Return a thread that was asked in each sample, by what was found how often."""
    known: dict[str, Any] = {
        "alive": alive * SLICE,
        "known": alive * SLICE,
        "squares": alive * SLICE**2,
        "calls": True,
        "gil_waits": True,
    }
    found = {
        name: samples(count) if name in NAMES else count for name, count in counts.items()
    }
    return ThreadUsage.of("worker", 7, ThreadSums(**(known | found)), WATCH)


def shares(usage: ThreadUsage) -> dict[str, float]:
    return {name: getattr(usage, name).value for name in SHARES}


def test_names_are_those_of_the_sampler() -> None:
    assert len(NAMES) == len(ACTIVITIES)
    numbers = tuple((float(i),) * 4 for i in range(len(NAMES)))
    found = FoundThread(1, 2.0, 3.0, 4.0, 5.0, 6, 7, numbers)
    made = ThreadSums.of(found, calls=True, gil_waits=False)
    assert [getattr(made, name).time for name in NAMES] == list(range(len(NAMES)))
    assert (made.alive, made.known, made.squares, made.held_off_cpu) == (2, 3, 4, 5)
    assert (made.cpu_wait, made.reads) == (6, 7)
    assert ThreadSums.of(found._replace(cpu_wait=-1), calls=True, gil_waits=False) == (
        replace(made, cpu_wait=None)
    )


def test_shares_are_parts_of_the_wall_time() -> None:
    usage = thread(
        holding=100, waiting_gil=200, waiting_lock=50, sleeping=300, reading=10,
        polling=20, waiting_child=30, other_call=40, on_cpu=250,
    )  # fmt: skip
    assert shares(usage) == pytest.approx({
        "holding": 0.1, "waiting_gil": 0.2, "waiting_lock": 0.05, "waiting_cpu": 0.0,
        "system_call": 0.4, "running": 0.25,
    })  # fmt: skip
    calls = usage.system_calls
    assert [getattr(calls, each.name).value for each in fields(calls)] == pytest.approx(
        [0.3, 0.01, 0.02, 0.03, 0.04]
    )
    for name in SHARES:
        share = getattr(usage, name)
        assert 0 <= share.low <= share.value < share.high <= 1
    assert str(usage) == (
        "10 % holding the GIL, 20 % waiting for it, 25 % running without it, 5.0 %"
        " waiting for another lock, 30 % sleeping, 1.0 % reading, 2.0 % polling, 3.0 %"
        " waiting for a process, 4.0 % in other system calls"
    )


def test_a_thread_that_was_there_for_a_part_has_less_than_the_whole() -> None:
    usage = thread(alive=250, sleeping=250)
    assert usage.system_call.value == pytest.approx(0.25)
    assert usage.system_call.high <= 0.25 + 1e-9


def test_what_a_thread_held_since_it_was_asked_counts_once() -> None:
    # It was asked last after 900 of 1000 slices, in 450 of which it had held, and held in
    # all of the rest.
    usage = thread(
        known=900.0 * SLICE,
        squares=900.0 * SLICE**2,
        holding=550,
        sleeping=405,
        on_cpu=45,
    )
    assert usage.holding.value == pytest.approx(0.55)
    assert usage.system_call.value == pytest.approx(0.405)
    assert usage.running.value == pytest.approx(0.045)
    assert sum(shares(usage).values()) == pytest.approx(1)


def test_thread_that_held_all_the_while_did_nothing_else() -> None:
    usage = thread(holding=1000, known=0.0, squares=0.0)
    assert usage.holding.value == 1
    assert [one for one in SHARES if getattr(usage, one).known] == ["holding"]
    usage = thread(holding=1000, sleeping=1)
    assert sum(shares(usage).values()) == pytest.approx(1)


def test_a_thread_that_was_asked_now_and_then_has_a_wider_interval() -> None:
    often = thread(waiting_gil=500, sleeping=500)
    square = (100.0 * SLICE) ** 2
    some = ActivitySums(500.0 * SLICE, 5 * square, 5 * square, 5 * square)
    seldom = thread(squares=10 * square)
    seldom = ThreadUsage.of(
        "worker", 7, replace(seldom.sums, waiting_gil=some, sleeping=some), WATCH
    )
    assert seldom.waiting_gil.value == often.waiting_gil.value == 0.5
    assert seldom.waiting_gil.low < often.waiting_gil.low
    assert seldom.waiting_gil.high > often.waiting_gil.high


@pytest.mark.parametrize(
    ("off", "held_off", "waited", "running", "waiting"),
    [
        (0, 0, None, 0.4, 0.0),
        (200, 0, 0, 0.6, 0.0),  # the sampler had taken its CPU
        (200, 0, 50, 0.55, 0.05),
        (200, 0, 200, 0.4, 0.2),
        (200, 0, 900, 0.4, 0.2),
        (200, 200, 100, 0.55, 0.05),  # half of the waits were in holds
        (0, 200, 100, 0.4, 0.0),
    ],
)
def test_waits_for_a_cpu_are_those_of_the_scheduler(
    off: int, held_off: int, waited: int | None, running: float, waiting: float
) -> None:
    usage = thread(
        holding=300,
        on_cpu=400,
        off_cpu=off,
        sleeping=300 - off,
        held_off_cpu=float(held_off * SLICE),
        cpu_wait=None if waited is None else float(waited * SLICE),
    )
    assert usage.running.value == pytest.approx(running)
    assert usage.waiting_cpu.value == pytest.approx(waiting)


def test_without_the_clock_of_the_scheduler_waits_for_a_cpu_are_unknown() -> None:
    usage = thread(on_cpu=400, off_cpu=200, sleeping=400)
    assert not usage.running.known
    assert not usage.waiting_cpu.known
    assert usage.system_call.value == 0.4


def test_what_linux_does_not_say_is_unknown() -> None:
    usage = thread(holding=300, unknown=700, calls=False, gil_waits=False)
    assert usage.holding.value == 0.3
    assert [name for name in SHARES if getattr(usage, name).known] == ["holding"]
    assert str(usage) == "30 % holding the GIL"
    # Python 3.15 says which threads wait for the GIL.
    usage = thread(holding=300, waiting_gil=100, unknown=600, calls=False)
    assert [name for name in SHARES if getattr(usage, name).known] == SHARES[:2]
    # The C library does not show for which lock a thread waits.
    usage = thread(holding=300, waiting_lock=100, sleeping=600, gil_waits=False)
    assert not usage.waiting_gil.known
    assert not usage.waiting_lock.known
    assert usage.system_call.value == 0.6


def test_unknown_time_widens_the_interval_of_everything_else() -> None:
    whole, part = thread(sleeping=1000), thread(sleeping=900, unknown=100)
    assert part.system_call.high == pytest.approx(whole.system_call.high, abs=0.02)
    assert part.waiting_gil.high > whole.waiting_gil.high + 0.09


def test_sums_of_threads_add_up_by_name_and_id() -> None:
    a = usage_of(WATCH, by_thread=(thread(waiting_gil=500, sleeping=500),))
    b = usage_of(WATCH, by_thread=(thread(alive=500, waiting_gil=500, cpu_wait=3.0),))
    (both,) = (a + b).by_thread
    assert both.waiting_gil.value == pytest.approx(0.5)
    assert both.system_call.value == pytest.approx(0.25)
    assert both.sums.cpu_wait == 3.0
    off = usage_of(WATCH, by_thread=(thread(off_cpu=1000),))
    assert (off + b).by_thread[0].sums.cpu_wait is None
    assert gilx.GilUsage.from_json((a + b).to_json()) == a + b


def test_a_thread_that_contradicts_its_sums_is_refused() -> None:
    for changes in (
        {"waiting_lock": thread(waiting_lock=20).waiting_lock},
        {"sums": ThreadSums(alive=-1.0)},
        {"sums": replace(thread().sums, sleeping=ActivitySums(math.inf))},
    ):
        one = replace(thread(waiting_lock=10), **changes)
        usage = usage_of(WATCH, by_thread=(one,))
        with pytest.raises(ArgumentError, match=r"text\.by_thread\[0\]: expected shares"):
            gilx.GilUsage.from_json(usage.to_json())


def test_threads_that_only_waited_come_last_and_are_a_hundred_at_most() -> None:
    draw = Random(1)
    idle = [
        (f"idle {number}", number, thread(alive=1 + draw.randrange(999), sleeping=1).sums)
        for number in range(200)
    ]
    busy = [("holds", 300, thread(holding=5).sums), ("ran", 301, thread(on_cpu=5).sums)]
    everyone = [("main", 1, thread(sleeping=1000).sums), *idle, *busy]
    found = in_order(everyone, WATCH)
    assert [one.name for one in found[:3]] == ["main", "holds", "ran"]
    lengths = [one.sums.alive for one in found[3:]]
    assert lengths == sorted((one[2].alive for one in idle), reverse=True)[:100]


def test_threads_that_only_waited_are_not_in_the_text() -> None:
    threads = (thread(holding=500), thread(sleeping=1000))
    text = str(usage_of(WATCH, by_thread=threads))
    assert text.count("\n  thread worker: ") == 1
    assert "activities" not in text
    asked = usage_of(sums(0, 1000, asked=100, askable=1000), by_thread=threads)
    words = "activities: the state of each thread was read in 10 % of the samples"
    assert words in str(asked)
    reason = "Linux does not say it"
    text = str(usage_of(WATCH, by_thread=threads, states_missing=reason))
    assert f"activities: unknown in part, since {reason}" in text


def test_estimates_of_unknown_threads_are_those_of_their_holds() -> None:
    one = thread_of(WATCH, "unknown", None, 0.25)
    known: dict[str, Estimate] = {name: getattr(one, name) for name in SHARES}
    assert [name for name, share in known.items() if share.known] == ["holding"]
