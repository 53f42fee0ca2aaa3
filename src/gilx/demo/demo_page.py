"""The demo on a page."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from gilx.demo.decision_table import HOW, decision_table
from gilx.rendering.bar_chart import bars_figure
from gilx.rendering.html_page import Document, Notes, Section, Text
from gilx.rendering.timeline_chart import lanes_figure
from gilx.rendering.timeline_page import lanes_table

if TYPE_CHECKING:
    from gilx.demo.chapter import Chapter
    from gilx.demo.demo_record import Demo
    from gilx.rendering.html_page import Element


def document_of(demo: Demo, *, whole: bool) -> Document:
    """Return the demo as a page, see `Demo.to_html`.

    Parameters
    ----------
    demo : Demo
        At least one chapter.
    whole : bool
        Whether all were measured: then it ends with what to use.

    """
    sections = [
        Section(f"{number}. {chapter.title}", tuple(_blocks(chapter)))
        for number, _, chapter in demo.chapters()
    ]
    if whole:
        caption = "What to use for what, with what this machine showed of it"
        blocks = (replace(decision_table(demo), caption=caption), Text(HOW))
        sections.append(Section("Recommendations", blocks))
    return Document(
        title="What the GIL does, and what to do about it",
        lead="Measured on this machine: which code runs in parallel in Python, and which"
        f" does not. {demo.environment.summary()}",
        sections=tuple(sections),
        made=f"Made by gilx demo; measured in {demo.seconds:.0f} s"
        f"{', in its quick form' if demo.quick else ''}.",
    )


def _blocks(chapter: Chapter) -> list[Element]:
    blocks: list[Element] = []
    if said := chapter.sentences():
        blocks.append(Text(" ".join(said)))
    if chapter.missing:
        blocks.append(Notes("What could not be shown:", chapter.missing))
    chart = chapter.picture()
    if chart is not None:
        blocks.append(bars_figure(chart, f"{chapter.title}: {chart.unit}"))
    caption = f"{chapter.title}, in figures"
    blocks += [replace(table, caption=caption) for table in chapter.tables()]
    for name, timeline in chapter.timelines():
        blocks.append(lanes_figure(timeline, f"Timeline of threads: {name}"))
        blocks.append(lanes_table(timeline, f"Of this time each thread was: {name}"))
    blocks.append(Text(f"The result depends on {chapter.depends}"))
    return blocks
