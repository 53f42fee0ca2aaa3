"""Rate at which intervals miss the median: the meter's, and a bootstrap's.

Log ratios are drawn from distributions whose median is 0. For each number of blocks it is
counted how often the interval at 95 % excludes it, which should be in 5 % of all cases::

    python benchmarks/accuracy/interval_coverage.py [--runs 4000]

Nothing is timed, so that it does not matter what else the machine does.
"""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

import numpy as np

from gilx.formatting import format_table
from gilx.speedup.statistics import RunningMedian

if TYPE_CHECKING:
    from numpy.typing import NDArray

BLOCKS = (6, 7, 9, 12, 21, 50, 100)
RESAMPLES = 1000


def samples(spread: str, runs: int, blocks: int) -> NDArray[np.float64]:
    """Return log ratios with a median of 0, a row for each run."""
    rng = np.random.default_rng(blocks)
    if spread == "normal":
        return rng.normal(0, 0.1, (runs, blocks))
    if spread == "heavy":
        return rng.standard_t(2, (runs, blocks)) * 0.1
    return rng.exponential(0.1, (runs, blocks)) - 0.1 * math.log(2)


def bootstrap_misses(logs: NDArray[np.float64]) -> float:
    """Return how often the percentile bootstrap of the median excludes 0."""
    rng = np.random.default_rng(0)
    blocks = logs.shape[1]
    misses = 0
    for row in logs:
        drawn = row[rng.integers(0, blocks, (RESAMPLES, blocks))]
        low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
        misses += not low <= 0 <= high
    return misses / len(logs)


def misses(logs: list[float], *, preset: bool) -> bool:
    """Return whether the interval of the median ratio excludes 1."""
    ratio = RunningMedian(logs).ratio(preset=preset)
    return not ratio.low <= 1 <= ratio.high


def main() -> None:
    """Simulate, and print the shares of intervals that miss."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=4000)
    options = parser.parse_args()
    lines = []
    for spread in ("normal", "heavy", "skewed"):
        for blocks in BLOCKS:
            logs = samples(spread, options.runs, blocks)
            preset, anytime = (
                sum(misses(row, preset=kind) for row in logs.tolist())
                for kind in (True, False)
            )
            lines.append(
                (
                    spread,
                    str(blocks),
                    f"{100 * preset / options.runs:.1f} %",
                    f"{100 * anytime / options.runs:.1f} %",
                    f"{100 * bootstrap_misses(logs):.1f} %",
                )
            )
    head = ("log ratios", "blocks", "preset", "anytime", "bootstrap")
    print(format_table(head, lines, right=(1, 2, 3)))


if __name__ == "__main__":
    main()
