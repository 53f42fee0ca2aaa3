"""A chapter's picture on a page: bars with their intervals and marks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gilx.demo.chapter import IDEAL, shown
from gilx.rendering.html_page import Figure
from gilx.rendering.vega_lite import above, colours, data, lane, tooltip

if TYPE_CHECKING:
    from gilx.demo.chapter import Bar, Picture

__all__ = ["bars_figure"]

_LANE = 56  # pixels, with the name above it


def bars_figure(picture: Picture, caption: str) -> Figure:
    """Return bars, one below the other, as a figure of a page.

    Parameters
    ----------
    picture : Picture
        At least one bar.
    caption : str
        What it shows.

    """
    rows = [_row(place, bar) for place, bar in enumerate(picture.bars)]
    meanings = {"bar": picture.unit}
    if any(bar.interval is not None for bar in picture.bars):
        meanings["ink"] = "interval at 95 %"
    if any(bar.mark is not None for bar in picture.bars):
        meanings["ceiling"] = picture.mark
    if any(bar.ideal is not None for bar in picture.bars):
        meanings["ideal"] = IDEAL
    tips = tooltip(label=picture.unit, interval="95 %")
    if "ceiling" in meanings:
        tips += tooltip(best=picture.mark)
    numbers = [
        number
        for row in rows
        for field in ("value", "high", "mark", "ideal")
        if (number := row[field]) is not None
    ]
    most = max(numbers, default=0) or 1  # where all are 0 there is an axis nonetheless
    below = {"yOffset": 8}  # the name
    across = {"type": "tick", "orient": "vertical", "size": 30, "opacity": 1, **below}
    parts: tuple[tuple[dict[str, Any], str, str, dict[str, Any]], ...] = (
        ({"type": "bar", "height": 22, **below}, "bar", "value", {}),
        ({**across, "thickness": 2}, "ideal", "ideal", {}),
        ({**across, "thickness": 4}, "ceiling", "mark", {}),
        (
            {"type": "rule", "strokeWidth": 2, "y2Offset": 8, **below},
            "ink",
            "low",
            {"x2": {"field": "high"}},
        ),
    )
    layers: list[dict[str, Any]] = [
        {
            "data": data([row for row in rows if row[field] is not None]),
            "mark": mark,
            "encoding": {
                "x": {
                    "field": field,
                    "type": "quantitative",
                    "title": picture.unit,
                    "scale": {"domain": [0, most], "nice": True},
                    "axis": {"tickCount": {"expr": "width / 70"}},
                },
                **more,
                "y": lane("lane"),
                "color": {
                    "datum": meanings[colour],
                    "type": "nominal",
                    "scale": colours(**meanings),
                },
                "tooltip": tips,
            },
        }
        for mark, colour, field, more in parts
        if any(row[field] is not None for row in rows)
    ]
    layers.append({"data": data(rows), **above("label", "lane")})
    spec = {"width": "container", "height": _LANE * len(rows), "layer": layers}
    return Figure(caption, spec)


def _row(place: int, bar: Bar) -> dict[str, Any]:
    low, high = bar.interval or (None, None)
    between = " to ".join(shown(end) for end in bar.interval or ())
    return {
        "lane": place,
        "label": bar.label,
        "value": bar.value if math.isfinite(bar.value) else None,
        "low": low,
        "high": high,
        "interval": between or "unknown",
        "mark": bar.mark,
        "best": "unknown" if bar.mark is None else shown(bar.mark),
        "ideal": bar.ideal,
    }
