"""The contract of pools, which each of gilx's own keeps, and any executor behind one."""

from __future__ import annotations

import re
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import product
from multiprocessing import get_context
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import pytest

import gilx
from gilx.errors import ArgumentError
from gilx.kernels.kernel import agree
from gilx.pools import ExecutorPool, SerialPool, start
from gilx.pools.pool import SCHEDULES
from gilx.pools.run import regions, run_all
from gilx.system.environment import usable_cpus
from tests.command import run_python
from tests.implementations import SMALL, endless, one_worker
from tests.integration.test_interrupt import interrupted
from tests.markers import needs, needs_interpreters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from gilx.pools import Pool
    from gilx.pools.pool import Schedule
    from gilx.pools.resource_usage import Share

    Starter = Callable[[int], Pool]


@contextmanager
def loky() -> Iterator[Executor]:
    module = pytest.importorskip("loky")
    with module.ProcessPoolExecutor(2, timeout=60) as executor:
        yield executor


@contextmanager
def dask() -> Iterator[Executor]:
    module = pytest.importorskip("distributed")
    with (
        module.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=":0",  # any port that is free
        ) as cluster,
        module.Client(cluster) as client,
        client.get_executor() as executor,
    ):
        yield executor


EXECUTORS: dict[str, Callable[[], AbstractContextManager[Executor]]] = {
    "ThreadPoolExecutor": partial(ThreadPoolExecutor, 2),
    "ProcessPoolExecutor": partial(
        ProcessPoolExecutor, 2, mp_context=get_context("spawn")
    ),
    "loky": loky,
    "dask": dask,
}
in_threads = pytest.mark.concurrent_callers
POOLS = [
    "processes",
    pytest.param("interpreters", marks=[needs_interpreters, in_threads]),
    *(
        pytest.param(name, marks=[in_threads, *needed])
        for name, needed in {
            **dict.fromkeys(("serial", "threads", "native", *EXECUTORS), ()),
            "loky": (needs("loky"),),
            "dask": (needs("distributed"),),
        }.items()
    ),
]
VARIANTS = {"interpreters": ("c-gil", "c-nogil"), "native": ("c-nogil",)}


@pytest.fixture(scope="module", params=POOLS)
def starter(request: pytest.FixtureRequest) -> Iterator[Starter]:
    """Return a function that starts a pool of one kind with so many workers."""
    if request.param in EXECUTORS:
        with EXECUTORS[request.param]() as executor:
            yield partial(ExecutorPool, executor)
    else:
        yield partial(start, request.param)


@pytest.fixture(scope="module")
def pool(starter: Starter) -> Iterator[Pool]:
    with starter(2) as started:
        yield started


def variants(kernel: gilx.kernels.Kernel, pool: Pool) -> tuple[str, ...]:
    """Return the variants that the pool's workers run."""
    # Pure Python is slow, and no different in an executor or in series.
    every = kernel.variants[isinstance(pool, (ExecutorPool, SerialPool)) :]
    return VARIANTS.get(pool.name, tuple(every))


def accounted(pool: Pool) -> int:
    """Return for how many workers the pool can say what they used."""
    unknown = pool.name == "native" or isinstance(pool, ExecutorPool)
    return 0 if unknown else pool.workers


def use(pool: Pool, seed: int = 0) -> None:
    """Run a kernel on the pool and check its result."""
    result = gilx.run("mandelbrot", pool=pool, size=60, seed=seed)
    result.problem.check(result.value)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_result_has_the_bits_of_one_worker(
    kernel: gilx.kernels.Kernel, schedule: Schedule, pool: Pool
) -> None:
    right = one_worker(kernel.name).value
    run = partial(gilx.run, kernel.name, pool=pool, size=SMALL[kernel.name])
    for variant in variants(kernel, pool):
        if (variant, schedule) == ("python", "static"):
            continue  # slow, and no different from numpy's blocks
        result = run(variant=variant, schedule=schedule)
        # References add in an order that may depend on how the items are split.
        tolerance = kernel.tolerance if variant in ("python", "numpy") else 0
        assert agree(result.value, right, tolerance), variant
        assert (result.pool, result.workers) == (pool.name, pool.workers)
        assert result.seconds > 0
        assert result.start_seconds == pool.start_seconds
        assert (pool.start_seconds > 0) == pool.own_gils
    pool.settle()


def test_region_without_items_is_done(pool: Pool) -> None:
    problem = gilx.kernels.get("histogram").problem(100)
    data, block = problem.inputs
    nothing = replace(problem, inputs=(data[:0], block), out=problem.out[:0])
    for variant, schedule in product(variants(problem.kernel, pool), SCHEDULES):
        work = regions(pool.place(nothing), variant=variant, schedule=schedule)
        assert run_all(pool, work) > 0


@pytest.mark.thread_unsafe(reason="one process cannot have more interpreters")
def test_one_worker_and_more_than_items_and_cpus(starter: Starter, pool: Pool) -> None:
    most = usable_cpus() + 3 if pool.own_processes else 64
    for workers in (1, most):
        with starter(workers) as other:
            for schedule in SCHEDULES:
                result = gilx.run("collatz", pool=other, size=most - 1, schedule=schedule)
                result.problem.check(result.value, range(most - 1))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_items_from_the_middle(schedule: Schedule, pool: Pool) -> None:
    whole = gilx.run("collatz", size=100, pool="serial").value
    problem = pool.place(gilx.kernels.get("collatz").problem(100))
    [region] = regions(problem, schedule=schedule)
    part = replace(region, items=30, first=17)
    if pool.name == "native":
        with pytest.raises(ArgumentError, match=r"region: expected all items .* from 17"):
            pool.run(part)
        return
    pool.run(part)
    assert np.array_equal(problem.out[17:47], whole[17:47])
    assert not problem.out[:17].any()
    assert not problem.out[47:].any()
    pool.run(replace(part, items=0))


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_account_has_what_each_worker_used(schedule: Schedule, pool: Pool) -> None:
    problem = pool.place(gilx.kernels.get("collatz").problem(2000))
    [region] = regions(problem, workers=2, schedule=schedule)
    pool.run(region)
    for _ in range(3):
        account: list[Share] = []
        begin = perf_counter()
        seconds = pool.run(region, account)
        end = perf_counter()
        assert 0 < seconds <= end - begin
        assert len(account) == accounted(pool)
        for share in account:
            # All workers have the caller's clock.
            assert begin <= share.begin <= share.end <= end
            assert 0 < share.cpu <= share.end - share.begin + 1e-3
            assert share.wait is None or share.wait >= 0
            assert share.voluntary is None or share.voluntary >= 0
    problem.check(problem.out)


def test_exception_of_a_worker_reaches_the_caller(pool: Pool) -> None:
    problem = pool.place(gilx.kernels.get("mandelbrot").problem(20))
    [good] = regions(problem)
    bad = replace(good, arguments=(problem.inputs[0][:5], *good.arguments[1:]))
    for wanted in (False, True):
        with pytest.raises(ValueError, match="out: expected shape") as caught:
            pool.run(bad, [] if wanted else None)
        if pool.own_gils:
            [note] = caught.value.__notes__
            words = rf"In worker \d of the {pool.name} pool.*:\nTraceback \(most recent"
            assert re.match(words, note)
        account: list[Share] = []
        assert pool.run(good, account) > 0
        assert len(account) == accounted(pool)
    problem.check(problem.out)


def test_closed_pool_says_so(starter: Starter) -> None:
    pool = starter(2)
    pool.close()
    pool.close()
    with pytest.raises(RuntimeError, match=f"the {pool.name} pool was closed"):
        use(pool)


def test_pool_is_used_from_two_threads(pool: Pool) -> None:
    with ThreadPoolExecutor(2) as callers:
        list(callers.map(partial(use, pool), range(10), timeout=60))


@pytest.mark.thread_unsafe(reason="takes signals")
@pytest.mark.parametrize("variant", ["c-gil", "c-nogil", "cython-gil", "cython-nogil"])
def test_ctrl_c_ends_a_region(
    variant: str, pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variant not in VARIANTS.get(pool.name, (variant,)):
        pytest.skip("its workers do not run this variant")
    if isinstance(pool, ExecutorPool) or not (pool.own_gils or "nogil" in variant):
        pytest.skip("its workers can't be stopped in an item")
    # On a busy machine, workers may need longer to stop than a user should wait.
    monkeypatch.setattr("gilx.system.child_processes._STOP_SECONDS", 30.0)
    region = endless(pool, variant)
    interrupted(lambda: pool.run(region))
    use(pool)


@pytest.mark.parametrize("closed", ["pool.close()", "pass"])
@pytest.mark.parametrize(
    "name", ["processes", pytest.param("interpreters", marks=needs_interpreters)]
)
def test_pool_at_exit_works_or_says_that_it_was_closed(name: str, closed: str) -> None:
    code = f"""
import atexit, gilx
pool = None
def at_exit():
    try:
        gilx.run('mandelbrot', size=20, pool=pool)
    except RuntimeError as error:
        assert str(error) == 'the {name} pool was closed'
    print('fine')
atexit.register(at_exit)
pool = gilx.pools.start('{name}', 2)
gilx.run('mandelbrot', size=20, pool=pool)
{closed}
"""
    done = run_python("-W", "error", "-c", code, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("fine\n", "")
