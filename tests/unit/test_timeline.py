"""Timelines: lanes that follow from samples, files and pictures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gilx.sampling.timeline import MOST_SHARE, Lane, Span, lanes_of

if TYPE_CHECKING:
    from pathlib import Path

    from gilx.sampling.timeline import Look

pytestmark = pytest.mark.concurrent_callers


NS = 1_000_000  # a millisecond


ALL = MOST_SHARE


# Threads 0 and 1 are known, -1 is a holder that could not be identified.
LOOKS: list[Look] = [
    (10 * NS, False, ((0, ALL),), ((0, -1),)),
    (20 * NS, False, ((0, ALL), (1, 10)), ((0, ALL), (1, -1))),
    (30 * NS, True, ((-1, ALL),), ((0, ALL), (1, 0))),
    (40 * NS, False, (), ((0, ALL), (1, ALL))),
    (50 * NS, False, (), ((0, 0),)),
    (60 * NS, False, (), ((0, 0),)),
]


TIMELINE = lanes_of(LOOKS, [("main", 7), ("free", 8)], 0, 70 * NS, cut=False)


def test_lanes_follow_the_looks() -> None:
    main, free, unknown = TIMELINE.lanes
    assert main == Lane(
        "main",
        7,
        (
            Span(0.0, 0.025, "holding"),
            Span(0.025, 0.045, "running"),
            Span(0.045, 0.07, "waiting"),
        ),
    )
    assert free.native_id == 8
    assert free.spans == (
        Span(0.0, 0.015, "unknown"),
        Span(0.015, 0.025, "waiting"),
        Span(0.025, 0.045, "running"),
        Span(0.045, 0.07, "unknown"),
    )
    assert unknown == Lane(
        "unknown",
        None,
        (
            Span(0.0, 0.025, "unknown"),
            Span(0.025, 0.035, "holding"),
            Span(0.035, 0.07, "unknown"),
        ),
    )
    assert main.share("holding") == pytest.approx(25 / 70)
    assert TIMELINE.since == 0


def test_between_two_reads_of_a_clock_a_lane_follows_it() -> None:
    looks: list[Look] = [(i * NS, False, (), ()) for i in range(1, 10)]
    looks[1] = (2 * NS, False, (), ((1, -1),))
    looks[3] = (4 * NS, False, (), ((1, ALL),))
    looks[6] = (7 * NS, False, ((1, ALL),), ((1, ALL),))
    _, lane = lanes_of(looks, [("main", 7), ("free", 8)], 0, 10 * NS, cut=False).lanes
    assert lane.spans == (
        Span(0.0, 0.0015, "unknown"),
        Span(0.0015, 0.0045, "running"),
        Span(0.0045, 0.0065, "unknown"),  # part of the CPU time went into the hold
        Span(0.0065, 0.0075, "holding"),
        Span(0.0075, 0.01, "unknown"),
    )


def test_a_thread_that_did_nothing_has_no_lane() -> None:
    looks: list[Look] = [
        (NS, False, (), ((0, -1), (1, -1))),
        (2 * NS, False, (), ((1, 0),)),
    ]
    lanes = lanes_of(looks, [("main", 7), ("idle", 8)], 0, 3 * NS, cut=False).lanes
    assert [lane.name for lane in lanes] == ["main"]


def test_a_watch_without_looks_has_the_watched_lane() -> None:
    (lane,) = lanes_of([], [("main", 7)], 0, NS, cut=False).lanes
    assert lane.spans == (Span(0.0, 0.001, "unknown"),)


def test_a_cut_timeline_says_so() -> None:
    cut = lanes_of(LOOKS, [("main", 7), ("free", 8)], 0, 70 * NS, cut=True)
    assert cut.since == 0.01
    assert cut.lanes[0].spans[0].start == 0.01
    assert "60 ms of 70 ms" in str(cut)


def test_the_trace_is_what_viewers_expect(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    TIMELINE.save(path)
    events = json.loads(path.read_text())["traceEvents"]
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert names == {7: "main", 8: "free", 3: "unknown"}
    complete = [event for event in events if event["ph"] == "X"]
    assert len(complete) == 10
    assert complete[0]["name"] == "holding the GIL"
    assert complete[0]["ts"] == 0
    assert complete[0]["dur"] == pytest.approx(25_000)
