"""Pools and dispatch: every schedule gives the same result, faults leave pools usable."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

import gilx
from gilx.errors import ArgumentError
from gilx.kernels.kernel import agree, split_evenly
from gilx.pools import ThreadPool, fork_safe_lock, start
from gilx.pools.fork_safe_lock import Turn
from gilx.pools.run import regions, run_all
from tests.implementations import SMALL, one_worker
from tests.markers import needs_fork

if TYPE_CHECKING:
    from types import FrameType

    from _typeshed import TraceFunction

    from gilx.pools.pool import Schedule

pytestmark = pytest.mark.concurrent_callers


@pytest.mark.parametrize("workers", [1, 5, 64])
@pytest.mark.parametrize("schedule", ["static", "dynamic"])
def test_same_result_however_it_is_run(
    kernel: gilx.kernels.Kernel, workers: int, schedule: Schedule
) -> None:
    # The references are slow; how many threads they are run by makes little difference.
    for variant in set(kernel.variants).difference(("python", "numpy")):
        threads = gilx.run(
            kernel.name,
            workers=workers,
            variant=variant,
            schedule=schedule,
            size=SMALL[kernel.name],
        )
        assert threads.workers == workers
        assert threads.seconds > 0
        assert agree(threads.value, one_worker(kernel.name).value, 0), variant


def test_histogram_is_merged() -> None:
    result = gilx.run("histogram", size=200_000)
    assert result.value.shape == (256,)
    assert result.value.sum() == 200_000
    assert np.array_equal(
        result.value, np.bincount(result.problem.inputs[0], minlength=256)
    )


def test_a_pool_knows_its_workers() -> None:
    with ThreadPool(3) as pool:
        assert gilx.run("mandelbrot", size=20, pool=pool).workers == 3
        with pytest.raises(ValueError, match="workers: expected 3, as the threads pool"):
            gilx.run("mandelbrot", size=20, pool=pool, workers=2)


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


@pytest.mark.parametrize(
    ("name", "size", "workers", "grain"),
    [
        ("nbody", 12_800, 2, 100),
        ("nbody", 10, 4, 1),
        # A claim packs the other matrix, which few rows would not be worth.
        ("matmul", 640, 1, 80),
        ("matmul", 640, 2, 80),
        ("matmul", 640, 16, 40),
        ("matmul", 3, 8, 1),
    ],
)
def test_default_grains(name: str, size: int, workers: int, grain: int) -> None:
    problem = gilx.kernels.get(name).problem(size)
    assert regions(problem, workers=workers)[0].grain == grain


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@needs_fork
def test_a_forked_child_can_not_use_the_pool_of_threads() -> None:
    with ThreadPool(2) as pool:
        child = os.fork()
        if child == 0:
            try:
                signal.alarm(30)  # if it hangs
                with pytest.raises(RuntimeError, match="from which this one was forked"):
                    gilx.run("triad", pool=pool, size=9)
                pool.close()
                os._exit(0)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        gilx.run("triad", pool=pool, size=9)
    assert status == 0


def test_a_turn_is_not_waited_for_by_who_has_it() -> None:
    turn = Turn("it")
    with turn.taken():
        with pytest.raises(RuntimeError, match="it is in use by the call"):
            turn.taken()
        got = threading.Event()

        def other() -> None:
            with turn.taken():
                got.set()

        thread = threading.Thread(target=other)
        thread.start()
        assert not got.wait(0.05)
    thread.join(30)
    assert got.is_set()
    with turn.taken():
        pass


@pytest.mark.thread_unsafe(reason="traces")
def test_ctrl_c_at_any_moment_leaves_a_turn_free() -> None:
    turn = Turn("it")
    moment = 0
    interrupted = True
    before = sys.gettrace()
    while interrupted:
        moment += 1
        left = moment

        def trace(frame: FrameType, _event: str, _: object) -> TraceFunction:
            nonlocal left
            left -= frame.f_code.co_filename == fork_safe_lock.__file__
            if left == 0:
                raise KeyboardInterrupt
            return trace

        def use() -> None:
            with turn.taken():
                pass

        try:
            sys.settrace(trace)
            use()
            interrupted = False
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(before)
        free = threading.Thread(target=use, daemon=True)
        free.start()
        free.join(30)
        assert not free.is_alive(), f"taken indefinitely at moment {moment}"
    assert moment > 5


def test_processes_are_for_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(ArgumentError, match=r"^pool: processes works on Linux only$"):
        start("processes", 2)
