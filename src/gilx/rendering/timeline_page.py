"""Page of a timeline: lanes that zoom, and each thread's shares."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.formatting import duration, percent
from gilx.rendering.html_page import Document, Section, Table
from gilx.rendering.timeline_chart import lanes_figure, states_of
from gilx.sampling.thread_states import STATES

if TYPE_CHECKING:
    from gilx.sampling.timeline import Lane, Timeline


def page_of(timeline: Timeline) -> str:
    """Return a timeline as a page, see `Timeline.to_html`."""
    return document_of(timeline).html()


def document_of(
    timeline: Timeline, finding: str = "", sites: Table | None = None
) -> Document:
    """Return a timeline as a page, see `Timeline.to_html`.

    Parameters
    ----------
    timeline : Timeline
        Timeline of a watch.
    finding : str
        Sentence that the page leads with, if there is one.
    sites : Table, optional
        Places in the code that held the GIL.

    """
    blocks = (
        lanes_figure(timeline, "What each thread did"),
        lanes_table(timeline, "Of this time, each thread was"),
    )
    sections = [Section("Threads", blocks)]
    if sites is not None and sites.rows:
        sections.append(Section("Places in the code", (sites,)))
    return Document(
        title="Who held the GIL when",
        lead=f"{finding}. {_lead(timeline)}" if finding else _lead(timeline),
        sections=tuple(sections),
        made="Seen by gilx from a thread that needs no GIL, at random moments: what"
        " happened between two of them is not shown.",
    )


def _lead(timeline: Timeline) -> str:
    seen, wall = timeline.wall - timeline.since, timeline.wall
    if timeline.since > 0:
        return (
            f"The last {duration(seen)} of {duration(wall)}: there was no room for more."
        )
    return f"{duration(wall)}, from the beginning of the watch to its end."


def lanes_table(timeline: Timeline, caption: str) -> Table:
    """Return what the lanes show as figures: each thread's shares.

    Parameters
    ----------
    timeline : Timeline
        What was seen.
    caption : str
        What these are shares of.

    """
    states = states_of(timeline)
    return Table(
        ("thread", *(STATES[state][0] for state in states), "longest stretch of holding"),
        [
            (lane.name, *(percent(lane.share(state)) for state in states), _longest(lane))
            for lane in timeline.lanes
        ],
        right=tuple(range(1, len(states) + 2)),
        caption=caption,
    )


def _longest(lane: Lane) -> str:
    holds = [run.end - run.start for run, _ in lane.runs() if run.state == "holding"]
    return duration(max(holds)) if holds else "-"
