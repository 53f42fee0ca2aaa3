"""A figure: a ratio or a difference within blocks, how sure it is, and what was wanted.

Every script here hands its figures to one table, so that they can be printed, kept as
JSON and shown in the docs alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from gilx.cli.table import format_table
from gilx.meter.statistics import median_interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Figure", "difference", "table"]


@dataclass(frozen=True)
class Figure:
    """One line of a table.

    Attributes
    ----------
    what : str
        What was timed, and against what.
    value : float
        Its median over the blocks.
    low, high : float
        Its interval at 95 %; the value itself where it is made of other figures.
    unit : str
        ``""`` for a ratio, otherwise a unit.
    wanted : float, optional
        What it should come to; None if it is shown for comparison only.
    at_most : bool
        Whether it should be at most, not at least, what is wanted.

    """

    what: str
    value: float
    low: float
    high: float
    unit: str = ""
    wanted: float | None = None
    at_most: bool = False

    @property
    def met(self) -> bool | None:
        """Whether it came to what was wanted; None if nothing was."""
        if self.wanted is None:
            return None
        return self.value <= self.wanted if self.at_most else self.value >= self.wanted

    def cells(self) -> tuple[str, ...]:
        """Return a row of the table."""
        unit = f" {self.unit}" if self.unit else ""
        goal = ""
        if self.wanted is not None:
            goal = f"at {'most' if self.at_most else 'least'} {self.wanted:g}{unit}"
        between = f"{self.low:.3g} to {self.high:.3g}" if self.low < self.high else ""
        reached = {None: "", True: "yes", False: "no"}[self.met]
        return self.what, f"{self.value:.3g}{unit}", between, goal, reached


HEADER = ("figure", "median", "interval", "wanted", "met")


def difference(
    what: str,
    first: Sequence[float],
    second: Sequence[float],
    *,
    unit: str,
    scale: float,
    wanted: float | None = None,
) -> Figure:
    """Return the difference first - second within each block, in units of 1 / scale.

    It should be at most what is wanted.
    """
    differences = [(a - b) * scale for a, b in zip(first, second, strict=True)]
    low, high = median_interval(differences)
    return Figure(what, median(differences), low, high, unit, wanted, at_most=True)


def table(figures: Iterable[Figure]) -> str:
    """Return the figures as a table for a terminal."""
    return format_table(HEADER, [one.cells() for one in figures], right=(1,))
