"""Least squares for scaling laws, and what fits the points nearly as well.

A scaling law is fitted to logarithms; `gilx.speedup.scaling_laws` says which law and how.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    Reals: TypeAlias = npt.NDArray[np.float64]

__all__ = ["NearlyAsGood", "Points", "peak"]

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


def peak(places: Reals) -> Reals:
    """Return where the law is largest: sqrt((1 - sigma) / kappa), but 1 at least."""
    sigma, kappa = places[..., 0], places[..., 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        most = np.sqrt(np.maximum(1 - sigma, 0) / kappa)
    # Without coherency no number is too many, unless one is.
    found: Reals = np.where(kappa > 0, np.maximum(most, 1), np.inf)
    return np.where((kappa == 0) & (sigma > 1), 1.0, found)


class Points:
    """The points, and how well sigma and kappa fit them.

    What one worker gives is an additive constant on the log scale: the best one for any
    sigma and kappa is known, so that it is never searched for.
    """

    def __init__(
        self, workers: Reals, logs: Reals, known: float | None, *, coherency: bool
    ) -> None:
        self.known = known
        self.coherency = coherency
        self.shares: Reals = np.stack([workers - 1, workers * (workers - 1)])
        self.shapes: Reals = logs - np.log(workers)
        self.unknowns: int = 1 + coherency + (known is None)
        self.freedom: int = max(1, len(workers) - self.unknowns)

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


class NearlyAsGood:
    """All sigma and kappa that fit the points nearly as well as the best ones.

    What a figure takes on in here is its profile-likelihood interval: it holds a value
    exactly if some sigma and kappa with that value fit well enough.
    """

    def __init__(self, points: Points, best: Reals) -> None:
        self._points = points
        _, misfit = points.level_and_misfit(best)
        least = len(points.shapes) * _LEAST_ERROR**2
        wanted = max(float(misfit), least)
        self._limit = wanted * (1 + _student(points.freedom) ** 2 / points.freedom)
        self.places: Reals
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
