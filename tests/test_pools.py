"""Pools and dispatch: every schedule gives the same result, faults leave pools usable."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import gilx
from gilx.dispatch import regions, run_all
from gilx.kernels.base import agree, split_evenly
from gilx.pools import SerialPool, ThreadPool

from .conftest import SMALL

if TYPE_CHECKING:
    from gilx.pools.base import Schedule


@pytest.mark.parametrize("workers", [1, 2, 5, 64])
@pytest.mark.parametrize("schedule", ["static", "dynamic"])
def test_same_result_however_it_is_run(
    kernel: gilx.kernels.Kernel, workers: int, schedule: Schedule
) -> None:
    serial = gilx.run(kernel.name, pool="serial", size=SMALL[kernel.name])
    assert serial.workers == 1
    serial.problem.check(serial.problem.out)
    # The references are slow; how many threads they are run by makes little difference.
    slow = () if workers == 2 else ("python", "numpy")
    for variant in set(kernel.variants).difference(slow):
        threads = gilx.run(
            kernel.name,
            workers=workers,
            variant=variant,
            schedule=schedule,
            size=SMALL[kernel.name],
        )
        assert threads.workers == workers
        assert threads.seconds > 0
        tolerance = kernel.tolerance if variant in ("python", "numpy") else 0
        assert agree(threads.value, serial.value, tolerance), variant


def test_histogram_is_merged() -> None:
    result = gilx.run("histogram", size=200_000)
    assert result.value.shape == (256,)
    assert result.value.sum() == 200_000
    assert np.array_equal(
        result.value, np.bincount(result.problem.inputs[0], minlength=256)
    )


@pytest.mark.parametrize("pool_type", [SerialPool, ThreadPool])
def test_a_workers_exception_reaches_the_caller(
    pool_type: type[SerialPool | ThreadPool],
) -> None:
    problem = gilx.kernels.get("mandelbrot").problem(20)
    [good] = regions(problem)
    bad = replace(good, arguments=(*problem.inputs, problem.out[:5]))
    with pool_type(2) as pool:
        for _ in range(2):
            with pytest.raises(ValueError, match="out: expected shape"):
                pool.run(bad)
            assert pool.run(good) > 0
    problem.check(problem.out)


@pytest.mark.parametrize("pool_type", [SerialPool, ThreadPool])
def test_a_closed_pool_says_so(pool_type: type[SerialPool | ThreadPool]) -> None:
    pool = pool_type(2)
    pool.close()
    pool.close()
    with pytest.raises(RuntimeError, match=f"the {pool.name} pool was closed"):
        gilx.run("mandelbrot", size=20, pool=pool)


def test_a_pool_knows_its_workers() -> None:
    with ThreadPool(3) as pool:
        assert gilx.run("mandelbrot", size=20, pool=pool).workers == 3
        with pytest.raises(ValueError, match="workers: expected 3, as the threads pool"):
            gilx.run("mandelbrot", size=20, pool=pool, workers=2)


def test_one_pool_used_from_two_threads() -> None:
    with ThreadPool(2) as pool, ThreadPoolExecutor(2) as callers:

        def use(seed: int) -> Any:
            result = gilx.run("mandelbrot", size=60, seed=seed, pool=pool)
            result.problem.check(result.problem.out)
            return result

        assert len(list(callers.map(use, range(6)))) == 6


@pytest.mark.parametrize("items", [0, 1, 7, 100])
@pytest.mark.parametrize("parts", [1, 2, 7, 64])
def test_splitting_covers_everything_evenly(items: int, parts: int) -> None:
    ranges = split_evenly(items, parts)
    assert len(ranges) == parts
    assert [i for start, stop in ranges for i in range(start, stop)] == [*range(items)]
    lengths = [stop - start for start, stop in ranges]
    assert max(lengths) - min(lengths) <= 1


def test_problems_are_repeatable(kernel: gilx.kernels.Kernel) -> None:
    one, same, other = (kernel.problem(50, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one.inputs, same.inputs, strict=True))
    differ = [
        not np.array_equal(a, b) for a, b in zip(one.inputs, other.inputs, strict=True)
    ]
    # There is nothing random about primes.
    assert any(differ) == (kernel.name != "primes")


def test_a_run_of_several_sweeps_can_be_repeated() -> None:
    problem = gilx.kernels.get("heat").problem(30)
    before = problem.inputs[0].copy()
    with ThreadPool(2) as pool:
        for _ in range(2):
            run_all(pool, regions(problem, workers=2))
            problem.check(problem.out, range(problem.items))
    assert np.array_equal(problem.inputs[0], before)
    assert len(problem.calls()) == problem.sweeps > 1
