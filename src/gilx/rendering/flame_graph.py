"""Flame graph of the stacks that held the GIL, and the same calls as a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gilx.formatting import duration, percent
from gilx.rendering.html_page import Figure, Table
from gilx.rendering.vega_lite import number, tooltip
from gilx.sampling.stacks import thread_names, thread_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilx.sampling.stacks import Stacks

_LEVEL = 22  # pixels of one call
_MOST_ROWS = 200  # of the table
# Pixels per unit of the axis. Places and widths of frames have the same unit.
_SCALE = "width / (shown[1] - shown[0])"
_LEFT, _RIGHT = "max(datum.begin, shown[0])", "min(datum.end, shown[1])"

_LOOK = {"clip": True, "cursor": "zoom-in"}
_TEXT = {
    "type": "text",
    "align": "left",
    "baseline": "top",
    "dx": 4,
    "dy": 5,
    "fontSize": 12,
    **_LOOK,
}


@dataclass
class Call:
    """A call, or a thread, with the calls that it made.

    Attributes
    ----------
    name : str
        Function, file and line; or the thread's name.
    depth : int
        Number of calls around it; that of a thread is 0.
    begin, end : float
        Place among all calls of this depth, in seconds of holding the GIL. Among the
        calls that one call made, the one that held it longest is first.
    itself : float
        Seconds for which it held the GIL, without the calls that it made.

    """

    name: str
    depth: int
    begin: float = 0.0
    end: float = 0.0
    itself: float = 0.0
    calls: dict[object, Call] = field(default_factory=dict)

    @property
    def held(self) -> float:
        """Seconds for which it held the GIL, with the calls that it made."""
        return self.end - self.begin


def calls_of(stacks: Stacks) -> list[Call]:
    """Return all threads and calls, each after its caller."""
    names = [frame.text for frame in stacks.frames]
    top = Call("", -1)
    for thread, name in thread_names(stacks).items():
        top.calls[thread] = Call(name, 0)
    for stack in stacks.stacks:
        call = top.calls[thread_of(stack)]
        for frame in stack.frames:
            if frame not in call.calls:
                call.calls[frame] = Call(names[frame], call.depth + 1)
            call = call.calls[frame]
        call.itself += stack.held
    calls = list(_in_order(top))
    for call in reversed(calls):  # each before its caller
        call.end = call.itself + sum(one.end for one in call.calls.values())
    calls = list(_in_order(top))
    for call in calls:
        at = call.begin
        for one in sorted(call.calls.values(), key=lambda one: -one.end):
            one.begin, one.end = at, at + one.end
            at = one.end
    return calls[1:]


def _in_order(top: Call) -> Iterator[Call]:
    """Return a call and all that it made, the ones that held longest first."""
    waiting = [top]
    while waiting:  # no recursion: stacks may be deeper than Python's limit
        call = waiting.pop()
        yield call
        waiting += sorted(call.calls.values(), key=lambda one: one.end)


def flame_figure(calls: list[Call]) -> Figure:
    """Return a flame graph: each call below its caller, as wide as it held the GIL."""
    whole = max(1e-9, _held_by_all(calls))
    unit, size = ("s", 1.0) if whole >= 2 else ("ms", 1e-3)
    distinct = dict.fromkeys(call.name for call in calls)
    names = {name: number for number, name in enumerate(distinct)}
    frames = [
        {
            "call": names[call.name],
            "depth": call.depth,
            "begin": round(call.begin / size, 6),
            "end": round(call.end / size, 6),
            "itself": round(call.itself / size, 6),
        }
        for call in calls
    ]
    texts = [{"call": number, "name": name} for name, number in names.items()]
    visible = [{"expr": "shown[0]"}, {"expr": "shown[1]"}]
    axis = {"grid": False, "tickCount": {"expr": "width / 90"}}
    title = f"time holding the GIL ({unit})"
    place = {"type": "quantitative", "scale": None, "axis": None}
    hint = tooltip({"name": "call", "held": "held", "alone": "itself"})
    is_thread = {"test": "datum.depth == 0", "value": "$waiting"}
    bars = {
        # Bars that are narrower than half a pixel, or outside the window, are not drawn.
        "transform": [_wider_than(0.5)],
        "mark": {"type": "rect", **_LOOK},
        "encoding": {
            "x": number("begin", title, axis, domain=visible, nice=False, zero=False),
            "x2": {"field": "end"},
            "y": {"field": "top", **place},
            "y2": {"field": "bottom"},
            "color": {"condition": is_thread, "value": "$flame"},
            "stroke": {"value": "$paper"},
            "tooltip": hint,
        },
    }
    labels = {
        "transform": [_wider_than(32), {"calculate": _LEFT, "as": "left"}],
        "mark": {
            **_TEXT,
            "limit": {"expr": f"({_RIGHT} - {_LEFT}) * {_SCALE} - 8"},
        },
        "encoding": {
            "x": number("left", title, axis, domain=visible, nice=False, zero=False),
            "y": {"field": "top", **place},
            "text": {"field": "name", "type": "nominal"},
            "tooltip": hint,
        },
    }
    length = f"format(datum.end - datum.begin, '.3~r') + ' {unit}, '"
    share = f"format((datum.end - datum.begin) / {whole / size!r} * 100, '.1~f') + ' %'"
    spec = {
        "width": "container",
        "height": _LEVEL * (1 + max((call.depth for call in calls), default=0)),
        "params": [{"name": "shown", "value": [0, whole / size]}],
        "data": {"values": frames},
        "transform": [
            {
                "lookup": "call",
                "from": {"data": {"values": texts}, "key": "call", "fields": ["name"]},
            },
            {"calculate": f"{length} + {share}", "as": "held"},
            {"calculate": f"format(datum.itself, '.3~r') + ' {unit}'", "as": "alone"},
            {"calculate": f"datum.depth * {_LEVEL}", "as": "top"},
            {"calculate": f"datum.top + {_LEVEL}", "as": "bottom"},
        ],
        "layer": [bars, labels],
    }
    caption = (
        "Calls that held the GIL. A call is below its caller; its width is the time for"
        " which it and its own calls held the GIL. Press a call to widen it to the whole"
        " picture"
    )
    return Figure(caption, spec, (0, whole / size), unit)


def _held_by_all(calls: list[Call]) -> float:
    return sum(call.held for call in calls if call.depth == 0)


def _wider_than(pixels: float) -> dict[str, str]:
    return {"filter": f"({_RIGHT} - {_LEFT}) * {_SCALE} > {pixels}"}


def calls_table(calls: list[Call]) -> Table:
    """Return the calls that held the GIL longest, each below its caller."""
    whole = _held_by_all(calls)
    # A caller held at least as long as its calls, and comes first: it is never left out.
    longest = sorted(range(len(calls)), key=lambda place: (-calls[place].held, place))
    rows = [
        (
            call.name,
            str(call.depth),
            duration(call.held),
            percent(call.held / whole) if whole else "-",
            duration(call.itself),
        )
        for call in (calls[place] for place in sorted(longest[:_MOST_ROWS]))
    ]
    of_all = f"{len(rows)} of {len(calls)} calls: those" if len(rows) < len(calls) else ""
    return Table(
        ("thread or call", "depth", "held", "share", "itself"),
        rows,
        right=(1, 2, 3, 4),
        caption=f"{of_all or 'Calls'} that held the GIL, each below its caller",
    )
