"""Run a kernel on a pool."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilx import kernels, pools
from gilx.errors import ArgumentError, at_least, number_of_workers, one_of
from gilx.pools.pool import SCHEDULES, Pool, Region
from gilx.system.environment import usable_cpus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilx.kernels.kernel import Array, Problem
    from gilx.pools.pool import Schedule


@dataclass(frozen=True, eq=False)
class RunResult:
    """Result of a run of a kernel, and how it was made."""

    value: Array
    """The result, with partial results merged."""
    seconds: float
    """Wall time of the regions: handing out the work, computing, waiting for all."""
    problem: Problem
    variant: str
    pool: str
    workers: int
    schedule: Schedule
    grain: int
    """Items in one claim under the dynamic schedule."""
    start_seconds: float
    """Seconds that starting the pool's workers took, where that is worth knowing."""


def regions(
    problem: Problem,
    *,
    variant: str = "c-nogil",
    workers: int = 1,
    schedule: Schedule = "dynamic",
    grain: int | None = None,
    out: Array | None = None,
) -> list[Region]:
    """Return the regions that compute a problem, one for each of its sweeps.

    Parameters
    ----------
    problem : Problem
        What to compute.
    variant : str
        One of the kernel's variants.
    workers : int
        How many workers it is meant for, 1 to 4096; decides the default grain.
    schedule : {'dynamic', 'static'}
        Whether workers claim grains as they go, or get one equal block each.
    grain : int, optional
        Items in one claim, at least 1; by default 1/64 of a worker's equal share, which
        leaves little to wait for at the end, and little to claim; but the kernel's
        `least_grain` where that is more, and never more than a worker's equal share.
    out : array, optional
        The output; by default the problem's own.

    Raises
    ------
    ArgumentError
        An argument is not as described; the message names it and what is valid.

    """
    resolved = problem.kernel.variant(variant)
    one_of("schedule", schedule, SCHEDULES)
    number_of_workers(workers)
    if grain is None:
        share = problem.items // workers
        grain = max(1, min(share, max(problem.kernel.least_grain, share // 64)))
    grain = at_least("grain", grain, 1)
    return [
        Region(resolved, arguments, problem.items, schedule, grain)
        for arguments in problem.calls(out)
    ]


def run_all(pool: Pool, work: Sequence[Region]) -> float:
    """Run regions one after another; return the sum of their wall times in seconds."""
    return sum(map(pool.run, work))


def run(
    kernel: str,
    *,
    workers: int | None = None,
    pool: str | Pool | Executor = "threads",
    variant: str = "c-nogil",
    schedule: Schedule = "dynamic",
    size: int | None = None,
    seed: int = 0,
    grain: int | None = None,
) -> RunResult:
    """Run one of gilx's kernels once.

    Parameters
    ----------
    kernel : str
        One of `gilx.kernels.names()`.
    workers : int, optional
        How many workers, 1 to 4096; by default the CPUs that this process may use. A
        pool that was handed in knows its own; an executor that reaches other machines
        does not report it, so that it should be given here.
    pool : str, Pool or Executor
        Where to run: one of `gilx.pools.names()`, started and closed by this call, or
        a pool that is open, or any ``concurrent.futures.Executor``, which stay so.
    variant : str
        One of the kernel's variants: 'python', 'numpy' where there is one, 'c-gil',
        'c-nogil', 'cython-gil', 'cython-nogil'.
    schedule : {'dynamic', 'static'}
        Whether workers claim grains as they go, or get one equal block each.
    size, seed : int
        Which problem, see `Kernel.problem`.
    grain : int, optional
        Items in one claim under the dynamic schedule.

    Returns
    -------
    RunResult
        Its ``value`` and ``seconds``, and how they came about.

    Raises
    ------
    ArgumentError
        An argument is not as described; the message names it and what is valid.
    NotCompiledError
        The variant or the pool is compiled, and gilx was installed without its compiled
        parts.
    RuntimeError
        The pool was closed.

    """
    chosen = kernels.get(kernel)
    if isinstance(pool, Pool):
        if workers is not None and workers != pool.workers:
            raise ArgumentError(
                f"workers: expected {pool.workers}, as the {pool.name} pool has, or None;"
                f" got {workers}"
            )
        return _run_on(pool, chosen.problem(size, seed), variant, schedule, grain)
    workers = usable_cpus() if workers is None else number_of_workers(workers)
    if isinstance(pool, Executor):
        brought = pools.ExecutorPool(pool, workers)
        return _run_on(brought, chosen.problem(size, seed), variant, schedule, grain)
    # Everything is checked before any worker is started.
    chosen.function(variant)
    pools.get(pool).check_variant(variant)
    one_of("schedule", schedule, SCHEDULES)
    problem = chosen.problem(size, seed)
    with pools.start(pool, workers) as started:
        return _run_on(started, problem, variant, schedule, grain)


def _run_on(
    pool: Pool, problem: Problem, variant: str, schedule: Schedule, grain: int | None
) -> RunResult:
    pool.check_variant(one_of("variant", variant, problem.kernel.variants))
    problem = pool.place(problem)
    work = regions(
        problem, variant=variant, workers=pool.workers, schedule=schedule, grain=grain
    )
    seconds = run_all(pool, work)
    return RunResult(
        value=problem.merge(problem.out),
        seconds=seconds,
        problem=problem,
        variant=variant,
        pool=pool.name,
        workers=pool.workers,
        schedule=schedule,
        grain=work[0].grain,
        start_seconds=pool.start_seconds,
    )
