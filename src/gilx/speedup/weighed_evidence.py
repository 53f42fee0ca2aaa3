"""Evidence about the middle of values that weighs each by its distance from a limit.

A sign shows only on which side of the limit a block is. It makes the limit at most twice
as unlikely, however far away the block is. If noise is known to be no wilder than a
heavy-tailed distribution, a few blocks that agree, far from the limit, are enough.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

_Array: TypeAlias = NDArray[np.floating]

# Student's distribution with three degrees of freedom: one value in twenty is farther off
# than 3.2 times its scale, one in a thousand than 12.9 times.
_FREEDOM = 3
_LEAST_SCALE = 0.01  # however well a handful of values agree
_SCALES = _LEAST_SCALE * 2.0 ** np.arange(7)
_DISTANCES = np.geomspace(0.03, 0.8, 11)
_FINE_SCALES = _LEAST_SCALE * 2.0 ** np.arange(0, 8.1, 0.25)
_FINE_DISTANCES = np.array([0.0, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64])
# The grid may miss the likeliest parameters. At its best point the logarithm of the
# likelihood is then smaller, for each value, by half the value's information about the
# logarithm of the scale, 2 f / (f + 3), times the square of half a step. As much again is
# allowed for the middle.
_GRID = 2 * (math.log(2) / 8) ** 2 / 2


class WeighedEvidence:
    """Evidence that the middle of values is above a limit, or that it is below.

    The values are taken to be independent and to have Student's distribution with three
    degrees of freedom around a middle, at any scale from 0.01 on. There are two
    hypotheses: "the middle is at the limit or below" and "at the limit or above". The
    evidence against each is a mean of likelihoods under parameters that contradict it,
    divided by the likelihood at its own likeliest parameters. This reaches 1/alpha at any
    time with a probability of at most alpha if the hypothesis is true (Wasserman, Ramdas
    and Balakrishnan, Universal inference,
    Proceedings of the National Academy of Sciences 117, 2020, section 8; the mean of
    likelihoods is that of Robbins, see `gilx.speedup.statistics.log_evidence`).

    Adding a value takes the same time however many there are. After 200 of them, further
    ones are not weighed.

    Parameters
    ----------
    limit : float
        The limit, in the values' unit: logarithms of ratios, or shares.

    """

    most = 200
    """Number of values that are weighed; if they decide nothing, only signs can."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self.count: int = 0
        # One row for each distance of the middle from the limit, negative if it is below.
        self._coarse = _Likelihoods(np.concatenate([-_DISTANCES, _DISTANCES]), _SCALES)
        self._fine = _Likelihoods(
            np.concatenate([-_FINE_DISTANCES, _FINE_DISTANCES]), _FINE_SCALES
        )

    def add(self, value: float) -> None:
        """Add a value."""
        if self.count < self.most:
            self.count += 1
            self._coarse.add(value - self._limit)
            self._fine.add(value - self._limit)

    def logs(self) -> tuple[float, float]:
        """Return the logarithms of the evidence for "above" and for "below"."""
        below, above = np.split(self._coarse.logs, 2)
        at_most, at_least = np.split(self._fine.logs, 2)
        grid = _GRID * self.count
        return (
            _log_mean(above) - float(at_most.max()) - grid,
            _log_mean(below) - float(at_least.max()) - grid,
        )


class _Likelihoods:
    """Logarithms of the likelihood of all values, for each middle and scale."""

    def __init__(
        self,
        middles: _Array,
        scales: _Array,
    ) -> None:
        self._middles, self._inverse = middles[:, None], 1 / (scales * _FREEDOM**0.5)
        self._log_scales = np.log(scales)
        self.logs = np.zeros((len(middles), len(scales)))

    def add(self, value: float) -> None:
        z = (value - self._middles) * self._inverse
        self.logs -= (_FREEDOM + 1) / 2 * np.log1p(z * z) + self._log_scales


def _log_mean(logs: _Array) -> float:
    most = float(logs.max())
    return most + math.log(float(np.exp(logs - most).mean()))
