"""Predicted throughput of many workers as a record, without the NumPy that makes it."""

from __future__ import annotations

from dataclasses import dataclass

from gilx.formatting import duration, format_table, percent, times
from gilx.records import Record


@dataclass(frozen=True)
class PredictionRow:
    """Prediction for one number of workers."""

    workers: int
    throughput: float
    """Calls a second, all workers together."""
    speedup: float
    """Throughput over that of one worker."""
    locked: float
    """Share of the time during which some worker holds the GIL."""
    bound: float
    """Upper bound of the speedup, whatever the distributions: the smallest of the number
    of workers, 1 / hold fraction, and the number of CPUs (for work that also waits: the
    number of CPUs over the share of one worker's time that needs a CPU)."""


@dataclass(frozen=True)
class Prediction(Record, schema="gilx.prediction"):
    """Throughput for several numbers of workers, and the figures it was computed from.

    Times are means over cycles of one worker that runs alone, in seconds.
    """

    rows: tuple[PredictionRow, ...]
    hold: float
    hold_scv: float
    release: float
    waiting: float
    delay_scv: float
    retake: float
    handover: float
    cpus: int
    cycles: float
    handover_hold: float | None = None
    """Hold, in seconds, after which the hand-over was measured, if holds are too long to
    measure it after them and it is estimated. None if it was measured after such holds,
    or given."""

    def __str__(self) -> str:
        head = (
            "Prediction from one worker: a cycle holds the GIL for"
            f" {duration(self.hold)}, computes {duration(self.release)} without it and"
            f" waits {duration(self.waiting)};"
            f" {self.cpus} CPU{'s' if self.cpus != 1 else ''}"
        )
        lines = [head, ""]
        if self.handover_hold is not None:
            lines.insert(
                1,
                f"A hand-over of the GIL is estimated to take {duration(self.handover)},"
                f" as it does after holds of {duration(self.handover_hold)}.",
            )
        rows = [
            (
                *(str(row.workers), f"{row.throughput:.6g}"),
                *(times(row.speedup), times(row.bound), percent(row.locked)),
            )
            for row in self.rows
        ]
        columns = ("workers", "calls/s", "speedup", "at most", "GIL held")
        return "\n".join([*lines, format_table(columns, rows, right=range(5))])
