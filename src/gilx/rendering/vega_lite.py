"""What the pictures of a page have in common, as Vega-Lite has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["above", "colours", "data", "lane", "tooltip"]


def data(rows: Sequence[Mapping[str, object]]) -> dict[str, Any]:
    """Return rows of values as a picture's data."""
    return {"values": list(rows)}


def tooltip(**titles: str) -> list[dict[str, str]]:
    """Return what is shown of the thing under the pointer: fields, and what they are."""
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
    """Return where a thing is: one below the other, without an axis."""
    return {"field": field, "type": "ordinal", "axis": None, "scale": {"padding": 0}}


def above(field: str, lane_field: str) -> dict[str, Any]:
    """Return a layer that writes a text above each lane, as wide as the picture is.

    So a long name takes no room from what is drawn beside it, as an axis would.
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
