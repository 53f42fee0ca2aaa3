"""Warnings about a comparison, from its own samples."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

from gilx.formatting import duration, percent
from gilx.system.environment import usable_cpus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilx.speedup.comparison import Comparison, RunningComparison

TOO_SHORT = 1e-6
"""Seconds: a shorter call can't be distinguished from the overhead of any call."""

_MUCH_SLOWER = 10
_FIRST = 2e-3  # seconds: a first call that takes no longer is not worth a warning
# Times that grow or shrink this clearly with the block number do so for a reason.
_BLOCKS = 10
_DRIFT = 0.8
_DRIFT_CHANGE = 1.2
_MUCH_STOLEN = 0.02


def call_warnings(first: float | None, later: float | None) -> list[str]:
    """Return warnings about how long calls took, a sentence each.

    Parameters
    ----------
    first, later : float, optional
        Seconds of the first call of all, and of one of those after it.

    """
    if first is None or later is None or first <= max(_MUCH_SLOWER * later, _FIRST):
        return []
    words = f"the first call took {duration(first)}, later ones {duration(later)}"
    return [f"{words}: if it keeps its result, give a setup that returns new arguments"]


def machine_warnings(comparison: RunningComparison, figures: Comparison) -> list[str]:
    """Return warnings about threads and CPUs, a sentence each.

    Parameters
    ----------
    comparison : RunningComparison
        The blocks.
    figures : Comparison
        Their result.

    """
    warnings = []
    workers, cpus = comparison.workers, usable_cpus()
    if comparison.has_own_threads("serial", "parallel"):
        warnings.append(
            "the process used more CPU time than the workers did: the target has threads"
            " of its own, so that more workers share the CPUs with them"
        )
    if workers > cpus:
        warnings.append(
            f"{workers} workers on {cpus} usable CPU{'s' if cpus != 1 else ''}"
        )
    if figures.throttled:
        warnings.append(
            f"a control group's quota stopped the process {figures.throttled}x"
        )
    if figures.steal is not None and figures.steal > _MUCH_STOLEN:
        warnings.append(
            f"the hypervisor gave {percent(figures.steal)} of the CPU time to others"
        )
    return warnings


def drift_warnings(comparison: RunningComparison) -> list[str]:
    """Return a warning if calls came to take more time, or less, block by block.

    The CPU time of the serial run decides, or the wall time if that is not known.
    """
    cpu = [seconds for seconds in comparison.cpu_by_block if seconds]
    known = len(cpu) == comparison.blocks
    times = cpu if known else comparison.samples.get("serial", [])
    if len(times) < _BLOCKS:
        return []
    drift = _rank_correlation(times)
    half = len(times) // 2
    change = statistics.median(times[half:]) / statistics.median(times[:half])
    if abs(drift) <= _DRIFT or abs(math.log(change)) <= math.log(_DRIFT_CHANGE):
        return []
    words = f"calls took {change:.2g} times as much {'CPU ' * known}time later on"
    return [f"{words}: if they keep something, give a setup that returns new arguments"]


def _rank_correlation(values: Sequence[float]) -> float:
    """Return Spearman's correlation of the values with their places."""
    ranks = [0.0] * len(values)
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        ranks[place] = float(rank)
    return statistics.correlation(ranks, [float(i) for i in range(len(values))])
