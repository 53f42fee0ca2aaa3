"""Common parts of all charts, as specifications of Vega-Lite.

A text ``$name`` outside of ``values`` stands for the colour of that name in `page.css`.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LANE = 56  # pixels, with the text above it
LOOK = json.loads(files("gilx.rendering").joinpath("look.json").read_text("utf-8"))
"""Vega-Lite's ``config`` of all charts: fonts, sizes and colours."""


def painted(part: Any, by_name: Mapping[str, str], key: str = "") -> Any:  # noqa: ANN401 - JSON
    """Return a part of a specification with colours in place of their names.

    Values are left alone: they contain names of threads that may look like those of
    colours. `page.js` does the same in the browser.
    """
    if key == "values":
        return part
    if isinstance(part, str) and part.startswith("$"):
        return by_name[part[1:]]
    if isinstance(part, dict):
        return {name: painted(child, by_name, name) for name, child in part.items()}
    if isinstance(part, list):
        return [painted(child, by_name) for child in part]
    return part


def layer(
    rows: Iterable[Mapping[str, Any]],
    mark: str,
    encoding: Mapping[str, Any],
    **look: object,
) -> dict[str, Any]:
    """Return a layer with a mark for each row.

    Parameters
    ----------
    rows : iterable of mapping
        Values by the name of their field.
    mark : str
        Kind of mark.
    encoding : mapping
        Encoding of the fields.
    **look : object
        Properties of the mark.

    """
    mark_of = {"type": mark, **look}
    return {"data": {"values": list(rows)}, "mark": mark_of, "encoding": encoding}


def number(
    field: str, title: str | None, axis: Mapping[str, Any] | None = None, **scale: object
) -> dict[str, Any]:
    """Return the encoding of a field as a position on an axis for numbers.

    Parameters
    ----------
    field : str
        Field with the number.
    title : str, optional
        Title of the axis.
    axis : mapping, optional
        Properties of the axis.
    **scale : object
        Properties of the scale.

    """
    place = {"field": field, "type": "quantitative", "title": title, "scale": scale}
    return place if axis is None else {**place, "axis": axis}


def colours(meanings: Mapping[str, str]) -> dict[str, Any]:
    """Return a scale of named colours, with their meanings for the legend."""
    return {"domain": list(meanings.values()), "range": [f"${name}" for name in meanings]}


def tooltip(titles: Mapping[str, str]) -> list[dict[str, str]]:
    """Return the fields of the tooltip, with titles."""
    return [{"field": field, "title": title} for field, title in titles.items()]


def lane() -> dict[str, Any]:
    """Return the vertical place of a row: one below the other, without an axis."""
    return {"field": "lane", "type": "ordinal", "axis": None, "scale": {"padding": 0}}


def above(rows: Iterable[Mapping[str, Any]], field: str) -> dict[str, Any]:
    """Return a layer that writes a text above each lane, as wide as the chart is.

    So, other than on an axis, a long name takes no space from the chart.
    """
    text = {"x": {"value": 0}, "y": lane(), "text": {"field": field, "type": "nominal"}}
    look = {"align": "left", "baseline": "bottom", "dy": -11, "limit": {"expr": "width"}}
    return layer(rows, "text", text, **look)
