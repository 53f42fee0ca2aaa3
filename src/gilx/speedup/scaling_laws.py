"""Scaling laws: what a few measured speedups say about any number of workers.

* Karp-Flatt: the serial fraction that one speedup amounts to (A. H. Karp and H. P. Flatt,
  Measuring parallel processor performance, Communications of the ACM 33(5), 1990).
* Amdahl's law: a share sigma of the work is done by one worker at a time (G. M. Amdahl,
  Validity of the single processor approach to achieving large scale computing
  capabilities, AFIPS 1967).
* The Universal Scalability Law: besides, each pair of workers costs kappa, for keeping
  their data coherent (N. J. Gunther, Guerrilla Capacity Planning, Springer 2007):

      X(n) = X(1) n / (1 + sigma (n - 1) + kappa n (n - 1))

  Amdahl's law is the case kappa = 0.

Laws are fitted to the logarithms of what was measured, by least squares with sigma and
kappa at least 0: errors of times are relative. Intervals are those of the profile
likelihood (D. M. Bates and D. G. Watts, Nonlinear Regression Analysis and Its
Applications, Wiley 1988, ch. 6; D. J. Venzon and S. H. Moolgavkar, A method for computing
profile-likelihood-based confidence intervals, Applied Statistics 37(1), 1988): a figure's
interval is what it takes on over all sigma and kappa that fit the points nearly as well
as the best do, and Student's t says how nearly. They need no symmetry, keep to what is
possible at the limits, and hold for few points too.

They say how sure a law's figures are if the law holds. Whether it does beyond the points
no fit can tell.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from gilx.errors import ArgumentError, above_zero, at_least, one_of, real_at_least
from gilx.records import from_json, to_json
from gilx.speedup.least_squares import NearlyAsGood, Points, peak

if TYPE_CHECKING:
    import numpy.typing as npt

    Reals: TypeAlias = npt.NDArray[np.float64]

__all__ = ["LAWS", "ScalingFit", "ScalingPrediction", "fit", "karp_flatt", "usl"]

_SCHEMA = "gilx.scaling"
_VERSION = 1

LAWS = ("amdahl", "usl")
"""Amdahl's law, and the Universal Scalability Law."""

# Beyond it squares of numbers of workers lose digits.
_MOST_WORKERS = 10**7
# Beyond it numbers of workers lose digits; nobody has as many.
_MOST_PREDICTED = 10**15


def karp_flatt(workers: int, speedup: float) -> float:
    """Return the serial fraction that a speedup amounts to.

    Parameters
    ----------
    workers : int
        How many workers, at least 2.
    speedup : float
        The speedup that they gave, above 0.

    Returns
    -------
    float
        ``(1 / speedup - 1 / workers) / (1 - 1 / workers)``: 0 for a perfect speedup, 1
        for none, above 1 where more workers are slower, below 0 where the speedup is
        more than the workers. If it grows with the workers, it is not serial work alone
        that costs.

    Raises
    ------
    ArgumentError
        An argument is not as described; the message names it.

    """
    workers = at_least("workers", workers, 2)
    speedup = above_zero("speedup", speedup)
    return (1 / speedup - 1 / workers) / (1 - 1 / workers)


def usl(workers: float, sigma: float, kappa: float = 0.0) -> float:
    """Return the speedup that the Universal Scalability Law gives.

    Parameters
    ----------
    workers : float
        How many workers, at least 1.
    sigma : float
        Contention: the share of the work that is done by one at a time, at least 0.
    kappa : float
        Coherency: what each pair of workers costs, as a share of the work, at least 0;
        with 0 it is Amdahl's law.

    Raises
    ------
    ArgumentError
        An argument is not as described; the message names it.

    """
    workers = real_at_least("workers", workers, 1)
    sigma = real_at_least("sigma", sigma, 0)
    kappa = real_at_least("kappa", kappa, 0)
    return workers / (1 + sigma * (workers - 1) + kappa * workers * (workers - 1))


@dataclass(frozen=True)
class ScalingPrediction:
    """What a fitted law says of one number of workers."""

    workers: int
    value: float
    """In the unit of the values that the law was fitted to."""
    interval: tuple[float, float]
    """Where the law is, at 95 %. A single measurement scatters around it."""


@dataclass(frozen=True)
class ScalingFit:
    """A scaling law fitted to measured points, with intervals at 95 %.

    Where the points set no upper limit, an interval ends at infinity.
    """

    law: str
    workers: tuple[int, ...]
    values: tuple[float, ...]
    """What was measured: speedups, or throughput in any unit."""
    single: float
    """What one worker gives, in the same unit."""
    single_interval: tuple[float, float]
    single_known: bool
    """Whether it was known beforehand, as it is for speedups; if not, it was fitted."""
    sigma: float
    """Contention: the share of the work that is done by one worker at a time."""
    sigma_interval: tuple[float, float]
    kappa: float
    """Coherency: what each pair of workers costs, as a share of the work (Amdahl: 0)."""
    kappa_interval: tuple[float, float]
    peak: float
    """The number of workers beyond which more of them are slower: infinite if none is."""
    peak_interval: tuple[float, float]
    scatter: float
    """Standard deviation of the points around the law, relative to it."""

    def predict(self, workers: int) -> ScalingPrediction:
        """Return what the law says of a number of workers, 1 to 10**15.

        Raises
        ------
        ArgumentError
            It is no such number.

        """
        workers = at_least("workers", workers, 1)
        if workers > _MOST_PREDICTED:
            raise ArgumentError(
                f"workers: expected at most {_MOST_PREDICTED}, got more than that"
            )
        value = self.single * usl(workers, self.sigma, self.kappa)
        low, high = self._region.value_interval(workers)
        return ScalingPrediction(workers, value, (min(low, value), max(high, value)))

    @cached_property
    def _region(self) -> NearlyAsGood:
        points = Points(
            np.array(self.workers, float),
            np.log(self.values),
            math.log(self.single) if self.single_known else None,
            coherency=self.law == "usl",
        )
        return NearlyAsGood(points, np.array([self.sigma, self.kappa]))

    def __str__(self) -> str:
        names = {"amdahl": "Amdahl's law", "usl": "Universal Scalability Law"}
        given = "known" if self.single_known else _range(self.single_interval)
        rows = [
            ("one worker", f"{self.single:.4g}", given),
            (
                "sigma, one at a time",
                f"{self.sigma:.3g}",
                _range(self.sigma_interval),
            ),
        ]
        if self.law == "usl":
            rows.append(
                ("kappa, each pair", f"{self.kappa:.3g}", _range(self.kappa_interval))
            )
            rows.append(("fastest with", f"{self.peak:.4g}", _range(self.peak_interval)))
        rows.append(("scatter of the points", f"{self.scatter:.2%}", ""))
        head = (
            f"{names[self.law]}, fitted to {len(self.workers)} points,"
            f" {min(self.workers)} to {max(self.workers)} workers"
        )
        lines = [f"{name:<22}{value:>10}  {span}".rstrip() for name, value, span in rows]
        return "\n".join([head, *lines])

    def to_json(self) -> str:
        """Return the fit as JSON text, which `from_json` reads."""
        return to_json(self, _SCHEMA, _VERSION)

    @classmethod
    def from_json(cls, text: str) -> ScalingFit:
        """Return the fit that `to_json` wrote.

        Raises
        ------
        ArgumentError
            The text is no such thing, or was written by a gilx too new for this one.

        """
        found = from_json(cls, text, _SCHEMA, _VERSION)
        # Predictions start from the points and figures, so these have to make sense.
        one_of("text.law", found.law, LAWS)
        if not found.workers:
            raise ArgumentError("text.workers: expected at least one number, got none")
        _checked_points(found.workers, found.values, "text.")
        above_zero("text.single", found.single)
        real_at_least("text.sigma", found.sigma, 0)
        real_at_least("text.kappa", found.kappa, 0)
        return found


def fit(
    workers: Sequence[int],
    values: Sequence[float],
    *,
    law: str = "usl",
    single: float | None = None,
) -> ScalingFit:
    """Fit a scaling law to what several numbers of workers gave.

    Parameters
    ----------
    workers : sequence of int
        Numbers of workers, each at least 1; a number may come several times.
    values : sequence of float
        What they gave: throughput in any unit, or speedups; above 0.
    law : {'usl', 'amdahl'}
        Which law.
    single : float, optional
        What one worker gives, if it is known far better than a value is: 1 for speedups
        over a serial time that was measured well. By default it is fitted as well.

    Returns
    -------
    ScalingFit
        The law's figures with their intervals.

    Raises
    ------
    ArgumentError
        An argument is not as described, or the points are too few: the law needs one
        number of workers more than it has figures to fit; the message says how many.

    """
    one_of("law", law, LAWS)
    counts, logs = _checked_points(workers, values)
    known = None if single is None else math.log(above_zero("single", single))
    points = Points(counts, logs, known, coherency=law == "usl")
    telling = counts if known is None else counts[counts > 1]
    distinct = len(np.unique(telling))
    needed = points.unknowns + 1
    if distinct < needed:
        where = "" if known is None else " above 1"
        raise ArgumentError(
            f"workers: expected at least {needed} different numbers of workers{where} for"
            f" {points.unknowns} unknown figures of the law; got {distinct}"
        )
    best = points.best()
    region = NearlyAsGood(points, best)
    level, misfit = points.level_and_misfit(best)
    sigma, kappa = map(float, best)
    return ScalingFit(
        law=law,
        workers=tuple(int(count) for count in counts),
        values=tuple(float(value) for value in values),
        single=math.exp(float(level)),
        single_interval=region.value_interval(1),
        single_known=known is not None,
        sigma=sigma,
        sigma_interval=region.interval(region.places[:, 0]),
        kappa=kappa,
        kappa_interval=region.interval(region.places[:, 1]),
        peak=float(peak(best)),
        peak_interval=region.interval(peak(region.places)),
        scatter=math.sqrt(float(misfit) / points.freedom),
    )


def _checked_points(
    workers: Sequence[int], values: Sequence[float], where: str = ""
) -> tuple[Reals, Reals]:
    """Return the numbers of workers, and the logarithms of the values."""
    for name, given in (("workers", workers), ("values", values)):
        if isinstance(given, (str, bytes)) or not isinstance(
            given, (Sequence, np.ndarray)
        ):
            raise ArgumentError(
                f"{where}{name}: expected a sequence of numbers, got {given!r}"
            )
    if len(workers) != len(values):
        raise ArgumentError(
            f"{where}values: expected {len(workers)}, one for each number of workers; got"
            f" {len(values)}"
        )
    counts = [at_least(f"{where}workers", count, 1) for count in workers]
    if counts and max(counts) > _MOST_WORKERS:
        raise ArgumentError(
            f"{where}workers: expected at most {_MOST_WORKERS}, got more than that"
        )
    checked = [above_zero(f"{where}values", value) for value in values]
    return np.array(counts, float), np.log(np.array(checked, float))


def _range(interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{low:.3g} or more" if math.isinf(high) else f"{low:.3g} to {high:.3g}"
