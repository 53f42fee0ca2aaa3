"""A timeline on a page: lanes that zoom, and each thread's shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.formatting import duration, percent
from gilx.rendering.html_page import Document, Figure, Section, Table
from gilx.rendering.vega_lite import above, colours, data, lane
from gilx.sampling.thread_states import STATES

if TYPE_CHECKING:
    from gilx.sampling.thread_states import State
    from gilx.sampling.timeline import Lane, Timeline

__all__ = ["document_of", "lanes_figure", "lanes_table", "page_of"]

_LANE = 58  # pixels, with the name above it


def page_of(timeline: Timeline) -> str:
    """Return a timeline as a page, see `Timeline.to_html`."""
    return document_of(timeline).html()


def document_of(timeline: Timeline, finding: str = "") -> Document:
    """Return a timeline as a page, see `Timeline.to_html`.

    Parameters
    ----------
    timeline : Timeline
        Timeline of a watch.
    finding : str
        Sentence that the page leads with, if there is one.

    """
    blocks = (
        lanes_figure(timeline, "What each thread did"),
        lanes_table(timeline, "Of this time, each thread was"),
    )
    return Document(
        title="Who held the GIL when",
        lead=f"{finding}. {_lead(timeline)}" if finding else _lead(timeline),
        sections=(Section("Threads", blocks),),
        made="Seen by gilx from a thread that needs no GIL, at random moments: what"
        " happened between two of them is not shown.",
    )


def _lead(timeline: Timeline) -> str:
    seen, wall = timeline.wall - timeline.since, timeline.wall
    if timeline.since > 0:
        return (
            f"The last {duration(seen)} of {duration(wall)}: there was no room for more."
        )
    return f"{duration(wall)}, from the beginning of the watch to its end."


def lanes_figure(timeline: Timeline, caption: str) -> Figure:
    """Return a picture of a timeline: a lane for each thread, one below the other.

    Parameters
    ----------
    timeline : Timeline
        What was seen.
    caption : str
        What it shows, and how to read it.

    """
    unit, size = ("s", 1.0) if timeline.wall >= 2 else ("ms", 1e-3)
    names = [
        {"lane": place, "name": one.name} for place, one in enumerate(timeline.lanes)
    ]
    spans = [
        {
            "lane": place,
            "name": one.name,
            # Nanoseconds are more than was seen, and much text.
            "begin": round(span.start / size, 6),
            "end": round(span.end / size, 6),
            "state": STATES[span.state][0],
        }
        for place, one in enumerate(timeline.lanes)
        for span in one.spans
    ]
    whole = timeline.since / size, max(timeline.wall, timeline.since + 1e-9) / size
    meanings = {name: STATES[name][0] for name in _states(timeline)}
    spec = {
        "width": "container",
        "height": _LANE * len(timeline.lanes),
        "params": [{"name": "shown", "value": list(whole)}],
        "layer": [
            {
                "data": data(spans),
                "mark": {"type": "rect", "height": 24, "yOffset": 8, "clip": True},
                "transform": [
                    _words("at", "format(datum.begin, '.6~r')", unit),
                    _words("length", "format(datum.end - datum.begin, '.3~r')", unit),
                ],
                "encoding": {
                    "x": {
                        "field": "begin",
                        "type": "quantitative",
                        "title": f"time ({unit})",
                        "scale": {
                            "domain": [{"expr": "shown[0]"}, {"expr": "shown[1]"}],
                            "nice": False,
                            "zero": False,
                        },
                        "axis": {"grid": False, "tickCount": {"expr": "width / 90"}},
                    },
                    "x2": {"field": "end"},
                    "y": lane("lane"),
                    "color": {
                        "field": "state",
                        "type": "nominal",
                        "scale": colours(**meanings),
                    },
                    "tooltip": [
                        {"field": "name", "title": "thread"},
                        {"field": "state", "title": "was"},
                        {"field": "at", "title": "from"},
                        {"field": "length", "title": "for"},
                    ],
                },
            },
            {"data": data(names), **above("name", "lane")},
        ],
    }
    return Figure(caption, spec, whole, unit)


def _words(name: str, number: str, unit: str) -> dict[str, str]:
    return {"calculate": f"{number} + ' {unit}'", "as": name}


def lanes_table(timeline: Timeline, caption: str) -> Table:
    """Return what the lanes show as figures: each thread's shares.

    Parameters
    ----------
    timeline : Timeline
        What was seen.
    caption : str
        What these are shares of.

    """
    states = _states(timeline)
    return Table(
        caption,
        ("thread", *(STATES[state][0] for state in states), "longest stretch of holding"),
        [
            (lane.name, *(percent(lane.share(state)) for state in states), _longest(lane))
            for lane in timeline.lanes
        ],
        right=tuple(range(1, len(states) + 2)),
    )


def _states(timeline: Timeline) -> list[State]:
    """Return the states that there are, in their usual order."""
    found = {span.state for lane in timeline.lanes for span in lane.spans}
    return [state for state in STATES if state in found]


def _longest(lane: Lane) -> str:
    holds = [span.end - span.start for span in lane.spans if span.state == "holding"]
    return duration(max(holds)) if holds else "-"
