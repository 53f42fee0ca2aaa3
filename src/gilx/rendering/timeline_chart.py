"""Chart of a timeline: a lane for each thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.rendering.html_page import Figure
from gilx.rendering.picture import Picture
from gilx.rendering.vega_lite import LANE, above, colours, lane, layer, number, tooltip
from gilx.sampling.thread_states import STATES

if TYPE_CHECKING:
    from gilx.sampling.thread_states import State
    from gilx.sampling.timeline import Timeline


def picture_of(timeline: Timeline, finding: str = "") -> Picture:
    """Return a timeline as a picture, see `Timeline.plot`.

    Parameters
    ----------
    timeline : Timeline
        Timeline of a watch.
    finding : str
        Sentence above the picture, if there is one.

    """
    figure = lanes_figure(timeline, "What each thread did")
    return Picture.of(figure, finding or figure.caption)


def lanes_figure(timeline: Timeline, caption: str) -> Figure:
    """Return a picture of a timeline: a lane for each thread, one below the other.

    Parameters
    ----------
    timeline : Timeline
        The samples to draw.
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
            # Nanoseconds are more precise than the samples, and long.
            "begin": round(span.start / size, 6),
            "end": round(span.end / size, 6),
            "state": STATES[span.state][0],
            **({} if span.line is None else {"line": span.line}),
        }
        for place, one in enumerate(timeline.lanes)
        for span in one.spans
    ]
    whole = timeline.since / size, max(timeline.wall, timeline.since + 1e-9) / size
    meanings: dict[str, str] = {name: STATES[name][0] for name in states_of(timeline)}
    visible = [{"expr": "shown[0]"}, {"expr": "shown[1]"}]
    axis = {"grid": False, "tickCount": {"expr": "width / 90"}}
    titles = {"name": "thread", "was": "was", "at": "from", "length": "for"}
    encoding = {
        "x": number(
            "begin", f"time ({unit})", axis, domain=visible, nice=False, zero=False
        ),
        "x2": {"field": "end"},
        "y": lane(),
        "color": {
            "field": "state",
            "type": "nominal",
            "scale": colours(meanings),
            "legend": {} if meanings else None,
        },
        "tooltip": tooltip(titles),
    }
    bars = layer(spans, "rect", encoding, height=24, yOffset=8, clip=True)
    lines = [
        {"line": number, "place": line.label}
        for number, line in enumerate(timeline.lines)
    ]
    place = {"data": {"values": lines}, "key": "line", "fields": ["place"]}
    was = "datum.state + (datum.place ? ' in ' + datum.place : '')"
    bars["transform"] = [
        {"lookup": "line", "from": place},
        {"calculate": was, "as": "was"},
        _words("at", "format(datum.begin, '.6~r')", unit),
        _words("length", "format(datum.end - datum.begin, '.3~r')", unit),
    ]
    spec = {
        "width": "container",
        "height": LANE * max(1, len(timeline.lanes)),
        "params": [{"name": "shown", "value": list(whole)}],
        "layer": [bars, above(names, "name")],
    }
    return Figure(caption, spec, whole, unit)


def _words(name: str, number: str, unit: str) -> dict[str, str]:
    return {"calculate": f"{number} + ' {unit}'", "as": name}


def states_of(timeline: Timeline) -> list[State]:
    """Return the states that there are, in their usual order."""
    found = {span.state for lane in timeline.lanes for span in lane.spans}
    return [state for state in STATES if state in found]
