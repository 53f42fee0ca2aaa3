"""Samples: the wall time of regions, and the CPU time and waits of their workers."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, fields, replace
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

from gilx.kernels.kernel import Variant
from gilx.pools.resource_usage import difference
from gilx.system.cgroups import throttling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gilx.ckernels import Counter
    from gilx.pools.pool import Pool, Region
    from gilx.pools.resource_usage import Share

_MOST_OTHER_CPU = 0.1  # share of the workers' CPU time: other threads used what is above


def calls_of(fn: Callable[[], object], name: str) -> Variant:
    """Return calls of a function as a variant that pools can run: an item is a call."""

    def make(*, take: Counter) -> None:
        while (claim := take.take()) is not None:
            in_a_row(fn, claim[1] - claim[0])

    return Variant(name, "call", make, claims_grains=True)


def in_a_row(fn: Callable[[], object], calls: int) -> float:
    """Call a function so many times; return the wall time in seconds."""
    begin = time.perf_counter()
    for _ in repeat(None, calls):
        fn()
    return time.perf_counter() - begin


@dataclass(frozen=True)
class Sample:
    """Times and resources of the regions of one sample, added up. Times are in seconds.

    Figures of the workers are None if the pool can't determine them.
    """

    seconds: float
    """Wall time."""
    cpu: float | None = None
    """CPU time of the whole process, threads that gilx knows nothing of included, and of
    workers that are processes of their own; None if it was not measured."""
    steal: float | None = None
    """CPU time that the hypervisor gave to others, all CPUs together (proc_stat)."""
    throttled: int | None = None
    """Times that a control group's quota stopped the process (cpu.stat, nr_throttled)."""
    regions: int = 1
    worker_cpu: float | None = None
    """CPU time of the workers."""
    wait: float | None = None
    """Seconds in which workers were ready to run and had no CPU."""
    late: float | None = None
    """From the start of a region until a worker began its part, all workers together."""
    early: float | None = None
    """From when a worker was done until the end of its region, all together."""
    uneven: float | None = None
    """As `early`, but without waits for a CPU, as if no worker had waited for one."""
    uneven_cpu: float | None = None
    """CPU time by which workers were below the one that used most, all together."""
    longest: float | None = None
    """Time until the last worker of a region was done, if none had waited for a CPU, all
    regions together; None if waits are not known."""
    voluntary: int | None = None
    involuntary: int | None = None
    worker_system: float | None = None
    """The system's part of the CPU time of the workers."""

    def times(self, count: int) -> Sample:
        """Return the sample of so many times the work, each taking as long as this."""
        known = {
            field.name: value * count
            for field in fields(self)
            if (value := getattr(self, field.name)) is not None
        }
        return Sample(**known | {"throttled": self.throttled})


def take_sample(pool: Pool, work: Sequence[Region]) -> Sample:
    """Run regions one after another and add up what they and their workers took.

    Parameters
    ----------
    pool : Pool
        Where to run them.
    work : sequence of Region
        What to run, at least one.

    """
    steal, throttled = stolen_seconds(), _throttled()
    cpu = time.process_time()
    runs: list[tuple[float, float, float, list[Share]]] = []
    for region in work:
        account: list[Share] = []
        before = time.perf_counter()
        seconds = pool.run(region, account)
        after = time.perf_counter()
        # The pool's time leaves out all that it does before it begins to hand out work.
        runs.append((max(before, after - seconds), after, seconds, account))
    sample = Sample(
        seconds=sum(seconds for _, _, seconds, _ in runs),
        cpu=time.process_time() - cpu,
        steal=difference(stolen_seconds(), steal),
        throttled=None if throttled is None else (_throttled() or 0) - throttled,
        regions=len(work),
    )
    if any(len(shares) != pool.workers for _, _, _, shares in runs):
        return sample
    sample = with_shares(sample, runs)
    if pool.own_processes:
        sample = replace(sample, cpu=(sample.cpu or 0.0) + (sample.worker_cpu or 0.0))
    return sample


def with_shares(
    sample: Sample, runs: Sequence[tuple[float, float, float, Sequence[Share]]]
) -> Sample:
    """Return a sample with what its workers used.

    Parameters
    ----------
    sample : Sample
        The sample without its workers' figures.
    runs : sequence of tuple
        Of each region: when it began and ended, by `time.perf_counter`; its wall time;
        the share of each worker.

    """
    every = [share for _, _, _, shares in runs for share in shares]
    # When each worker would have been done without waits for a CPU, but not before it had
    # the CPU time that it used: waits count from a little before it begins its part.
    done = [
        [max(share.cpu, share.end - begin - (share.wait or 0.0)) for share in shares]
        for begin, _, _, shares in runs
    ]
    waits = [share.wait for share in every if share.wait is not None]
    known = len(waits) == len(every)
    voluntary = [share.voluntary for share in every if share.voluntary is not None]
    involuntary = [s.involuntary for s in every if s.involuntary is not None]
    system = [s.system for s in every if s.system is not None]
    return replace(
        sample,
        worker_cpu=sum(share.cpu for share in every),
        wait=sum(waits) if known else None,
        late=sum(s.begin - begin for begin, _, _, shares in runs for s in shares),
        early=sum(end - s.end for _, end, _, shares in runs for s in shares),
        uneven=_below_the_largest(done),
        uneven_cpu=_below_the_largest(
            [[share.cpu for share in shares] for _, _, _, shares in runs]
        ),
        longest=sum(map(max, done)) if known else None,
        voluntary=sum(voluntary) if len(voluntary) == len(every) else None,
        involuntary=sum(involuntary) if len(involuntary) == len(every) else None,
        worker_system=sum(system) if len(system) == len(every) else None,
    )


def _below_the_largest(groups: Sequence[Sequence[float]]) -> float:
    """Return by how much the figures are below the largest of their group, in all."""
    return sum(max(group) - each for group in groups for each in group)


def own_threads(sample: Sample) -> bool:
    """Return whether the process used clearly more CPU time than the workers did."""
    if sample.worker_cpu is None or sample.cpu is None:
        return False
    other = sample.cpu - sample.worker_cpu
    return other > _MOST_OTHER_CPU * sample.worker_cpu + 1e-3 * sample.regions


def stolen_seconds() -> float | None:
    """Return the CPU time stolen since the system started, all CPUs together."""
    try:
        with Path("/proc/stat").open() as file:
            return int(file.readline().split()[8]) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return None


def _throttled() -> int | None:
    """Return how often quotas stopped the process so far; None if that is not known."""
    found = throttling()
    return None if found is None else found.periods
