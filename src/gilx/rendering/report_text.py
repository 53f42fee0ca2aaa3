"""Reports as text: the table, the sentences on each row, and the details."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from gilx.formatting import (
    between,
    duration,
    percent,
    rounded,
    table_with_remarks,
    times,
    wrapped,
)
from gilx.rendering import predicted_speedups
from gilx.system.diagnostics import examine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilx.speedup.report import Report, ReportRow

COLUMNS = (
    *("target", "pool", "workers", "time", "speedup", "95 %", "ceiling", "of ceiling"),
    "reading",
)


def cells(row: ReportRow) -> tuple[str, ...]:
    """Return a row's cells, one for each of `COLUMNS`."""
    return (
        row.name,
        row.pool,
        str(row.workers),
        duration(row.seconds),
        times(row.speedup.value),
        between(*row.speedup.interval),
        times(row.ceiling.value),
        f"{row.ceiling_fraction.value:.0%}".replace("%", " %")
        if row.ceiling_fraction.known
        else "-",
        row.reading,
    )


def text_of(report: Report) -> str:
    """Return a report as a plain table, each row followed by sentences on it."""
    table = table_with_remarks(
        COLUMNS[:-1],
        [cells(row)[:-1] for row in report.rows],
        [remarks_of(row) for row in report.rows],
        right=range(2, 8),
    )
    lines = [*wrapped(report.environment.summary()), "", table]
    lines += predicted_speedups.text_of(report)
    warnings = warnings_of(report)
    if warnings:
        lines += ["", "Warnings about these figures:"]
        for words in warnings:
            lines += wrapped(words, "* ", "  ", whole_words=True)
    return "\n".join(lines)


def html_table_of(report: Report) -> str:
    """Return a report as a table of HTML, for notebooks."""
    return (
        _html_table(COLUMNS, [cells(row) for row in report.rows])
        + f"<p>{html.escape(report.environment.summary())}</p>"
        + _predictions_as_html(report)
        + "".join(f"<p>{html.escape(words)}</p>" for words in warnings_of(report))
    )


def _predictions_as_html(report: Report) -> str:
    if not report.predictions:
        return ""
    rows = predicted_speedups.rows_of(report)
    table = _html_table(predicted_speedups.COLUMNS, rows) if rows else ""
    words = [f"{predicted_speedups.TITLE}:", *predicted_speedups.sentences_of(report)]
    title, *sentences = (f"<p>{html.escape(each)}</p>" for each in words)
    return f"{title}{table}{''.join(sentences)}"


def _html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    titles = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table>"


def warnings_of(report: Report) -> list[str]:
    """Return the warnings about the machine and its conditions, a sentence each."""
    found = examine(report.environment, report.conditions)
    return [str(finding) for finding in found if finding.is_warning]


def remarks_of(row: ReportRow) -> list[str]:
    """Return the sentences on a row: diagnosis, advice, lost speedup, and notes."""
    remarks = [row.reading, *filter(None, [row.advice])]
    if row.losses and row.workers > 1 and row.speedup.known:
        lost = row.workers - row.speedup.value
        parts = [
            f"{loss.cause} {loss.amount:+.2f}"
            for loss in sorted(row.losses, key=lambda loss: -abs(loss.amount))
            if abs(loss.amount) >= 0.005
        ]
        remarks.append(f"Lost speedup, {lost:.2f} of {row.workers}: {', '.join(parts)}.")
    return remarks + [f"note: {note}" for note in row.notes]


def details_text_of(report: Report) -> str:
    """Return the details of all rows, one small table for each."""
    tables = []
    for row in report.rows:
        rows = details_of(row)
        width = max(len(name) for name, _ in rows)
        lines = [f"{row.name or row.target}, {row.pool}, {_workers(row)}"]
        for name, value in rows:
            lines += wrapped(value, f"  {name:<{width}}  ", " " * (width + 4))
        tables.append("\n".join(lines))
    return "\n\n".join(tables)


def _workers(row: ReportRow) -> str:
    return f"{row.workers} worker{'s' if row.workers != 1 else ''}"


def details_of(row: ReportRow) -> list[tuple[str, str]]:
    """Return how a row was measured, and its less important figures, by their names."""
    made, single = row.comparison, row.comparison.single_speedup
    known = {
        "blocks": str(made.blocks),
        "calls in a sample": str(row.repeat),
        "rate": row.throughput is not None and f"{rounded(row.throughput)} {row.unit}/s",
        "CPU time, parallel": made.cpu_seconds is not None and duration(made.cpu_seconds),
        "CPU time, serial": made.serial_cpu_seconds is not None
        and duration(made.serial_cpu_seconds),
        "single calls": single.known
        and f"speedup {times(single.value)} ({between(*single.interval)})",
        "control": made.control is not None
        and f"speedup {times(made.control)} (native threads that only compute)",
        "CPU overlap": made.cpu_overlap is not None and percent(made.cpu_overlap),
        "GIL held by a call": row.held.known and percent(row.held.value),
        "waits for a CPU": made.run_queue_wait is not None
        and duration(made.run_queue_wait),
        "context switches": made.voluntary_switches is not None
        and made.involuntary_switches is not None
        and f"{made.voluntary_switches:.3g} voluntary,"
        f" {made.involuntary_switches:.3g} involuntary",
        "ceiling": row.ceiling_kind,
        "assert_scales": row.outcome,
    }
    return [(name, value) for name, value in known.items() if value]
