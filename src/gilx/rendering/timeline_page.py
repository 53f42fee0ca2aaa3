"""Page of a timeline: lanes that zoom, and each thread's shares."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gilx.formatting import duration, percent
from gilx.rendering.flame_graph import calls_of, calls_table, flame_figure
from gilx.rendering.html_page import Document, Element, Folded, Section, Table, Text
from gilx.rendering.sites_table import sites_table
from gilx.rendering.timeline_chart import lanes_figure, states_of
from gilx.rendering.waits_table import waits_table
from gilx.sampling.thread_states import STATES
from gilx.sampling.usage import ran_without_gil

if TYPE_CHECKING:
    from gilx.sampling.stacks import Stacks
    from gilx.sampling.timeline import Lane, Timeline
    from gilx.sampling.usage import GilUsage
    from gilx.sampling.watch import Watch

_UNFOLDED = 10  # places in the code


def page_of(timeline: Timeline) -> str:
    """Return a timeline as a page, see `Timeline.to_html`."""
    return document_of(timeline).html()


def page_of_watch(watch: Watch) -> str:
    """Return all that a watch found as a page, see `Watch.to_html`."""
    usage = watch.usage
    stacks = watch.stacks if watch.keeps_stacks else None
    return document_of(watch.timeline, usage.sentence(), usage, stacks).html()


def document_of(
    timeline: Timeline,
    finding: str = "",
    usage: GilUsage | None = None,
    stacks: Stacks | None = None,
) -> Document:
    """Return a timeline as a page, see `Timeline.to_html`.

    Parameters
    ----------
    timeline : Timeline
        Timeline of a watch.
    finding : str
        Sentence that the page leads with, if there is one.
    usage : GilUsage, optional
        Usage of the same watch: places in the code that held the GIL.
    stacks : Stacks, optional
        Stacks of the same watch.

    """
    blocks: tuple[Element, ...] = (
        lanes_figure(timeline, "What each thread did"),
        lanes_table(timeline, "Of this time, each thread was"),
    )
    sections = [Section("Threads", blocks)]
    if usage is not None and (usage.sites or usage.sites_missing):
        sections.append(Section("Places in the code", _places(usage)))
    if usage is not None and usage.waiting_sites:
        waits = _folded(waits_table(usage))
        sections.append(Section("Where threads waited", waits))
    if stacks is not None and stacks.stacks:
        sections.append(Section("Calls", _calls(stacks)))
    return Document(
        title="Timeline of threads",
        lead=f"{finding}. {_lead(timeline)}" if finding else _lead(timeline),
        sections=tuple(sections),
        made="Sampled by gilx at random moments, by a thread that is not Python's: events"
        " between two samples are not shown.",
    )


def _places(usage: GilUsage) -> tuple[Element, ...]:
    if usage.sites_missing:
        what = (
            "Where threads waited" if ran_without_gil(usage) else "Where the GIL was held"
        )
        return (Text(f"{what} is unknown, since {usage.sites_missing}."),)
    return _folded(sites_table(usage))


def _folded(table: Table) -> tuple[Element, ...]:
    """Return a table whose rows after the first ones are shown only if asked for."""
    first, others = table.rows[:_UNFOLDED], table.rows[_UNFOLDED:]
    if not others:
        return (table,)
    more = replace(table, rows=others)
    return replace(table, rows=first), Folded(f"{len(others)} more places", more)


def _calls(stacks: Stacks) -> tuple[Element, ...]:
    calls = calls_of(stacks)
    blocks: list[Element] = [flame_figure(calls)]
    if stacks.cut:
        words = f"Inner calls are missing for {duration(stacks.cut)} of that time."
        blocks.append(Text(words))
    return (*blocks, Folded("The same as a table", calls_table(calls)))


def _lead(timeline: Timeline) -> str:
    length, wall = timeline.wall - timeline.since, timeline.wall
    if timeline.since > 0:
        return (
            f"The last {duration(length)} of {duration(wall)}: earlier samples did not"
            " fit."
        )
    return f"{duration(wall)}, from the beginning of the watch to its end."


def lanes_table(timeline: Timeline, caption: str) -> Table:
    """Return what the lanes show as figures: each thread's shares.

    Parameters
    ----------
    timeline : Timeline
        The samples to show.
    caption : str
        What these are shares of.

    """
    states = states_of(timeline)
    holds = "holding" in states
    return Table(
        (
            *("thread", *(STATES[state][0] for state in states)),
            *["longest stretch of holding"] * holds,
        ),
        [
            (
                *(lane.name, *(percent(lane.share(state)) for state in states)),
                *[_longest(lane)] * holds,
            )
            for lane in timeline.lanes
        ],
        right=tuple(range(1, len(states) + 1 + holds)),
        caption=caption,
    )


def _longest(lane: Lane) -> str:
    holds = [run.end - run.start for run, _ in lane.runs() if run.state == "holding"]
    return duration(max(holds)) if holds else "-"
