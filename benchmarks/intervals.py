"""How sure a median is."""

from __future__ import annotations

import random
from statistics import median, quantiles

__all__ = ["interval"]


def interval(ratios: list[float]) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the median, at 95 %."""
    draw = random.Random(0)
    medians = [median(draw.choices(ratios, k=len(ratios))) for _ in range(2000)]
    cuts = quantiles(medians, n=40)
    return cuts[0], cuts[-1]
