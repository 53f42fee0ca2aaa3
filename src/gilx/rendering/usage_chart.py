"""Chart of a usage: each thread's share of the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.formatting import percent
from gilx.rendering.html_page import Figure
from gilx.rendering.picture import Picture
from gilx.rendering.vega_lite import LANE, above, lane, layer, number
from gilx.sampling.usage import shares_shown

if TYPE_CHECKING:
    from gilx.sampling.usage import GilUsage


def picture_of(usage: GilUsage) -> Picture:
    """Return a usage as a picture, see `GilUsage.plot`."""
    return Picture.of(_figure(usage), usage.sentence())


def _figure_without_gil(usage: GilUsage) -> Figure:
    """Return a chart of the time that each thread ran while it was attached."""
    rows = [
        {
            "lane": place,
            "label": f"{one.name}: {percent(one.running.value)}",
            "ran": 100 * one.running.value,
        }
        for place, one in enumerate(
            one for one in shares_shown(usage) if one.running.known
        )
    ]
    ticks = {"tickCount": {"expr": "width / 70"}}
    encoding = {
        "x": number("ran", "% of the time, running attached", ticks, domain=[0, 100]),
        "y": lane(),
        "color": {"value": "$running"},
    }
    bars = layer(rows, "bar", encoding, height=22, yOffset=8)
    spec = {"width": "container", "height": LANE * max(1, len(rows))}
    labels = "; ".join(str(row["label"]) for row in rows)
    return Figure(
        f"Time running attached: {labels}",
        {**spec, "layer": [bars, above(rows, "label")]},
    )


def _figure(usage: GilUsage) -> Figure:
    if usage.sums.without_gil:
        return _figure_without_gil(usage)
    known = [
        (one.name, one.holding.value) for one in shares_shown(usage) if one.holding.known
    ]
    held = sum(one.holding.value for one in usage.by_thread if one.holding.known)
    shares = [*known, ("nobody", max(0.0, 1 - held))]
    rows = [
        {"lane": place, "label": f"{name}: {percent(held)}", "held": 100 * held}
        for place, (name, held) in enumerate(shares)
    ]
    nobody = {"test": f"datum.lane == {len(rows) - 1}", "value": "$waiting"}
    ticks = {"tickCount": {"expr": "width / 70"}}
    encoding = {
        "x": number("held", "% of the time, holding the GIL", ticks, domain=[0, 100]),
        "y": lane(),
        "color": {"condition": nobody, "value": "$holding"},
    }
    bars = layer(rows, "bar", encoding, height=22, yOffset=8)
    spec = {"width": "container", "height": LANE * len(rows)}
    labels = "; ".join(str(row["label"]) for row in rows)
    return Figure(
        f"Time holding the GIL: {labels}",
        {**spec, "layer": [bars, above(rows, "label")]},
    )
