"""A report on a page: speedups against workers, and what each row means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.rendering import predicted_speedups
from gilx.rendering.html_page import Document, Notes, Section, Table
from gilx.rendering.report_chart import figure_of, line_of
from gilx.rendering.report_text import COLUMNS, cells, details_of, remarks_of, warnings_of

if TYPE_CHECKING:
    from gilx.rendering.html_page import Element
    from gilx.speedup.report import Report


def page_of(report: Report) -> str:
    """Return a report as a page, see `Report.to_html`."""
    return document_of(report).html()


def document_of(report: Report) -> Document:
    """Return a report as a page, see `Report.to_html`."""
    warnings = warnings_of(report)
    blocks: list[Element] = [
        *([Notes("Warnings about these figures:", tuple(warnings))] if warnings else []),
        figure_of(report),
        Table(
            COLUMNS,
            [cells(row) for row in report.rows],
            right=tuple(range(2, len(COLUMNS) - 1)),
            caption="Speedups, medians of blocks; intervals at 95 %",
        ),
    ]
    details = tuple(
        element
        for row in report.rows
        for element in (
            Notes(
                f"{line_of(row)}, {row.workers} worker{'s' if row.workers != 1 else ''}",
                tuple(remarks_of(row)),
            ),
            Table(("figure", "value"), details_of(row), right=(), caption=""),
        )
    )
    targets = ", ".join(dict.fromkeys(row.target for row in report.rows))
    return Document(
        title=f"Speedups of {targets}",
        lead="How much faster several workers were than one for the same work, and what"
        " the machine allowed in the same blocks: the ceiling.",
        sections=(
            Section("Speedups", tuple(blocks)),
            *_predictions(report),
            Section("What the figures are made of", details),
        ),
        made=report.environment.summary(),
    )


def _predictions(report: Report) -> list[Section]:
    """Return a section with the predictions, if there are any."""
    if not report.predictions:
        return []
    head, rows = predicted_speedups.COLUMNS, predicted_speedups.rows_of(report)
    right = tuple(range(1, len(head)))
    caption = "Predicted speedups"
    sentences = tuple(predicted_speedups.sentences_of(report))
    table = [Table(head, rows, right=right, caption=caption)] if rows else []
    notes = Notes("Limits of the prediction:", sentences)
    return [Section(predicted_speedups.TITLE, (*table, notes))]
