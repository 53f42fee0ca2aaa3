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

from gilx.errors import ArgumentError, at_least, one_of, real_at_least
from gilx.records import from_json, to_json

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
# How many steps and halvings the least squares may take; some five are the rule.
_STEPS = 100
_HALVINGS = 30
# How many directions from the best fit are searched for what fits nearly as well, and
# how many points are looked at in each. Intervals move by less than 1 % of their width
# with four times as many.
_DIRECTIONS = 240
_RINGS = 12
# In standard errors: who is still within the limits there has none.
_FAR = 1e6
# The relative error of a measurement is never taken to be less than that of a double.
_LEAST_ERROR = 1e-12


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
    speedup = _above_zero("speedup", speedup)
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
        """Return what the law says of a number of workers, at least 1.

        Raises
        ------
        ArgumentError
            It is no such number.

        """
        workers = at_least("workers", workers, 1)
        value = self.single * usl(workers, self.sigma, self.kappa)
        low, high = self._region.value_interval(workers)
        return ScalingPrediction(workers, value, (min(low, value), max(high, value)))

    @cached_property
    def _region(self) -> _Region:
        points = _Points(
            np.array(self.workers, float),
            np.log(self.values),
            math.log(self.single) if self.single_known else None,
            coherency=self.law == "usl",
        )
        return _Region(points, np.array([self.sigma, self.kappa]))

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
        _checked_points(found.workers, found.values, "text.")
        _above_zero("text.single", found.single)
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
    known = None if single is None else math.log(_above_zero("single", single))
    points = _Points(counts, logs, known, coherency=law == "usl")
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
    region = _Region(points, best)
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
        peak=float(_peak(best)),
        peak_interval=region.interval(_peak(region.places)),
        scatter=math.sqrt(float(misfit) / points.freedom),
    )


def _above_zero(name: str, given: float) -> float:
    number = real_at_least(name, given, 0)
    if number == 0:
        raise ArgumentError(f"{name}: expected above 0, got {given!r}")
    return number


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
    checked = [_above_zero(f"{where}values", value) for value in values]
    return np.array(counts, float), np.log(np.array(checked, float))


def _peak(places: Reals) -> Reals:
    """Return where the law is largest: sqrt((1 - sigma) / kappa), but 1 at least."""
    sigma, kappa = places[..., 0], places[..., 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        peak = np.sqrt(np.maximum(1 - sigma, 0) / kappa)
    # Without coherency no number is too many, unless one is.
    found: Reals = np.where(kappa > 0, np.maximum(peak, 1), np.inf)
    return np.where((kappa == 0) & (sigma > 1), 1.0, found)


def _range(interval: tuple[float, float]) -> str:
    low, high = interval
    return f"{low:.3g} or more" if math.isinf(high) else f"{low:.3g} to {high:.3g}"


# ---- least squares ---------------------------------------------------------------------


class _Points:
    """The points, and how well sigma and kappa fit them.

    What one worker gives is an additive constant on the log scale: the best one for any
    sigma and kappa is known, so that it is never searched for.
    """

    def __init__(
        self, workers: Reals, logs: Reals, known: float | None, *, coherency: bool
    ) -> None:
        self.known = known
        self.coherency = coherency
        self.shares = np.stack([workers - 1, workers * (workers - 1)])
        self.shapes = logs - np.log(workers)
        self.unknowns = 1 + coherency + (known is None)
        self.freedom = max(1, len(workers) - self.unknowns)

    def level_and_misfit(self, places: Reals) -> tuple[Reals, Reals]:
        """Return the log of what one worker gives, and the squares' sum around it."""
        left = self.shapes + np.log1p(places @ self.shares)
        level = left.mean(axis=-1) if self.known is None else np.array(self.known)
        around = left - (level[..., None] if self.known is None else self.known)
        misfit: Reals = (around**2).sum(axis=-1)
        return level, misfit

    def slopes(self, place: Reals) -> tuple[Reals, Reals]:
        """Return the residuals at a place and their derivatives, a column a figure."""
        stretch = 1 + place @ self.shares
        left = self.shapes + np.log(stretch)
        columns = (self.shares / stretch).T
        if self.known is None:
            return left - left.mean(), columns - columns.mean(axis=0)
        return left - self.known, columns

    def best(self) -> Reals:
        """Return the sigma and kappa with the least misfit, by Gauss-Newton steps.

        Each step solves the linearised problem within the limits exactly, and is halved
        until it improves. It starts where the law is linear: n / X(n) in its figures.
        """
        place = np.zeros(2)
        _, misfit = self.level_and_misfit(place)
        for start in self._starts():
            _, found = self.level_and_misfit(start)
            if found < misfit:
                place, misfit = start, found
        for _ in range(_STEPS):
            residuals, columns = self.slopes(place)
            target = columns @ place - residuals
            step = self._nonnegative(columns, target) - place
            if not np.any(np.abs(step) > 1e-12 * (np.abs(place) + 1e-12)):
                break
            for halving in range(_HALVINGS):
                tried = np.maximum(place + step / 2**halving, 0)
                _, found = self.level_and_misfit(tried)
                if found < misfit:
                    break
            else:
                break
            place, misfit = tried, found
        return place

    def _starts(self) -> list[Reals]:
        times = np.exp(-self.shapes)  # n / X(n)
        rows = np.vstack([np.ones_like(times), self.shares[: 1 + self.coherency]])
        if self.known is not None:
            times = times * math.exp(self.known)
            rows, right = rows[1:], times - 1
        else:
            right = times
        # Relative errors: each row counts for as much as its value is small.
        found, *_ = np.linalg.lstsq((rows / times).T, right / times, rcond=None)
        figures = found if self.known is not None else found[1:] / found[0]
        start = np.zeros(2)
        start[: len(figures)] = figures
        clipped = np.where(np.isfinite(start), np.maximum(start, 0), 0.0)
        # Two more, should the line miss by far.
        return [clipped, np.array([0.5, 0.0]), np.array([10.0, 0.0])]

    def _nonnegative(self, columns: Reals, target: Reals) -> Reals:
        """Return the least-squares solution with no figure below 0."""
        scales = np.linalg.norm(columns, axis=0)
        scales[scales == 0] = 1.0
        columns = columns / scales
        candidates = [np.zeros(2)]
        for side in [[0], [1], [0, 1]] if self.coherency else [[0]]:
            solution, *_ = np.linalg.lstsq(columns[:, side], target, rcond=None)
            if np.all(solution >= 0):
                candidate = np.zeros(2)
                candidate[side] = solution
                candidates.append(candidate)
        chosen = min(
            candidates, key=lambda one: float(((columns @ one - target) ** 2).sum())
        )
        found: Reals = chosen / scales
        return found


# ---- intervals -------------------------------------------------------------------------


class _Region:
    """All sigma and kappa that fit the points nearly as well as the best ones.

    What a figure takes on in here is its profile-likelihood interval: it holds a value
    exactly if some sigma and kappa with that value fit well enough.
    """

    def __init__(self, points: _Points, best: Reals) -> None:
        self._points = points
        _, misfit = points.level_and_misfit(best)
        least = len(points.shapes) * _LEAST_ERROR**2
        wanted = max(float(misfit), least)
        self._limit = wanted * (1 + _student(points.freedom) ** 2 / points.freedom)
        self.places, self._endless = self._search(best)

    def _search(self, best: Reals) -> tuple[Reals, npt.NDArray[np.bool_]]:
        """Return places all over the region, and at which of them it goes on for ever.

        Rays go from the best place in all directions. Where one meets a limit it follows
        it, with that figure at 0.
        """
        points = self._points
        _, columns = points.slopes(best)
        scales = np.linalg.norm(columns, axis=0)
        scales[scales == 0] = 1.0
        rays = np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        if points.coherency:
            # In standard errors, and turned, so that the region is about round.
            angles = np.linspace(0, 2 * np.pi, _DIRECTIONS, endpoint=False)
            circle = np.stack([np.cos(angles), np.sin(angles)])
            _, upper = np.linalg.qr(columns / scales)
            rays = np.vstack([rays, np.linalg.lstsq(upper, circle, rcond=1e-9)[0].T])
        else:
            rays = rays[:2]
        rays = rays / scales * math.sqrt(self._limit)
        # A ray that leads out of both limits ends where they meet.
        with np.errstate(divide="ignore", invalid="ignore"):
            out = np.where(rays < 0, best / -rays, np.where(rays > 0, np.inf, 0))
        ends = np.minimum(out.max(axis=1), _FAR)

        def along(lengths: Reals) -> Reals:
            found: Reals = np.maximum(best + rays * lengths[..., None], 0)
            return found

        whole = self._fits(along(ends))
        low, high = np.full(len(rays), 1e-9), np.maximum(ends, 1e-9)
        for _ in range(60):
            middle = np.sqrt(low * high)
            fits = self._fits(along(middle))
            low, high = np.where(fits, middle, low), np.where(fits, high, middle)
        reach = np.where(whole, ends, np.minimum(low, ends))
        rings = np.linspace(1 / _RINGS, 1, _RINGS)
        places = along(rings[:, None] * reach)
        endless = np.zeros(places.shape[:2], bool)
        endless[-1] = whole & (ends == _FAR)
        flat = np.vstack([best, places.reshape(-1, 2)])
        marks = np.concatenate([[False], endless.reshape(-1)])
        kept = self._fits(flat, 1e-6)
        kept[0] = True
        return flat[kept], marks[kept]

    def _fits(self, places: Reals, slack: float = 0.0) -> npt.NDArray[np.bool_]:
        _, misfit = self._points.level_and_misfit(places)
        fits: npt.NDArray[np.bool_] = misfit <= self._limit * (1 + slack)
        return fits

    def interval(self, figures: Reals) -> tuple[float, float]:
        """Return the least and largest figure, given one for each place."""
        return self._between(figures, figures)

    def value_interval(self, workers: int) -> tuple[float, float]:
        """Return where the law is for a number of workers.

        What one worker gives may differ from its best value by as much as is left of the
        misfit that is allowed.
        """
        level, misfit = self._points.level_and_misfit(self.places)
        stretch = 1 + self.places @ np.array([workers - 1, workers * (workers - 1.0)])
        logs = level + math.log(workers) - np.log(stretch)
        left = np.zeros(len(logs))
        if self._points.known is None:
            left = np.sqrt(np.maximum(self._limit - misfit, 0) / len(self._points.shapes))
        return self._between(np.exp(logs - left), np.exp(logs + left))

    def _between(self, lows: Reals, highs: Reals) -> tuple[float, float]:
        low, high = float(lows.min()), float(highs.max())
        endless = bool(np.any(self._endless & (highs == high)))
        return low, math.inf if endless else high


def _student(freedom: int) -> float:
    """Return the 97.5 % quantile of Student's t distribution.

    Exact to four figures: tabulated, then Cornish and Fisher's expansion (M. Abramowitz
    and I. A. Stegun, Handbook of Mathematical Functions, 1964, 26.7.5).
    """
    table = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706)
    if freedom <= len(table):
        return table[freedom - 1]
    z = 1.959964
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(terms[power] / float(freedom) ** (power + 1) for power in range(4))
