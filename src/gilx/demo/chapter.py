"""Base class of chapters, and figures that chapters share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

from gilx.formatting import between, duration, times
from gilx.rendering.bar_chart import Bar, BarChart
from gilx.rendering.html_page import Table
from gilx.speedup.measure import measure
from gilx.speedup.report import ReportRow  # noqa: TC001 - JSON is read by annotations
from gilx.system.environment import usable_cpus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gilx.kernels.kernel import Kernel
    from gilx.sampling.timeline import Timeline

# An interval up to here shows no speedup; a ceiling up to here allows none.
_NO_SPEEDUP = 1.2
# From this share of the possible speedup on, it counts as all of it.
_ALL_OF_IT = 0.85
_QUICK = 0.2
# Losses of at least this share of the lost speedup are named.
_LEAST_LOSS = 0.1
_LOST_TO = {
    "GIL": "to the GIL",
    "stops": "to stops of all threads",
    "locks": "to locks",
    "machine": "to the machine",
    "unexplained": "unexplained",
}


@dataclass(frozen=True)
class Effort:
    """Effort of measuring."""

    quick: bool
    workers: int
    """Threads, processes or interpreters, at least 2."""
    progress: Callable[[str], None]
    """Called between measurements with the progress."""

    @property
    def blocks(self) -> int:
        """Number of blocks, set beforehand, which makes intervals narrower."""
        return 6 if self.quick else 15

    def seconds(self, full: float) -> float:
        """Return the seconds allowed for work that gets `full` seconds in a full run."""
        return full * _QUICK if self.quick else full

    def speedups(
        self,
        target: Kernel | Callable[..., object],
        names: Iterable[str],
        seconds: float,
        **options: Any,  # noqa: ANN401 - those of `measure`
    ) -> tuple[ReportRow, ...]:
        """Measure, and return the rows under these names, without samples.

        `seconds` is the budget of a full run.
        """
        report = measure(
            target,
            budget=self.seconds(seconds),
            blocks=self.blocks,
            progress=self.progress,
            **options,
        )
        return tuple(
            replace(row.without_samples(), target=name, variant=None)
            for row, name in zip(report.rows, names, strict=True)
        )


@dataclass(frozen=True)
class Chapter(ABC):
    """A claim, and the figures that support it. The words follow from the figures."""

    title: ClassVar[str]
    depends: ClassVar[str]
    """Condition of the answer, in a sentence."""
    work: ClassVar[str] = ""
    """Work that is computed: the title of the first column."""
    workers_are: ClassVar[str] = "threads"

    missing: tuple[str, ...]
    """Figures that are missing here, with the reasons; sentences."""

    @classmethod
    @abstractmethod
    def measure(cls, effort: Effort) -> Self:
        """Measure, and return the figures."""

    def speedups(self) -> Sequence[ReportRow]:
        """Return the speedups that were measured, if any."""
        return ()

    def tables(self) -> list[Table]:
        """Return the figures as tables; none without figures."""
        rows = self.speedups()
        if not rows:
            return []
        together = f"{rows[0].workers} {self.workers_are}"
        cells = [
            (
                row.target,
                duration(_unit_seconds(row, row.comparison.serial_seconds)),
                duration(_unit_seconds(row, row.seconds)),
                times(row.speedup.value),
                between(*row.speedup.interval),
                times(row.ceiling.value),
                outcome_of(row),
            )
            for row in rows
        ]
        head = (self.work, "one", together, "speedup", "95 %", "ceiling", "")
        return [Table(head, cells, right=(1, 2, 3, 4, 5))]

    @abstractmethod
    def sentences(self) -> list[str]:
        """Return the findings in a few sentences."""

    def timelines(self) -> list[tuple[str, Timeline]]:
        """Return timelines of the GIL, with their titles; none if nothing was watched."""
        return []

    def picture(self) -> BarChart | None:
        """Return the figures as bars; None without figures."""
        bars = tuple(
            Bar(row.target, row.speedup, row.ceiling, row.workers)
            for row in self.speedups()
        )
        return BarChart("speedup", bars, "what the machine could give") if bars else None


def _unit_seconds(row: ReportRow, seconds: float | None) -> float | None:
    """Return the seconds of one unit of work, given those of a sample.

    A unit is a kernel's problem, or as many calls as there are workers.
    """
    return None if seconds is None else seconds / row.repeat


def outcome_of(row: ReportRow) -> str:
    """Return the outcome of a row.

    ``scales``: all, or nearly all, of the possible speedup; ``partly``; ``no faster``,
    although the machine allowed it; ``no capacity``: the ceiling was no higher, either;
    ``unclear``: the intervals are too wide, or most of the gap is the machine's.
    """
    speedup, ceiling = row.speedup, row.ceiling
    if not speedup.bounded:
        return "unclear"
    if speedup.low <= _NO_SPEEDUP:
        if speedup.value <= _NO_SPEEDUP and ceiling.value <= _NO_SPEEDUP:
            return "no capacity"
        allowed = not ceiling.known or ceiling.low > _NO_SPEEDUP
        taken = sum(loss.amount for loss in row.losses if loss.cause == "machine")
        allowed = allowed and taken <= (row.workers - speedup.value) / 2
        no_faster = speedup.high <= _NO_SPEEDUP and allowed
        return "no faster" if no_faster else "unclear"
    # Without a ceiling, the number of workers is the most that is possible.
    most = ceiling.value if ceiling.known else row.workers
    if speedup.value >= _ALL_OF_IT * most:
        return "scales"
    return "partly" if speedup.high < most else "unclear"


def words_of(row: ReportRow) -> str:
    """Return a row's speedup with its interval: ``1.96x (1.90 to 1.99)``."""
    interval = between(*row.speedup.interval)
    if not row.speedup.bounded:
        interval = "too few blocks for an interval"
    return f"{times(row.speedup.value)} ({interval})"


def losses_of(row: ReportRow) -> list[str]:
    """Return a sentence on the causes of the lost speedup; none if little is lost."""
    left = missing = row.workers - row.speedup.value
    parts = []
    # If there are gains as well, the losses add up to more than the lost speedup.
    for loss in sorted(row.losses, key=lambda loss: -loss.amount):
        amount = min(loss.amount, left)
        if amount >= _LEAST_LOSS * missing:
            words = _LOST_TO.get(loss.cause, f"to {loss.cause}")
            parts.append(f"{amount:.2f} {words}")
            left -= amount
    if outcome_of(row) not in ("partly", "no faster") or not parts:
        return []
    lost = f"Of the {row.workers} workers of {row.target}, {missing:.2f} are lost"
    return [f"{lost}: {', '.join(parts)}."]


_INCONCLUSIVE = {
    "no capacity": "Nothing is shown, since the machine had no free CPU just then",
    "unclear": "The machine was too noisy for a conclusion",
}


def grouped(rows: Sequence[ReportRow], words: Mapping[str, str]) -> list[str]:
    """Return a sentence for each outcome with the rows that have it, and on their losses.

    Parameters
    ----------
    rows : sequence of ReportRow
        Any number.
    words : mapping
        What ``scales``, ``partly`` and ``no faster`` mean for these.

    """
    said = []
    for outcome, begin in {**words, **_INCONCLUSIVE}.items():
        those = [f"{r.target} {words_of(r)}" for r in rows if outcome_of(r) == outcome]
        if those:
            said.append(f"{begin}: {'; '.join(those)}.")
    return said + [words for row in rows for words in losses_of(row)]


def one_cpu() -> tuple[str, ...]:
    """Return a sentence if there is only one CPU, on which no work gets faster."""
    if usable_cpus() > 1:
        return ()
    words = (
        "This process may use only one CPU, so no computation gets faster by running in"
        " parallel, and no speedup is possible here. Allow a second CPU (see taskset, or"
        " the container's CPU limit)."
    )
    return (words,)
