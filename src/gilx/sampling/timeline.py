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
from gilx.sampling.thread_states import ACTIVITIES, STATES, State

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from gilx.rendering.picture import Picture

    Pairs = tuple[tuple[int, int], ...]
    Look = tuple[int, bool, Pairs, Pairs, Pairs]

_LONGEST = 1e9  # seconds that a timeline may have
_WITH_LANE = "running", "waiting_gil", "waiting_cpu"
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
        One for the watched thread, first, and for each thread that held the GIL, waited
        for it, or ran without it at some look. A lane named ``unknown`` is of threads
        that held the GIL and could not be identified.
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

    There is a lane for the watched thread, for each that held the GIL, waited for it or
    ran without it at some look, and, if the GIL was held by threads that are not known,
    one for these.

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
    deeds: dict[int, dict[int, State]] = {}
    for number, (_, _, held, ran, did) in enumerate(looks):
        for place, share in held:
            if share > MOST_SHARE / 2:
                holds.setdefault(place, []).append(number)
        for place, share in ran:
            clocks.setdefault(place, []).append((number, share))
        for place, activity in did:
            deeds.setdefault(place, {})[number] = ACTIVITIES[activity]
    lanes = []
    for place in sorted({*holds, *clocks, *deeds}, key=lambda one: (one < 0, one)):
        found = holds.get(place, []), clocks.get(place, []), deeds.get(place, {})
        states = _states(*found, len(looks))
        if place in holds or any(state in _WITH_LANE for state in states):
            name, native_id = ("unknown", None) if place < 0 else threads[place]
            lanes.append(Lane(name, native_id, _spans(states, seconds)))
    return Timeline(tuple(lanes), whole, seconds[0])


def _states(
    holds: list[int],
    clocks: list[tuple[int, int]],
    deeds: dict[int, State],
    looks: int,
) -> list[State]:
    """Return one thread's states at all looks.

    Parameters
    ----------
    holds : list of int
        The looks in which it held the GIL, in order.
    clocks : list of (int, int)
        The looks in which its CPU clock was read, and its CPU time since the read before.
    deeds : dict of int to str
        What it did in looks in which it was asked.
    looks : int
        How many looks there are.

    """
    states: list[State | None] = [None] * looks
    # The CPU time between two reads says nothing if the GIL was held at one of them, or
    # in between: it may have gone into that.
    shares: dict[int, list[int]] = {number: [] for number, _ in clocks}
    for (before, _), (after, share) in pairwise(clocks):
        if bisect_left(holds, before) == bisect_right(holds, after):
            shares[before].append(share)
            shares[after].append(share)
            if _busy(share):
                states[before + 1 : after] = ["running"] * (after - before - 1)
    for number, around in shares.items():
        if around and _busy(sum(around) / len(around)):
            states[number] = "running"
    for number, deed in deeds.items():
        # The CPU clock of a thread may stand since the sampler took its CPU.
        if states[number] is None or deed not in ("waiting_cpu", "unknown"):
            states[number] = deed
    for number in holds:
        states[number] = "holding"
    return _filled(states)


def _filled(states: list[State | None]) -> list[State]:
    """Return states, with those that are missing.

    What a thread did before and after, it did in between as well, unless it held the GIL.
    """
    filled: list[State] = []
    last: State = "unknown"
    for number, state in enumerate(states):
        if state is None:
            continue
        gap = number - len(filled)
        same = bool(filled) and last == state != "holding"
        filled += [last if same else "unknown"] * gap
        filled.append(state)
        last = state
    return filled + ["unknown"] * (len(states) - len(filled))


def _busy(share: float) -> bool:
    return share >= MOST_SHARE / 2


def _spans(states: list[State], edges: list[float]) -> tuple[Span, ...]:
    """Return the states at looks as spans of time; equal neighbours are one."""
    spans: list[Span] = []
    for number, state in enumerate(states):
        if spans and spans[-1].state == state:
            spans[-1] = spans[-1]._replace(end=edges[number + 1])
        else:
            spans.append(Span(edges[number], edges[number + 1], state))
    return tuple(spans)


def _meta(name: str, tid: int, value: str | int) -> dict[str, Any]:
    key = "sort_index" if name.endswith("sort_index") else "name"
    return {"name": name, "ph": "M", "pid": 1, "tid": tid, "args": {key: value}}
