"""Stops of the world and waits for locks: figures that follow from sums, JSON, sums."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import gilx
from gilx.errors import ArgumentError
from gilx.estimate import Estimate
from gilx.sampling.lock_waits import FoundLock, lock_waits_of, locks_together
from gilx.sampling.ratio_interval import Ratio
from gilx.sampling.source_text import SourceTexts
from gilx.sampling.thread_usage import ActivitySums, ThreadSums, ThreadUsage
from gilx.sampling.world import (
    FoundClock,
    FoundStops,
    FoundStopSite,
    World,
    length_of_stop,
    worlds_together,
)
from gilx.testing.release_verdict import nothing_watched
from tests.unit.hold_sums import SLICE, sums, usage_of

if TYPE_CHECKING:
    from gilx import GilUsage

pytestmark = [pytest.mark.any_python, pytest.mark.concurrent_callers]

_NOTHING = Ratio(*(0.0,) * 8)
COUNT = 1000
SQUARE = float(SLICE) ** 2
WATCH = sums(0, COUNT, own=_NOTHING, locked=_NOTHING, waiters=_NOTHING)
THREADS = [("main", 1), ("collector", 2), ("worker", 3)]


def ratio(count: int) -> tuple[float, ...]:
    """Return sums in which so many samples found a stop, one after another."""
    return (
        *(count * SLICE, COUNT * SLICE, count * SQUARE, count * SQUARE),
        *(COUNT * SQUARE, SQUARE, 0.0, 0.0),
    )


def clock(asked: int, late: int) -> FoundClock:
    return FoundClock(
        *(COUNT * SLICE, 0, float(asked * SLICE), asked * SQUARE),
        *(float(late * SLICE), late * SQUARE, 0.0),
    )


def world() -> World:
    """Return a world that was stopped in 300 of 1000 samples."""
    stops = FoundStops(ratio(300), ratio(100), 4000, 50_000_000, 40_000_000)
    clocks = [clock(0, 20), clock(300, 0), clock(0, 80)]
    place = (0, "Pool.collect", "pool.py", 3, 5, 5, 4, 16)
    other = (0, "work", "pool.py", 9, 11, 11, 4, 8)
    sites = [
        FoundStopSite(other, 0.0, 0.0, 100.0 * SLICE, 100 * SQUARE, 100),
        FoundStopSite(place, 300.0 * SLICE, 300 * SQUARE, 0.0, 0.0, 300),
    ]
    made = World.of(stops, clocks, THREADS, WATCH)
    return made.with_sites(sites, WATCH, SourceTexts(0.0))


def usage() -> GilUsage:
    whole = float(COUNT * SLICE)
    thread = ThreadSums(
        alive=whole, known=whole, squares=COUNT * SQUARE, cpu_wait=0.0, calls=True,
        clock_span=whole, ran=whole, ready=whole,
        on_cpu=ActivitySums(whole, COUNT * SQUARE, COUNT * SQUARE, 0.0),
    )  # fmt: skip
    return usage_of(
        replace(WATCH, wall=COUNT * SLICE),
        by_thread=(ThreadUsage.of("main", 1, thread, WATCH),),
        longest_hold=gilx.Estimate.unknown(),
        world=world(),
        locks=lock_waits_of([FoundLock(0, 0x1230, "list", 2e9, 1.0, 5)], 0.5),
    )


def test_shares_are_those_of_the_samples() -> None:
    found = world()
    assert found.stopped.value == pytest.approx(0.3)
    assert found.stopped.low < 0.3 < found.stopped.high
    assert found.stopping.value == pytest.approx(0.1)
    assert (found.longest.low, found.longest.value, found.longest.high) == (
        pytest.approx((4e-6, 0.04, 0.05))
    )
    assert [one.name for one in found.asked_by] == ["collector"]
    assert found.asked_by[0].share.value == pytest.approx(0.3)
    assert [one.name for one in found.late] == ["worker", "main"]
    assert [one.share.value for one in found.late] == pytest.approx([0.08, 0.02])
    assert [one.line for one in found.sites] == [5, 11]
    assert [one.asking.value for one in found.sites] == pytest.approx([0.3, 0])
    assert [one.late.value for one in found.sites] == pytest.approx([0, 0.1])


def test_words_name_threads_and_lines() -> None:
    rows = dict(world().rows())
    assert rows["world"].startswith("stopped or stopping for 30 % (")
    assert rows["world, asked by"] == "collector 30 %"
    assert rows["world, late"] == "worker 8.0 %, main 2.0 %"
    assert rows["world, asked for in"] == "pool.py:5 30 %"
    assert rows["world, late in"] == "pool.py:11 10 %"


def test_longest_stop_that_may_be_several_has_bounds_only() -> None:
    words = dict(world().rows())["world"]
    assert words.endswith(
        "; longest stop 4 µs to 50 ms, as several in a row look like one"
    )
    resolved = replace(world(), longest=gilx.Estimate(0.04, 0.03, 0.05))
    words = dict(resolved.rows())["world"]
    assert words.endswith("; longest stop 40 ms (30 ms to 50 ms)")


def test_world_without_stops_says_so() -> None:
    stops = FoundStops(ratio(0), ratio(0), 0, 1_000_000, 0)
    nothing = World.of(stops, [clock(0, 0)] * 3, THREADS, WATCH)
    assert nothing.stopped.value == 0
    assert nothing.asked_by == nothing.late == ()
    assert [name for name, _ in nothing.rows()] == ["world"]


def test_json_holds_everything() -> None:
    found = usage()
    assert gilx.GilUsage.from_json(found.to_json()) == found
    assert found.sentence() == (
        "thread main runs for 1 s without a GIL; it is attached and running for 100 % of"
        " the time"
    )
    assert "lock, a 'list' at 0x1230: threads waited 1 s" in str(found)


def test_prediction_needs_a_gil() -> None:
    with pytest.raises(ArgumentError, match="a Python without a GIL"):
        usage().predict([2])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("stopped", {"value": 0.5, "low": 0.4, "high": 0.6}),
        ("asked_by", []),
        ("sums", None),
    ],
)
def test_json_with_another_share_is_refused(name: str, value: object) -> None:
    data = json.loads(usage().to_json())
    if name == "sums":
        data["world"]["sums"]["stopped"]["x"] = -1.0
    else:
        data["world"][name] = value
    if name == "asked_by":  # what is left out does not contradict the rest
        assert gilx.GilUsage.from_json(json.dumps(data)).world is not None
        return
    with pytest.raises(ArgumentError, match=r"text\.world"):
        gilx.GilUsage.from_json(json.dumps(data))


def test_worlds_add_up() -> None:
    one = world()
    both = worlds_together([one, one], WATCH + WATCH)
    assert both is not None
    assert both.stopped.value == pytest.approx(0.3)
    assert both.stopped.high < one.stopped.high
    assert both.asked_by[0].share.value == pytest.approx(0.3)
    assert len(both.sites) == 2
    assert both.sites[0].samples == 600
    assert worlds_together([one, None], WATCH) is None
    assert (usage() + usage()).locks[0].waiting == pytest.approx(2)


def test_locks_have_the_time_of_the_clocks() -> None:
    found = [
        FoundLock(0, 0x10, "dict", 1e9, 0.0, 3),
        FoundLock(1, 0x20, "", 3e9, 0.0, 4),
        FoundLock(2, 0x30, "", 5e8, 0.0, 1),
        FoundLock(3, 0, "", 2e9, 0.0, 9),
        FoundLock(4, 0, "", 1e8, 0.0, 1),
    ]
    locks = lock_waits_of(found, 2.0)
    assert [one.name for one in locks] == [
        "a mutex of the interpreter or an extension module at 0x20",
        "locks of objects, spinning",
        "a 'dict' at 0x10",
        "an event at 0x30",
        "locks that are not known",
    ]
    assert [one.waiting for one in locks] == pytest.approx([6, 4, 2, 1, 0.2])
    again = locks_together([*locks, *locks])
    assert [one.waiting for one in again] == pytest.approx([12, 8, 4, 2, 0.4])
    assert again[0].samples == 8


def attached(count: int, known: int = COUNT) -> GilUsage:
    """Return a usage whose thread was attached in so many of the known samples."""
    time, whole = count * SLICE, known * SLICE
    own = Ratio(time, whole, time * SLICE, time * SLICE, whole * SLICE, SQUARE, 0.0, 0.0)
    return usage_of(
        replace(WATCH, own=own), held=gilx.Estimate.unknown(), by_thread=(),
        longest_hold=gilx.Estimate.unknown(),
    )  # fmt: skip


def test_attached_time_is_no_hold_of_a_gil() -> None:
    found = attached(250)
    assert found.attached.value == 0.25
    assert found.attached.low < 0.25 < found.attached.high
    assert not found.held.known
    assert gilx.GilUsage.from_json(found.to_json()).attached == found.attached
    assert not usage_of(sums(held=10, free=90)).attached.known


def test_verdict_on_attached_time_names_it() -> None:
    found = replace(nothing_watched(0.5, ""), usage=attached(100), level=0.999)
    assert found.without_gil
    assert found.side == -1
    assert replace(found, limit=0.01).side == 1
    assert not nothing_watched(0.5, "").without_gil


def test_attached_time_that_is_not_known_is_a_reason() -> None:
    assert attached(0, 0).sums.shortage_of_attached == (
        "the state of the calling thread could not be read"
    )
    assert "stopped by others" in attached(1, 5).sums.shortage_of_attached
    assert not attached(250).sums.shortage_of_attached


def test_threads_of_one_name_are_joined() -> None:
    made = world()
    twice = replace(
        made, late=(*made.late, *(replace(one, native_id=9) for one in made.late))
    ).by_name(WATCH)
    assert [one.name for one in twice.late] == ["worker", "main"]
    assert twice.late[0].share.value == pytest.approx(2 * made.late[0].share.value)
    assert twice.late[0].native_id is None


def test_length_of_a_stop_that_is_not_known_has_no_bounds() -> None:
    assert length_of_stop(Estimate.unknown()) == "longest stop unknown"
    assert length_of_stop(Estimate(0.002, 0.001, 0.003)).endswith("2 ms (1 ms to 3 ms)")
    assert "as several in a row" in length_of_stop(Estimate(0.1, 0.0, 0.2))
    assert length_of_stop(Estimate(0.0, 0.0, 0.02)) == "no stop above 20 ms"
