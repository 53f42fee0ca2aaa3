"""Chart of a usage: each thread's share of the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.formatting import percent
from gilx.rendering.html_page import Figure
from gilx.rendering.picture import Picture
from gilx.rendering.vega_lite import LANE, above, data, lane
from gilx.sampling.usage import shares_shown

if TYPE_CHECKING:
    from gilx.sampling.usage import GilUsage

__all__ = ["picture_of"]


def picture_of(usage: GilUsage) -> Picture:
    """Return a usage as a picture, see `GilUsage.plot`."""
    return Picture.of(_figure(usage), usage.sentence())


def _figure(usage: GilUsage) -> Figure:
    free = max(0.0, 1 - sum(share.held for share in usage.by_thread))
    shares = [*((t.name, t.held) for t in shares_shown(usage)), ("nobody", free)]
    rows = [
        {"lane": place, "label": f"{name}: {percent(held)}", "held": 100 * held}
        for place, (name, held) in enumerate(shares)
    ]
    bars = {
        "mark": {"type": "bar", "height": 22, "yOffset": 8},
        "encoding": {
            "x": {
                "field": "held",
                "type": "quantitative",
                "title": "% of the time, holding the GIL",
                "scale": {"domain": [0, 100]},
                "axis": {"tickCount": {"expr": "width / 70"}},
            },
            "y": lane("lane"),
            "color": {
                "condition": {
                    "test": f"datum.lane == {len(rows) - 1}",
                    "value": "$waiting",
                },
                "value": "$holding",
            },
        },
    }
    return Figure(
        f"Time holding the GIL: {'; '.join(str(row['label']) for row in rows)}",
        {
            "width": "container",
            "height": LANE * len(rows),
            "data": data(rows),
            "layer": [bars, above("label", "lane")],
        },
    )
