"""Timelines: lanes that follow from samples, files and pictures."""

from __future__ import annotations

import json
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gilx.sampling.thread_states import ACTIVITIES
from gilx.sampling.timeline import MOST_SHARE, Lane, Span, Timeline, lanes_of
from gilx.sampling.watch import place_of_hold

if TYPE_CHECKING:
    from pathlib import Path

    from gilx.sampling.timeline import Look

pytestmark = pytest.mark.concurrent_callers


NS = 1_000_000  # a millisecond


ALL = MOST_SHARE
AWAITS_GIL, AWAITS_LOCK, SLEEPS, ON_CPU, OFF_CPU = 1, 2, 3, 8, 9  # in ACTIVITIES


# Threads 0 and 1 are known, -1 is a holder that could not be identified.
LOOKS: list[Look] = [
    (10 * NS, False, ((0, ALL),), ((0, -1),), ()),
    (20 * NS, False, ((0, ALL), (1, 10)), ((0, ALL), (1, -1)), ()),
    (30 * NS, True, ((-1, ALL),), ((0, ALL), (1, 0)), ()),
    (40 * NS, False, (), ((0, ALL), (1, ALL)), ()),
    (50 * NS, False, (), ((0, 0),), ()),
    (60 * NS, False, (), ((0, 0),), ()),
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
            Span(0.045, 0.07, "unknown"),
        ),
    )
    assert free.native_id == 8
    assert free.spans == (
        Span(0.0, 0.025, "unknown"),
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
    looks: list[Look] = [(i * NS, False, (), (), ()) for i in range(1, 10)]
    looks[1] = (2 * NS, False, (), ((1, -1),), ())
    looks[3] = (4 * NS, False, (), ((1, ALL),), ())
    looks[6] = (7 * NS, False, ((1, ALL),), ((1, ALL),), ())
    _, lane = lanes_of(looks, [("main", 7), ("free", 8)], 0, 10 * NS, cut=False).lanes
    assert lane.spans == (
        Span(0.0, 0.0015, "unknown"),
        Span(0.0015, 0.0045, "running"),
        Span(0.0045, 0.0065, "unknown"),  # part of the CPU time went into the hold
        Span(0.0065, 0.0075, "holding"),
        Span(0.0075, 0.01, "unknown"),
    )


def lane_of(*states: tuple[int, int] | None, ran: int = 0) -> tuple[Span, ...]:
    """Return the spans of a thread that did these things in looks, and ran so much."""
    looks: list[Look] = [
        (
            number * NS,
            False,
            (),
            ((0, ran),),
            () if state is None else (state,),
        )
        for number, state in enumerate(states, 1)
    ]
    end = (len(looks) + 1) * NS
    return lanes_of(looks, [("main", 7)], 0, end, cut=False).lanes[0].spans


def test_a_thread_did_in_between_what_it_did_before_and_after() -> None:
    asked = (0, AWAITS_GIL), None, None, (0, AWAITS_GIL), None, (0, SLEEPS), None
    assert lane_of(*asked) == (
        Span(0.0, 0.0045, "waiting_gil"),
        Span(0.0045, 0.0055, "unknown"),
        Span(0.0055, 0.0065, "system_call"),
        Span(0.0065, 0.008, "unknown"),
    )


def test_a_thread_whose_clock_advanced_was_not_without_a_cpu() -> None:
    assert lane_of(*[(0, OFF_CPU)] * 3, ran=ALL) == (Span(0.0, 0.004, "running"),)
    assert lane_of(*[(0, OFF_CPU)] * 3) == (Span(0.0, 0.004, "waiting_cpu"),)
    assert lane_of(*[(0, ON_CPU)] * 3) == (Span(0.0, 0.004, "running"),)


def test_each_activity_has_a_state() -> None:
    from gilx.sampling import _sampler

    assert len(ACTIVITIES) == _sampler.ACTIVITIES


def test_a_thread_that_did_nothing_has_no_lane() -> None:
    looks: list[Look] = [
        (NS, False, (), ((0, -1), (1, -1)), ((1, SLEEPS),)),
        (2 * NS, False, (), ((1, 0),), ((1, AWAITS_LOCK),)),
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


def place_in(timeline: Timeline) -> str:
    """Return where the first lane's thread held the GIL, if that was in one place."""
    spans = timeline.lanes[0].spans
    held = [span for span in spans if span.state == "holding"]
    if timeline.since > 0 or len(held) != 1 or len(spans) == 1:
        return ""
    if held[0] is spans[0]:
        return "at the start"
    if held[0] is spans[-1]:
        return "at the end"
    return f"in one go after {held[0].start / timeline.wall * 100:.0f} % of it"


def place(looks: list[Look], end: int, samples: int) -> str:
    totals: Any = SimpleNamespace(begin_ns=0, end_ns=end, wakes=samples)
    return place_of_hold(looks, totals)


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ("", ""),
        ("....", ""),
        ("####", ""),
        ("##..", "at the start"),
        ("..##", "at the end"),
        (".#..", "in one go after 30 % of it"),
        (".##.", "in one go after 30 % of it"),
        ("#.#.", ""),
        (".#.#", ""),
    ],
)
def test_place_of_a_hold(held: str, words: str) -> None:
    looks: list[Look] = [
        ((i + 1) * NS, False, ((0, ALL),) if one == "#" else ((1, ALL),), (), ())
        for i, one in enumerate(held)
    ]
    assert place(looks, 5 * NS, len(looks)) == words
    assert place(looks, 5 * NS, len(looks) + 1) == ""


@pytest.mark.parametrize("seed", range(100))
def test_place_of_a_hold_is_that_of_the_lane(seed: int) -> None:
    draw, other = Random(seed), Random(-seed - 1)
    count = draw.randrange(1, 7)
    looks: list[Look] = [
        (
            at * NS,
            False,
            tuple(
                (draw.choice((-1, 0, 0, 1)), draw.choice((0, 120, 130, ALL)))
                for _ in "ab"
            ),
            ((0, draw.choice((-1, 0, ALL))),) if draw.random() < 0.5 else (),
            ((0, other.randrange(1, len(ACTIVITIES))),) if other.random() < 0.5 else (),
        )
        for at in sorted(draw.sample(range(1, 100), count))
    ]
    cut = draw.random() < 0.1
    lanes = lanes_of(looks, [("main", 7), ("free", 8)], 0, 100 * NS, cut=cut)
    assert place(looks, 100 * NS, count + cut) == place_in(lanes)


def test_the_trace_is_what_viewers_expect(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    TIMELINE.save(path)
    events = json.loads(path.read_text())["traceEvents"]
    names = {e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name"}
    assert names == {7: "main", 8: "free", 3: "unknown"}
    complete = [event for event in events if event["ph"] == "X"]
    assert len(complete) == 9
    assert complete[0]["name"] == "holding the GIL"
    assert complete[0]["ts"] == 0
    assert complete[0]["dur"] == pytest.approx(25_000)
