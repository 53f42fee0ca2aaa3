"""Result of the grain finder, for people and for programs."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gilx.errors import ArgumentError, at_least
from gilx.estimate import Estimate  # noqa: TC001 - JSON is read by annotations
from gilx.formatting import between, duration, format_table, times, wrapped
from gilx.records import Record
from gilx.speedup.comparison import Comparison  # noqa: TC001 - likewise
from gilx.system.conditions import Conditions  # noqa: TC001 - JSON is read by annotations
from gilx.system.diagnostics import examine
from gilx.system.environment import Environment  # noqa: TC001 - likewise

# Findings that mean that the workers may have had no CPUs, whatever they computed.
_BUSY = ("others", "load", "steal", "throttled")


@dataclass(frozen=True)
class GrainRow:
    """Comparison of one grain for each worker with one thread that computes them all."""

    grain: int
    """Items that each worker got."""
    comparison: Comparison
    """Its parallel time includes handing out and waiting."""

    @property
    def speedup(self) -> Estimate:
        """Serial over parallel wall time of the same items."""
        return self.comparison.speedup

    @property
    def wins(self) -> bool:
        """True if the interval of the speedup lies above 1."""
        return self.speedup.low > 1

    def _check(self, where: str) -> None:
        at_least(f"{where}.grain", self.grain, 1)


@dataclass(frozen=True)
class Grain(Record, schema="gilx.grain", version=4):
    """The smallest grain that pays, and the costs behind it. Times are in seconds."""

    target: str
    variant: str | None
    """The kernel's variant; None for a callable."""
    pool: str
    workers: int
    grain: int | None
    """The smallest grain tried that beat one thread, as did all larger ones; None if
    there is none."""
    work: float | None
    """Seconds for which one worker computes on that grain."""
    region: Estimate
    """Cost of an empty region between others: handing out work, waiting for all."""
    claim: float
    """Cost of claiming a grain and starting on it."""
    release: float
    """Cost of releasing the GIL and taking it back when no other thread wants it."""
    handover: float | None
    """Time for which the GIL stays unused until a waiting thread has it; None without a
    GIL."""
    item: float
    """Time of an item on one thread, in the largest grain that was tried."""
    blocks: int
    rows: tuple[GrainRow, ...]
    """Grains in ascending order."""
    environment: Environment
    conditions: Conditions
    """Conditions while the grains were measured."""

    @property
    def expected(self) -> float:
        """The grain at which the workers and one thread are even, by these costs."""
        gain = self.item * (self.workers - 1)
        return self.region.value / gain if gain > 0 else math.inf

    def __str__(self) -> str:
        what = self.target if self.variant is None else f"{self.target} {self.variant}"
        head = f"{what}: {self.workers} workers ({self.pool})"
        largest = self.rows[-1]
        found = examine(self.environment, self.conditions)
        if self.grain is not None and self.work is not None:
            head += (
                f" beat one thread if each gets at least {_items(self.grain)}"
                f" ({duration(self.work)} of work)"
            )
        else:
            head += (
                f" did not beat one thread with up to {_items(largest.grain)} each"
                f" ({duration(largest.comparison.part_seconds)} of work)"
            )
            if self.environment.usable_cpus == 1:
                head += "; with one usable CPU they can't"
            elif busy := [one for one in found if one.is_warning and one.name in _BUSY]:
                head += f"; {busy[0].evidence}, so measure again on an idle machine"
            elif self.environment.gil and self.expected < largest.grain:
                head += "; gilx probe shows whether the work holds the GIL"
        empty = self.region.text(duration)
        price = f"releasing the GIL and taking it back: {duration(self.release)}"
        if self.handover is not None:
            price += f"; handing it to a waiting thread: {duration(self.handover)}"
        lines = [
            *wrapped(head),
            "",
            f"handing out items to the workers and waiting for them: {empty}",
            f"claiming a grain: {duration(self.claim)}",
            price,
            f"an item: {duration(self.item)}",
        ]
        if math.isfinite(self.expected):
            even = _items(max(1, math.ceil(self.expected)))
            lines.append(
                f"By these costs, the workers should break even with one thread at {even}"
                " each."
            )
        lines += ["", "Medians for grains at random positions:", self._table()]
        warnings = [str(finding) for finding in found if finding.is_warning]
        if warnings:
            lines += ["", "Warnings about these figures:"]
            for words in warnings:
                lines += wrapped(words, "* ", "  ")
        return "\n".join(lines)

    def _table(self) -> str:
        rows = [
            (
                str(row.grain),
                *map(duration, (row.comparison.serial_seconds, row.comparison.seconds)),
                *(times(row.speedup.value), between(*row.speedup.interval)),
                "wins" if row.wins else "",
            )
            for row in self.rows
        ]
        head = ("items", "one thread", f"{self.workers} workers", "speedup", "95 %", "")
        return format_table(head, rows, right=range(5))

    def _check(self, where: str) -> None:
        for name in ("workers", "blocks", *(["grain"] if self.grain is not None else [])):
            at_least(f"{where}.{name}", getattr(self, name), 1)
        if not self.rows:
            raise ArgumentError(f"{where}.rows: expected at least one row, got none")


def _items(number: int) -> str:
    return f"{number} item{'s' if number != 1 else ''}"
