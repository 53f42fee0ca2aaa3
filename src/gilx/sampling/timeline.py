"""Who held the GIL when: one lane for each thread."""

from __future__ import annotations

import html
import json
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from gilx.errors import number_between
from gilx.files import save_text
from gilx.formatting import duration, percent
from gilx.records import Record, render
from gilx.sampling.thread_states import STATES, State

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from gilx.rendering.picture import Picture

    Look = tuple[int, bool, tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]

_LONGEST = 1e9  # seconds that a timeline may have
WATCHED = 0  # the place of the watched thread among the sampler's
MOST_SHARE = 255  # a whole, as the sampler keeps shares (GILX_MOST_SHARE)


class Span(NamedTuple):
    """A time during which a thread did one thing, in seconds since the watch began."""

    start: float
    """When it began."""
    end: float
    """When it ended."""
    state: State
    """What the thread did."""


@dataclass(frozen=True)
class Lane:
    """What one thread did."""

    name: str
    native_id: int | None
    spans: tuple[Span, ...]

    def share(self, state: str) -> float:
        """Return for what share of the lane the thread was in that state."""
        whole = sum(span.end - span.start for span in self.spans)
        part = sum(span.end - span.start for span in self.spans if span.state == state)
        return part / whole if whole else 0.0


@dataclass(frozen=True)
class Timeline(Record, schema="gilx.timeline"):
    """Who held the GIL when, as far as looks at random times show it.

    What happened between two looks is not in it.

    Attributes
    ----------
    lanes : tuple of Lane
        One for the watched thread, first, and for each thread that held the GIL or ran
        without it at some look. A lane named ``unknown`` is of threads that held the GIL
        and could not be identified.
    wall : float
        Length of the watch, in seconds.
    since : float
        Where the lanes begin: 0, or later if there was no room for more looks.

    """

    lanes: tuple[Lane, ...]
    wall: float
    since: float

    def _check(self, where: str) -> None:
        number_between(f"{where}.wall", self.wall, 0, _LONGEST)
        number_between(f"{where}.since", self.since, 0, self.wall)
        for number, lane in enumerate(self.lanes):
            last = 0.0
            for place, span in enumerate(lane.spans):
                name = f"{where}.lanes[{number}].spans[{place}]"
                number_between(f"{name}.start", span.start, last, self.wall)
                last = number_between(f"{name}.end", span.end, span.start, self.wall)

    def to_trace(self) -> str:
        """Return it as a trace that Perfetto, chrome://tracing and VizTracer open.

        The format is the Trace Event Format of the Chromium project, as a JSON object.
        """
        return json.dumps(self._trace())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write what `to_trace` returns to a file, all of it or nothing.

        Raises
        ------
        OSError
            It can't be written.

        """
        save_text(path, self.to_trace())

    def _trace(self) -> dict[str, Any]:
        events: list[dict[str, Any]] = [_meta("process_name", 0, "who holds the GIL")]
        for number, lane in enumerate(self.lanes):
            tid = lane.native_id or number + 1
            events.append(_meta("thread_name", tid, lane.name))
            events.append(_meta("thread_sort_index", tid, number))
            for span in lane.spans:
                words, _, colour = STATES[span.state]
                events.append(
                    {
                        "name": words,
                        "cat": "gil",
                        "ph": "X",
                        "ts": span.start * 1e6,
                        "dur": (span.end - span.start) * 1e6,
                        "pid": 1,
                        "tid": tid,
                        "cname": colour,
                    }
                )
        if self.since > 0:
            cut = {"name": "there was no room for what was before", "ph": "i", "s": "g"}
            events.append({**cut, "ts": self.since * 1e6, "pid": 1, "tid": 0})
        return {"traceEvents": events, "displayTimeUnit": "ms"}

    def plot(self) -> Picture:
        """Return a picture: a lane for each thread, one below the other.

        Raises
        ------
        MissingExtraError
            The extra ``plot`` is not installed.

        """
        picture: Picture = render(self, "plot")
        return picture

    def to_html(self) -> str:
        """Return a page with the lanes, which zoom, and each thread's shares.

        It is one HTML file that asks the network for nothing.

        Raises
        ------
        MissingExtraError
            What draws in it is not installed; the extra ``html`` has it.

        """
        page: str = render(self, "page")
        return page

    def __str__(self) -> str:
        lines = [f"{duration(self.wall - self.since)} of {duration(self.wall)}:"]
        lines += [
            f"  {lane.name}: "
            + ", ".join(
                f"{percent(lane.share(state))} {words}"
                for state, (words, _, _) in STATES.items()
                if lane.share(state) > 0
            )
            for lane in self.lanes
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        bars = []
        for lane in self.lanes:
            parts = "".join(
                f'<rect x="{1000 * (s.start - self.since) / self._length():.2f}" y="0"'
                f' width="{1000 * (s.end - s.start) / self._length():.2f}" height="16"'
                f' fill="{STATES[s.state][1]}"><title>{STATES[s.state][0]}</title></rect>'
                for s in lane.spans
            )
            bars.append(
                f"<tr><th>{html.escape(lane.name)}</th><td>"
                f'<svg width="100%" height="16" viewBox="0 0 1000 16"'
                f' preserveAspectRatio="none">{parts}</svg></td></tr>'
            )
        return f'<table style="width: 100%">{"".join(bars)}</table>'

    def _length(self) -> float:
        return max(1e-9, self.wall - self.since)


def lanes_of(
    looks: Sequence[Look],
    threads: Sequence[tuple[str, int | None]],
    begin: int,
    end: int,
    *,
    cut: bool,
) -> Timeline:
    """Make the lanes from the sampler's looks.

    There is a lane for the watched thread, for each that held the GIL or ran without it
    at some look, and, if the GIL was held by threads that are not known, one for these.

    Parameters
    ----------
    looks : sequence
        As ``Sampler.looks()`` returns them.
    threads : sequence
        Name and native_id of each thread, in the order of ``Sampler.threads()``.
    begin, end : int
        When the watch began and ended, as the looks' times.
    cut : bool
        Whether there were more looks before these.

    """
    times = [look[0] for look in looks]
    whole = (end - begin) / 1e9
    if not looks:
        nothing = Lane(*threads[WATCHED], (Span(0.0, whole, "unknown"),))
        return Timeline((nothing,), whole, 0.0)
    # A look stands for the time until half way to its neighbours.
    edges = [
        times[0] if cut else begin,
        *((a + b) // 2 for a, b in pairwise(times)),
        end,
    ]
    seconds = [(edge - begin) / 1e9 for edge in edges]
    holds: dict[int, list[int]] = {WATCHED: []}
    clocks: dict[int, list[tuple[int, int]]] = {}
    for number, (_, _, held, ran) in enumerate(looks):
        for place, share in held:
            if share > MOST_SHARE / 2:
                holds.setdefault(place, []).append(number)
        for place, share in ran:
            clocks.setdefault(place, []).append((number, share))
    lanes = []
    for place in sorted({*holds, *clocks}, key=lambda place: (place < 0, place)):
        states = _states(holds.get(place, []), clocks.get(place, []), len(looks))
        if place in holds or any(state == "running" for _, state in states):
            name, native_id = ("unknown", None) if place < 0 else threads[place]
            lanes.append(Lane(name, native_id, _spans(states, seconds)))
    return Timeline(tuple(lanes), whole, seconds[0])


def _states(
    holds: list[int], clocks: list[tuple[int, int]], looks: int
) -> list[tuple[int, State]]:
    """Return one thread's states, each with the number of the first look after it.

    Parameters
    ----------
    holds : list of int
        The looks in which it held the GIL, in order.
    clocks : list of (int, int)
        The looks in which its CPU clock was read, and its CPU time since the read before.
    looks : int
        How many looks there are.

    """
    # The CPU time between two reads says nothing if the GIL was held at one of them, or
    # in between: it may have gone into that.
    held = set(holds)
    known: dict[int, list[int]] = {number: [] for number, _ in clocks}
    between: dict[int, State] = {}
    for (before, _), (after, share) in pairwise(clocks):
        if bisect_left(holds, before) == bisect_right(holds, after):
            known[before].append(share)
            known[after].append(share)
            between[before] = _busy(share)
    states: list[tuple[int, State]] = []
    at = 0
    last: State = "unknown"  # until something is known
    for number in sorted({*held, *known}):
        if number > at:
            states.append((number, last))
        if number in held:
            states.append((number + 1, "holding"))
        else:
            shares = known[number]
            mean = sum(shares) / len(shares) if shares else 0
            states.append((number + 1, _busy(mean)))
        at, last = number + 1, between.get(number, "unknown")
    return [*states, (looks, "unknown")] if at < looks else states


def _busy(share: float) -> State:
    return "running" if share >= MOST_SHARE / 2 else "waiting"


def _spans(states: list[tuple[int, State]], edges: list[float]) -> tuple[Span, ...]:
    """Return states as spans of time; equal neighbours are one."""
    spans: list[Span] = []
    start = 0
    for stop, state in states:
        if spans and spans[-1].state == state:
            spans[-1] = spans[-1]._replace(end=edges[stop])
        else:
            spans.append(Span(edges[start], edges[stop], state))
        start = stop
    return tuple(spans)


def _meta(name: str, tid: int, value: str | int) -> dict[str, Any]:
    key = "sort_index" if name.endswith("sort_index") else "name"
    return {"name": name, "ph": "M", "pid": 1, "tid": tid, "args": {key: value}}
