"""Chart of bars with their intervals and marks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from gilx.estimate import Estimate
from gilx.rendering.html_page import Figure
from gilx.rendering.picture import Picture
from gilx.rendering.vega_lite import LANE, above, colours, lane, layer, number, tooltip

UNKNOWN = Estimate.unknown()


@dataclass(frozen=True)
class Bar:
    """Bar with its name. What is unknown is not drawn."""

    name: str
    figure: Estimate
    ceiling: Estimate = UNKNOWN
    """Its value is drawn across the bar."""
    ideal: int | None = None
    """Number of workers, the ideal speedup, which is drawn across the bar, too."""

    @property
    def label(self) -> str:
        """The name and the value, which a bar of no length does not show."""
        return f"{self.name}: {shown(self.figure.value)}"


def shown(value: float) -> str:
    """Return a bar's value for people, with zeros at the end: 1.00 beside 1.96."""
    if not math.isfinite(value):
        return "unknown"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.3g}"


IDEAL = "ideal speedup: the number of workers"
"""Meaning of `Bar.ideal`, for people."""


@dataclass(frozen=True)
class BarChart:
    """Bars that share an axis."""

    unit: str
    bars: tuple[Bar, ...]
    mark: str = ""
    """Meaning of the bars' marks."""


def bars_picture(chart: BarChart, title: str) -> Picture:
    """Return bars as a picture.

    Raises
    ------
    MissingExtraError
        The extra ``plot`` is not installed.

    """
    labels = "; ".join(bar.label for bar in chart.bars)
    return Picture.of(bars_figure(chart, f"{chart.unit}: {labels}"), title)


def bars_figure(chart: BarChart, caption: str) -> Figure:
    """Return bars, one below the other, as a figure of a page.

    Parameters
    ----------
    chart : BarChart
        At least one bar.
    caption : str
        What it shows.

    """
    rows = [_row(place, bar) for place, bar in enumerate(chart.bars)]
    meanings = {"bar": chart.unit}
    if any(bar.figure.bounded for bar in chart.bars):
        meanings["ink"] = "interval at 95 %"
    if any(bar.ceiling.known for bar in chart.bars):
        meanings["ceiling"] = chart.mark
    if any(bar.ideal is not None for bar in chart.bars):
        meanings["ideal"] = IDEAL
    titles = {"label": chart.unit, "interval": "95 %"}
    if "ceiling" in meanings:
        titles["best"] = chart.mark
    fields = ("value", "high", "mark", "ideal")
    numbers = [row[field] for row in rows for field in fields if row[field] is not None]
    most = max(numbers, default=0) or 1  # there is an axis even if all are 0
    ticks = {"tickCount": {"expr": "width / 70"}}
    below = {"yOffset": 8}  # the name
    across = {"orient": "vertical", "size": 30, "opacity": 1, **below}
    parts: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
        ("bar", "bar", "value", {"height": 22, **below}),
        ("tick", "ideal", "ideal", {"thickness": 2, **across}),
        ("tick", "ceiling", "mark", {"thickness": 4, **across}),
        ("rule", "ink", "low", {"strokeWidth": 2, "y2Offset": 8, **below}),
    )
    layers = []
    for mark, colour, field, look in parts:
        drawn = [row for row in rows if row[field] is not None]
        if not drawn:
            continue
        encoding = {
            "x": number(field, chart.unit, ticks, domain=[0, most], nice=True),
            **({"x2": {"field": "high"}} if field == "low" else {}),
            "y": lane(),
            "color": {"datum": meanings[colour], "scale": colours(meanings)},
            "tooltip": tooltip(titles),
        }
        layers.append(layer(drawn, mark, encoding, **look))
    layers.append(above(rows, "label"))
    spec = {"width": "container", "height": LANE * len(rows), "layer": layers}
    return Figure(caption, spec)


def _row(place: int, bar: Bar) -> dict[str, Any]:
    figure, ceiling = bar.figure, bar.ceiling
    ends = figure.interval if figure.bounded else ()
    low, high = ends or (None, None)
    return {
        "lane": place,
        "label": bar.label,
        "value": figure.value if math.isfinite(figure.value) else None,
        "low": low,
        "high": high,
        "interval": " to ".join(map(shown, ends)) or "unknown",
        "mark": ceiling.value if ceiling.known else None,
        "best": shown(ceiling.value),
        "ideal": bar.ideal,
    }
