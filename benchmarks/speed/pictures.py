"""Pictures of results: ratios with their intervals, one picture for each part."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goals import GOALS
from parts import PARTS

from gilx.cli.file_options import save_picture
from gilx.errors import ArgumentError, MissingExtraError
from gilx.rendering import html_page
from gilx.rendering.picture import Picture
from gilx.rendering.vega_library import check_library
from gilx.rendering.vega_lite import data

if TYPE_CHECKING:
    from figures import Figure
    from results import Results

__all__ = ["can_draw", "draw"]

_COLOURS = {"kernels": 1, "growth": 2, "scaling": 3, "startup": 4}
_CAPTION = (
    "Medians with intervals at 95 %; hollow points have none. Upright strokes: goals."
)


def can_draw() -> None:
    """Raise an `ArgumentError` if there is nothing to draw with: before any measuring."""
    try:
        check_library("plot")
    except MissingExtraError as error:
        raise ArgumentError(f"--pictures: {error}") from None


def draw(results: Results, folder: str) -> list[Path]:
    """Draw each part that was measured to a file in a folder, which is made.

    Raises
    ------
    ArgumentError
        The library that draws is not installed, or a file can't be written.

    """
    can_draw()
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArgumentError(
            f"--pictures: can't make {folder!r}: {error.strerror}"
        ) from None
    drawn = []
    for name in PARTS:
        picture = _picture(results, name)
        if picture is not None:
            path = Path(folder, f"{name}.png")
            save_picture("--pictures", str(path), picture)
            drawn.append(path)
    return drawn


def _picture(results: Results, part: str) -> Picture | None:
    """Return the picture of a part, one panel for each figure; None if it has none."""
    panels: dict[str, dict[str, Figure]] = {}
    for piece in results.pieces:
        if piece.part != part:
            continue
        for figure in piece.measured.figures:
            one_of_many = len(PARTS[part].subjects) > 1
            # What is measured once has its figures in one panel for each unit.
            unit = figure.unit or "ratio"
            panel, line = (
                (figure.name, piece.subject) if one_of_many else (unit, figure.name)
            )
            if one_of_many and figure.unit:
                continue  # rates, each in another unit
            panels.setdefault(panel, {})[line] = figure
    if not panels:
        return None
    spec = {"vconcat": [_panel(part, name, lines) for name, lines in panels.items()]}
    return Picture.of(
        html_page.Figure(_CAPTION, spec),
        PARTS[part].title,
        f"{_CAPTION} {results.machine.environment.summary()}",
    )


def _panel(part: str, name: str, lines: dict[str, Figure]) -> dict[str, Any]:
    """Return figures below each other, with what is wanted of them."""
    rows = [
        {
            "line": line,
            "value": figure.value,
            # Without an interval: the point alone.
            "low": figure.low if math.isfinite(figure.high - figure.low) else None,
            "high": figure.high if math.isfinite(figure.high - figure.low) else None,
        }
        for line, figure in lines.items()
    ]
    goals = [
        {"line": line, "value": goal.wanted}
        for line, figure in lines.items()
        for goal in GOALS
        if goal.part == part
        and not goal.mean
        and goal.figure == figure.name
        and (line in goal.subjects or goal.subjects == ("",))
    ]
    values = [figure.value for figure in lines.values()]
    wide = min(values) > 0 and max(values) / min(values) > 5
    ratios = name in ("ratio", *(figure.name for figure in lines.values()))
    one = [{"value": 1}] if ratios else []
    colour = f"$line{_COLOURS.get(part, 5)}"
    x = {
        "type": "quantitative",
        "title": None,
        "scale": {
            "type": "log" if wide else "linear",
            "zero": False,
            "nice": False,
            "padding": 14,
        },
        "axis": {"tickCount": 6},
    }
    y: dict[str, Any] = {
        "field": "line",
        "type": "nominal",
        "sort": list(lines),
        "title": None,
    }
    y["axis"] = {"labelLimit": 0}  # names in full
    hollow = {"condition": {"test": "datum.high === null", "value": "$paper"}}
    parts: list[tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]] = [
        (one, {"type": "rule", "color": "$ideal", "strokeDash": [2, 3]}, {}),
        (
            [row for row in rows if row["high"] is not None],
            {
                "type": "errorbar",
                "color": colour,
                "ticks": {"size": 8},
                "rule": {"size": 2},
            },
            {"y": y, "x": {**x, "field": "low"}, "x2": {"field": "high"}},
        ),
        (
            goals,
            {"type": "tick", "color": "$ink", "thickness": 2, "height": 16, "opacity": 1},
            {"y": y},
        ),
        (
            rows,
            {"type": "point", "size": 40, "color": colour, "opacity": 1},
            {"y": y, "fill": {**hollow, "value": colour}},
        ),
    ]
    return {
        "title": {"text": name, "fontSize": 12, "offset": 6},
        "width": 520,
        "height": 22 * len(lines),
        "layer": [
            {
                "data": data(values),
                "mark": mark,
                "encoding": {"x": {**x, "field": "value"}, **encoding},
            }
            for values, mark, encoding in parts
            if values
        ],
    }
