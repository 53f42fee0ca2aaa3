"""What the speedup meter found, for people and for programs."""

from __future__ import annotations

import csv
import html
import importlib
import io
import json
import math
import os
import platform
import sys
import sysconfig
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from gilx.environment import cpu_model, gil_enabled, usable_cpus
from gilx.errors import ArgumentError
from gilx.gilwatch.usage import new_figure
from gilx.meter.statistics import NOTHING_KNOWN
from gilx.meter.words import COLUMNS, cells, reading_of, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Environment", "Loss", "Report", "ReportRow"]

_SCHEMA = "gilx.report"
_VERSION = 1
_LONGEST = 64_000_000  # characters of a report that is read: more is none of ours


@dataclass(frozen=True)
class Environment:
    """The machine, the Python and the conditions of a measurement."""

    python: str
    """Implementation and version."""
    free_threaded: bool
    """Whether Python was built to run without the GIL."""
    gil: bool
    """Whether it runs with the GIL."""
    switch_interval: float
    """Seconds after which a thread is asked to let the GIL go."""
    cpu: str
    """Name of the processor."""
    cpus: int
    """How many CPUs the process may use."""
    system: str
    load: float | None
    """Load average over a minute when measuring began; None where there is none."""
    gilx: str
    numpy: str

    @classmethod
    def now(cls) -> Environment:
        """Return the environment of this process."""
        try:
            load = os.getloadavg()[0]
        except OSError:
            load = None
        return cls(
            python=f"{platform.python_implementation()} {platform.python_version()}",
            free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
            gil=gil_enabled(),
            switch_interval=sys.getswitchinterval(),
            cpu=cpu_model(),
            cpus=usable_cpus(),
            system=f"{platform.system()} {platform.machine()}",
            load=load,
            gilx=importlib.import_module("gilx").__version__,
            numpy=importlib.import_module("numpy").__version__,
        )

    def machine(self) -> tuple[str, int, str]:
        """Return what two reports must have in common to be compared."""
        return self.cpu, self.cpus, self.system

    def __str__(self) -> str:
        build = " free-threaded build," if self.free_threaded else ""
        load = "" if self.load is None else f"; load {self.load:.1f} when it began"
        return (
            f"{self.python},{build} GIL {'on' if self.gil else 'off'}; {self.cpu},"
            f" {self.cpus} usable CPU{'s' if self.cpus != 1 else ''}; {self.system};"
            f" gilx {self.gilx}, NumPy {self.numpy}{load}"
        )


@dataclass(frozen=True)
class Loss:
    """One part of what is missing between the speedup and the number of workers."""

    name: str
    amount: float
    """In workers; below 0 where it is a gain."""
    source: str
    """What it was measured from."""


@dataclass(frozen=True)
class ReportRow:
    """One target, variant, pool and number of workers.

    Intervals are ``(low, high)`` at 95 %; where too few blocks say nothing they are
    ``(0, inf)``. Numbers that could not be measured are not a number, or None.
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
    speedup: float
    """Serial over parallel wall time, the median over the blocks."""
    speedup_interval: tuple[float, float]
    interval_kind: str
    """'preset': the number of blocks was set beforehand; 'anytime': it was not, and the
    interval is right whenever one stops."""
    single_speedup: float
    """The speedup of single calls, which M in a row leave behind: N calls in a row, over
    one call of each worker. Of a callable with M above 1 only; otherwise it is
    `speedup`, and this is not a number."""
    single_interval: tuple[float, float]
    efficiency: float
    """Speedup over workers."""
    ceiling: float
    """The speedup that the machine allowed in the same blocks."""
    ceiling_interval: tuple[float, float]
    ceiling_kind: str
    of_ceiling: float
    """Speedup over ceiling, the median over the blocks."""
    of_ceiling_interval: tuple[float, float]
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
    def null(self) -> bool:
        """Whether this is a comparison of a thing with itself."""
        return self.ceiling_kind == ""

    @property
    def reading(self) -> str:
        """What it means, in plain words."""
        return reading_of(self)

    @property
    def name(self) -> str:
        """What a row is called in tables."""
        return self.target if self.variant is None else f"{self.target} {self.variant}"


@dataclass(frozen=True)
class Report:
    """Speedups with all that is needed to judge them."""

    rows: tuple[ReportRow, ...]
    environment: Environment
    precision: float
    """Half the width that the interval of the speedup should have had, relative."""
    budget: float
    """Seconds that all blocks together might take."""

    def to_json(self, *, indent: int | None = None) -> str:
        """Return everything as JSON, which `from_json` reads."""
        values = {"schema": _SCHEMA, "version": _VERSION, **asdict(self)}
        return json.dumps(_without_nan(values), allow_nan=False, indent=indent)

    @classmethod
    def from_json(cls, text: str) -> Report:
        """Return what `to_json` wrote.

        Raises
        ------
        ArgumentError
            The text is no such thing, or was written by a gilx too new for this one.

        """
        if len(text) > _LONGEST:
            raise ArgumentError(f"text: expected at most {_LONGEST} characters of JSON")
        try:
            values = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise ArgumentError(f"text: expected JSON of a report: {error}") from None
        if not isinstance(values, dict) or values.get("schema") != _SCHEMA:
            raise ArgumentError(f"text: expected JSON of the schema {_SCHEMA}")
        version = values.get("version")
        if version != _VERSION or isinstance(version, bool):
            raise ArgumentError(
                f"text: expected version {_VERSION} of the schema {_SCHEMA}, got"
                f" {ascii(version)[:40]}; another gilx wrote it"
            )
        del values["schema"], values["version"]
        report: Report = _Reader("").record(cls, values)
        return report

    def to_csv(self) -> str:
        """Return the rows as comma-separated values, a line of names first.

        Intervals and losses have a column for each of their parts; samples are left out.
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
        return text_of(self)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{html.escape(name)}</th>" for name in COLUMNS)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in cells(row)) + "</tr>"
            for row in self.rows
        )
        return (
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
            f"<p>{html.escape(str(self.environment))}</p>"
        )

    def plot(self) -> Any:  # noqa: ANN401 - matplotlib is not there for everyone
        """Draw speedup against workers, and return matplotlib's Figure.

        Points with their intervals for each target, variant and pool; its ceiling in the
        same colour, dashed; the ideal, and the CPUs that there are, in grey.

        Raises
        ------
        ImportError
            matplotlib is not installed; the extra ``plot`` has it.

        """
        figure = new_figure(8, 5)
        axes = figure.subplots()
        lines: dict[str, list[ReportRow]] = {}
        for row in self.rows:
            if math.isfinite(row.speedup):
                lines.setdefault(f"{row.name}, {row.pool}", []).append(row)
        most = max([2, *(row.workers for row in self.rows)])
        axes.plot([1, most], [1, most], color="0.6", linewidth=1, label="ideal")
        if self.environment.cpus < most:
            axes.axhline(
                self.environment.cpus,
                color="0.6",
                linestyle=":",
                linewidth=1,
                label=f"{self.environment.cpus} usable CPUs",
            )
        for number, (name, rows) in enumerate(lines.items()):
            rows.sort(key=lambda row: row.workers)
            # Points at the same number of workers are set apart, so that none hides.
            shift = 0.03 * (number - (len(lines) - 1) / 2)
            places = [row.workers + shift for row in rows]
            sides: list[list[float]] = [[], []]
            for row in rows:
                low, high = row.speedup_interval
                known = math.isfinite(high)
                sides[0].append(max(0.0, row.speedup - low) if known else 0.0)
                sides[1].append(max(0.0, high - row.speedup) if known else 0.0)
            drawn = axes.errorbar(
                places,
                [row.speedup for row in rows],
                yerr=sides,
                marker="o",
                capsize=4,
                label=name,
            )
            # Hollow: of these nothing is known but the point.
            unknown = [row for row in rows if not math.isfinite(row.speedup_interval[1])]
            axes.plot(
                [row.workers + shift for row in unknown],
                [row.speedup for row in unknown],
                linestyle="",
                marker="o",
                markerfacecolor="white",
                markersize=4,
                markeredgewidth=0,
                zorder=5,
            )
            axes.plot(
                places,
                [row.ceiling for row in rows],
                linestyle="--",
                marker="_",
                markersize=14,
                linewidth=1,
                color=drawn.lines[0].get_color(),
                alpha=0.6,
                label=f"ceiling of {name}",
            )
        axes.set_xlabel("workers")
        axes.set_ylabel("speedup (serial time / parallel time)")
        axes.set_xticks(sorted({1, *(row.workers for row in self.rows)}))
        axes.set_xlim(0.8, most + 0.3)
        axes.set_ylim(bottom=0)
        axes.grid(visible=True, color="0.92")
        axes.legend(fontsize="small", frameon=False)
        axes.set_title(str(self.environment), fontsize="x-small", color="0.4", wrap=True)
        return figure


def _flat(row: ReportRow) -> dict[str, Any]:
    """Return the figures of a row by name, one value each."""
    flat: dict[str, Any] = {}
    for name, value in asdict(row).items():
        if name.endswith("_interval"):
            flat[f"{name}_low"], flat[f"{name}_high"] = value
        elif name == "losses":
            flat |= {f"loss_{loss.name}": loss.amount for loss in row.losses}
        elif name == "notes":
            flat[name] = "; ".join(value)
        elif name != "samples":
            flat[name] = value
    return {**flat, "reading": row.reading}


def _without_nan(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can be
    """Return the same with None for what JSON can't say: infinite, or not a number."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")


class _Reader:
    """Reads one value, which may come from anywhere, and knows what to call it."""

    def __init__(self, path: str) -> None:
        self._path = path

    def record(self, kind: Any, values: object) -> Any:  # noqa: ANN401 - of that kind
        """Return a record of this kind, every field of which is as it should be."""
        if not isinstance(values, dict):
            raise self._wrong("an object", values)
        names = {f.name for f in fields(kind)}
        if set(values) != names:
            odd = ", ".join(sorted(map(repr, set(values) ^ names)))
            raise ArgumentError(
                f"text: {self._path} has fields missing or unknown: {odd}"
            )
        read = {
            f.name: _READERS[str(f.type)](
                _Reader(f"{self._path}.{f.name}".lstrip(".")), values[f.name]
            )
            for f in fields(kind)
        }
        return kind(**read)

    def records(self, kind: Any, values: object) -> tuple[Any, ...]:  # noqa: ANN401
        return tuple(
            _Reader(f"{self._path}[{number}]").record(kind, value)
            for number, value in enumerate(self.items(values))
        )

    def items(self, value: object) -> list[object]:
        if isinstance(value, list):
            return value
        raise self._wrong("a list", value)

    def text(self, value: object) -> str:
        # What is not printable could make a terminal do things.
        if isinstance(value, str) and value.isprintable():
            return value
        raise self._wrong("printable text", value)

    def flag(self, value: object) -> bool:
        if isinstance(value, bool):
            return value
        raise self._wrong("true or false", value)

    def count(self, value: object) -> int:
        if (
            isinstance(value, int)
            and not isinstance(value, bool)
            and 0 <= value < 1 << 53
        ):
            return value
        raise self._wrong("a whole number, 0 or more", value)

    def number(self, value: object) -> float:
        if value is None:
            return math.nan
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            try:
                found = float(value)
            except OverflowError:
                found = math.inf
            if math.isfinite(found):
                return found
        raise self._wrong("a number", value)

    def interval(self, value: object) -> tuple[float, float]:
        ends = self.items(value)
        if len(ends) != 2:
            raise self._wrong("two numbers", value)
        low, high = map(self.number, ends)
        return (low, NOTHING_KNOWN[1] if math.isnan(high) else high)

    def samples(self, value: object) -> dict[str, tuple[float, ...]]:
        if not isinstance(value, dict):
            raise self._wrong("an object", value)
        return {
            self.text(arm): tuple(map(self.number, self.items(seconds)))
            for arm, seconds in value.items()
        }

    def or_none(self, read: Callable[[object], Any], value: object) -> Any:  # noqa: ANN401
        return None if value is None else read(value)

    def _wrong(self, right: str, value: object) -> ArgumentError:
        shown = repr(value)[:40]
        return ArgumentError(f"text: {self._path}: expected {right}, got {shown}")


# How a field of each type is read.
_READERS: dict[str, Callable[[_Reader, object], Any]] = {
    "str": _Reader.text,
    "bool": _Reader.flag,
    "int": _Reader.count,
    "float": _Reader.number,
    "str | None": lambda reader, value: reader.or_none(reader.text, value),
    "int | None": lambda reader, value: reader.or_none(reader.count, value),
    "float | None": lambda reader, value: reader.or_none(reader.number, value),
    "tuple[float, float]": _Reader.interval,
    "tuple[str, ...]": lambda reader, value: tuple(map(reader.text, reader.items(value))),
    "Mapping[str, tuple[float, ...]]": _Reader.samples,
    "tuple[Loss, ...]": lambda reader, value: reader.records(Loss, value),
    "tuple[ReportRow, ...]": lambda reader, value: reader.records(ReportRow, value),
    "Environment": lambda reader, value: reader.record(Environment, value),
}
