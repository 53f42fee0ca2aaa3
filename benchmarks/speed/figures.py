"""A figure: a ratio, a difference or a rate within blocks, and how sure it is.

Every part of the suite hands over its figures, so that they can be judged, printed, kept
as JSON and shown in the docs alike.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping  # noqa: TC003 - JSON is read by annotations
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Literal

from gilx.formatting import format_table
from gilx.speedup.statistics import RunningMedian, log_ratios, median_interval
from gilx.system.environment import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "Figure",
    "Measured",
    "Outcome",
    "difference",
    "geometric_mean",
    "judged",
    "ratio",
    "run_script",
    "typical",
]

Outcome = Literal["met", "not met", "can't tell", "not measured"]


def _digits(value: float) -> str:
    """Return three digits that count: 28,400 rather than 2.84e+04."""
    return f"{float(f'{value:.3g}'):,.6g}"


@dataclass(frozen=True)
class Figure:
    """One number that was measured."""

    name: str
    """Name of the comparison: ``first / second`` for a ratio."""
    value: float
    """Its median over the blocks."""
    low: float
    """Where its interval at 95 % begins; may be infinite, as its end."""
    high: float
    unit: str = ""
    """Empty for a ratio."""
    note: str = ""
    """A warning about the figure, or a remark on it."""

    def text(self) -> str:
        """Return the value with its unit."""
        return f"{_digits(self.value)}{f' {self.unit}' if self.unit else ''}"

    def between(self) -> str:
        """Return the interval in words."""
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            return "too few blocks"
        return f"{_digits(self.low)} to {_digits(self.high)}"


@dataclass(frozen=True)
class Measured:
    """Result of a piece of the suite."""

    figures: tuple[Figure, ...]
    missing: Mapping[str, str] = field(default_factory=dict)
    """Of each figure that can't be had here, why."""
    samples: Mapping[str, tuple[float, ...]] = field(default_factory=dict, repr=False)
    """Seconds of each arm, in the order of the blocks."""

    def text(self) -> str:
        """Return the figures as a table, and the reasons for those that are missing."""
        cells = [(one.name, one.text(), one.between(), one.note) for one in self.figures]
        lines = [format_table(("figure", "median", "interval", ""), cells, right=(1,))]
        lines += [f"not measured: {what}: {why}" for what, why in self.missing.items()]
        return "\n".join(lines)


def ratio(
    name: str, numerators: Sequence[float], denominators: Sequence[float]
) -> Figure:
    """Return the ratio of two arms within each block, their number set beforehand."""
    found = RunningMedian(log_ratios(numerators, denominators)).ratio(preset=True)
    return Figure(name, found.value, found.low, found.high)


def difference(
    name: str, first: Sequence[float], second: Sequence[float], *, unit: str, scale: float
) -> Figure:
    """Return the difference first - second within each block, in units of 1 / scale."""
    return typical(
        name, [(a - b) * scale for a, b in zip(first, second, strict=True)], unit=unit
    )


def typical(name: str, values: Sequence[float], *, unit: str) -> Figure:
    """Return the median of values, one a block, their number set beforehand."""
    return Figure(name, median(values), *median_interval(values), unit)


def geometric_mean(name: str, figures: Sequence[Figure]) -> Figure:
    """Return the geometric mean of independent ratios, at least one, all above 0.

    Each end of its interval lies as far from the mean, in logarithms, as the root of the
    sum of the squared distances of that end of each ratio's own, over their number (Zou
    and Donner, Construction of confidence limits about effect measures: a general
    approach, Statistics in Medicine 27, 2008).
    """
    logs = [math.log(one.value) for one in figures]
    lows = [math.log(one.low) if one.low > 0 else -math.inf for one in figures]
    highs = [math.log(one.high) for one in figures]
    mean = sum(logs) / len(logs)
    below, above = (
        math.hypot(*(log - end for log, end in zip(logs, ends, strict=True))) / len(logs)
        for ends in (lows, highs)
    )
    return Figure(name, math.exp(mean), math.exp(mean - below), math.exp(mean + above))


def judged(figure: Figure, wanted: float, *, at_most: bool) -> Outcome:
    """Say whether a figure is what was wanted, by its whole interval.

    Parameters
    ----------
    figure : Figure
        What was measured.
    wanted : float
        The least, or the most, in the figure's unit.
    at_most : bool
        Whether it is the most.

    """
    low, high = figure.low, figure.high
    if at_most:
        low, high, wanted = -high, -low, -wanted
    if low >= wanted:
        return "met"
    return "not met" if high < wanted else "can't tell"


def run_script(
    doc: str,
    measure: Callable[..., Measured],
    kernels: Sequence[str] = (),
    **options: float,
) -> None:
    """Measure as the command line says, and print it.

    Parameters
    ----------
    doc : str
        The script's docstring.
    measure : callable
        Function that takes the name of a kernel, or an empty one, and the options.
    kernels : sequence of str
        Kernels to measure, unless the command line names others.
    **options : int or float
        Options with their defaults.

    """
    parser = argparse.ArgumentParser(description=doc.partition("\n")[0])
    if kernels:
        parser.add_argument("kernels", nargs="*", default=kernels)
    for name, default in options.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    words = vars(parser.parse_args())
    print(describe())
    for subject in words.pop("kernels", ("",)):
        print(f"\n{subject}" if subject else "")
        print(measure(subject, **words).text(), flush=True)
