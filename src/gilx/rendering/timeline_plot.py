"""Picture of a timeline: one lane for each thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gilx.rendering.matplotlib_figure import new_figure
from gilx.sampling.thread_states import STATES

if TYPE_CHECKING:
    from gilx.sampling.timeline import Timeline

__all__ = ["picture_of"]


def picture_of(timeline: Timeline) -> Any:  # noqa: ANN401 - matplotlib may be missing
    """Draw a timeline, see `Timeline.plot`."""
    count = len(timeline.lanes)
    figure = new_figure(10, 1.4 + 0.5 * count)
    axes = figure.subplots()
    unit, size = ("s", 1.0) if timeline.wall >= 2 else ("ms", 1e-3)
    for state, (words, colour, _) in STATES.items():
        label = words
        for row, lane in enumerate(timeline.lanes):
            bars = [
                (span.start / size, (span.end - span.start) / size)
                for span in lane.spans
                if span.state == state
            ]
            if bars:
                axes.broken_barh(bars, (row - 0.4, 0.8), color=colour, label=label)
                label = "_nolegend_"
    axes.set_yticks(range(count), [lane.name for lane in timeline.lanes])
    axes.set_ylim(count - 0.5, -0.5)
    axes.set_xlim(timeline.since / size, timeline.wall / size)
    axes.set_xlabel(f"time ({unit})")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False)
    return figure
