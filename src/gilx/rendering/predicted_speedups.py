"""Predicted speedups of a report: a table, and the sentences that limit it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.formatting import format_table, percent, times, wrapped

if TYPE_CHECKING:
    from gilx.speedup.report import Report
    from gilx.speedup.speedup_prediction import SpeedupPrediction

TITLE = "Prediction for a machine with a CPU for each thread"
COLUMNS = ("target", "workers", "predicted", "at most", "GIL held", "measured here")
LIMITS = (
    "The prediction is made from the time for which one call alone holds the GIL. The"
    " prediction leaves out whatever else threads share, such as memory and other locks,"
    " so compare it with the speedup measured with one thread for each CPU. In"
    " simulations of programs whose threads share nothing but the GIL, half of the"
    " predictions were less than 1 % off, nine of ten less than 4 %, and all less than"
    " 21 %."
)


def rows_of(report: Report) -> list[tuple[str, ...]]:
    """Return the cells of all predictions, one for each of `COLUMNS`."""
    return [
        (
            prediction.name,
            str(row.workers),
            times(row.speedup),
            times(row.bound),
            percent(row.locked),
            _measured(report, prediction, row.workers),
        )
        for prediction in report.predictions
        for row in prediction.rows
    ]


def sentences_of(report: Report) -> list[str]:
    """Return the limits of the predictions, and why others are missing."""
    return [
        *([LIMITS] if any(each.rows for each in report.predictions) else []),
        *(
            f"{each.name} has no prediction, since {each.missing}."
            for each in report.predictions
            if each.missing
        ),
    ]


def text_of(report: Report) -> list[str]:
    """Return the predictions as lines of text; none if there are none."""
    if not report.predictions:
        return []
    rows = rows_of(report)
    table = [format_table(COLUMNS, rows, right=range(1, len(COLUMNS))), ""]
    lines = [line for words in sentences_of(report) for line in wrapped(words)]
    return ["", f"{TITLE}:", "", *(table if rows else []), *lines]


def _measured(report: Report, prediction: SpeedupPrediction, workers: int) -> str:
    """Return the speedup that was measured with a CPU for each thread, if it was."""
    if workers > report.environment.usable_cpus:
        return "-"
    which = prediction.name, "threads", workers
    found = [
        row.speedup.value
        for row in report.rows
        if (row.name, row.pool, row.workers) == which
    ]
    return times(found[0]) if found else "-"
