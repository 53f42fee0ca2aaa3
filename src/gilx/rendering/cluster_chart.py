"""Chart of a cluster's usage: each worker's share of the time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.formatting import percent
from gilx.rendering.html_page import Figure
from gilx.rendering.picture import Picture
from gilx.rendering.vega_lite import LANE, above, lane, layer, number

if TYPE_CHECKING:
    from gilx.sampling.cluster_usage import ClusterUsage


def picture_of(usage: ClusterUsage) -> Picture:
    """Return the usage of a cluster as a picture, see `ClusterUsage.plot`."""
    return Picture.of(_figure(usage), usage.sentence())


def _figure(usage: ClusterUsage) -> Figure:
    shares = [
        (one.program, one.locked.value)
        for one in usage.by_worker.values()
        if one.locked.known
    ]
    rows = [
        {"lane": place, "label": f"{name}: {percent(locked)}", "held": 100 * locked}
        for place, (name, locked) in enumerate(shares)
    ]
    ticks = {"tickCount": {"expr": "width / 70"}}
    title = "% of the worker's time, GIL held by any thread"
    encoding = {
        "x": number("held", title, ticks, domain=[0, 100]),
        "y": lane(),
        "color": {"value": "$holding"},
    }
    bars = layer(rows, "bar", encoding, height=22, yOffset=8)
    spec = {"width": "container", "height": LANE * max(1, len(rows))}
    labels = "; ".join(str(row["label"]) for row in rows)
    return Figure(
        f"Time in which the GIL was held: {labels}",
        {**spec, "layer": [bars, above(rows, "label")]},
    )
