"""What blocks and the watch say about scaling, and when that is enough.

A busy machine misleads each witness in its own way:

* `reached`, the measured share of the ceiling, comes near 1 for whatever it is, even for
  threads that take turns, once the machine leaves no more than one CPU: then processes
  are no faster either.
* `unhindered`, the same with each worker's waits for a CPU taken out, does not. But if
  threads wait for each other, one that waits for a CPU keeps the others waiting, and
  their time is not taken out: it errs on the low side.
* the watch tells what the GIL alone would make impossible, busy or not; not whether
  anything else is in the way.
"""

from __future__ import annotations

import math
from statistics import median
from typing import TYPE_CHECKING

from gilx.gilwatch.usage import percent
from gilx.meter.statistics import NOTHING_KNOWN, anytime_interval, evidence
from gilx.text import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gilx.testing.verdict import Block, Outcome, ReleaseEvidence

__all__ = ["ALPHA", "Witnesses", "overlap", "reached", "unhindered"]

ALPHA = 1e-3
"""How often, at most, a witness may be wrong by chance, however often it is asked."""

# Threads that take turns reach 1 / ceiling of the ceiling. Where that is not clearly
# below what is asked for, reaching it says nothing.
_CLEARLY = 0.9
_MOST_OTHER_CPU = 0.1


def reached(block: Block, workers: int) -> float:
    """Return the share of the ceiling that threads reached in a block."""
    if block.ceiling_serial is None:
        return block.ceiling / block.parallel
    return workers * block.serial / block.parallel / ceiling(block, workers)


def ceiling(block: Block, workers: int) -> float:
    """Return the speedup that the machine allowed in a block."""
    if block.ceiling_serial is None:
        return workers * block.serial / block.ceiling
    return block.ceiling_serial / block.ceiling


def unhindered(block: Block, workers: int) -> float | None:
    """Return the share of the ceiling, workers' waits for a CPU taken out of both.

    Where the ceiling is other work, of which waits are not known, it is taken to be the
    number of workers.
    """
    del workers
    best = block.ceiling_own if block.ceiling_serial is None else block.serial_own
    if best is None or block.parallel_own is None:
        return None
    return best / block.parallel_own


def overlap(block: Block, workers: int) -> float | None:
    """Return the concurrency, see `gilx.meter.workers.concurrency`."""
    del workers
    cpu, own = block.parallel_cpu, block.parallel_own
    if cpu is None or own is None or not block.serial_cpu or not block.serial_own:
        return None
    return cpu / own / (block.serial_cpu / block.serial_own)


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
        self._blocks, self._release = blocks, release
        self._workers, self._efficiency = workers, efficiency
        self._reached = self._known(reached)
        self._unhindered = self._known(unhindered)
        self.reached = _median(self._reached)
        self.unhindered = _median(self._unhindered)
        self.concurrency = _median(self._known(overlap))
        self.ceiling = _median(self._known(ceiling))
        self.speedup = _median([workers * b.serial / b.parallel for b in blocks])

    def _known(self, figure: Callable[[Block, int], float | None]) -> list[float]:
        found = [figure(block, self._workers) for block in self._blocks]
        return [each for each in found if each is not None and each > 0]

    @property
    def reached_interval(self) -> tuple[float, float]:
        """Interval of the median share of the ceiling, right whenever one stops."""
        return _interval(self._reached)

    @property
    def unhindered_interval(self) -> tuple[float, float]:
        """The same without waits for a CPU."""
        return _interval(self._unhindered)

    @property
    def own_threads(self) -> bool:
        """Whether the process used clearly more CPU time than the workers did."""
        pairs = [(b.process_cpu, b.parallel_cpu) for b in self._blocks]
        more = [
            whole - own > _MOST_OTHER_CPU * own + 1e-3
            for whole, own in pairs
            if own is not None
        ]
        return bool(more) and sum(more) > len(more) / 2

    @property
    def discerning(self) -> bool:
        """Whether threads that take turns would have missed what is asked for."""
        if self.ceiling is None:
            return False
        return _CLEARLY * self._efficiency * self.ceiling >= 1

    def _side(self, shares: Sequence[float]) -> int:
        """Return 1 if the median clears the threshold, -1 if it misses, 0 if open."""
        above = sum(each > self._efficiency for each in shares)
        below = sum(each < self._efficiency for each in shares)
        if evidence(len(shares), above) >= 1 / ALPHA:
            return 1
        return -1 if evidence(len(shares), below) >= 1 / ALPHA else 0

    def decision(self) -> Outcome | None:
        """Return the verdict; None as long as it is open."""
        wall, clean = self._side(self._reached), self._side(self._unhindered)
        if self.reached is None or self.own_threads:
            return None
        if wall < 0 and clean < 0:
            return "fail"
        if self._release is not None and self._release.side >= 0:
            return None
        if clean > 0 and self.reached >= self._efficiency:
            return "pass"
        return "pass" if wall > 0 and clean >= 0 and self.discerning else None

    def reason(self) -> str:
        """Return what was found, in a sentence."""
        if self.reached is None:
            return "there was no time for a block: give it a larger budget"
        if self.own_threads:
            return (
                "the call has threads of its own, which share the CPUs with the"
                " workers: limit them to one, with limit_threads=1 for BLAS and OpenMP"
            )
        low, high = self.reached_interval
        words = (
            f"{self._workers} threads reach {percent(self.reached)} of what the machine"
            f" lets them ({_range(low, high)}), {self.speedup:.2f} times as fast as one;"
            f" asked for: at least {percent(self._efficiency)}"
        )
        decided = self.decision()
        return words if decided else f"{self._open()}; {words}"

    def _open(self) -> str:
        """Say why nothing was decided."""
        if self._release is not None and self._release.side >= 0:
            return "how much of the GIL it holds could not be told: " + (
                self._release.doubt
                or f"at most {percent(self._release.held_interval[1])}"
            )
        if not self._unhindered:
            return "how long workers wait for a CPU is not known here"
        blocks = f"{len(self._blocks)} blocks"
        if self._side(self._reached) * self._side(self._unhindered) < 0:
            return f"two ways to measure disagree after {blocks}"
        if not self.discerning:
            return f"the machine is too busy to tell, after {blocks}"
        return f"blocks differ too much to tell, after {blocks}"

    def advice(self) -> str:
        """Return what likely makes threads slow although the GIL is released."""
        serial = _median([b.serial_cpu for b in self._blocks if b.serial_cpu])
        parallel = _median([b.parallel_cpu for b in self._blocks if b.parallel_cpu])
        if serial and parallel and parallel > 1.25 * self._workers * serial:
            return (
                f"threads use {parallel / self._workers / serial:.1f} times the CPU time"
                " that one alone does: look for data that they share and write, locks"
                " that spin, and memory that each call allocates anew"
            )
        if self.concurrency is not None and self.concurrency < (
            _CLEARLY * self._efficiency * self._workers
        ):
            return (
                "threads wait for each other: look for a lock of the library's own, or"
                " an object that all of them use"
            )
        if serial is not None and self._blocks:
            each = duration(_median([b.parallel for b in self._blocks]))
            return (
                f"starting together or being done apart costs too much of {each}: look"
                " for work that is uneven, or calls that are short"
            )
        return ""


def _interval(shares: Sequence[float]) -> tuple[float, float]:
    if not shares:
        return NOTHING_KNOWN
    return anytime_interval([math.log(each) for each in shares], 1 - 2 * ALPHA)


def _median(values: Sequence[float]) -> float | None:
    return median(values) if values else None


def _range(low: float, high: float) -> str:
    if (low, high) == NOTHING_KNOWN:
        return "with too few blocks for bounds"
    return f"{percent(low)} to {percent(high)}"
