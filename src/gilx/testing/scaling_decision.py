"""What blocks and the watch say about scaling, and when that is enough.

Each witness is misled by a busy machine in a way of its own. With one process beside two
threads that only take turns behind a lock, on two CPUs, the measured share of the ceiling
is 0.95 where 0.5 is right: the machine gives little more than one CPU, and processes are
no faster either. With each worker's waits for a CPU taken out of that it is 0.6 to 0.8,
for while one waits for a CPU the other has the lock. Threads that wait for each other and
scale well, on the other hand, then look worse than they are. So:

* `reached`, the measured share, is believed for a pass only where the ceiling shows that
  threads in turns would have missed, and if it clears the limit by half of what is
  between that and 1, and what calls just at the limit would reach under that ceiling; and
  for a failure only if `unhindered` fails as well.
* `unhindered`, the same without waits for a CPU, speaks against a pass, and has to be
  likely to reach the limit, `without_waits`, for a pass by `reached`. Neither it nor
  `overlap` is believed of a block in which a hypervisor or a quota took CPUs away: the
  system knows of no wait then, and if that stops a thread that has a lock or the GIL, the
  others wait as if the call were to blame.
* `overlap`, how far the workers' CPU time overlapped while none waited for a CPU, is
  believed for a pass: threads that wait for each other have it low, busy or not.
* the watch tells what the GIL alone makes impossible, busy or not; nothing passes without
  its word, but where there is no GIL.

`benchmarks/accuracy/flake.py` measures how often the outcome is wrong.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gilx.estimate import Estimate
from gilx.formatting import duration, percent
from gilx.speedup.statistics import NOTHING_KNOWN, RunningMedian

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gilx.testing.verdict import Block, Outcome, ReleaseEvidence

__all__ = [
    "ALPHA",
    "FEWEST_BLOCKS",
    "Witnesses",
    "deprived",
    "overlap",
    "reached",
    "unhindered",
    "without_waits",
]

ALPHA = 1e-3
"""How often, at most, a witness may be wrong by chance, however often it is asked."""

FEWEST_BLOCKS = 13
"""All have to agree, if there are no more."""

_CLEARLY = 0.9
_MOST_OTHER_CPU = 0.1
_MOST_STOLEN = 0.05
_MOST_WAITED = 2 / 3
_MUCH_LESS_CPU = 0.8
_MORE_CPU = 1.1


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


def deprived(block: Block, workers: int) -> bool:
    """Return whether a hypervisor or a quota took CPUs away while threads ran."""
    most = _MOST_STOLEN * workers * block.parallel
    return bool(block.throttled) or (block.steal or 0.0) > most


def unhindered(block: Block, workers: int) -> float | None:
    """Return the share of the ceiling, workers' waits for a CPU taken out of both.

    Where the ceiling is other work, of which waits are not known, it is taken to be the
    number of workers.
    """
    best = block.ceiling_own if block.ceiling_serial is None else block.serial_own
    if best is None or block.parallel_own is None or deprived(block, workers):
        return None
    return best / block.parallel_own


def overlap(block: Block, workers: int) -> float | None:
    """Return how far the workers' CPU time overlapped, as a share of the workers.

    As `gilx.speedup.timings.concurrency`, but of the CPU time that the calls need in
    processes (or alone, where the ceiling is other work): what threads use beyond that,
    spinning or for memory that they share, is of no use. Nor can more overlap than they
    used, where calls need more in processes, as with libraries that start threads there.
    """
    used, needed, own = block.parallel_cpu, block.ceiling_cpu, block.parallel_own
    if block.serial_cpu is None or block.serial_own is None:
        return None
    if used is None or own is None or deprived(block, workers):
        return None
    needed = min(used, workers * block.serial_cpu if needed is None else needed)
    alone = block.serial_cpu / block.serial_own
    if alone <= 0:
        return None
    return without_waits(needed / own / alone / workers, block, workers)


def without_waits(share: float, block: Block, workers: int) -> float:
    """Return what a share would be, had no worker waited for a CPU; at least nearly.

    While one of two workers waits, the other runs on and looks as good as if both did,
    even if what they do lets one at a time run anyhow. So the time in which one waits is
    left out on both sides: it counted as CPU time of all workers but that one. What is
    left of the time then is taken to be a third, if it is less: with two CPUs and one
    other process it is no less, and where it is, the waits of several coincide.
    `benchmarks/accuracy/flake.py` is how this was tried: threads in turns behind a lock
    have an uncorrected overlap of 0.50 without waits, and 0.82 where they wait for most
    of the time.
    """
    wait = block.parallel_wait
    if wait is None:
        return share
    waited = min(wait / block.parallel, _MOST_WAITED)
    left = workers * share * (1 - waited / workers) - (workers - 1) * waited
    return left / (workers * (1 - waited))


class Witnesses:
    """Evidence from the blocks made so far.

    Each block is looked at once, when it is added: what is asked after every block takes
    hardly longer after thousands of them.

    Parameters
    ----------
    blocks : iterable of Block
        The first blocks.
    workers, efficiency : int, float
        What was asked.
    release : ReleaseEvidence, optional
        What the watch saw; None where there is nothing to watch.

    """

    def __init__(
        self,
        blocks: Iterable[Block],
        workers: int,
        efficiency: float,
        release: ReleaseEvidence | None,
    ) -> None:
        self._workers, self._efficiency = workers, efficiency
        self._release = release
        self._count = self._deprived = 0
        self._with_cpu = self._with_own_threads = 0
        self._reached = RunningMedian()
        self._unhindered = RunningMedian()
        self._without_waits = RunningMedian()
        self._overlap = RunningMedian()
        self._ceiling = RunningMedian()
        self._speedup = RunningMedian()
        self._parallel = RunningMedian()
        self._serial_cpu = RunningMedian()
        self._parallel_cpu = RunningMedian()
        self._cpu_in_processes = RunningMedian()
        """CPU time of the calls in processes, over what they would need here."""
        self._cpu_in_threads = RunningMedian()
        """The same in threads."""
        for block in blocks:
            self.add(block)

    def add(self, block: Block) -> None:
        """Add a block."""
        workers, parallel_cpu = self._workers, block.parallel_cpu
        self._count += 1
        self._deprived += deprived(block, workers)
        self._reached.add(reached(block, workers))
        self._ceiling.add(ceiling(block, workers))
        self._speedup.add(workers * block.serial / block.parallel)
        self._parallel.add(block.parallel)
        if (share := unhindered(block, workers)) is not None:
            self._unhindered.add(share)
            self._without_waits.add(without_waits(share, block, workers))
        if (share := overlap(block, workers)) is not None:
            self._overlap.add(share)
        if parallel_cpu is not None:
            more = block.process_cpu - parallel_cpu
            self._with_cpu += 1
            self._with_own_threads += more > _MOST_OTHER_CPU * parallel_cpu + 1e-3
        if block.serial_cpu:
            alone = workers * block.serial_cpu
            self._serial_cpu.add(block.serial_cpu)
            if block.ceiling_cpu is not None:
                self._cpu_in_processes.add(block.ceiling_cpu / alone)
            if parallel_cpu is not None:
                self._cpu_in_threads.add(parallel_cpu / alone)
        if parallel_cpu:
            self._parallel_cpu.add(parallel_cpu)

    @property
    def reached(self) -> Estimate:
        """Median share of the ceiling that threads reached, right whenever one stops."""
        return _estimate(self._reached)

    @property
    def unhindered(self) -> Estimate:
        """The same without waits for a CPU; unknown where these are not known."""
        return _estimate(self._unhindered)

    @property
    def overlap(self) -> float | None:
        """Median share of the workers' CPU time that overlapped; None if not known."""
        return self._overlap.median

    @property
    def ceiling(self) -> float | None:
        """Median speedup that the machine allowed; None without blocks."""
        return self._ceiling.median

    @property
    def speedup(self) -> float | None:
        """Median speedup of the threads; None without blocks."""
        return self._speedup.median

    @property
    def own_threads(self) -> bool:
        """Whether the process used clearly more CPU time than the workers did."""
        return self._with_own_threads > self._with_cpu / 2

    @property
    def discerning(self) -> bool:
        """Whether threads that take turns would have missed what is asked for."""
        return self.ceiling is not None and self.ceiling * self._efficiency >= 1

    @property
    def promising(self) -> bool:
        """Whether more of such blocks may show enough.

        They may if the machine allows it, or if enough CPU time overlaps anyhow.
        """
        overlapping = self._overlap.above(self._efficiency)
        return self.discerning or overlapping >= _CLEARLY * max(1, len(self._overlap))

    @property
    def _missing(self) -> bool:
        """Whether both figures of the share of the ceiling miss what is asked for."""
        limit = self._efficiency
        return (
            self._unhindered.side(limit, ALPHA) < 0
            and self._reached.side(limit, ALPHA) < 0
        )

    def decision(self) -> Outcome | None:
        """Return the verdict; None as long as it is open."""
        limit = self._efficiency
        reached = self._reached.median
        if reached is None or self.own_threads:
            return None
        if self._missing:
            return None if self._unlike() else "fail"
        hindered = self._unhindered.side(limit, ALPHA) < 0
        if hindered or (self._release is not None and self._release.side >= 0):
            return None
        if self._overlap.side(limit, ALPHA) > 0 and reached >= limit:
            return "pass"
        clear = self.discerning and self._reached.side(self._hurdle(), ALPHA) > 0
        return "pass" if clear and self._likely() else None

    def _likely(self) -> bool:
        """Return whether waits for a CPU leave it likely that the limit is reached."""
        share = self._without_waits.median
        return share is None or share >= self._efficiency

    def _unlike(self) -> str:
        """Return why the ceiling may be higher than it is for these calls."""
        inside, here = self._cpu_in_processes.median, self._cpu_in_threads.median
        if inside is not None and inside < _MUCH_LESS_CPU:
            return (
                f"in processes calls need {percent(inside)} of the CPU time that"
                " they need here, so they may do less there: what do they use that was"
                " set up in this process only?"
            )
        if inside is None and here is not None and here > _MORE_CPU:
            return (
                f"threads need {here:.2f} times the CPU time that one alone does,"
                " for memory that binds them, maybe, and what processes would need is not"
                " known: let the call be one that can be sent to them"
            )
        return ""

    def _hurdle(self) -> float:
        """Return the share of the ceiling that only clearly faster calls reach.

        Calls just at the limit do a part of their work while no other worker can run, and
        the rest with all of them. A machine that gives ``ceiling`` CPUs is slower at the
        rest alone, so that the share of the ceiling comes out higher (Amdahl's law, with
        the ceiling for the processors).
        """
        assert self.ceiling is not None  # as it is discerning
        alone = (1 / self._efficiency - 1) / (self._workers - 1)
        at_limit = 1 / (1 + alone * (self.ceiling - 1))
        return max((1 + self._efficiency) / 2, at_limit)

    def reason(self) -> str:
        """Return what was found, in a sentence."""
        reached = self.reached
        if not reached.known:
            return "there was no time for a block: give it a larger budget"
        if self.own_threads:
            return (
                "the call has threads of its own, which share the CPUs with the"
                " workers: limit them to one, with limit_threads=1 for BLAS and OpenMP"
            )
        words = (
            f"{self._workers} threads reach {percent(reached.value)} of what the machine"
            f" lets them ({_range(reached)}), {self.speedup:.2f} times as fast as one;"
            f" asked for: at least {percent(self._efficiency)}"
        )
        decided = self.decision()
        return words if decided else f"{self._open()}; {words}"

    def _open(self) -> str:
        """Say why nothing was decided."""
        if self._release is not None and self._release.side >= 0:
            return "how much of the GIL it holds could not be told: " + (
                self._release.doubt or f"at most {percent(self._release.held.high)}"
            )
        if self._missing:
            return self._unlike()
        blocks = f"{self._count} blocks"
        if self._deprived > self._count / 4:
            return (
                f"a hypervisor or a quota took CPUs away in {self._deprived} of {blocks}"
            )
        if not self._unhindered:
            return "how long workers wait for a CPU is not known here"
        if not self.discerning:
            return f"the machine is too busy to tell, after {blocks}"
        return f"blocks differ too much to tell, after {blocks}"

    def advice(self) -> str:
        """Return what likely makes threads slow although the GIL is released."""
        serial, parallel = self._serial_cpu.median, self._parallel_cpu.median
        if serial and parallel and parallel > 1.25 * self._workers * serial:
            return (
                f"threads use {parallel / self._workers / serial:.1f} times the CPU time"
                " that one alone does: look for data that they share and write, locks"
                " that spin, and memory that each call allocates anew"
            )
        if self.overlap is not None and self.overlap < _CLEARLY * self._efficiency:
            return (
                "threads wait for each other: look for a lock of the library's own, or"
                " an object that all of them use"
            )
        if self.overlap is None:
            return (
                "how far threads run at the same time is not known here: look for a lock"
                " of the library's own, input and output, or calls that are short"
            )
        each = self._parallel.median
        if serial is not None and each is not None:
            return (
                "starting together or being done apart costs too much of"
                f" {duration(each)}: look for work that is uneven, or calls that are"
                " short"
            )
        return ""


def _estimate(shares: RunningMedian) -> Estimate:
    if shares.median is None:
        return Estimate.unknown()
    low, high = shares.interval(1 - 2 * ALPHA)
    ends = NOTHING_KNOWN if math.isinf(high) else (low, high)
    return Estimate(shares.median, *ends)


def _range(figure: Estimate) -> str:
    if not figure.bounded:
        return "with too few blocks for bounds"
    return f"{percent(figure.low)} to {percent(figure.high)}"
