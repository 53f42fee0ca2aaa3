"""One worker and several, compared block by block."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from gilx.errors import ArgumentError, at_least
from gilx.estimate import Estimate  # noqa: TC001 - JSON is read by annotations
from gilx.speedup.losses import NO_COSTS, KnownCosts, Loss, RunningLosses
from gilx.speedup.statistics import RunningMedian
from gilx.speedup.timings import Sample, own_threads

Block = Mapping[str, Sample]
"""One sample of each arm, taken close together: of "serial" and "parallel", which do the
same work; if they are timed, of "ceiling" and "control", which can have a serial run of
their own ("ceiling serial", "control serial"); and of single calls ("single serial",
"single parallel")."""

SAME_CALLS = "the same calls in processes"
"""The kind of a ceiling whose CPU time is that of the calls themselves."""

NO_CEILING = "none"
"""The kind of a ceiling if none was available."""

_MOST_STOLEN = 0.05
_MOST_WAIT = 0.6  # of the workers' time; with more, too little is left to measure
_MOST_WAITED = 2 / 3


@dataclass(frozen=True)
class Comparison:
    """Speedup of several workers over one, and what the machine achieved.

    Times are in seconds, of the median block. If there are too few blocks for an
    interval, the interval is 0 to infinity; figures that could not be measured are
    unknown or None.
    """

    workers: int
    blocks: int
    """Number of blocks."""
    level: float
    """Probability that an interval holds the true median."""
    interval_kind: Literal["preset", "anytime"]
    """'preset': the number of blocks was set beforehand; 'anytime': it was not, and the
    intervals hold whenever sampling stops."""
    serial_seconds: float | None
    """Wall time of the work on one worker."""
    seconds: float | None
    """Wall time of the same work on all workers."""
    speedup: Estimate
    """Serial over parallel wall time."""
    single_speedup: Estimate
    """The speedup of single calls, which a sample of M calls in a row does not show: N
    calls in a row, over one call of each worker. Measured for a callable with M above 1
    only; otherwise the speedup of single calls is `speedup`, and this is unknown."""
    ceiling: Estimate
    """The speedup that the machine achieved in the same blocks."""
    ceiling_kind: str
    """Kind of the ceiling, ``none`` if none was available; empty if none was wanted."""
    ceiling_fraction: Estimate
    """Speedup over ceiling."""
    ceiling_fraction_without_waits: Estimate
    """The same with workers' waits for a CPU taken out of both."""
    control: float | None
    """The speedup of native threads that only compute: if it is below the number of
    workers, the machine itself limits the speedup."""
    cpu_overlap: float | None
    """Degree to which the workers' CPU time overlapped while none of them waited for a
    CPU, as a share of the workers: evidence about waiting for each other, not a speedup.
    None if CPU times are not known, or workers waited for a CPU for most of the time."""
    serial_cpu_seconds: float | None
    """CPU time of the process for the work on one worker."""
    cpu_seconds: float | None
    """CPU time of the process for the same work on all workers."""
    voluntary_switches: float | None
    """Context switches of all workers in a parallel sample: the mean."""
    involuntary_switches: float | None
    run_queue_wait: float | None
    """Seconds in which workers were ready and had no CPU, of a parallel sample: mean."""
    steal: float | None
    """Share of the CPU time that the hypervisor gave to others during all samples."""
    throttled: int | None
    """Times that a quota stopped the process during all samples."""
    losses: tuple[Loss, ...]
    """Parts that add up to ``workers - speedup``; empty without a ceiling."""
    samples: Mapping[str, tuple[float, ...]] = field(default_factory=dict, repr=False)
    """Wall times of each arm, in the order of the blocks; serial ones are those of all
    the work."""

    @property
    def efficiency(self) -> Estimate:
        """Speedup over workers."""
        return self.speedup.times(1 / self.workers)

    @property
    def part_seconds(self) -> float | None:
        """Wall time of one worker's part of the work on one worker."""
        return None if self.serial_seconds is None else self.serial_seconds / self.workers

    def without_samples(self) -> Comparison:
        """Return the comparison without the wall times of its many samples."""
        return replace(self, samples={})

    def _check(self, where: str) -> None:
        for name, least in (("workers", 1), ("blocks", 0)):
            at_least(f"{where}.{name}", getattr(self, name), least)
        for name in ("speedup", "single_speedup", "ceiling", "ceiling_fraction"):
            estimate: Estimate = getattr(self, name)
            _above_zero(f"{where}.{name}.value", estimate.value)
            if estimate.known and not 0 <= estimate.low <= estimate.high:
                raise ArgumentError(
                    f"{where}.{name}: expected low and high, got {estimate.low} and"
                    f" {estimate.high}"
                )
        if self.control is not None:
            _above_zero(f"{where}.control", self.control)


def _above_zero(name: str, value: float) -> None:
    if value <= 0 or math.isinf(value):
        raise ArgumentError(f"{name}: expected above 0, got {value}")


class RunningComparison:
    """Comparison to which blocks are added one at a time.

    Adding a block and reading figures take hardly longer after thousands of blocks.

    Parameters
    ----------
    workers : int
        How many workers ran the parallel samples.
    costs : KnownCosts
        Costs known from other measurements, for the losses.

    """

    def __init__(self, workers: int, costs: KnownCosts = NO_COSTS) -> None:
        self.workers: int = workers
        self.blocks: int = 0
        self.deprived: int = 0
        self.samples: dict[str, list[float]] = {}
        # Logarithms of ratios.
        self.speedup: RunningMedian = RunningMedian()
        self.ceiling: RunningMedian = RunningMedian()
        self.ceiling_fraction: RunningMedian = RunningMedian()
        self.ceiling_fraction_without_waits: RunningMedian = RunningMedian()
        self.single_speedup: RunningMedian = RunningMedian()
        self.control: RunningMedian = RunningMedian()
        # Shares.
        self.likely_fraction: RunningMedian = RunningMedian()
        """The ceiling fraction, had no worker waited for a CPU, see `without_waits`."""
        self.overlap: RunningMedian = RunningMedian()
        # CPU times of the workers: in seconds, and over those of the serial run.
        self.serial_cpu: RunningMedian = RunningMedian()
        self.parallel_cpu: RunningMedian = RunningMedian()
        self.ceiling_cpu_ratio: RunningMedian = RunningMedian()
        self.parallel_cpu_ratio: RunningMedian = RunningMedian()
        self.cpu_kept: RunningMedian = RunningMedian()
        """Logarithm of the ratio of the CPU time that calls need to that which threads
        use: below 0 if threads spin, or wait for memory that others use."""
        self.cpu_by_block: list[float | None] = []
        """CPU time of the worker of each serial sample."""
        self.seconds: dict[str, RunningMedian] = {
            "serial": RunningMedian(),
            "parallel": RunningMedian(),
        }
        self._process_cpu: dict[str, RunningMedian] = {
            "serial": RunningMedian(),
            "parallel": RunningMedian(),
        }
        self._own_threads = {"serial": 0, "parallel": 0}
        self._with_cpu = 0
        self._sums = {name: _Sum() for name in ("voluntary", "involuntary", "wait")}
        self._steal, self._steal_seconds, self._throttled = _Sum(), _Sum(), _Sum()
        self._losses = RunningLosses(workers, costs)

    def add(self, block: Block) -> None:
        """Add a block."""
        serial, parallel = block["serial"], block["parallel"]
        self.blocks += 1
        for arm, sample in block.items():
            self.samples.setdefault(arm, []).append(sample.seconds)
            self._throttled.add(sample.throttled)
            if sample.steal is not None:
                self._steal.add(sample.steal)
                self._steal_seconds.add(sample.seconds)
        for arm in ("serial", "parallel"):
            self.seconds[arm].add(block[arm].seconds)
            if (cpu := block[arm].cpu) is not None:
                self._process_cpu[arm].add(cpu)
            self._own_threads[arm] += own_threads(block[arm])
        for name, total in self._sums.items():
            total.add(getattr(parallel, name))
        self.speedup.add(math.log(serial.seconds / parallel.seconds))
        self._add_ratio(self.single_speedup, block, "single serial", "single parallel")
        self._add_ratio(self.control, block, "control serial", "control")
        if "ceiling" in block:
            self._add_ceiling(block)
            same = None if "ceiling serial" in block else block["ceiling"]
            self._losses.add(serial, parallel, same)
        self._add_cpu(block)

    def _add_ratio(
        self, logs: RunningMedian, block: Block, numerator: str, denominator: str
    ) -> None:
        if denominator in block:
            logs.add(math.log(block[numerator].seconds / block[denominator].seconds))

    def _add_ceiling(self, block: Block) -> None:
        self.deprived += deprived(block, self.workers)
        self.ceiling.add(math.log(ceiling(block)))
        self.ceiling_fraction.add(math.log(ceiling_fraction(block)))
        share = ceiling_fraction_without_waits(block, self.workers)
        if share is not None:
            self.ceiling_fraction_without_waits.add(math.log(share))
            self.likely_fraction.add(without_waits(share, block, self.workers))

    def _add_cpu(self, block: Block) -> None:
        alone, together = block["serial"].worker_cpu, block["parallel"].worker_cpu
        self.cpu_by_block.append(alone)
        self._with_cpu += together is not None
        if (share := overlap(block, self.workers)) is not None:
            self.overlap.add(share)
        if alone:
            self.serial_cpu.add(alone)
            if "ceiling" in block and block["ceiling"].worker_cpu is not None:
                self.ceiling_cpu_ratio.add(block["ceiling"].worker_cpu / alone)
            if together is not None:
                self.parallel_cpu_ratio.add(together / alone)
        if together and (needed := cpu_needed(block)):
            self.cpu_kept.add(math.log(needed / together))
        if together:
            self.parallel_cpu.add(together)

    def has_own_threads(self, *arms: str) -> bool:
        """Return whether the process clearly used more CPU time than its workers did.

        Parameters
        ----------
        *arms : str
            Arms, "serial" or "parallel", of which one is enough.

        """
        return any(2 * self._own_threads[arm] > max(1, self._with_cpu) for arm in arms)

    def result(
        self,
        *,
        ceiling_kind: str = "",
        level: float = 0.95,
        preset: bool = False,
    ) -> Comparison:
        """Return the comparison by the blocks so far.

        Parameters
        ----------
        ceiling_kind : str
            Kind of the ceiling; empty without one.
        level : float
            Probability that an interval holds the true median, below 1.
        preset : bool
            Whether the number of blocks was set before the first one.

        """

        def estimate(logs: RunningMedian) -> Estimate:
            return logs.ratio(level, preset=preset)

        speedup, limit = estimate(self.speedup), estimate(self.ceiling)
        control = estimate(self.control).value if self.control else None
        return Comparison(
            workers=self.workers,
            blocks=self.blocks,
            level=level,
            interval_kind="preset" if preset else "anytime",
            serial_seconds=self.seconds["serial"].median,
            seconds=self.seconds["parallel"].median,
            speedup=speedup,
            single_speedup=estimate(self.single_speedup),
            ceiling=limit,
            ceiling_kind=ceiling_kind,
            ceiling_fraction=estimate(self.ceiling_fraction),
            ceiling_fraction_without_waits=estimate(self.ceiling_fraction_without_waits),
            control=control,
            cpu_overlap=self._known_overlap(),
            serial_cpu_seconds=self._process_cpu["serial"].median,
            cpu_seconds=self._process_cpu["parallel"].median,
            voluntary_switches=self._sums["voluntary"].mean,
            involuntary_switches=self._sums["involuntary"].mean,
            run_queue_wait=self._sums["wait"].mean,
            steal=self._share_stolen(),
            throttled=int(self._throttled.total) if self._throttled.count else None,
            losses=self._losses.result(
                speedup.value, limit.value, ceiling_kind, control=control
            ),
            samples={arm: tuple(seconds) for arm, seconds in self.samples.items()},
        )

    def _known_overlap(self) -> float | None:
        """Return the median overlap, unless workers hardly ever had a CPU."""
        wait, seconds = self._sums["wait"].mean, self.seconds["parallel"].median
        if wait is None or seconds is None or wait > _MOST_WAIT * self.workers * seconds:
            return None
        return self.overlap.median

    def _share_stolen(self) -> float | None:
        if not self._steal.count:
            return None
        cpus = os.cpu_count() or 1
        return self._steal.total / cpus / self._steal_seconds.total


class _Sum:
    """Sum of the values that are known."""

    def __init__(self) -> None:
        self.total: float = 0
        self.count = 0

    def add(self, value: float | None) -> None:
        if value is not None:
            self.total += value
            self.count += 1

    @property
    def mean(self) -> float | None:
        return self.total / self.count if self.count else None


# ---- figures of one block --------------------------------------------------------------


def ceiling(block: Block) -> float:
    """Return the speedup that the machine achieved in a block."""
    alone = block.get("ceiling serial", block["serial"])
    return alone.seconds / block["ceiling"].seconds


def ceiling_fraction(block: Block) -> float:
    """Return the ceiling fraction of a block."""
    return block["serial"].seconds / block["parallel"].seconds / ceiling(block)


def deprived(block: Block, workers: int) -> bool:
    """Return whether a hypervisor or a quota took CPUs away while workers ran."""
    parallel = block["parallel"]
    most = _MOST_STOLEN * workers * parallel.seconds
    return bool(parallel.throttled) or (parallel.steal or 0.0) > most


def ceiling_fraction_without_waits(block: Block, workers: int) -> float | None:
    """Return the ceiling fraction without workers' waits for a CPU.

    If the ceiling is other work, or its waits are not known, it is taken to be the number
    of workers. None if waits are not known, or the block does not count, see `deprived`.
    """
    best = None if "ceiling serial" in block else block["ceiling"].longest
    if best is None and block["serial"].longest is not None:
        best = block["serial"].longest / workers
    if not best or not block["parallel"].longest or deprived(block, workers):
        return None
    return best / block["parallel"].longest


def overlap(block: Block, workers: int) -> float | None:
    """Return how far the workers' CPU time overlapped, as a share of the workers.

    With a common start t0, worker i's end e_i, its wait for a CPU q_i and its CPU time
    c_i, it is ``sum(c_i) / max(e_i - t0 - q_i)``, divided by the same figure of the
    serial run and by the number of workers. Time lost to other processes is taken out,
    so that it says how far calls could overlap if the CPUs were free.

    The CPU time that counts is what the calls need in processes (or alone, if the ceiling
    is other work): CPU time that threads use beyond that, to spin or to wait for memory
    that they share, does not count. The CPU time that counts is at most what the threads
    used, since calls can need more in processes, as with libraries that start threads
    there. None if CPU times or waits are not known, or the block does not count, see
    `deprived`.
    """
    serial, parallel = block["serial"], block["parallel"]
    used, own = parallel.worker_cpu, parallel.longest
    if not serial.worker_cpu or not serial.longest or used is None or not own:
        return None
    if deprived(block, workers):
        return None
    needed = min(used, cpu_needed(block) or 0.0)
    alone = serial.worker_cpu / serial.longest
    return without_waits(needed / own / alone / workers, block, workers)


def cpu_needed(block: Block) -> float | None:
    """Return the CPU time that the calls need: in processes, or alone if not known."""
    needed = block["ceiling"].worker_cpu if "ceiling" in block else None
    return block["serial"].worker_cpu if needed is None else needed


def without_waits(share: float, block: Block, workers: int) -> float:
    """Return an estimate of a share, had no worker waited for a CPU.

    While one of two workers waits, the other runs on, and the share is as good as if both
    ran, even if a lock lets only one run at a time. So the time in which one waits is
    left out on both sides: it counted as CPU time of all workers but that one. If less
    than a third of the time remains, it is taken to be a third: with two CPUs and one
    other process at least a third remains, and less means that several waits coincide.
    `benchmarks/accuracy/flake.py` tests this: threads that take turns behind a lock have
    an uncorrected overlap of 0.50 without waits, and 0.82 where they wait for most of the
    time.
    """
    wait, seconds = block["parallel"].wait, block["parallel"].seconds
    if wait is None:
        return share
    waited = min(wait / seconds, _MOST_WAITED)
    left = workers * share * (1 - waited / workers) - (workers - 1) * waited
    return left / (workers * (1 - waited))
