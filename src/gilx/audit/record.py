"""What an audit found, for people and for programs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gilx.estimate import Estimate  # noqa: TC001 - records are read by it
from gilx.formatting import duration, format_table, percent, times
from gilx.records import Record
from gilx.speedup.report import ReportRow  # noqa: TC001 - records are read by it
from gilx.system.environment import Environment  # noqa: TC001 - records are read by it

_HEAD = (
    *("call", "size", "time", "held", "longest hold"),
    *("where", "workers", "speedup", "ceiling", "of ceiling", "reading"),
)
_RIGHT = (1, 2, 3, 4, 6, 7, 8, 9)
_LONGEST_PLACE = 32  # characters
_WIDTH = 140


@dataclass(frozen=True)
class Line:
    """One callable at one size. Times are in seconds, shares from 0 to 1."""

    name: str
    size: int | None
    seconds: float
    """Wall time of a call on one thread; not a number if there was none."""
    held: Estimate
    """Hold fraction of a call alone."""
    longest_hold: Estimate
    """Longest hold, in seconds."""
    where: str
    """File, line and source text of the line that holds it for half of the held time or
    more; empty if there is none, or it is not known."""
    doubt: str
    """Why the figures above are not known, or not to be trusted; empty if they are."""
    scaling: tuple[ReportRow, ...]
    """One for each number of workers, without samples."""
    error: str = ""
    """What the setup or the call raised; empty if nothing."""

    @property
    def label(self) -> str:
        """Name and size, as one."""
        return self.name if self.size is None else f"{self.name} [{self.size}]"


@dataclass(frozen=True)
class Audit(Record, schema="gilx.audit", version=2):
    """All lines, and where they were measured."""

    lines: tuple[Line, ...]
    environment: Environment

    @property
    def complete(self) -> bool:
        """Whether every call could be made, and compared with its ceiling."""
        return all(
            not line.error and all(row.comparison.blocks for row in line.scaling)
            for line in self.lines
        )

    def __str__(self) -> str:
        rows = [row for line in self.lines for row in _rows(line)]
        table = format_table(_HEAD, rows, right=_RIGHT, width=_WIDTH)
        notes = [
            f"{line.label}: {note}"
            for line in self.lines
            for note in dict.fromkeys(
                [
                    *([f"hold fraction: {line.doubt}"] if line.doubt else []),
                    *(note for row in line.scaling for note in row.notes),
                ]
            )
        ]
        below = ["", *(f"note: {note}" for note in notes)] if notes else []
        return "\n".join([self.environment.summary(), "", table, *below])


def _rows(line: Line) -> list[tuple[str, ...]]:
    if line.error:
        blank = ("-",) * 8
        return [(line.name, _size(line), *blank, f"failed: {line.error}")]
    first = (
        line.name,
        _size(line),
        "-" if math.isnan(line.seconds) else duration(line.seconds),
        _held(line),
        _longest(line),
        _where(line),
    )
    rows = []
    for number, scaling in enumerate(line.scaling):
        start = first if number == 0 else ("",) * len(first)
        rows.append(
            (
                *start,
                str(scaling.workers),
                times(scaling.speedup.value),
                times(scaling.ceiling.value),
                percent(scaling.ceiling_fraction.value)
                if scaling.ceiling_fraction.known
                else "-",
                scaling.reading,
            )
        )
    return rows


def _size(line: Line) -> str:
    return "" if line.size is None else str(line.size)


def _held(line: Line) -> str:
    return "-" if line.doubt or not line.held.known else percent(line.held.value)


def _longest(line: Line) -> str:
    known = line.longest_hold.known and not line.doubt
    return duration(line.longest_hold.value) if known else "-"


def _where(line: Line) -> str:
    where = line.where
    if line.doubt or not where:
        return "-"
    return where if len(where) <= _LONGEST_PLACE else f"{where[: _LONGEST_PLACE - 3]}..."
