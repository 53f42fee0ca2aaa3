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

# Intervals up to here show no speedup; ceilings up to here allow none.
_NO_SPEEDUP = 1.2
# A speedup of at least this share of the possible one counts as all of it.
_ALL_OF_IT = 0.85
_QUICK = 0.2
# Losses of at least this share of the lost speedup are named.
_LEAST_LOSS = 0.1
_LOST_TO = {
    "GIL": "lost to the GIL",
    "stops": "lost to stops of all threads",
    "locks": "lost to locks",
    "machine": "lost to the machine",
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
    """Condition of the result: the end of a sentence, and more sentences if needed."""
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
        return (
            BarChart("speedup", bars, "what the machine could achieve") if bars else None
        )


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
        lost = sum(loss.amount for loss in row.losses if loss.cause == "machine")
        allowed = allowed and lost <= (row.workers - speedup.value) / 2
        no_faster = speedup.high <= _NO_SPEEDUP and allowed
        return "no faster" if no_faster else "unclear"
    # Without a ceiling, the number of workers is the upper limit.
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
    parts: list[str] = []
    # If there are gains as well, the losses add up to more than the lost speedup.
    for loss in sorted(row.losses, key=lambda loss: -loss.amount):
        amount = min(loss.amount, left)
        if amount >= _LEAST_LOSS * missing:
            words = _LOST_TO.get(loss.cause, f"lost to {loss.cause}")
            of_that = "" if parts else " of that"
            parts.append(f"{amount:.2f}{of_that} is {words}")
            left -= amount
    if outcome_of(row) not in ("partly", "no faster") or not parts:
        return []
    lost = f'The speedup of "{row.target}" is {missing:.2f} short of {row.workers}'
    return [f"{lost}; {'; '.join(parts)}."]


_INCONCLUSIVE = {
    "no capacity": (
        "No conclusion is possible on the following, since the machine had no free CPU at"
        " the time"
    ),
    "unclear": "The machine was too noisy for a conclusion on the following",
}


def grouped(rows: Sequence[ReportRow], words: Mapping[str, str]) -> list[str]:
    """Return sentences on the rows: one for each outcome, and one for losses of each row.

    Parameters
    ----------
    rows : sequence of ReportRow
        Any number.
    words : mapping
        Meanings of ``scales``, ``partly`` and ``no faster`` for these rows.

    """
    sentences = []
    for outcome, begin in {**words, **_INCONCLUSIVE}.items():
        results = [f"{r.target} {words_of(r)}" for r in rows if outcome_of(r) == outcome]
        if results:
            sentences.append(f"{begin}: {'; '.join(results)}.")
    return sentences + [words for row in rows for words in losses_of(row)]


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
