"""The end of the story: what to use for what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.demo.chapter import outcome_of
from gilx.demo.chapter_4_processes import pays_from
from gilx.formatting import duration, times
from gilx.rendering.html_page import Table

if TYPE_CHECKING:
    from gilx.demo.demo_record import Story
    from gilx.speedup.report import ReportRow

HOW = (
    "Speedups are medians of blocks, each with the serial run, the parallel one and the"
    " ceiling, which is what the machine could give at that moment, in random order;"
    " intervals are at 95 %. A question mark: the figure shows nothing, since the machine"
    " was busy or restless."
)
"""Explanation of the table."""


def decision_table(story: Story) -> Table:
    """Return what to use for what, with what this machine showed of it.

    A chapter that was not measured, or could not show its point, leaves its row without
    a figure.
    """
    return Table(
        ("you have", "use", "here"),
        (
            ("code that waits", "threads, or asyncio", _of_waiting(story)),
            ("a server that computes", "processes, or released C", _of_convoy(story)),
            ("Python that computes", "processes", _of_python(story)),
            ("NumPy, pandas", "threads, if it releases", _of_libraries(story)),
            ("your own C or Cython", "release, then threads", _of_extension(story)),
            ("C that can't release", "interpreters, processes", _of_interpreters(story)),
            ("a Python without GIL", "threads, and locks", _of_free(story)),
        ),
    )


def _of_waiting(story: Story) -> str:
    if story.waiting is None:
        return "-"
    rows = story.waiting.waits
    return f"{rows[0].workers} threads: {_list(rows)}"


def _of_convoy(story: Story) -> str:
    if story.waiting is None:
        return "-"
    return "late by " + "; ".join(
        f"{duration(row.delay)} beside {row.name}" for row in story.waiting.beside
    )


def _of_python(story: Story) -> str:
    parts = []
    if story.pure is not None:
        row = story.pure.threads
        parts.append(f"{row.workers} threads {_result(row)}")
    if story.processes is not None and story.processes.processes:
        row = story.processes.processes[0]
        parts.append(f"{row.workers} processes {_result(row)}")
        moving, gain = story.processes.moving, story.processes.gain()
        if moving is not None and gain is not None:
            least = pays_from(moving.message, gain)
            parts.append(f"for tasks of {duration(least)} or more")
    return "; ".join(parts) or "-"


def _of_libraries(story: Story) -> str:
    if story.libraries is None or not story.libraries.calls:
        return "-"
    calls = story.libraries.calls
    free = sum(call.outcome == "releases it" for call in calls)
    partly = sum(call.outcome == "in part" for call in calls)
    return f"of {len(calls)} calls {free} release it, {partly} in part"


def _of_extension(story: Story) -> str:
    return "-" if story.extension is None else _list(story.extension.variants)


def _of_interpreters(story: Story) -> str:
    parts = []
    if story.interpreters is not None and story.interpreters.held is not None:
        row = story.interpreters.held
        parts.append(f"{row.workers} interpreters {_result(row)}")
    if story.processes is not None and story.processes.processes:
        row = story.processes.processes[-1]
        parts.append(f"{row.workers} processes {_result(row)}")
    return "; ".join(parts) or "-"


def _of_free(story: Story) -> str:
    if story.free is None or not story.free.calls:
        return "-"
    return _list(story.free.calls)


def _list(rows: tuple[ReportRow, ...]) -> str:
    return "; ".join(f"{row.target} {_result(row)}" for row in rows)


def _result(row: ReportRow) -> str:
    """Return a speedup, marked where it tells nothing."""
    uncertain = outcome_of(row) in ("unclear", "no room")
    return f"{times(row.speedup.value)}{'?' if uncertain else ''}"
