"""Sums of a monitor's threads by name."""

from __future__ import annotations

import pytest

from gilx.sampling.thread_totals import (
    ENDED,
    OTHERS,
    UNNAMED,
    FoundSums,
    FoundThread,
    NameSums,
    ThreadTotals,
    common_name,
)

pytestmark = pytest.mark.any_python

NOTHING: FoundSums = ((0.0,) * 4, (0.0,) * 4, 0.0, 0.0)


def sums(held: float, waited: float = 0.0) -> FoundSums:
    return ((held, 0.0, 0.0, 0.0), (waited, 0.0, 0.0, 0.0), 0.0, 0.0)


def held(found: dict[str, NameSums]) -> dict[str, float]:
    return {name: one.held.time for name, one in found.items()}


@pytest.mark.parametrize(
    ("name", "common"),
    [
        ("MainThread", "MainThread"),
        ("Thread-12", "Thread-*"),
        ("Thread-12 (work)", "Thread-* (work)"),
        ("ThreadPoolExecutor-3_17", "ThreadPoolExecutor-*"),
        ("Dummy-4", "Dummy-*"),
        ("worker-7", "worker-7"),
    ],
)
def test_numbers_that_python_gives_are_left_out(name: str, common: str) -> None:
    assert common_name(name) == common


def test_threads_of_one_name_are_added() -> None:
    totals = ThreadTotals(NameSums.of, NameSums())
    names = {10: "Thread-1 (work)", 11: "Thread-2 (work)", 12: "MainThread"}
    found = totals.update(
        [
            FoundThread(number, 10 + number, False, sums(number + 1.0))
            for number in range(3)
        ],
        NOTHING,
        names,
        {},
    )
    assert held(found) == {"Thread-* (work)": 3.0, "MainThread": 3.0}


def test_thread_that_did_nothing_is_not_listed() -> None:
    totals = ThreadTotals(NameSums.of, NameSums())
    idle = FoundThread(0, 10, False, sums(0.0))
    assert totals.update([idle], NOTHING, {10: "idle"}, {}) == {}


def test_thread_keeps_its_share_when_it_was_dropped() -> None:
    totals = ThreadTotals(NameSums.of, NameSums())
    totals.update([FoundThread(0, 10, False, sums(5.0))], NOTHING, {10: "a"}, {})
    found = totals.update([], sums(5.0), {}, {})
    assert held(found) == {"a": 5.0}
    # It had held for longer than was read; and others were never read.
    found = totals.update([], sums(9.0), {}, {})
    assert held(found) == {"a": 5.0, ENDED: 4.0}


def test_native_id_that_is_used_again_is_another_thread() -> None:
    totals = ThreadTotals(NameSums.of, NameSums())
    totals.update([FoundThread(0, 10, False, sums(5.0))], NOTHING, {10: "a"}, {})
    found = totals.update(
        [FoundThread(0, 10, True, sums(6.0)), FoundThread(1, 10, False, sums(1.0))],
        NOTHING,
        {10: "b"},
        {},
    )
    assert held(found) == {"a": 6.0, "b": 1.0}


def test_threads_without_a_name_have_a_common_one() -> None:
    totals = ThreadTotals(NameSums.of, NameSums())
    found = totals.update(
        [
            FoundThread(0, 10, False, sums(1.0)),
            FoundThread(1, 11, True, sums(2.0)),
            FoundThread(2, 12, True, sums(4.0)),
        ],
        NOTHING,
        {},
        {12: "known"},
    )
    assert held(found) == {UNNAMED: 1.0, ENDED: 2.0, "known": 4.0}


def test_number_of_names_is_limited() -> None:
    totals = ThreadTotals(NameSums.of, NameSums())
    found: dict[str, NameSums] = {}
    for number in range(1000):
        one = FoundThread(number, number, False, sums(1.0))
        found = {**totals.update([one], sums(float(number)), {number: f"n{number}"}, {})}
    assert len(found) <= 102
    assert sum(held(found).values()) == pytest.approx(1000)
    assert held(found)[OTHERS] > 800


def test_no_sum_decreases_while_threads_come_and_go() -> None:
    totals = ThreadTotals(NameSums.of, NameSums())
    before: dict[str, float] = {}
    dropped = 0.0
    for step in range(200):
        listed = range(step // 10, step // 5 + 1)  # the first ones are dropped
        threads = [
            FoundThread(number, number, number % 3 == 0, sums(float(step - number)))
            for number in listed
        ]
        if step % 10 == 0 and step:
            dropped += step - step // 10 + 1.0
        names = {number: f"Thread-{number}" for number in listed}
        now = held({**totals.update(threads, sums(dropped), names, {})})
        for name, value in before.items():
            assert now.get(name, 0.0) >= value
        before = now
