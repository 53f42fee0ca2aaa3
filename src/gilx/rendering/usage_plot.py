"""Picture of a usage: each thread's share of the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gilx.rendering.matplotlib_figure import new_figure
from gilx.sampling.usage import shares_shown

if TYPE_CHECKING:
    from gilx.sampling.usage import GilUsage

__all__ = ["picture_of"]


def picture_of(usage: GilUsage) -> Any:  # noqa: ANN401 - matplotlib may be missing
    """Draw a usage, see `GilUsage.plot`."""
    free = max(0.0, 1 - sum(share.held for share in usage.by_thread))
    shares = [*((t.name, t.held) for t in shares_shown(usage)), ("nobody", free)]
    figure = new_figure(7, 1.2 + 0.4 * len(shares))
    axes = figure.subplots()
    names, held = zip(*shares, strict=True)
    places = range(len(shares))
    colours = ["#c0392b"] * (len(shares) - 1) + ["#d5d8dc"]
    axes.barh(places, [100 * share for share in held], color=colours)
    axes.set_yticks(places, names)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of the time, holding the GIL")
    axes.set_title(usage.sentence(), fontsize="medium", wrap=True)
    return figure
