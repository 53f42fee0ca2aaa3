"""Chart of a report: speedups and ceilings against workers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gilx.rendering.html_page import Figure
from gilx.rendering.picture import Picture
from gilx.rendering.report_text import COLUMNS, cells
from gilx.rendering.vega_lite import layer, number, tooltip

if TYPE_CHECKING:
    from gilx.speedup.report import Report, ReportRow

_APART = 0.04  # workers: points at the same number are set apart, so that none hides
_COLOURS = 8  # as page.css has them
_SHAPES = ["circle", "square", "diamond", "triangle-up", "triangle-down", "cross"]


def picture_of(report: Report) -> Picture:
    """Return a report as a picture, see `Report.plot`."""
    figure = figure_of(report)
    return Picture.of(figure, figure.caption, report.environment.summary())


def figure_of(report: Report) -> Figure:
    """Return the chart of a report: speedups and ceilings against workers."""
    lines = list(dict.fromkeys(line_of(row) for row in report.rows))
    most = max([2, *(row.workers for row in report.rows)])
    points = []
    for row in sorted(
        report.rows, key=lambda row: (lines.index(line_of(row)), row.workers)
    ):
        if row.speedup.known:
            shift = _APART * (lines.index(line_of(row)) - (len(lines) - 1) / 2)
            points.append({**_point(row), "x": row.workers + shift})
    values = sorted({1, *(row.workers for row in report.rows)})
    axis = {"values": values, "format": "d", "grid": False}
    ends = [0.8, most + 0.3]
    x = number("x", "workers", axis, domain=ends, nice=False, zero=False)
    words = (
        "Speedup against workers. Bars: intervals at 95 %; hollow points have none."
        " Dashed, in the same colour: the ceiling. Grey: the ideal"
    )
    straight = [_straight([(1, 1), (most, most)], x, dash=[])]
    cpus = report.environment.usable_cpus
    if cpus < most:
        words += f", and dotted the {cpus} usable CPU{'s' if cpus != 1 else ''}"
        straight.append(_straight([(end, cpus) for end in ends], x, dash=[2, 3]))
    layers = straight + (_layers(points, x) if points else [])
    return Figure(f"{words}.", {"width": "container", "height": 360, "layer": layers})


def _straight(
    ends: list[tuple[float, float]], x: dict[str, Any], dash: list[int]
) -> dict[str, Any]:
    """Return a layer with a grey line."""
    look = {"color": "$ideal", "strokeWidth": 1.5, "strokeDash": dash}
    rows = [{"x": at, "y": up} for at, up in ends]
    return layer(rows, "line", {"x": x, "y": _up("y")}, **look)


def _layers(points: list[dict[str, Any]], x: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the layers of all targets, variants and pools: ceilings below speedups."""
    # Their names stand in the data only, in which no text has a meaning.
    line = {"field": "line", "type": "nominal", "sort": None}
    colours = [f"$line{number}" for number in range(1, _COLOURS + 1)]
    colour: dict[str, Any] = {**line, "scale": {"range": colours}}
    # Hollow: of these nothing is known but the point.
    hollow = {"test": "datum.high === null", "value": "$paper"}
    titles = {"line": "of", "workers": "workers", "speedup": "speedup"}
    titles |= {"interval": "95 %", "best": "ceiling", "reading": "reading"}
    tips = {"tooltip": tooltip(titles)}
    value: dict[str, Any] = {"x": x, "color": colour, "y": _up("value")}
    ceiling = {**value, "y": _up("ceiling")}
    interval = {**value, "y": _up("low"), "y2": {"field": "high"}}
    point = {
        **value,
        "shape": {**line, "scale": {"range": _SHAPES}},
        "fill": {**colour, "condition": hollow, "legend": None},
        **tips,
    }
    known = [point for point in points if point["high"] is not None]
    dashed = {"strokeDash": [6, 4], "strokeWidth": 1.5, "opacity": 0.8}
    across = {"orient": "horizontal", "size": 22, "thickness": 2}
    dot = {"size": 90, "strokeWidth": 2, "opacity": 1, "filled": False}
    return [
        layer(points, "line", ceiling, **dashed),
        layer(points, "tick", {**ceiling, **tips}, **across),
        layer(points, "line", value, strokeWidth=2),
        layer(known, "errorbar", interval, ticks={"size": 10}, rule={"size": 2}),
        layer(points, "point", point, **dot),
    ]


def _up(field: str) -> dict[str, Any]:
    return number(field, "speedup (serial time / parallel time)", zero=True)


def line_of(row: ReportRow) -> str:
    """Return the name of the line that a row is a point of."""
    return f"{row.name}, {row.pool}"


def _point(row: ReportRow) -> dict[str, Any]:
    low, high = row.speedup.interval
    known = math.isfinite(high)
    by_title = dict(zip(COLUMNS, cells(row), strict=True))
    return {
        "line": line_of(row),
        "workers": row.workers,
        "value": row.speedup.value,
        "low": low if known else None,
        "high": high if known else None,
        "ceiling": row.ceiling.value,
        "speedup": by_title["speedup"],
        "interval": by_title["95 %"],
        "best": by_title["ceiling"],
        "reading": by_title["reading"],
    }
