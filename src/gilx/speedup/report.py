"""Report of a measurement: a row for each target, variant, pool and number of workers."""

from __future__ import annotations

import csv
import importlib
import io
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from gilx.errors import at_least
from gilx.estimate import Estimate
from gilx.records import Record, render
from gilx.speedup.comparison import Comparison  # noqa: TC001 - JSON is read by annotations
from gilx.speedup.losses import Loss  # noqa: TC001 - likewise
from gilx.speedup.scaling_decision import Outcome  # noqa: TC001 - likewise
from gilx.speedup.speedup_prediction import (
    SpeedupPrediction,  # noqa: TC001 - likewise
)
from gilx.system.conditions import Conditions  # noqa: TC001 - likewise
from gilx.system.environment import Environment  # noqa: TC001 - likewise

if TYPE_CHECKING:
    from gilx.rendering.picture import Picture


@dataclass(frozen=True)
class ReportRow:
    """One target, variant, pool and number of workers."""

    target: str
    variant: str | None
    """The kernel's variant; None for a callable."""
    pool: str
    repeat: int
    """M: how many calls in a row each worker made in a sample; for a kernel, how many
    times the problem was computed."""
    throughput: float | None
    """Units of work a second, in parallel; None if nothing was compared."""
    unit: str
    held: Estimate
    """Hold fraction of one call alone; unknown if it was not watched."""
    outcome: Outcome | None
    """Verdict on whether the workers reach 80 % of the ceiling, by the rules that
    `gilx.testing.assert_scales` has: 'pass', 'fail' or 'inconclusive'. None for one
    worker, or for a target that was compared with itself."""
    comparison: Comparison
    """Result of the blocks."""
    notes: tuple[str, ...] = ()
    """Warnings."""

    @property
    def workers(self) -> int:
        """Number of workers."""
        return self.comparison.workers

    @property
    def seconds(self) -> float | None:
        """Median wall time of the parallel sample."""
        return self.comparison.seconds

    @property
    def speedup(self) -> Estimate:
        """Serial over parallel wall time of the same work."""
        return self.comparison.speedup

    @property
    def efficiency(self) -> Estimate:
        """Speedup over workers."""
        return self.comparison.efficiency

    @property
    def ceiling(self) -> Estimate:
        """The speedup that the machine achieved in the same blocks."""
        return self.comparison.ceiling

    @property
    def ceiling_kind(self) -> str:
        """Kind of the ceiling; see `Comparison.ceiling_kind`."""
        return self.comparison.ceiling_kind

    @property
    def ceiling_fraction(self) -> Estimate:
        """Speedup over ceiling."""
        return self.comparison.ceiling_fraction

    @property
    def losses(self) -> tuple[Loss, ...]:
        """Parts that add up to ``workers - speedup``; empty without a ceiling."""
        return self.comparison.losses

    @property
    def is_aa(self) -> bool:
        """True if the target was compared with itself."""
        return self.ceiling_kind == "" and self.comparison.blocks > 0

    @property
    def reading(self) -> str:
        """Diagnosis: the meaning of the figures, in one sentence."""
        reading: str = render(self, "reading")
        return reading

    @property
    def advice(self) -> str:
        """Advice on the diagnosis, in one sentence; empty if nothing has to be done."""
        advice: str = render(self, "advice")
        return advice

    @property
    def name(self) -> str:
        """Name of a row in tables."""
        return self.target if self.variant is None else f"{self.target} {self.variant}"

    def _check(self, where: str) -> None:
        at_least(f"{where}.repeat", self.repeat, 1)

    def without_samples(self) -> ReportRow:
        """Return the row without the wall times of its samples, which may be many."""
        return replace(self, comparison=self.comparison.without_samples())


@dataclass(frozen=True)
class Report(Record, schema="gilx.report", version=5):
    """Speedups with all that is needed to judge them."""

    rows: tuple[ReportRow, ...]
    environment: Environment
    conditions: Conditions
    """Those from the first row to the last: load, steal, what other processes took."""
    precision: float
    """Half the width that the interval of the speedup should have had, relative."""
    budget: float
    """Seconds that all blocks together might take."""
    predictions: tuple[SpeedupPrediction, ...] = ()
    """Speedups that are not measured but predicted, of targets with more threads than
    this machine has CPUs."""

    def to_csv(self) -> str:
        """Return the rows as comma-separated values, a line of names first.

        An estimate has three columns, for its value and both ends of its interval; losses
        have one each; samples and predictions are left out.
        """
        records = [_flat(row) for row in self.rows]
        names = list(dict.fromkeys(name for record in records for name in record))
        text = io.StringIO()
        writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
        return text.getvalue()

    def to_pandas(self) -> Any:  # noqa: ANN401 - pandas is not there for everyone
        """Return the rows as a data frame of pandas, with the columns of `to_csv`.

        Raises
        ------
        ImportError
            pandas is not installed.

        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError as error:
            raise ImportError("to_pandas() needs pandas: pip install pandas") from error
        return pandas.DataFrame([_flat(row) for row in self.rows])

    def __str__(self) -> str:
        text: str = render(self, "text")
        return text

    def details(self) -> str:
        """Return the less important figures of each row, as small tables.

        They are those of ``gilx measure --verbose``: blocks, rates, CPU times, waits for
        a CPU, context switches, and the kind of the ceiling.
        """
        details: str = render(self, "details")
        return details

    def _repr_html_(self) -> str:
        table: str = render(self, "html table")
        return table

    def plot(self) -> Picture:
        """Return a picture of speedup against workers.

        Points with their intervals for each target, variant and pool, hollow where the
        interval is not known; its ceiling in the same colour, dashed; the ideal, and the
        CPUs that there are, in grey.

        Raises
        ------
        MissingExtraError
            The extra ``plot`` is not installed.

        """
        picture: Picture = render(self, "plot")
        return picture

    def to_html(self) -> str:
        """Return a page with the same picture, the table, and what each row means.

        It is one HTML file that loads nothing from the network.

        Raises
        ------
        MissingExtraError
            The library that draws in the page is not installed; the extra ``html`` has
            it.

        """
        page: str = render(self, "page")
        return page


def _flat(row: ReportRow) -> dict[str, Any]:
    """Return the figures of a row by name, one value each."""
    flat: dict[str, Any] = {
        name: getattr(row, name) for name in ("target", "variant", "pool", "workers")
    }
    for record in (row, row.comparison):
        for field in fields(record):
            name, value = field.name, getattr(record, field.name)
            if isinstance(value, Estimate):
                flat |= _columns(name, value)
            elif name == "losses":
                flat |= {f"loss_{loss.cause}": loss.amount for loss in value}
            elif name == "notes":
                flat[name] = "; ".join(value)
            elif name not in ("samples", "comparison"):
                flat[name] = value
    return {**flat, **_columns("efficiency", row.efficiency), "reading": row.reading}


def _columns(name: str, estimate: Estimate) -> dict[str, float]:
    return {
        name: estimate.value,
        f"{name}_low": estimate.low,
        f"{name}_high": estimate.high,
    }
