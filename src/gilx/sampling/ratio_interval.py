"""The share that samples at random times show, and how sure it is."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from statistics import NormalDist

# Prior knowledge of the spread, in samples of either kind: they are as if drawn at
# random. It keeps a handful of samples from claiming more.
_PRIOR = 2.0
# From this ratio on, of steps to their level, slices are taken to be independent: by
# chance it is below 1 as often as above.
_FAST = 0.9


@dataclass(frozen=True)
class Ratio:
    """Sums over slices of a ratio x / y, as csrc/sampler/sampler.h keeps them.

    `w` is the length of a slice, `x` and `y` are shares of it, and `d` their steps from
    one slice to the next.
    """

    x: float
    y: float
    xx: float
    xy: float
    yy: float
    dxx: float
    dxy: float
    dyy: float

    def __add__(self, other: Ratio) -> Ratio:
        """Return the sums over the slices of both."""
        return Ratio(
            *(
                getattr(self, each.name) + getattr(other, each.name)
                for each in fields(self)
            )
        )

    @property
    def value(self) -> float:
        """The ratio, from 0 to 1; not a number if nothing is known."""
        return min(1.0, self.x / self.y) if self.y > 0 else math.nan

    @property
    def unordered(self) -> bool:
        """True if slices differ from their neighbours as often as from any other.

        Then they show nothing of how long a state lasts: less than a slice, or any time
        by chance. The square of the ratio's error decreases with the number of slices.
        """
        steps, level = self._variations()
        if level <= 0 or self.yy <= 0:
            return False
        return steps / level >= _FAST - 3 * math.sqrt(self.yy) / self.y

    def _variations(self) -> tuple[float, float]:
        """Return half the sum of squared steps, and that of squared deviations."""
        h = self.value
        steps = (self.dxx - 2 * h * self.dxy + h * h * self.dyy) / 2
        return steps, self.xx - 2 * h * self.xy + h * h * self.yy

    def spread(self) -> float:
        """Return the variance of the ratio, relative to that of as many random samples.

        One sample a slice, at a random time in it, errs by what varies within slices. Of
        that, half the mean square of the steps from slice to slice is an upper bound: it
        has in it what varies between neighbours as well. Where most of the variation is
        between far slices (a rhythm slower than the slices), the bound is three times
        too high: in a slice that is cut in two at a random place, one sample errs by a
        sixth, and its steps to the neighbours make a half.
        """
        h = self.value
        steps, level = self._variations()
        alone = h * (1 - h) * self.yy
        if alone <= 0 or level <= 0:
            return 1.0
        fast = min(1.0, max(0.0, steps / level / _FAST))
        return level * fast * (1 + 2 * fast) / 3 / alone


def interval(
    ratio: Ratio, unknown: float = 0.0, *, prompt: bool = True, level: float = 0.95
) -> tuple[float, float]:
    """Return the interval in which the true ratio is.

    Wilson's interval (Probable inference, the law of succession, and statistical
    inference, JASA 1927) for as many samples at random as would err that much, widened by
    what late samples may hide. That both errors add up would be the worst case; they are
    taken to be independent.

    Parameters
    ----------
    ratio : Ratio
        What was seen.
    unknown : float
        The share of the time for which there are late samples only.
    prompt : bool
        Whether the sampler is let onto a busy CPU at once. Then a sample is late when
        others have the CPU, whatever the watched thread does, and for that time any
        error is as likely as any other. If not, late samples find the GIL free that was
        held until just before.
    level : float
        How surely it is in there, below 1.

    """
    h = ratio.value
    z = NormalDist().inv_cdf((1 + level) / 2)
    if math.isnan(h):
        return 0.0, 1.0
    samples = ratio.y * ratio.y / ratio.yy if ratio.yy > 0 else 1.0
    rare = samples * min(h, 1 - h)
    spread = (rare * ratio.spread() + _PRIOR) / (rare + _PRIOR)
    n = samples / spread
    centre = (h + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(h * (1 - h) / n + z * z / (4 * n * n))
    hidden = unknown * (z / math.sqrt(12) if prompt else 1.0)
    low = h - math.hypot(h - min(h, centre - half), hidden)
    high = h + math.hypot(max(h, centre + half) - h, hidden)
    return max(0.0, low), min(1.0, high)
