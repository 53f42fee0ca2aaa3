"""Lines where threads wait: times that follow from sums, and how they add up."""

from __future__ import annotations

import json
from typing import Any

import pytest

import gilx
from gilx.errors import ArgumentError
from gilx.rendering.waits_table import waits_table, waits_text
from gilx.sampling.ratio_interval import Ratio
from gilx.sampling.source_text import SourceTexts
from gilx.sampling.waiting_sites import FoundWait, waiting_sites_of
from tests.unit.hold_sums import SLICE, sums, usage_of

pytestmark = [pytest.mark.any_python, pytest.mark.concurrent_callers]

WATCH = sums(0, 1000)  # of one thread


def found(gil: int, lock: int, **changes: Any) -> FoundWait:
    """Return a site at which a thread waited in so many samples, but for changes."""
    made: dict[str, Any] = {
        "kind": 0, "function": "put", "file": "/nowhere/queues.py", "first_line": 40,
        "line": 41, "end_line": 41, "column": 4, "end_column": 16,
        "gil": float(gil * SLICE), "gil_squares": float(gil * SLICE**2),
        "lock": float(lock * SLICE), "lock_squares": float(lock * SLICE**2),
        "samples": gil + lock,
    }  # fmt: skip
    return FoundWait(**(made | changes))


def usage_with(*waits: FoundWait) -> gilx.GilUsage:
    sites = waiting_sites_of(waits, WATCH, SourceTexts(0.0))
    return usage_of(WATCH, waiting_sites=sites)


def test_sites_are_sorted_by_the_waits() -> None:
    usage = usage_with(
        found(0, 400), found(100, 0, line=50), found(300, 0, line=60),
        found(0, 50, line=70),
    )  # fmt: skip
    assert [site.line for site in usage.waiting_sites] == [41, 60, 50, 70]
    assert [site.waiting_gil.value for site in usage.waiting_sites] == pytest.approx(
        [0, 0.3, 0.1, 0]
    )
    assert usage.waiting_sites[0].waiting_lock.value == pytest.approx(0.4)
    for site in usage.waiting_sites:
        for time in (site.waiting_gil, site.waiting_lock):
            assert time.low <= time.value < time.high
    assert usage.waiting_sites[1].place == "/nowhere/queues.py:60".removeprefix("/")
    assert gilx.GilUsage.from_json(usage.to_json()) == usage


def test_waits_without_a_gil_are_for_locks_only() -> None:
    nothing = Ratio(*(0.0,) * 8)
    watch = sums(0, 1000, own=nothing, locked=nothing, waiters=nothing)
    sites = waiting_sites_of([found(0, 400)], watch, SourceTexts(0.0))
    assert not sites[0].waiting_gil.known
    usage = usage_of(watch, waiting_sites=sites, by_thread=())
    assert gilx.GilUsage.from_json(usage.to_json()).waiting_sites == sites
    head, row = waits_text(usage).splitlines()[1:3]
    assert head.split("  ") == ["for locks", "samples"]
    assert row.split() == ["400", "ms", "400"]


def test_few_long_slices_are_less_certain_than_many_short_ones() -> None:
    many = usage_with(found(300, 0)).waiting_sites[0].waiting_gil
    one = found(300, 0, gil_squares=float((100 * SLICE) ** 2 * 3))
    few = usage_with(one).waiting_sites[0].waiting_gil
    assert few.value == many.value
    assert few.high - few.low > 2 * (many.high - many.low)


def test_threads_may_have_waited_when_it_is_not_known_what_they_did() -> None:
    watch = sums(0, 1000, threads_missed=float(500 * SLICE))
    sites = waiting_sites_of([found(0, 400)], watch, SourceTexts(0.0))
    known = usage_with(found(0, 400)).waiting_sites[0].waiting_lock
    time = sites[0].waiting_lock
    assert (time.value, time.low) == (known.value, known.low)
    assert time.high == pytest.approx(known.high + 0.5)
    usage = usage_of(watch, waiting_sites=sites)
    assert gilx.GilUsage.from_json(usage.to_json()) == usage


def test_sites_of_two_usages_add_up() -> None:
    both = usage_with(found(100, 10)) + usage_with(found(50, 0), found(10, 0, line=50))
    first, second = both.waiting_sites
    assert first.waiting_gil.value == pytest.approx(0.15)
    assert first.waiting_lock.value == pytest.approx(0.01)
    assert first.samples == 160
    assert second.waiting_gil.value == pytest.approx(0.01)
    assert gilx.GilUsage.from_json(both.to_json()) == both


def test_sites_without_a_line_have_a_name() -> None:
    (site,) = usage_with(found(1, 1, kind=2, file="", line=0)).waiting_sites
    assert site.kind == "unknown"
    assert site.place == "unknown"


def test_tables_show_where_threads_waited() -> None:
    usage = usage_with(
        found(300, 20), found(100, 0, line=50), found(0, 1, kind=2, file="", line=0)
    )
    assert waits_text(usage).splitlines() == [
        "Threads waited, all together, in:",
        "for the GIL  for other locks  samples",
        "     300 ms            20 ms      320",
        "  nowhere/queues.py:41 put",
        "     100 ms             0 ns      100",
        "  nowhere/queues.py:50 put",
        "       0 ns             1 ms        1",
        "  unknown put",
    ]
    table = waits_table(usage)
    assert table.head == (
        *("place", "source text", "for the GIL", "for other locks", "samples"),
        "function",
    )
    assert table.rows[0] == ("nowhere/queues.py:41", "", "300 ms", "20 ms", "320", "put")
    assert table.right == (2, 3, 4)
    assert waits_text(usage_with()) == ""


@pytest.mark.parametrize(
    ("name", "value"), [("gil", 1e99), ("lock", -1.0), ("gil_squares", "inf")]
)
def test_sums_of_no_watch_are_refused(name: str, value: Any) -> None:
    usage = json.loads(usage_with(found(100, 10)).to_json())
    usage["waiting_sites"][0]["sums"][name] = value
    with pytest.raises(ArgumentError, match=r"text\.waiting_sites\[0\]"):
        gilx.GilUsage.from_json(json.dumps(usage))
