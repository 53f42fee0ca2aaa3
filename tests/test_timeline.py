"""The timeline: lanes, files and pictures."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

import gilx
from gilx import ckernels
from gilx.environment import gil_enabled
from gilx.errors import ArgumentError
from gilx.gilwatch.states import STATES
from gilx.gilwatch.timeline import Lane, Span, Timeline, lanes_of

if TYPE_CHECKING:
    from pathlib import Path

needs_watch = pytest.mark.skipif(
    not gil_enabled() or sys.platform != "linux", reason="there is no GIL to watch"
)

NS = 1_000_000  # a millisecond
LOOKS = [
    (10 * NS, False, b"\xff", b"\x00"),
    (20 * NS, False, b"\xff\x00", b"\xff\x00"),
    (30 * NS, True, b"\x00\xff", b"\xff\x00"),
    (40 * NS, False, b"\x00\x00", b"\xff\xff"),
    (50 * NS, False, b"\x00\x00", b"\x00\x00"),
    (60 * NS, False, b"\x00\x00", b"\x00\x00"),
]
TIMELINE = lanes_of(LOOKS, [("main", 7), ("late", None)], 0, 70 * NS, cut=False)


def test_lanes_follow_the_looks() -> None:
    main, late = TIMELINE.lanes
    assert main == Lane(
        "main",
        7,
        (
            Span(0.0, 0.025, "holding"),
            Span(0.025, 0.045, "running"),
            Span(0.045, 0.07, "waiting"),
        ),
    )
    assert [span.state for span in late.spans] == ["unknown", "holding", "unknown"]
    assert main.share("holding") == pytest.approx(25 / 70)
    assert TIMELINE.since == 0


def test_a_cut_timeline_says_so() -> None:
    cut = lanes_of(LOOKS, [("main", 7)], 0, 70 * NS, cut=True)
    assert cut.since == 0.01
    assert cut.lanes[0].spans[0].start == 0.01
    assert "60 ms of 70 ms" in str(cut)


def test_the_trace_is_what_viewers_expect(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    TIMELINE.save(path)
    events = json.loads(path.read_text())["traceEvents"]
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert names == {7: "main", 2: "late"}
    complete = [event for event in events if event["ph"] == "X"]
    assert len(complete) == 6
    assert complete[0]["name"] == "holding the GIL"
    assert complete[0]["ts"] == 0
    assert complete[0]["dur"] == pytest.approx(25_000)


def test_json_and_back() -> None:
    assert Timeline.from_json(TIMELINE.to_json()) == TIMELINE
    for text in ("nonsense", "[]", "{}", '{"schema": "gilx.timeline/0"}'):
        with pytest.raises(ArgumentError, match="text: expected"):
            Timeline.from_json(text)


def test_the_page_has_every_lane() -> None:
    page = TIMELINE._repr_html_()
    assert page.count("<tr>") == 2
    assert page.count("<rect") == 6


def test_the_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "x.png"
    TIMELINE.plot().savefig(path)
    assert path.read_bytes().startswith(b"\x89PNG")


@needs_watch
def test_a_watch_has_lanes() -> None:
    with gilx.watch() as watch:
        other = threading.Thread(
            target=ckernels.spin, args=(10_000_000, 10_000_000, 200_000_000), name="other"
        )
        other.start()
        other.join()
        time.sleep(0.1)
    timeline = watch.timeline
    lanes = {lane.name: lane for lane in timeline.lanes}
    assert timeline.lanes[0].name == threading.current_thread().name
    assert "other" in lanes
    for lane in timeline.lanes:
        assert lane.spans[0].start == 0
        assert lane.spans[-1].end == timeline.wall
        assert all(span.state in STATES for span in lane.spans)
        for before, after in zip(lane.spans, lane.spans[1:], strict=False):
            assert before.end == after.start
            assert before.state != after.state
    assert lanes["other"].share("holding") > 0


@pytest.mark.thread_unsafe(reason="one thread uses the GIL")
@needs_watch
def test_a_thread_that_came_and_hardly_held_has_a_lane() -> None:
    with gilx.watch() as watch:
        thread = threading.Thread(
            target=ckernels.spin, args=(0, 300_000_000, 300_000_000), name="released"
        )
        thread.start()
        thread.join()
    lanes = {lane.name: lane for lane in watch.timeline.lanes}
    assert lanes["released"].share("running") > lanes["released"].share("holding")


@needs_watch
def test_a_long_watch_keeps_exact_totals_and_a_late_timeline() -> None:
    with gilx.watch(cost=0.5) as watch:
        ckernels.spin(100_000, 100_000, 1_500_000_000)
    usage, timeline = watch.usage, watch.timeline
    kept = sum(len(lane.spans) for lane in timeline.lanes)
    assert kept <= 2 * usage.looks
    assert (timeline.since > 0) == (usage.looks > 1 << 13)
