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
from gilx.rendering.vega_lite import layer, number

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
    rows: list[dict[str, Any]] = []
    for line, figure in lines.items():
        known_ends = math.isfinite(figure.high - figure.low)
        low, high = (figure.low, figure.high) if known_ends else (None, None)
        rows.append({"line": line, "value": figure.value, "low": low, "high": high})
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
    scale: dict[str, Any] = {"type": "log" if wide else "linear", "zero": False}
    scale |= {"nice": False, "padding": 14}
    names = {"field": "line", "type": "nominal", "sort": list(lines), "title": None}
    y = {**names, "axis": {"labelLimit": 0}}  # names in full
    x, begin = (
        number(each, None, {"tickCount": 6}, **scale) for each in ("value", "low")
    )
    hollow = {"test": "datum.high === null", "value": "$paper"}
    fill = {"condition": hollow, "value": colour}
    ends = {"x": begin, "x2": {"field": "high"}, "y": y}
    known = [row for row in rows if row["high"] is not None]
    goal_look = {"color": "$ink", "thickness": 2, "height": 16, "opacity": 1}
    point_look = {"color": colour, "size": 40, "opacity": 1}
    parts = [
        layer(one, "rule", {"x": x}, color="$ideal", strokeDash=[2, 3]),
        layer(known, "errorbar", ends, color=colour, ticks={"size": 8}, rule={"size": 2}),
        layer(goals, "tick", {"x": x, "y": y}, **goal_look),
        layer(rows, "point", {"x": x, "y": y, "fill": fill}, **point_look),
    ]
    return {
        "title": {"text": name, "fontSize": 12, "offset": 6},
        "width": 520,
        "height": 22 * len(lines),
        "layer": [part for part in parts if part["data"]["values"]],
    }
