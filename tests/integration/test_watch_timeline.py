"""Timelines of watched threads."""

from __future__ import annotations

import threading
import time

import pytest

import gilx
from gilx import ckernels
from gilx.sampling import watch as watch_module
from gilx.sampling.thread_states import STATES
from tests.markers import needs_watch
from tests.trying import first_that
from tests.unit.test_timeline import place_in

pytestmark = pytest.mark.concurrent_callers


@needs_watch
def test_a_watch_has_lanes() -> None:
    kept: list[threading.Thread] = []  # a thread has its name while its object is there

    def watched() -> gilx.Timeline:
        with gilx.watch() as watch:
            kept.append(
                threading.Thread(
                    target=ckernels.spin,
                    args=(10_000_000, 10_000_000, 200_000_000),
                    name="other",
                )
            )
            kept[-1].start()
            kept[-1].join()
            time.sleep(0.1)
        return watch.timeline

    timeline = first_that(lambda made: share_of(made, "other", "holding") > 0, watched)
    lanes = {lane.name: lane for lane in timeline.lanes}
    assert timeline.lanes[0].name == threading.current_thread().name
    assert "other" in lanes
    for lane in timeline.lanes:
        assert lane.spans[0].start == 0
        assert lane.spans[-1].end == timeline.wall
        assert all(span.state in STATES for span in lane.spans)
        for before, after in zip(lane.spans, lane.spans[1:], strict=False):
            assert before.end == after.start
            assert (before.state, before.line) != (after.state, after.line)


def share_of(timeline: gilx.Timeline, name: str, *states: str) -> float:
    """Return the share of the time that a thread was in states; 0 if it has no lane."""
    lanes = [lane for lane in timeline.lanes if lane.name == name]
    return sum(lane.share(state) for lane in lanes for state in states)


@pytest.mark.thread_unsafe(reason="one thread uses the GIL")
@needs_watch
def test_a_thread_that_came_and_hardly_held_has_a_lane() -> None:
    kept: list[threading.Thread] = []

    def watched() -> gilx.Timeline:
        with gilx.watch() as watch:
            kept.append(
                threading.Thread(
                    target=ckernels.spin,
                    args=(0, 300_000_000, 300_000_000),
                    name="released",
                )
            )
            kept[-1].start()
            kept[-1].join()
        return watch.timeline

    def hardly_held(timeline: gilx.Timeline) -> bool:
        ran = share_of(timeline, "released", "running", "waiting_cpu")
        return ran > share_of(timeline, "released", "holding")

    first_that(hardly_held, watched)


@pytest.mark.parametrize("held", ["start", "middle", "end"])
@needs_watch
def test_place_of_a_hold_is_that_of_the_timeline(held: str) -> None:
    with gilx.watch() as watch:
        for part in ("start", "middle", "end"):
            hold = 50_000_000 if part == held else 0
            ckernels.spin(hold, 50_000_000 - hold, 50_000_000)
    if held == "middle":  # in either order
        assert watch.timeline.lanes
    assert watch.usage.where == place_in(watch.timeline)
    assert watch.usage_of_calls(1).where == watch.usage.where


@needs_watch
def test_timeline_and_place_are_made_only_if_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []
    for name in ("lanes_of", "place_of_hold"):
        monkeypatch.setattr(
            watch_module, name, lambda *_, name=name, **__: made.append(name)
        )
    with gilx.watch() as watch:
        time.sleep(0.01)
    assert gilx.probe(time.sleep, 0.001, repeat=5, warmup=False).where == ""
    assert watch.usage_of_calls(5).where == ""
    assert made == []
    assert watch.usage
    assert not watch.timeline
    assert made == ["place_of_hold", "lanes_of"]


@needs_watch
def test_short_watches_keep_no_sampler() -> None:
    with gilx.watch() as watch:
        time.sleep(0.001)
    kept = {type(value).__name__ for value in vars(watch).values()}
    assert "Totals" in kept
    assert "Sampler" not in kept


@pytest.mark.slow
@needs_watch
def test_a_long_watch_keeps_exact_totals_and_a_late_timeline() -> None:
    with gilx.watch(cost=0.5) as watch:
        ckernels.spin(100_000, 100_000, 1_500_000_000)
    usage, timeline = watch.usage, watch.timeline
    kept = sum(len(lane.spans) for lane in timeline.lanes)
    assert kept <= 2 * usage.samples
    assert (timeline.since > 0) == (usage.samples > 1 << 13)
