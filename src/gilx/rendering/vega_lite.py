"""What all charts have in common, as Vega-Lite has it.

A text ``$name`` outside of ``values`` stands for the colour of that name in `page.css`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "CONFIG",
    "LANE",
    "above",
    "colours",
    "data",
    "lane",
    "painted",
    "tooltip",
]

LANE = 56  # pixels, with the text above it

_TEXT = {"labelColor": "$ink", "titleColor": "$ink"}
_SIZES = {"labelFontSize": 13, "titleFontSize": 13}

CONFIG: Mapping[str, Any] = {
    "background": "$paper",
    "font": "system-ui, sans-serif",
    "text": {"fill": "$ink", "fontSize": 13},
    "view": {"stroke": None},
    "axis": {
        **_TEXT,
        **_SIZES,
        "titleFontWeight": "normal",
        "gridColor": "$grid",
        "domainColor": "$line",
        "tickColor": "$line",
    },
    "legend": {
        **_TEXT,
        **_SIZES,
        "orient": "bottom",
        "direction": "vertical",
        "labelLimit": 340,
        "title": None,
        "symbolSize": 120,
        "symbolOpacity": 1,
    },
    "title": {
        "anchor": "start",
        "frame": "group",
        "offset": 14,
        "color": "$ink",
        "fontSize": 14,
        "subtitleColor": "$faint",
        "subtitleFontSize": 12,
        "subtitlePadding": 6,
    },
}
"""Look of all charts."""


def painted(part: Any, by_name: Mapping[str, str], key: str = "") -> Any:  # noqa: ANN401 - JSON
    """Return a part of a specification with colours in place of their names.

    Values are left alone: they hold names of threads that may look like a colour's.
    `page.js` does the same in the browser.
    """
    if key == "values":
        return part
    if isinstance(part, str) and part.startswith("$"):
        return by_name[part[1:]]
    if isinstance(part, dict):
        return {name: painted(one, by_name, name) for name, one in part.items()}
    if isinstance(part, list):
        return [painted(one, by_name) for one in part]
    return part


def data(rows: Sequence[Mapping[str, object]]) -> dict[str, Any]:
    """Return rows of values as a chart's data."""
    return {"values": list(rows)}


def tooltip(**titles: str) -> list[dict[str, str]]:
    """Return the fields that are shown of the thing under the pointer, with titles."""
    return [{"field": field, "title": title} for field, title in titles.items()]


def colours(**meanings: str) -> dict[str, Any]:
    """Return a scale that says in the legend what colours stand for.

    Parameters
    ----------
    **meanings : str
        By the name of the colour.

    """
    return {"domain": list(meanings.values()), "range": [f"${name}" for name in meanings]}


def lane(field: str) -> dict[str, Any]:
    """Return the vertical place of a thing: one below the other, without an axis."""
    return {"field": field, "type": "ordinal", "axis": None, "scale": {"padding": 0}}


def above(field: str, lane_field: str) -> dict[str, Any]:
    """Return a layer that writes a text above each lane, as wide as the chart is.

    So a long name takes no space from what is drawn beside it, as an axis would.
    """
    return {
        "mark": {
            "type": "text",
            "align": "left",
            "baseline": "bottom",
            "dy": -11,
            "limit": {"expr": "width"},
        },
        "encoding": {
            "x": {"value": 0},
            "y": lane(lane_field),
            "text": {"field": field, "type": "nominal"},
        },
    }
