"""What blocks and the watch say about scaling, and when they say enough."""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING

from gilx.gilwatch.usage import percent
from gilx.meter.statistics import NOTHING_KNOWN, anytime_interval, evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gilx.testing.verdict import Block, Outcome, ReleaseEvidence

__all__ = ["ALPHA", "Witnesses", "concurrency", "ratio", "unhindered"]

ALPHA = 1e-3


def ratio(block: Block, workers: int) -> float:
    """Return the share of the ceiling that threads reached in a block."""
    if block.ceiling_serial is None:
        return block.ceiling / block.parallel
    speedup = workers * block.serial / block.parallel
    return speedup / (block.ceiling_serial / block.ceiling)


def unhindered(block: Block, workers: int) -> float | None:
    """Return the same with workers' waits for a CPU taken out of both."""
    del workers
    best = block.ceiling_own if block.ceiling_serial is None else block.serial_own
    if best is None or block.parallel_own is None:
        return None
    return best / block.parallel_own


def concurrency(block: Block, workers: int) -> float | None:
    """Return how far the workers' time on CPU overlapped, as a share of the workers."""
    known = block.parallel_cpu, block.parallel_own, block.serial_cpu, block.serial_own
    if None in known or not block.serial_cpu or not block.parallel_own:
        return None
    assert block.parallel_cpu is not None
    assert block.serial_own is not None
    alone = block.serial_cpu / block.serial_own
    return block.parallel_cpu / block.parallel_own / alone / workers


class Witnesses:
    """What was seen so far.

    Parameters
    ----------
    blocks : sequence of Block
        All of them.
    workers, efficiency : int, float
        What was asked.
    release : ReleaseEvidence, optional
        What the watch saw; None where there is nothing to watch.

    """

    def __init__(
        self,
        blocks: Sequence[Block],
        workers: int,
        efficiency: float,
        release: ReleaseEvidence | None,
    ) -> None:
        self._workers, self._efficiency, self._release = workers, efficiency, release
        self.doubt = ""
        self._ratios = self._logs(blocks, ratio)
        self._unhindered = self._logs(blocks, unhindered)
        self._concurrency = self._logs(blocks, concurrency)
        self.speedup = self.ceiling = None
        if blocks:
            self.speedup = median(workers * b.serial / b.parallel for b in blocks)
            self.ceiling = median(
                workers * b.serial / b.ceiling
                if b.ceiling_serial is None
                else b.ceiling_serial / b.ceiling
                for b in blocks
            )

    def _logs(
        self, blocks: Sequence[Block], figure: Callable[[Block, int], float | None]
    ) -> list[float]:
        found = [figure(block, self._workers) for block in blocks]
        return [math.log(each) for each in found if each is not None and each > 0]

    @property
    def of_ceiling(self) -> float | None:
        """Median share of the ceiling."""
        return _median(self._ratios)

    @property
    def of_ceiling_interval(self) -> tuple[float, float]:
        """Its interval, right whenever one stops."""
        return anytime_interval(self._ratios, 1 - 2 * ALPHA)

    @property
    def concurrency(self) -> float | None:
        """Median concurrency, in workers."""
        found = _median(self._concurrency)
        return None if found is None else found * self._workers

    @property
    def concurrency_interval(self) -> tuple[float, float]:
        """Its interval, right whenever one stops."""
        if not self._concurrency:
            return NOTHING_KNOWN
        low, high = anytime_interval(self._concurrency, 1 - 2 * ALPHA)
        return low * self._workers, high * self._workers

    def _side(self, logs: Sequence[float]) -> int:
        """Return 1 if the median clears the threshold, -1 if it misses, 0 if open."""
        limit = math.log(self._efficiency)
        above = sum(each > limit for each in logs)
        below = sum(each < limit for each in logs)
        if evidence(len(logs), above) >= 1 / ALPHA:
            return 1
        return -1 if evidence(len(logs), below) >= 1 / ALPHA else 0

    def decision(self) -> Outcome | None:
        """Return the verdict; None as long as it is open."""
        ratios, clean = self._side(self._ratios), self._side(self._unhindered)
        released = self._release is None or self._release.side < 0
        good = (self.of_ceiling or 0.0) >= self._efficiency
        if clean > 0 and good and released:
            return "pass"
        if clean < 0 and ratios < 0:
            return "fail"
        return None

    def reason(self) -> str:
        """Return what was found, in a sentence."""
        if self.of_ceiling is None:
            return "no block was made"
        low, high = self.of_ceiling_interval
        return (
            f"{self._workers} threads reach {percent(self.of_ceiling)} of what the"
            f" machine lets them ({percent(low)} to {percent(high)}), {self.speedup:.2f}"
            f" times as fast as one; asked for: at least {percent(self._efficiency)}"
        )

    def advice(self) -> str:
        """Return what likely causes a failure."""
        return ""


def _median(logs: Sequence[float]) -> float | None:
    return math.exp(median(logs)) if logs else None
