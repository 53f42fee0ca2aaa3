"""What makes a row doubtful, told from its own samples."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING

from gilx.formatting import duration
from gilx.speedup.timings import own_threads
from gilx.system.environment import usable_cpus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gilx.speedup.report import ReportRow
    from gilx.speedup.timings import Sample

__all__ = ["doubts_of_row"]

_TOO_SHORT = 1e-6  # a call that takes no longer can't be told from making calls
_MUCH_SLOWER = 10
_FIRST = 2e-3  # seconds: a first call that takes no longer is nothing to speak of
# Times that grow or shrink this clearly with the block number do so for a reason.
_BLOCKS = 10
_DRIFT = 0.8
_DRIFT_CHANGE = 1.2
_MUCH_STOLEN = 0.02


def doubts_of_row(
    row: ReportRow, samples: Mapping[str, Sequence[Sample]], *, first: float
) -> list[str]:
    """Return what makes a row doubtful, a sentence each.

    Parameters
    ----------
    row : ReportRow
        The row, of which at least one block was made.
    samples : mapping
        Of each arm, in the order of the blocks.
    first : float
        Seconds of the first call of all.

    """
    doubts = _of_calls(row, first) if row.variant is None else []
    if any(
        2 * sum(map(own_threads, samples[arm])) > row.blocks
        for arm in ("serial", "parallel")
    ):
        doubts.append(
            "the process used more CPU time than the workers did: the target has threads"
            " of its own, so that more workers share the CPUs with them"
        )
    cpus = usable_cpus()
    if row.workers > cpus:
        doubts.append(
            f"{row.workers} workers on {cpus} usable CPU{'s' if cpus != 1 else ''}"
        )
    if row.throttled:
        doubts.append(f"a control group's quota stopped the process {row.throttled}x")
    if row.steal is not None and row.steal > _MUCH_STOLEN:
        doubts.append(f"the hypervisor gave {row.steal:.0%} of the CPU time to others")
    return doubts + _of_drift([sample.seconds for sample in samples["serial"]])


def _of_calls(row: ReportRow, first: float) -> list[str]:
    doubts = []
    call = row.serial_seconds / row.workers / row.repeat
    if first > max(_MUCH_SLOWER * call, _FIRST):
        doubts.append(
            f"the first call took {duration(first)}, later ones {duration(call)}: if it"
            " keeps results, little is left to measure"
        )
    if call < _TOO_SHORT:
        doubts.append(
            f"too short to judge: a call takes {duration(call)}, hardly more than calling"
            " anything does"
        )
    return doubts


def _of_drift(times: Sequence[float]) -> list[str]:
    if len(times) < _BLOCKS:
        return []
    drift = _rank_correlation(times)
    half = len(times) // 2
    change = statistics.median(times[half:]) / statistics.median(times[:half])
    if abs(drift) <= _DRIFT or abs(math.log(change)) <= math.log(_DRIFT_CHANGE):
        return []
    how = "slower" if drift > 0 else "faster"
    why = "the target keeps state, or the machine changed"
    return [f"calls became {how} from block to block: {why}"]


def _rank_correlation(values: Sequence[float]) -> float:
    """Return Spearman's correlation of the values with their places."""
    ranks = [0.0] * len(values)
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        ranks[place] = float(rank)
    return statistics.correlation(ranks, [float(i) for i in range(len(values))])
