"""What a chapter is, and the figures that chapters share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from gilx.estimate import Estimate
from gilx.formatting import duration, percent
from gilx.rendering.bar_chart import Bar, BarChart
from gilx.speedup.report import ReportRow  # noqa: TC001 - JSON is read by annotations
from gilx.system.environment import usable_cpus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gilx.sampling.timeline import Timeline
    from gilx.sampling.usage import GilUsage

# An interval up to here is no speedup; a ceiling up to here leaves room for none.
_NO_SPEEDUP = 1.2
# From this share of what could be had it is all of it, for people.
_ALL_OF_IT = 0.85
_QUICK = 0.2
# From this share of what is missing it is worth a word where it went.
_LEAST_LOSS = 0.1
_LOST_TO = {
    "GIL": "to the GIL",
    "machine": "to the machine",
    "unexplained": "unexplained",
}


@dataclass(frozen=True)
class Effort:
    """How much trouble to take."""

    quick: bool
    workers: int
    """Threads, processes or interpreters, at least 2."""
    progress: Callable[[str], None]
    """Told between measurements how far it is."""

    @property
    def blocks(self) -> int:
        """How many blocks to make. Set beforehand: intervals are narrower for that."""
        return 6 if self.quick else 15

    def seconds(self, full: float) -> float:
        """Return how long something may take that may take so long in a full run."""
        return full * _QUICK if self.quick else full


@dataclass(frozen=True)
class ChapterTable:
    """Figures for people: titles, rows of cells, and the columns aligned to the right."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    right: tuple[int, ...]


@dataclass(frozen=True)
class Chapter(ABC):
    """A claim and the figures that bear on it. The words follow from the figures."""

    title: ClassVar[str]
    depends: ClassVar[str]
    """What the answer depends on, in a sentence."""

    missing: tuple[str, ...]
    """What could not be shown here, and why; sentences."""

    @classmethod
    @abstractmethod
    def measure(cls, effort: Effort) -> Self:
        """Measure, and return the figures."""

    @abstractmethod
    def tables(self) -> list[ChapterTable]:
        """Return the figures as tables; none where there are none."""

    @abstractmethod
    def sentences(self) -> list[str]:
        """Say in a few sentences what was found."""

    def timelines(self) -> list[tuple[str, Timeline]]:
        """Return who held the GIL when, and what ran; none where nothing was watched."""
        return []

    @abstractmethod
    def picture(self) -> BarChart | None:
        """Return what to draw; None where nothing was measured."""


@dataclass(frozen=True)
class Speedup:
    """How much faster so many workers were than one: a row of `gilx.measure`."""

    name: str
    """What the row is called here."""
    row: ReportRow
    """The row, without samples."""

    @classmethod
    def of(cls, row: ReportRow, name: str) -> Self:
        """Return a row under another name."""
        return cls(name, row.without_samples())

    @property
    def pool(self) -> str:
        """Where the workers were."""
        return self.row.pool

    @property
    def workers(self) -> int:
        """How many workers there were."""
        return self.row.workers

    @property
    def serial(self) -> float:
        """Seconds that a unit of the work takes one worker.

        A unit is a kernel's problem, or as many calls as there are workers.
        """
        seconds = self.row.comparison.serial_seconds
        return math.nan if seconds is None else seconds / self.row.repeat

    @property
    def seconds(self) -> float:
        """Seconds that a unit of the work takes all workers."""
        seconds = self.row.seconds
        return math.nan if seconds is None else seconds / self.row.repeat

    @property
    def speedup(self) -> Estimate:
        """Serial over parallel wall time."""
        return self.row.speedup

    @property
    def ceiling(self) -> Estimate:
        """The speedup that the machine achieved in the same blocks."""
        return self.row.ceiling

    @property
    def ceiling_kind(self) -> str:
        """What the ceiling was."""
        return self.row.ceiling_kind

    @property
    def outcome(self) -> str:
        """What it comes to.

        ``scales``: all, or nearly all, of what could be had; ``partly``; ``no faster``,
        although the machine allowed it; ``no room``: neither was anything else, just
        then; ``unclear``: the intervals do not tell.
        """
        speedup, ceiling = self.speedup, self.ceiling
        if not speedup.bounded:
            return "unclear"
        if speedup.low <= _NO_SPEEDUP:
            if speedup.value <= _NO_SPEEDUP and ceiling.value <= _NO_SPEEDUP:
                return "no room"
            allowed = not ceiling.known or ceiling.low > _NO_SPEEDUP
            no_faster = speedup.high <= _NO_SPEEDUP and allowed
            return "no faster" if no_faster else "unclear"
        # A ceiling that is unknown says nothing; then it is the workers that count.
        most = ceiling.value if ceiling.known else self.workers
        return "scales" if speedup.value >= _ALL_OF_IT * most else "partly"

    def words(self) -> str:
        """Return the speedup with its interval: ``1.96x (1.90 to 1.99)``."""
        value, low, high = self.speedup.value, *self.speedup.interval
        if not self.speedup.bounded:
            return f"{times(value)} (too few blocks to be sure)"
        return f"{times(value)} ({low:.2f} to {high:.2f})"

    def lost(self) -> str:
        """Return a sentence on where missing workers went; empty if few are missing."""
        left = missing = self.workers - self.speedup.value
        parts = []
        # Where something else was gained, the losses add up to more than is missing.
        for loss in sorted(self.row.losses, key=lambda loss: -loss.amount):
            amount = min(loss.amount, left)
            if amount >= _LEAST_LOSS * missing:
                words = _LOST_TO.get(loss.cause, f"to {loss.cause}")
                parts.append(f"{amount:.2f} {words}")
                left -= amount
        if self.outcome not in ("partly", "no faster") or not parts:
            return ""
        return (
            f"Of the {self.workers} workers of {self.name}, {missing:.2f} are lost:"
            f" {', '.join(parts)}."
        )

    def bar(self) -> Bar:
        """Return the speedup as a bar."""
        return Bar(
            self.name,
            self.speedup.value,
            self.speedup.interval if self.speedup.bounded else None,
            self.ceiling.value if self.ceiling.known else None,
            self.workers,
        )


def speedup_table(rows: Sequence[Speedup], *, what: str, together: str) -> ChapterTable:
    """Return speedups as a table.

    Parameters
    ----------
    rows : sequence of Speedup
        At least one.
    what, together : str
        Titles of the first column, and of that of the time that a unit of work takes all
        workers.

    """
    return ChapterTable(
        (what, "one", together, "speedup", "95 %", "ceiling", ""),
        tuple(
            (
                row.name,
                duration(row.serial),
                duration(row.seconds),
                times(row.speedup.value),
                f"{row.speedup.low:.2f} to {row.speedup.high:.2f}"
                if row.speedup.bounded
                else "unknown",
                times(row.ceiling.value),
                row.outcome,
            )
            for row in rows
        ),
        right=(1, 2, 3, 4, 5),
    )


_DOUBT = {
    "no room": "Nothing is shown, since the machine gave no more to anything just then",
    "unclear": "The machine was too restless to tell",
}


def grouped(rows: Sequence[Speedup], words: Mapping[str, str]) -> list[str]:
    """Return a sentence for each outcome with the rows that have it, and on their losses.

    Parameters
    ----------
    rows : sequence of Speedup
        Any number.
    words : mapping
        What ``scales``, ``partly`` and ``no faster`` mean for these.

    """
    said = []
    for outcome, begin in {**words, **_DOUBT}.items():
        those = [f"{row.name} {row.words()}" for row in rows if row.outcome == outcome]
        if those:
            said.append(f"{begin}: {'; '.join(those)}.")
    return said + [lost for row in rows if (lost := row.lost())]


def speedup_picture(rows: Sequence[Speedup]) -> BarChart:
    """Return speedups as a picture."""
    return BarChart(
        "speedup", tuple(row.bar() for row in rows), "what the machine could give"
    )


@dataclass(frozen=True)
class Held:
    """How much of a call holds the GIL; from `gilx.probe`."""

    library: str
    name: str
    seconds: float
    """Of one call."""
    held: Estimate
    """Hold fraction; unknown where nothing could be concluded."""
    cpus: float
    """CPU time over wall time: above 1, the call had threads of its own."""
    doubt: str

    @classmethod
    def of(cls, usage: GilUsage, library: str, name: str) -> Self:
        """Return what the story tells of a probe."""
        return cls(
            library=library,
            name=name,
            seconds=usage.wall / usage.repeats,
            held=Estimate.unknown() if usage.doubt else usage.held,
            cpus=usage.cpu / usage.wall,
            doubt=usage.doubt,
        )

    @property
    def outcome(self) -> str:
        """``releases it``, ``holds it``, ``in part``, or ``unclear``."""
        low, high = self.held.interval
        if not self.held.known:
            return "unclear"
        if high <= 0.1:
            return "releases it"
        if low >= 0.9:
            return "holds it"
        return "in part" if high - low < 0.3 else "unclear"

    def bar(self) -> Bar:
        """Return the share as a bar, in percent."""
        share = self.held.times(100)
        return Bar(
            f"{self.library} {self.name}",
            share.value,
            share.interval if share.known else None,
        )


def held_table(rows: Sequence[Held]) -> ChapterTable:
    """Return shares as a table."""
    return ChapterTable(
        ("", "call", "a call", "GIL held", "95 %", ""),
        tuple(
            (
                row.library,
                row.name,
                duration(row.seconds),
                percent(row.held.value),
                f"{100 * row.held.low:.0f} to {100 * row.held.high:.0f} %"
                if row.held.known
                else "-",
                row.outcome,
            )
            for row in rows
        ),
        right=(2, 3, 4),
    )


def times(ratio: float) -> str:
    """Return a ratio in words: ``1.96x``; ``-`` where there is none."""
    return "-" if math.isnan(ratio) else f"{ratio:.2f}x"


def one_cpu() -> tuple[str, ...]:
    """Say so where there is but one CPU, since nothing that computes is faster then."""
    if usable_cpus() > 1:
        return ()
    words = (
        "This process may use one CPU only, so nothing that computes can be faster by"
        " running beside something else: no speedup can be seen here. Give it a second"
        " one (see taskset, or the container's CPU limit)."
    )
    return (words,)
