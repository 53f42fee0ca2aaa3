"""Timelines: lanes that follow from samples, files and pictures."""

from __future__ import annotations

import json
from itertools import pairwise
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from gilx import ArgumentError
from gilx.sampling.sites import FoundSite, HeldLine, held_lines
from gilx.sampling.source_text import SourceTexts
from gilx.sampling.thread_states import ACTIVITIES
from gilx.sampling.timeline import MOST_SHARE, Lane, Span, Timeline, lanes_of
from gilx.sampling.watch import place_of_hold

if TYPE_CHECKING:
    from pathlib import Path

    from gilx.sampling.timeline import TimelineSample

pytestmark = pytest.mark.concurrent_callers


NS = 1_000_000  # a millisecond


ALL = MOST_SHARE
AWAITS_GIL, AWAITS_LOCK, SLEEPS, ON_CPU, OFF_CPU = 1, 2, 3, 8, 9  # in ACTIVITIES


# Threads 0 and 1 are known, -1 is a holder that could not be identified.
SAMPLES: list[TimelineSample] = [
    (10 * NS, False, ((0, ALL),), ((0, -1),), ()),
    (20 * NS, False, ((0, ALL), (1, 10)), ((0, ALL), (1, -1)), ()),
    (30 * NS, True, ((-1, ALL),), ((0, ALL), (1, 0)), ()),
    (40 * NS, False, (), ((0, ALL), (1, ALL)), ()),
    (50 * NS, False, (), ((0, 0),), ()),
    (60 * NS, False, (), ((0, 0),), ()),
]


TIMELINE = lanes_of(SAMPLES, [("main", 7), ("free", 8)], 0, 70 * NS, cut=False)


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
    samples: list[TimelineSample] = [(i * NS, False, (), (), ()) for i in range(1, 10)]
    samples[1] = (2 * NS, False, (), ((1, -1),), ())
    samples[3] = (4 * NS, False, (), ((1, ALL),), ())
    samples[6] = (7 * NS, False, ((1, ALL),), ((1, ALL),), ())
    _, lane = lanes_of(samples, [("main", 7), ("free", 8)], 0, 10 * NS, cut=False).lanes
    assert lane.spans == (
        Span(0.0, 0.0015, "unknown"),
        Span(0.0015, 0.0045, "running"),
        Span(0.0045, 0.0065, "unknown"),  # part of the CPU time went into the hold
        Span(0.0065, 0.0075, "holding"),
        Span(0.0075, 0.01, "unknown"),
    )


def lane_of(*states: tuple[int, int] | None, ran: int = 0) -> tuple[Span, ...]:
    """Return the spans of a thread that did these things in looks, and ran so much."""
    samples: list[TimelineSample] = [
        (
            number * NS,
            False,
            (),
            ((0, ran),),
            () if state is None else (state,),
        )
        for number, state in enumerate(states, 1)
    ]
    end = (len(samples) + 1) * NS
    return lanes_of(samples, [("main", 7)], 0, end, cut=False).lanes[0].spans


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
    samples: list[TimelineSample] = [
        (NS, False, (), ((0, -1), (1, -1)), ((1, SLEEPS),)),
        (2 * NS, False, (), ((1, 0),), ((1, AWAITS_LOCK),)),
    ]
    lanes = lanes_of(samples, [("main", 7), ("idle", 8)], 0, 3 * NS, cut=False).lanes
    assert [lane.name for lane in lanes] == ["main"]


def test_a_watch_without_looks_has_the_watched_lane() -> None:
    (lane,) = lanes_of([], [("main", 7)], 0, NS, cut=False).lanes
    assert lane.spans == (Span(0.0, 0.001, "unknown"),)


def test_a_cut_timeline_says_so() -> None:
    cut = lanes_of(SAMPLES, [("main", 7), ("free", 8)], 0, 70 * NS, cut=True)
    assert cut.since == 0.01
    assert cut.lanes[0].spans[0].start == 0.01
    assert "60 ms of 70 ms" in str(cut)


def place_in(timeline: Timeline) -> str:
    """Return where the first lane's thread held the GIL, if that was in one place."""
    spans = [span for span, _ in timeline.lanes[0].runs()]
    held = [span for span in spans if span.state == "holding"]
    if timeline.since > 0 or len(held) != 1 or len(spans) == 1:
        return ""
    if held[0] is spans[0]:
        return "at the start"
    if held[0] is spans[-1]:
        return "at the end"
    return f"in one go after {held[0].start / timeline.wall * 100:.0f} % of it"


def place(samples: list[TimelineSample], end: int, wakes: int) -> str:
    totals: Any = SimpleNamespace(begin_ns=0, end_ns=end, wakes=wakes)
    return place_of_hold(samples, totals)


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
    samples: list[TimelineSample] = [
        ((i + 1) * NS, False, ((0, ALL),) if one == "#" else ((1, ALL),), (), ())
        for i, one in enumerate(held)
    ]
    assert place(samples, 5 * NS, len(samples)) == words
    assert place(samples, 5 * NS, len(samples) + 1) == ""


@pytest.mark.parametrize("seed", range(100))
def test_place_of_a_hold_is_that_of_the_lane(seed: int) -> None:
    draw, other = Random(seed), Random(-seed - 1)
    count = draw.randrange(1, 7)
    samples: list[TimelineSample] = [
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
    lanes = lanes_of(samples, [("main", 7), ("free", 8)], 0, 100 * NS, cut=cut)
    assert place(samples, 100 * NS, count + cut) == place_in(lanes)


LINES = tuple(
    FoundSite(
        kind,
        function,
        file,
        1,
        2,
        2,
        0,
        3,
        0,
        1.0,
        1.0,
        1.0,
        0.0,
        1,
        0,
        0,
        1,
        *(0.0, 0.0, 0.0),
    )
    for kind, function, file in (
        (0, "work", "/there/work.py"),
        (0, "Profile", "/there/work.py"),
        (2, "", ""),
    )
)
# The sampler found another thread when it read the stack after the fourth and fifth look.
SITES = [
    (line, holder, False, 1.0)
    for line, holder in ((0, 0), (1, 0), (2, -1), (0, 0), (-1, 0), (0, 1))
]


@pytest.fixture(scope="module")
def with_lines() -> Timeline:
    """Return the timeline of the samples, five seconds later and with lines."""
    begin = 5000 * NS + 1234
    samples: list[TimelineSample] = [
        (begin + sample[0], *sample[1:]) for sample in SAMPLES
    ]
    return lanes_of(
        *(samples, [("main", 7), ("free", 7)], begin, begin + 70 * NS),
        cut=False,
        sites=SITES,
        lines=held_lines(LINES, SourceTexts(0.0)),
        pid=70,
    )


def test_spans_that_hold_have_their_line() -> None:
    found = lanes_of(
        *(SAMPLES, [("main", 7), ("free", 8)], 0, 70 * NS),
        cut=False,
        sites=SITES,
        lines=held_lines(LINES, SourceTexts(0.0)),
    )
    main, free, unknown = found.lanes
    assert main.spans == (
        Span(0.0, 0.015, "holding", 0),
        Span(0.015, 0.025, "holding", 1),
        Span(0.025, 0.045, "running"),
        Span(0.045, 0.07, "unknown"),
    )
    assert [(whole, len(parts)) for whole, parts in main.runs()] == [
        (Span(0.0, 0.025, "holding"), 2),
        (Span(0.025, 0.045, "running"), 0),
        (Span(0.045, 0.07, "unknown"), 0),
    ]
    assert free == TIMELINE.lanes[1]
    assert unknown.spans[1] == Span(0.025, 0.035, "holding", 2)
    assert [line.label for line in found.lines] == [
        "there/work.py:2",
        "there/work.py:2",
        "unknown",
    ]
    assert "holding the GIL in there/work.py:2</title>" in found._repr_html_()
    assert Timeline.from_json(found.to_json()) == found


def events_of(timeline: Timeline, phase: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = json.loads(timeline.to_trace())["traceEvents"]
    return [event for event in events if event["ph"] == phase]


def test_trace_has_threads_states_and_lines(with_lines: Timeline, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with_lines.save(path)
    trace = json.loads(path.read_text())
    assert trace["otherData"] == {"clock": "CLOCK_MONOTONIC"}
    assert {event["pid"] for event in trace["traceEvents"]} == {70}
    names = {
        event["tid"]: event["args"]["name"]
        for event in events_of(with_lines, "M")
        if event["name"] == "thread_name"
    }
    # Each lane has a number of its own, although one was used again.
    assert names == {7: "main", 8: "free", 9: "unknown"}
    first, line, other, *_ = events_of(with_lines, "X")
    assert first == {
        "name": "holding the GIL",
        "cat": "gil",
        "cname": "terrible",
        "ph": "X",
        "pid": 70,
        "tid": 7,
        "ts": 5_000_001,
        "dur": 25_000,
    }
    assert line == {
        "name": "work (there/work.py:2)",
        "cat": "line",
        "ph": "X",
        "pid": 70,
        "tid": 7,
        "ts": 5_000_001,
        "dur": 15_000,
        "args": {"detail": "there/work.py:2", "file": "/there/work.py", "line": 2},
    }
    assert other["name"] == "Profile (there/work.py:2)"  # not an event of Chrome's


def test_trace_says_that_its_beginning_is_missing() -> None:
    cut = lanes_of(SAMPLES, [("main", 7), ("free", 8)], 0, 70 * NS, cut=True)
    (event,) = events_of(cut, "i")
    assert (event["s"], event["tid"], event["ts"]) == ("g", 7, 10_000)
    assert events_of(TIMELINE, "i") == []


def test_spans_of_a_trace_nest_and_do_not_overlap() -> None:
    draw = Random(7)
    edges = sorted(draw.uniform(0, 30) for _ in range(1001))
    spans = tuple(
        Span(begin, end, "holding", draw.choice((None, 0, 1)))
        if number % 3
        else Span(begin, end, "waiting_gil")
        for number, (begin, end) in enumerate(pairwise(edges))
    )
    lines = held_lines(LINES, SourceTexts(0.0))
    lane = Lane("main", 7, spans)
    trace = Timeline((lane,), edges[-1], 0.0, 123456.789012345, 7, lines)
    open_until: list[int] = []
    begin = 0
    for event in events_of(trace, "X"):
        assert event["ts"] >= begin
        begin = event["ts"]
        while open_until and open_until[-1] <= begin:
            open_until.pop()
        open_until.append(begin + event["dur"])
        assert open_until == sorted(open_until, reverse=True)
        assert len(open_until) <= 2


@pytest.mark.parametrize(
    "name",
    ["a\x1b[31m\nb", "\ud800\udfff", "x" * 10_000, "\u202e</script>", "process_name", ""],
    ids=["control", "surrogates", "long", "direction", "metadata", "empty"],
)
def test_any_name_makes_a_trace_that_strict_readers_take(name: str) -> None:
    line = HeldLine(name, name, 1, name, "line")
    span = Span(0.0, 1.0, "holding", 0)
    trace = Timeline((Lane(name, 7, (span,)),), 1.0, 0.0, 5.0, 7, (line,))
    text = trace.to_trace()
    assert json.dumps(json.loads(text), ensure_ascii=False).encode()
    _, shown = events_of(trace, "X")
    assert shown["name"].isprintable()
    assert shown["name"] != name
    assert shown["args"]["detail"].isprintable()


def test_trace_of_very_many_spans_is_valid() -> None:
    lines = tuple(HeldLine(f"f{n}", f"/a/{n}.py", n, "x", "line") for n in range(1000))
    spans = tuple(
        Span(n * 1e-4, (n + 1) * 1e-4, "holding" if n % 2 else "running", n % 1000)
        if n % 2
        else Span(n * 1e-4, (n + 1) * 1e-4, "running")
        for n in range(100_000)
    )
    trace = Timeline((Lane("main", 7, spans),), 10.0, 0.0, 5.0, 7, lines)
    assert len(events_of(trace, "X")) == 150_000


@pytest.mark.parametrize("line", [-1, 3])
def test_line_of_a_span_must_exist(with_lines: Timeline, line: int) -> None:
    text = with_lines.to_json().replace('"holding", 1]', f'"holding", {line}]')
    message = r"spans\[1\].line: expected the number of one of 3 lines, got "
    with pytest.raises(ArgumentError, match=message):
        Timeline.from_json(text)
