"""Timelines of the GIL's holders: one lane for each thread."""

from __future__ import annotations

import html
import json
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import count, groupby, pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from gilx.errors import ArgumentError, at_least, number_between
from gilx.files import save_text
from gilx.formatting import duration, percent, printable
from gilx.records import Record, render
from gilx.sampling.longest_hold import WATCHED
from gilx.sampling.sites import HeldLine  # noqa: TC001 - JSON is read by annotations
from gilx.sampling.thread_states import ACTIVITIES, STATES, State

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from gilx.rendering.picture import Picture

    _Pairs = tuple[tuple[int, int], ...]
    TimelineSample = tuple[int, bool, _Pairs, _Pairs, _Pairs]

_LONGEST = 1e9  # seconds that a timeline may have, and a machine may run
_MOST_PROCESSES = 1 << 22  # Linux's numbers of processes are smaller
_WITH_LANE = "running", "waiting_gil", "waiting_cpu"
MOST_SHARE = 255  # a whole, as the sampler keeps shares (GILX_MOST_SHARE)


class Span(NamedTuple):
    """A time during which a thread did one thing, in seconds since the watch began."""

    start: float
    """When it began."""
    end: float
    """When it ended."""
    state: State
    """State of the thread."""
    line: int | None = None
    """Number in `Timeline.lines` of the line that held the GIL; None if it did not hold
    it, or the line was not read."""


@dataclass(frozen=True)
class Lane:
    """States of one thread over time."""

    name: str
    native_id: int | None
    spans: tuple[Span, ...]

    def share(self, state: str) -> float:
        """Return for what share of the lane the thread was in that state."""
        whole = sum(span.end - span.start for span in self.spans)
        part = sum(span.end - span.start for span in self.spans if span.state == state)
        return part / whole if whole else 0.0

    def runs(self) -> Iterator[tuple[Span, tuple[Span, ...]]]:
        """Return each time in one state as one span, and the spans of lines in it."""
        for _, group in groupby(self.spans, key=lambda span: span.state):
            spans = tuple(group)
            whole = Span(spans[0].start, spans[-1].end, spans[0].state)
            yield whole, tuple(span for span in spans if span.line is not None)


@dataclass(frozen=True)
class Timeline(Record, schema="gilx.timeline", version=3):
    """Holders of the GIL over time, as far as samples at random times show it.

    What happened between two samples is not in it.

    Attributes
    ----------
    lanes : tuple of Lane
        One for the watched thread, first, and for each thread that held the GIL, waited
        for it, or ran without it at some sample. A lane named ``unknown`` is of threads
        that held the GIL and could not be identified.
    wall : float
        Length of the watch, in seconds.
    since : float
        Where the lanes begin: 0, or later if there was no capacity for more samples.
    start : float
        When the watch began, in seconds of Linux's ``CLOCK_MONOTONIC``, which
        `time.monotonic` reads.
    pid : int
        Number of the process.
    lines : tuple of HeldLine
        Lines that held the GIL, each once.

    """

    lanes: tuple[Lane, ...]
    wall: float
    since: float
    start: float = 0.0
    pid: int = 1
    lines: tuple[HeldLine, ...] = ()

    def _check(self, where: str) -> None:
        number_between(f"{where}.wall", self.wall, 0, _LONGEST)
        number_between(f"{where}.since", self.since, 0, self.wall)
        number_between(f"{where}.start", self.start, 0, _LONGEST)
        at_least(f"{where}.pid", self.pid, 0, _MOST_PROCESSES)
        for number, line in enumerate(self.lines):
            at_least(f"{where}.lines[{number}].line", line.line, 0)
        for number, lane in enumerate(self.lanes):
            last = 0.0
            for place, span in enumerate(lane.spans):
                name = f"{where}.lanes[{number}].spans[{place}]"
                number_between(f"{name}.start", span.start, last, self.wall)
                last = number_between(f"{name}.end", span.end, span.start, self.wall)
                if span.line is not None and not 0 <= span.line < len(self.lines):
                    raise ArgumentError(
                        f"{name}.line: expected the number of one of {len(self.lines)}"
                        f" lines, got {span.line}"
                    )

    def to_trace(self) -> str:
        """Return a trace that Perfetto, the Firefox Profiler and speedscope open.

        The format is the Trace Event Format of the Chromium project, as a JSON object.
        Times are microseconds of ``CLOCK_MONOTONIC``, so that they agree with those of
        ``perf record -k CLOCK_MONOTONIC``. A span of a line is inside the one of the
        thread that holds the GIL.
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
        name = {"name": "Python threads"}
        events: list[dict[str, Any]] = [self._event("process_name", "M", args=name)]
        names = [_line_names(line) for line in self.lines]
        for number, (tid, lane) in enumerate(zip(self._tids(), self.lanes, strict=True)):
            for key, value in ("name", printable(lane.name)), ("sort_index", number):
                args = {key: value}
                events.append(self._event(f"thread_{key}", "M", tid=tid, args=args))
            if self.since > 0 and number == 0:
                cut = self._event("earlier samples did not fit", "i", tid=tid)
                events.append({**cut, "s": "g", "ts": self._microseconds(self.since)})
            for whole, lines in lane.runs():
                words, _, colour = STATES[whole.state]
                events.append(
                    {**self._complete(words, "gil", tid, whole), "cname": colour}
                )
                for span in lines:
                    assert span.line is not None
                    title, args = names[span.line]
                    event = self._complete(title, "line", tid, span)
                    events.append({**event, "args": args})
        return {
            "traceEvents": events,
            "displayTimeUnit": "ms",
            "otherData": {"clock": "CLOCK_MONOTONIC"},
        }

    def _tids(self) -> list[int]:
        """Return a number for each lane: its native id, if no other lane has that.

        Linux uses a number again when its thread has ended. Lanes overlap in time, which
        spans of one thread must not.
        """
        ids = [lane.native_id for lane in self.lanes]
        spare = count(max((one for one in ids if one is not None), default=0) + 1)
        return [
            one if one is not None and one not in ids[:place] else next(spare)
            for place, one in enumerate(ids)
        ]

    def _event(self, name: str, phase: str, **more: object) -> dict[str, Any]:
        return {"name": name, "ph": phase, "pid": self.pid, **more}

    def _complete(self, name: str, kind: str, tid: int, span: Span) -> dict[str, Any]:
        # Whole numbers, so that spans next to each other don't overlap by rounding:
        # Perfetto drops those that do.
        begin, end = self._microseconds(span.start), self._microseconds(span.end)
        times = {"ts": begin, "dur": end - begin}
        return self._event(name, "X", cat=kind, tid=tid, **times)

    def _microseconds(self, seconds: float) -> int:
        return round((self.start + seconds) * 1e6)

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

        It is one HTML file that loads nothing from the network.

        Raises
        ------
        MissingExtraError
            The library that draws in the page is not installed; the extra ``html`` has
            it.

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
                f' fill="{STATES[s.state][1]}"><title>{self._title(s)}</title></rect>'
                for s in lane.spans
            )
            bars.append(
                f"<tr><th>{html.escape(lane.name)}</th><td>"
                f'<svg width="100%" height="16" viewBox="0 0 1000 16"'
                f' preserveAspectRatio="none">{parts}</svg></td></tr>'
            )
        return f'<table style="width: 100%">{"".join(bars)}</table>'

    def _title(self, span: Span) -> str:
        words = STATES[span.state][0]
        if span.line is not None:
            words += f" in {self.lines[span.line].label}"
        return html.escape(words)

    def _length(self) -> float:
        return max(1e-9, self.wall - self.since)


def lanes_of(
    samples: Sequence[TimelineSample],
    threads: Sequence[tuple[str, int | None]],
    begin: int,
    end: int,
    *,
    cut: bool,
    sites: Sequence[tuple[int, int, bool, float]] = (),
    lines: tuple[HeldLine, ...] = (),
    pid: int = 1,
) -> Timeline:
    """Make the lanes from the sampler's samples.

    There is a lane for the watched thread, for each that held the GIL, waited for it or
    ran without it at some sample, and, if the GIL was held by threads that are not known,
    one for these.

    Parameters
    ----------
    samples : sequence
        As ``Sampler.samples()`` returns them.
    threads : sequence
        Name and native_id of each thread, in the order of ``Sampler.threads()``.
    begin, end : int
        When the watch began and ended, as the samples' times.
    cut : bool
        Whether there were more samples before these.
    sites : sequence
        As ``Sampler.held_sites()`` returns them.
    lines : tuple of HeldLine
        The lines of ``Sampler.sites()``.
    pid : int
        Number of the process.

    """
    times = [sample[0] for sample in samples]
    whole = (end - begin) / 1e9
    watch = begin / 1e9, pid, lines
    if not samples:
        nothing = Lane(*threads[WATCHED], (Span(0.0, whole, "unknown"),))
        return Timeline((nothing,), whole, 0.0, *watch)
    # A sample stands for the time until half way to its neighbours.
    edges = [
        times[0] if cut else begin,
        *((a + b) // 2 for a, b in pairwise(times)),
        end,
    ]
    seconds = [(edge - begin) / 1e9 for edge in edges]
    holds: dict[int, list[int]] = {WATCHED: []}
    clocks: dict[int, list[tuple[int, int]]] = {}
    deeds: dict[int, dict[int, State]] = {}
    for number, (_, _, held, ran, did) in enumerate(samples):
        for place, share in held:
            if share > MOST_SHARE / 2:
                holds.setdefault(place, []).append(number)
        for place, share in ran:
            clocks.setdefault(place, []).append((number, share))
        for place, activity in did:
            deeds.setdefault(place, {})[number] = ACTIVITIES[activity]
    lines_at: dict[int, dict[int, int]] = {}
    for number, (line, place, _, _) in enumerate(sites):
        if line >= 0:
            lines_at.setdefault(place, {})[number] = line
    lanes = []
    for place in sorted({*holds, *clocks, *deeds}, key=lambda one: (one < 0, one)):
        found = holds.get(place, []), clocks.get(place, []), deeds.get(place, {})
        states = _states(*found, len(samples))
        if place in holds or any(state in _WITH_LANE for state in states):
            name, native_id = ("unknown", None) if place < 0 else threads[place]
            spans = _spans(states, seconds, lines_at.get(place, {}))
            lanes.append(Lane(name, native_id, spans))
    return Timeline(tuple(lanes), whole, seconds[0], *watch)


def _states(
    holds: list[int],
    clocks: list[tuple[int, int]],
    deeds: dict[int, State],
    samples: int,
) -> list[State]:
    """Return one thread's states at all samples.

    Parameters
    ----------
    holds : list of int
        The samples in which it held the GIL, in order.
    clocks : list of (int, int)
        The samples in which its CPU clock was read, and its CPU time since the last.
    deeds : dict of int to str
        What it did in samples that asked for it.
    samples : int
        Number of samples.

    """
    states: list[State | None] = [None] * samples
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


def _spans(
    states: list[State], edges: list[float], lines: dict[int, int]
) -> tuple[Span, ...]:
    """Return states as spans of time; neighbours that differ in nothing are one.

    Parameters
    ----------
    states : list of State
        What the thread did at each sample.
    edges : list of float
        Start of each sample's time, and the end of the last one's.
    lines : dict of int to int
        The line at which each sample found that the thread held the GIL, if it did.

    """
    spans: list[Span] = []
    for number, state in enumerate(states):
        line = lines.get(number) if state == "holding" else None
        if spans and (spans[-1].state, spans[-1].line) == (state, line):
            spans[-1] = spans[-1]._replace(end=edges[number + 1])
        else:
            spans.append(Span(edges[number], edges[number + 1], state, line))
    return tuple(spans)


def _line_names(line: HeldLine) -> tuple[str, dict[str, Any]]:
    """Return what a trace calls a line, and all that it says of it.

    The Firefox Profiler shows the argument ``detail``. It takes some names for those of
    its own events, and none of these has a place.
    """
    place, label = printable(line.place), printable(line.label)
    name = f"{printable(line.function)} ({place})" if line.function else f"({place})"
    args = {"detail": label, "file": printable(line.file), "line": line.line}
    return name, args
