"""A figure with its interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


@dataclass(frozen=True, eq=False)
class Estimate:
    """A figure and the interval that it lies in, at 95 % unless its record says else.

    ``e.value`` is the figure as a float, ``f"{e:.2f}"`` the figure as text, and
    ``str(e)`` the figure with its interval. An unknown figure is NaN, as are both ends.
    If the figure is known and its interval is not, the ends are as far apart as they can
    be.
    """

    value: float
    """The figure."""
    low: float
    """Lower end of the interval."""
    high: float
    """Upper end of the interval."""

    def __post_init__(self) -> None:
        if not self.known:
            object.__setattr__(self, "low", math.nan)
            object.__setattr__(self, "high", math.nan)

    @classmethod
    def unknown(cls) -> Estimate:
        """Return the unknown figure."""
        return cls(math.nan, math.nan, math.nan)

    @property
    def known(self) -> bool:
        """True if the figure is known."""
        return not math.isnan(self.value)

    @property
    def interval(self) -> tuple[float, float]:
        """The ends of the interval, lower one first."""
        return self.low, self.high

    @property
    def bounded(self) -> bool:
        """True if the figure is known and its interval has an upper end."""
        return self.known and math.isfinite(self.high)

    def overlaps(self, other: Estimate) -> bool:
        """Return whether both intervals have something in common."""
        return self.low <= other.high and other.low <= self.high

    def times(self, factor: float) -> Estimate:
        """Return the figure and its interval multiplied by a number above 0."""
        return Estimate(self.value * factor, self.low * factor, self.high * factor)

    def complement(self) -> Estimate:
        """Return what is left of 1, for a share."""
        return Estimate(1 - self.value, 1 - self.high, 1 - self.low)

    def text(self, form: Callable[[float], str]) -> str:
        """Return it as ``value (low to high)``, with each number in some form."""
        if not self.known:
            return "unknown"
        return f"{form(self.value)} ({form(self.low)} to {form(self.high)})"

    def __eq__(self, other: object) -> bool:
        """Return whether both say the same, which two that are unknown do."""
        return isinstance(other, Estimate) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[float | None, ...]:
        ends = (self.value, self.low, self.high)
        return tuple(None if math.isnan(end) else end for end in ends)

    def __float__(self) -> float:
        """Return the figure alone."""
        return self.value

    def __format__(self, spec: str) -> str:
        """Return the figure alone if a spec says how floats look, else all of it."""
        of_float = "." in spec or spec[-1:] in tuple("eEfFgGn%")
        return format(self.value if of_float else str(self), spec)

    def __str__(self) -> str:
        return self.text("{:.4g}".format)


def independent_sum(figures: Sequence[Estimate]) -> Estimate:
    """Return the sum of figures that are not below 0 and whose errors are independent.

    It is unknown if one of them is, or if there are none.
    """
    value = sum(one.value for one in figures)
    if not figures or math.isnan(value):
        return Estimate.unknown()
    below = math.hypot(*(one.value - one.low for one in figures))
    above = math.hypot(*(one.high - one.value for one in figures))
    return Estimate(value, max(0.0, value - below), value + above)
