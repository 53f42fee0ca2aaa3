"""The end of the demo: what to use for what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.demo.chapter import outcome_of
from gilx.demo.chapter_4_processes import pays_from
from gilx.formatting import duration, times
from gilx.rendering.html_page import Table

if TYPE_CHECKING:
    from gilx.demo.demo_record import Demo
    from gilx.speedup.report import ReportRow

HOW = (
    "Speedups are medians of blocks. A block measures, in random order, the serial run,"
    " the parallel run and the ceiling, which is what the machine could achieve at that"
    " moment. Intervals are at 95 %. A question mark means that the figure shows nothing,"
    " since the machine was busy or noisy."
)
"""Explanation of the table."""


def decision_table(demo: Demo) -> Table:
    """Return a table of the tools for each kind of code, with this machine's figures.

    A chapter that was not measured, or could not show its point, leaves its row without
    a figure.
    """
    return Table(
        ("you have", "use", "here"),
        (
            ("code that waits", "threads, or asyncio", _of_waiting(demo)),
            ("a server that computes", "processes, or released C", _of_convoy(demo)),
            ("Python that computes", "processes", _of_python(demo)),
            ("NumPy, pandas", "threads, if GIL released", _of_libraries(demo)),
            ("your own C or Cython", "release, then threads", _of_extension(demo)),
            ("C that can't release", "interpreters, processes", _of_interpreters(demo)),
            ("Python without a GIL", "threads, and locks", _of_free(demo)),
        ),
    )


def _of_waiting(demo: Demo) -> str:
    if demo.waiting is None:
        return "-"
    rows = demo.waiting.waits
    return f"{rows[0].workers} threads: {_list(rows)}"


def _of_convoy(demo: Demo) -> str:
    if demo.waiting is None:
        return "-"
    return "late by " + "; ".join(
        f"{duration(row.delay)} beside {row.name}" for row in demo.waiting.beside
    )


def _of_python(demo: Demo) -> str:
    parts = []
    if demo.pure is not None:
        row = demo.pure.threads
        parts.append(f"{row.workers} threads {_result(row)}")
    if demo.processes is not None and demo.processes.processes:
        row = demo.processes.processes[0]
        parts.append(f"{row.workers} processes {_result(row)}")
        moving, gain = demo.processes.moving, demo.processes.gain()
        if moving is not None and gain is not None:
            least = pays_from(moving.message, gain)
            parts.append(f"for tasks of {duration(least)} or more")
    return "; ".join(parts) or "-"


def _of_libraries(demo: Demo) -> str:
    if demo.libraries is None or not demo.libraries.calls:
        return "-"
    calls = demo.libraries.calls
    free = sum(call.outcome == "releases it" for call in calls)
    partly = sum(call.outcome == "in part" for call in calls)
    part = f"; {partly} in part" if partly else ""
    return f"calls that release the GIL: {free} of {len(calls)}{part}"


def _of_extension(demo: Demo) -> str:
    return "-" if demo.extension is None else _list(demo.extension.variants)


def _of_interpreters(demo: Demo) -> str:
    parts = []
    if demo.interpreters is not None and demo.interpreters.held is not None:
        row = demo.interpreters.held
        parts.append(f"{row.workers} interpreters {_result(row)}")
    if demo.processes is not None and demo.processes.processes:
        row = demo.processes.processes[-1]
        parts.append(f"{row.workers} processes {_result(row)}")
    return "; ".join(parts) or "-"


def _of_free(demo: Demo) -> str:
    if demo.free is None or not demo.free.calls:
        return "-"
    return _list(demo.free.calls)


def _list(rows: tuple[ReportRow, ...]) -> str:
    return "; ".join(f"{row.target} {_result(row)}" for row in rows)


def _result(row: ReportRow) -> str:
    """Return a speedup, with a question mark if it is inconclusive."""
    uncertain = outcome_of(row) in ("unclear", "no capacity")
    return f"{times(row.speedup.value)}{'?' if uncertain else ''}"
