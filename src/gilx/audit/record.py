"""Result of an audit, for people and for programs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from gilx.audit.claim import Claim, GilVerdict, gil_verdict
from gilx.estimate import Estimate
from gilx.formatting import (
    duration,
    percent,
    shortened,
    table_with_remarks,
    times,
    wrapped,
)
from gilx.records import Record
from gilx.speedup.report import ReportRow  # noqa: TC001 - records are read by it
from gilx.system.environment import Environment  # noqa: TC001 - records are read by it

if TYPE_CHECKING:
    from collections.abc import Iterable

_HEAD = (
    *("call", "time", "held", "longest hold"),
    *("workers", "speedup", "ceiling", "of ceiling"),
)
_VERDICTS = {
    "holds": "holds the GIL",
    "in part": "releases it in part",
    "releases": "releases it",
    "undecided": "undecided",
}
_LONGEST_NAME = 60  # characters, before a note


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
    inconclusive_reason: str
    """Reason that the figures above are unknown or unreliable; empty if they are not."""
    scaling: tuple[ReportRow, ...]
    """One for each number of workers, without samples."""
    error: str = ""
    """The exception that the setup or the call raised; empty if none."""
    claim: Claim | None = None
    """Claim of the library's maintainers about the call."""

    @property
    def label(self) -> str:
        """Name and size, as one."""
        return self.name if self.size is None else f"{self.name} [{self.size}]"

    @property
    def verdict(self) -> GilVerdict:
        """``holds`` the GIL, ``releases`` it, does so ``in part``, or ``undecided``."""
        return gil_verdict(Estimate.unknown() if self.inconclusive_reason else self.held)

    @property
    def contradicts_claim(self) -> bool | None:
        """True if the verdict contradicts the claim; None without either."""
        claim = self.claim
        return None if claim is None else claim.contradicted(self.size, self.verdict)


@dataclass(frozen=True)
class Audit(Record, schema="gilx.audit", version=5):
    """All lines, and the environment in which they were measured."""

    lines: tuple[Line, ...]
    environment: Environment

    @property
    def complete(self) -> bool:
        """True if every call could be made and compared with its ceiling."""
        return all(
            not line.error and all(row.comparison.blocks for row in line.scaling)
            for line in self.lines
        )

    def by_size(self) -> dict[str, str]:
        """Return by name what calls do at several sizes: ``holds the GIL up to 2047``.

        Calls with one size are left out.
        """
        lines: dict[str, list[Line]] = {}
        for line in self.lines:
            lines.setdefault(line.name, []).append(line)
        return {name: size_words(each) for name, each in lines.items() if len(each) > 1}

    def __str__(self) -> str:
        rows = [row for line in self.lines for row in _rows(line)]
        table = table_with_remarks(
            _HEAD,
            [cells for cells, _ in rows],
            [remarks for _, remarks in rows],
            right=range(1, len(_HEAD)),
        )
        sizes = [
            f"{shortened(name, _LONGEST_NAME)}: {words}"
            for name, words in self.by_size().items()
        ]
        notes = sizes + [
            f"{shortened(line.label, _LONGEST_NAME)}: {note}"
            for line in self.lines
            for note in dict.fromkeys(
                [
                    *(
                        [f"hold fraction: {line.inconclusive_reason}"]
                        if line.inconclusive_reason
                        else []
                    ),
                    *([_difference(line)] if line.contradicts_claim else []),
                    *(note for row in line.scaling for note in row.notes),
                ]
            )
        ]
        below = [text for note in notes for text in wrapped(f"note: {note}", "", "  ")]
        parts = [*wrapped(self.environment.summary()), "", table, *[""] * bool(below)]
        return "\n".join([*parts, *below])


def size_words(lines: Iterable[Line]) -> str:
    """Return what a call does to the GIL at its sizes, the smallest first, in words."""
    ordered = sorted(lines, key=lambda line: -1 if line.size is None else line.size)
    runs = [list(run) for _, run in groupby(ordered, key=lambda line: line.verdict)]
    parts = []
    for number, run in enumerate(runs):
        sizes = f"{run[0].size}" if len(run) == 1 else f"{run[0].size} to {run[-1].size}"
        if len(runs) == 1:
            place = f"at {sizes}"
        elif number == 0:
            place = f"up to {run[-1].size}"
        elif number == len(runs) - 1:
            place = f"from {run[0].size}"
        else:
            place = f"at {sizes}"
        parts.append(f"{_VERDICTS[run[0].verdict]} {place}")
    return ", ".join(parts)


def _rows(line: Line) -> list[tuple[tuple[str, ...], list[str]]]:
    """Return the rows of a line, each with the remarks below it."""
    if line.error:
        blank = ("-",) * (len(_HEAD) - 1)
        return [((line.label, *blank), [f"failed: {line.error}"])]
    first = (
        line.label,
        "-" if math.isnan(line.seconds) else duration(line.seconds),
        _held(line),
        _longest(line),
    )
    rows = []
    for number, scaling in enumerate(line.scaling):
        start = first if number == 0 else ("",) * len(first)
        cells = (
            *start,
            str(scaling.workers),
            times(scaling.speedup.value),
            times(scaling.ceiling.value),
            percent(scaling.ceiling_fraction.value)
            if scaling.ceiling_fraction.known
            else "-",
        )
        rows.append((cells, [scaling.reading]))
    if rows and line.where and not line.inconclusive_reason:
        rows[0][1].insert(0, f"held in {line.where}")
    return rows


def _difference(line: Line) -> str:
    claim = line.claim
    assert claim is not None
    words = {"holds": "holds the GIL", "in part": "releases the GIL in part"}
    verdict = words.get(line.verdict, "releases the GIL")
    size = f", from {claim.from_size} on" if claim.from_size else ""
    return f"{verdict}, but the claim is: {claim.words}{size} ({claim.link})"


def _held(line: Line) -> str:
    return (
        "-"
        if line.inconclusive_reason or not line.held.known
        else percent(line.held.value)
    )


def _longest(line: Line) -> str:
    known = line.longest_hold.known and not line.inconclusive_reason
    return duration(line.longest_hold.value) if known else "-"
