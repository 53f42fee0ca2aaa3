"""Smallest amount of work per task for which threads pay.

A region hands each worker one grain of items and waits for all workers. This costs the
same however small the grains are, so one thread computes small grains faster. Let t be
the time of an item, R the cost of an empty region and n the number of workers. Then n
grains of g items take n g t on one thread, and g t + R on n threads. Both times are equal
at

    g = R / (t (n - 1))

This is the expected grain. The reported grain is measured, size by size.
"""

from __future__ import annotations

import math
import random
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Any

from gilx import kernels, pools
from gilx.errors import (
    ArgumentError,
    at_least,
    number_between,
    number_of_workers,
    one_of,
)
from gilx.estimate import Estimate
from gilx.formatting import duration
from gilx.pools.pool import Pool, Region
from gilx.pools.serial import SerialPool
from gilx.sampling.release_costs import release_costs
from gilx.speedup.blocks import AsItself, interleaved
from gilx.speedup.comparison import RunningComparison
from gilx.speedup.grain_items import GrainWork, items_of, work_of
from gilx.speedup.grain_record import Grain, GrainRow
from gilx.speedup.statistics import median_interval
from gilx.speedup.timings import Sample
from gilx.system.conditions import between, snapshot
from gilx.system.environment import Environment, usable_cpus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gilx.kernels.kernel import Kernel, Variant

# With the fewest blocks, the interval of the median excludes their smallest and their
# largest value. More than the most blocks would make it narrower than anybody needs.
_LEAST_BLOCKS = 9
_MOST_BLOCKS = 101
# Grains are tried up to so many times the expected one.
_BEYOND = 64
# How often the cost of an empty region, and that of claims, is measured.
_ROUNDS = 31
# How many claims are timed together.
_CLAIMS = 10_000
# The serial pool has one worker, and the native one takes whole problems.
_WHOLE_ONLY = ("serial", "native")
# Pools whose workers share the objects that a callable works on.
_FOR_CALLABLES = ("threads",)


def grain(
    target: str | Kernel | Callable[..., object],
    *args: Any,  # noqa: ANN401 - whatever target takes
    workers: int | None = None,
    variant: str | None = None,
    pool: str = "threads",
    size: int | None = None,
    items: int | None = None,
    budget: float = 5.0,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> Grain:
    """Find the smallest grain at which workers beat one thread.

    Each grain that is a power of two is tried: all workers compute one grain each, and
    one thread the same items in one call, in blocks of random order. Since items differ,
    each block takes its items from another place, drawn at random. The result is the
    median over places in the problem.

    Parameters
    ----------
    target : str, Kernel or callable
        A kernel or its name; or ``fn(*args, start, stop)``, which computes the items
        from `start` up to `stop`, wherever they are, and can do so in several threads.
    *args
        Arguments of the call before these; bind keywords with `functools.partial`. None
        for a kernel.
    workers : int, optional
        How many workers, 2 to 4096; by default the CPUs that this process may use, or 2.
    variant : str, optional
        The kernel's variant, by default c-nogil; None for a callable.
    pool : str
        Where the workers are: one of `gilx.pools.names()` except serial and native, which
        do not hand out parts of a kernel; threads for a callable.
    size : int, optional
        The size of the kernel's problem; None for a callable.
    items : int, optional
        Number of items of a callable, at least one for each worker; `stop` is never
        larger. None for a kernel, whose problem determines the number.
    budget : float
        How long to measure, in seconds, 0.1 to 3600. Measuring the costs takes another
        second. No call is ended: one that does not return is waited for.
    seed : int
        Seed of the problem and of the blocks' orders.
    progress : callable, optional
        Called with a line of text between blocks.

    Returns
    -------
    Grain
        The grain, or None if no grain that was tried wins, and the costs behind it.

    Raises
    ------
    ArgumentError
        An argument is not as described, or an item takes so long that the budget is too
        small; the message says which budget would be enough.
    NotCompiledError
        gilx was installed without its compiled parts.
    BaseException
        Whatever the callable raised.

    """
    workers = max(2, usable_cpus()) if workers is None else number_of_workers(workers, 2)
    work = work_of(target, args, variant, size, items, at_least("seed", seed, 0))
    places = [one for one in pools.names() if one not in _WHOLE_ONLY]
    one_of("pool", pool, places if work.problem is not None else _FOR_CALLABLES)
    pools.get(pool).check_variant(work.whole.variant.name)
    budget = number_between("budget", budget, 0.1, 3600, unit="seconds")
    if work.whole.items < workers:
        raise ArgumentError(
            f"{'items' if work.problem is None else 'size'}: expected an item for each"
            f" of {workers} workers, got {work.whole.items}"
        )
    price = release_costs(rounds=3)
    before = snapshot()
    with pools.start(pool, workers) as started, SerialPool() as alone:
        work = work.placed(started)
        item = work.item_seconds(alone)
        nothing = replace(work.whole, items=0, schedule="static")
        region = median(_settled(started, nothing) for _ in range(_ROUNDS))
        grains = _grains(region / (item * (workers - 1)), work.whole.items // workers)
        blocks, grains = _plan(grains, item, region, workers, budget)
        made = _blocks(work, alone, started, grains, blocks, seed, progress)
        # Before the pool is closed, so that workers elsewhere still count as our own.
        conditions = between(before, snapshot())
    rows = tuple(_row(size, made, workers) for size in grains)
    regions = [block["parallel", 0] for block in made]
    found = _smallest(rows)
    return Grain(
        target=work.whole.variant.target,
        variant=None if work.problem is None else work.whole.variant.name,
        pool=pool,
        workers=workers,
        grain=None if found is None else found.grain,
        work=None if found is None else found.comparison.part_seconds,
        region=Estimate(_typical(regions), *median_interval(regions)),
        claim=_claim_seconds(work.whole.variant),
        release=price.release.value,
        handover=None if price.handover is None else price.handover.value,
        item=(rows[-1].comparison.part_seconds or 0.0) / rows[-1].grain,
        blocks=blocks,
        rows=rows,
        environment=Environment.here(),
        conditions=conditions,
    )


def _blocks(
    work: GrainWork,
    alone: Pool,
    started: Pool,
    grains: Sequence[int],
    blocks: int,
    seed: int,
    progress: Callable[[str], None] | None,
) -> list[dict[tuple[str, int], float]]:
    """Return blocks: the times of each grain on one thread and on all workers."""
    places = random.Random(seed)
    place = places.random()

    def arm(pool: Pool, size: int) -> Callable[[], float]:
        return lambda: _settled(pool, work.region(size * started.workers, place))

    arms = {
        (name, size): arm(pool, size)
        for size in grains
        for name, pool in (("serial", alone), ("parallel", started))
    }
    # An empty region is an arm of its own, since empty regions in a row would find all
    # workers awake, and cost less than a region that follows other work.
    arms["parallel", 0] = arm(started, 0)
    made: list[dict[tuple[str, int], float]] = []
    timed = interleaved(arms, seed=seed)
    with AsItself():
        for done in range(blocks):
            if progress is not None:
                progress(f"block {done + 1} of {blocks}")
            made.append(next(timed))
            place = places.random()
    return made


def _settled(pool: Pool, region: Region) -> float:
    """Run a region, and wait until no worker spins, which would slow the next arm."""
    seconds = pool.run(region)
    pool.settle()
    return seconds


def _grains(expected: float, most: int) -> list[int]:
    """Return the powers of two up to far beyond the expected grain."""
    top = min(most, max(1.0, _BEYOND * expected))
    return [2**power for power in range(math.floor(math.log2(top)) + 1)]


def _plan(
    grains: list[int], item: float, region: float, workers: int, budget: float
) -> tuple[int, list[int]]:
    """Return how many blocks fit into the budget, and which grains.

    The largest grains are left out if they would leave too few blocks. The worst case is
    assumed: that workers compute one after the other.
    """

    def seconds(given: list[int]) -> float:
        return sum(2 * workers * size * item + region for size in [0, *given])

    chosen = list(grains)
    # One more block warms up and is not yielded, see `interleaved`.
    while len(chosen) > 1 and (_LEAST_BLOCKS + 1) * seconds(chosen) > budget:
        chosen.pop()
    needed = (_LEAST_BLOCKS + 1) * seconds(chosen)
    if needed > budget:
        raise ArgumentError(
            f"budget: expected at least {math.ceil(needed)} seconds for"
            f" {_LEAST_BLOCKS + 1} blocks, as an item takes {duration(item)};"
            f" got {budget:g}"
        )
    return min(_MOST_BLOCKS, int(budget / seconds(chosen)) - 1), chosen


def _row(
    size: int, blocks: Sequence[Mapping[tuple[str, int], float]], workers: int
) -> GrainRow:
    comparison = RunningComparison(workers)
    for block in blocks:
        comparison.add({arm: Sample(block[arm, size]) for arm in ("serial", "parallel")})
    return GrainRow(size, comparison.result(preset=True).without_samples())


def _typical(seconds: Sequence[float]) -> float:
    return math.exp(median(map(math.log, seconds)))


def _smallest(rows: Sequence[GrainRow]) -> GrainRow | None:
    """Return the first row of those at the end that all win; others won by chance."""
    found = None
    for row in reversed(rows):
        if not row.wins:
            break
        found = row
    return found


def _claim_seconds(variant: Variant) -> float:
    """Return the cost of claiming a grain and of starting on it, in seconds.

    Items that take next to nothing are claimed once one by one, and once all together;
    the difference is due to the claims.
    """
    if variant.claims_grains:
        kernel = kernels.get("triad")
        claiming = kernel.variant(variant.name)
        arguments = kernel.problem(_CLAIMS).calls()[0]
    else:
        claiming, arguments = items_of(lambda _start, _stop: None), ()

    def seconds(size: int) -> float:
        with SerialPool() as alone:
            return alone.run(Region(claiming, arguments, _CLAIMS, "dynamic", size))

    each = [seconds(1) - seconds(_CLAIMS) for _ in range(_ROUNDS)]
    return max(0.0, median(each)) / _CLAIMS
