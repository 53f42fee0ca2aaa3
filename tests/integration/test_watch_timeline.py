"""Timelines of watched threads."""

from __future__ import annotations

import threading
import time

import pytest

import gilx
from gilx import ckernels
from gilx.sampling.thread_states import STATES
from tests.markers import needs_watch

pytestmark = pytest.mark.concurrent_callers


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


@pytest.mark.slow
@needs_watch
def test_a_long_watch_keeps_exact_totals_and_a_late_timeline() -> None:
    with gilx.watch(cost=0.5) as watch:
        ckernels.spin(100_000, 100_000, 1_500_000_000)
    usage, timeline = watch.usage, watch.timeline
    kept = sum(len(lane.spans) for lane in timeline.lanes)
    assert kept <= 2 * usage.looks
    assert (timeline.since > 0) == (usage.looks > 1 << 13)
