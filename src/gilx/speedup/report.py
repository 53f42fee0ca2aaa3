"""What the speedup meter found, for people and for programs."""

from __future__ import annotations

import csv
import importlib
import io
import math
from collections.abc import Mapping  # noqa: TC003 - JSON is read by annotations
from dataclasses import dataclass, field, fields
from typing import Any

from gilx.errors import ArgumentError, at_least
from gilx.estimate import Estimate
from gilx.records import from_json, render, to_json
from gilx.system.conditions import Conditions  # noqa: TC001 - likewise
from gilx.system.environment import Environment  # noqa: TC001 - likewise

__all__ = ["Loss", "Report", "ReportRow"]

_SCHEMA = "gilx.report"
_VERSION = 1


@dataclass(frozen=True)
class Loss:
    """One part of what is missing between the speedup and the number of workers."""

    cause: str
    amount: float
    """In workers; below 0 where it is a gain."""
    source: str
    """What it was measured from."""


@dataclass(frozen=True)
class ReportRow:
    """One target, variant, pool and number of workers.

    Where too few blocks say nothing, intervals go from 0 to infinity. Numbers that could
    not be measured are NaN or None.
    """

    target: str
    variant: str | None
    """The kernel's variant; None for a callable."""
    pool: str
    workers: int
    blocks: int
    """How many blocks there were."""
    repeat: int
    """M: how many calls in a row each worker made in a sample; for a kernel, how many
    times the problem was computed."""
    serial_seconds: float
    """Median wall time of the serial sample."""
    seconds: float
    """Median wall time of the parallel sample: the same work."""
    throughput: float
    """Units of work a second, in parallel."""
    unit: str
    speedup: Estimate
    """Serial over parallel wall time, the median over the blocks."""
    interval_kind: str
    """'preset': the number of blocks was set beforehand; 'anytime': it was not, and the
    interval is right whenever one stops."""
    single_speedup: Estimate
    """The speedup of single calls, which a sample of M calls in a row does not show: N
    calls in a row, over one call of each worker. Of a callable with M above 1 only;
    otherwise it is `speedup`, and this is unknown."""
    ceiling: Estimate
    """The speedup that the machine allowed in the same blocks."""
    ceiling_kind: str
    ceiling_fraction: Estimate
    """Speedup over ceiling, the median over the blocks."""
    control: float
    """The speedup of native threads that only compute, in the same blocks: below the
    number of workers it is the machine that has less to give."""
    concurrency: float | None
    """How far the workers' time on CPU overlapped: evidence about the GIL."""
    concurrency_doubt: str
    """Why that can't be told; empty if it can."""
    serial_cpu_seconds: float
    """CPU time of the process in the serial sample, the median."""
    cpu_seconds: float
    """The same in the parallel sample."""
    voluntary_switches: float | None
    """Of all workers in a parallel sample, the mean."""
    involuntary_switches: float | None
    run_queue_wait: float | None
    """Seconds in which workers were ready and had no CPU, of a parallel sample: mean."""
    steal: float | None
    """Share of the CPU time that the hypervisor gave to others during all samples."""
    throttled: int | None
    """How often a quota stopped the process during all samples."""
    held: float | None
    """Hold fraction of one call alone; None where there is no GIL, or it was not seen."""
    losses: tuple[Loss, ...]
    """Parts that add up to ``workers - speedup``; empty where nothing was compared."""
    notes: tuple[str, ...] = ()
    """What makes the figures doubtful."""
    samples: Mapping[str, tuple[float, ...]] = field(default_factory=dict, repr=False)
    """Wall times in seconds of each arm, in the order of the blocks."""

    @property
    def efficiency(self) -> Estimate:
        """Speedup over workers."""
        return self.speedup.times(1 / self.workers)

    @property
    def null(self) -> bool:
        """Whether this is a comparison of a thing with itself."""
        return self.ceiling_kind == ""

    @property
    def reading(self) -> str:
        """What it means, in plain words."""
        reading: str = render(self, "reading")
        return reading

    @property
    def name(self) -> str:
        """What a row is called in tables."""
        return self.target if self.variant is None else f"{self.target} {self.variant}"


@dataclass(frozen=True)
class Report:
    """Speedups with all that is needed to judge them."""

    rows: tuple[ReportRow, ...]
    environment: Environment
    conditions: Conditions
    """Those from the first row to the last: load, steal, what other processes took."""
    precision: float
    """Half the width that the interval of the speedup should have had, relative."""
    budget: float
    """Seconds that all blocks together might take."""

    def to_json(self, *, indent: int | None = None) -> str:
        """Return everything as JSON, which `from_json` reads."""
        return to_json(self, _SCHEMA, _VERSION, indent=indent)

    @classmethod
    def from_json(cls, text: str) -> Report:
        """Return what `to_json` wrote.

        Raises
        ------
        ArgumentError
            The text is no such thing, or was written by a gilx too new for this one.

        """
        report = from_json(cls, text, _SCHEMA, _VERSION)
        for number, row in enumerate(report.rows):
            _check(row, f"text.rows[{number}].")
        return report

    def to_csv(self) -> str:
        """Return the rows as comma-separated values, a line of names first.

        An estimate has three columns, for its value and both ends of its interval; losses
        have one each; samples are left out.
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

    def _repr_html_(self) -> str:
        table: str = render(self, "html table")
        return table

    def plot(self) -> Any:  # noqa: ANN401 - matplotlib is not there for everyone
        """Draw speedup against workers, and return matplotlib's Figure.

        Points with their intervals for each target, variant and pool, hollow where the
        interval is not known; its ceiling in the same colour, dashed; the ideal, and the
        CPUs that there are, in grey.

        Raises
        ------
        ImportError
            matplotlib is not installed; the extra ``plot`` has it.

        """
        return render(self, "plot")

    def to_html(self) -> str:
        """Return a page with the same picture, the table, and what each row means.

        It is one HTML file that asks the network for nothing.

        Raises
        ------
        MissingExtraError
            What draws in it is not installed; the extra ``html`` has it.

        """
        page: str = render(self, "page")
        return page


def _check(row: ReportRow, where: str) -> None:
    """Raise an `ArgumentError` if figures that words are made of make no sense."""
    for name, least in (("workers", 1), ("blocks", 0), ("repeat", 1)):
        at_least(f"{where}{name}", getattr(row, name), least)
    for name in ("speedup", "single_speedup", "ceiling", "ceiling_fraction"):
        estimate: Estimate = getattr(row, name)
        _above_zero(f"{where}{name}.value", estimate.value)
        if estimate.known and not 0 <= estimate.low <= estimate.high:
            raise ArgumentError(
                f"{where}{name}: expected low and high, got {estimate.low} and"
                f" {estimate.high}"
            )
    _above_zero(f"{where}control", row.control)


def _above_zero(name: str, value: float) -> None:
    if value <= 0 or math.isinf(value):
        raise ArgumentError(f"{name}: expected above 0, got {value}")


def _flat(row: ReportRow) -> dict[str, Any]:
    """Return the figures of a row by name, one value each."""
    flat: dict[str, Any] = {}
    for field_ in fields(row):
        name, value = field_.name, getattr(row, field_.name)
        if isinstance(value, Estimate):
            flat |= _columns(name, value)
        elif name == "losses":
            flat |= {f"loss_{loss.cause}": loss.amount for loss in row.losses}
        elif name == "notes":
            flat[name] = "; ".join(value)
        elif name != "samples":
            flat[name] = value
    return {**flat, **_columns("efficiency", row.efficiency), "reading": row.reading}


def _columns(name: str, estimate: Estimate) -> dict[str, float]:
    return {
        name: estimate.value,
        f"{name}_low": estimate.low,
        f"{name}_high": estimate.high,
    }
