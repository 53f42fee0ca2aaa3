"""The pool of sub-interpreters, where Python has them."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import gilx
from gilx.pools import InterpreterPool
from gilx.pools.run import regions, run_all
from tests.implementations import endless
from tests.markers import HAS_INTERPRETERS, needs_interpreters

if TYPE_CHECKING:
    from collections.abc import Iterator


pytestmark = pytest.mark.concurrent_callers

VARIANTS = ("c-gil", "c-nogil")
DEADLINE = 60


def interpreters() -> set[Any]:
    """All interpreters that there are."""
    return set(importlib.import_module("concurrent.interpreters").list_all())


@pytest.fixture(scope="module")
def pool() -> Iterator[InterpreterPool]:
    with InterpreterPool(2) as started:
        yield started


@pytest.mark.skipif(HAS_INTERPRETERS, reason="needs Python 3.13 or older")
def test_older_pythons_say_what_is_needed() -> None:
    words = "pool: interpreters needs Python 3.14 or newer; this is 3."
    with pytest.raises(ValueError, match=words):
        gilx.run("mandelbrot", size=20, pool="interpreters")
    with pytest.raises(ValueError, match=words):
        InterpreterPool(2)


def test_it_is_always_listed() -> None:
    assert "interpreters" in gilx.pools.names()


@pytest.mark.parametrize("variant", ["python", "numpy", "cython-gil", "cython-nogil"])
def test_variants_that_can_not_run_there(variant: str) -> None:
    words = (
        "variant: expected one of c-gil, c-nogil on the interpreters pool, since .* GIL;"
    )
    with pytest.raises(ValueError, match=words):
        gilx.run("mandelbrot", size=20, pool="interpreters", variant=variant)


@needs_interpreters
def test_numbers_of_numpy_can_be_arguments(pool: InterpreterPool) -> None:
    problem = gilx.kernels.get("triad").problem(100)
    b, c, scalar = problem.inputs
    for kind in (np.float64, np.float32, np.int64):
        work = regions(replace(problem, inputs=(b, c, kind(scalar))))
        run_all(pool, work[:1])
        first = work[0].arguments[-1]
        assert np.array_equal(first, b + float(kind(scalar)) * c)


@needs_interpreters
def test_each_worker_holds_a_gil_of_its_own(pool: InterpreterPool) -> None:
    problem = gilx.kernels.get("mandelbrot").problem(2)
    # Points of the first row never escape, those of the second do at once: while one
    # worker is in a call without end, which holds its GIL, the other one gets done.
    x, *_ = problem.inputs
    endless = replace(problem, inputs=(np.zeros_like(x), np.array([0.0, 4.0]), 2**31 - 1))
    [region] = regions(endless, variant="c-gil", schedule="static")
    problem.out[:] = -1
    caller = threading.Thread(target=pool.run, args=(region,))
    caller.start()
    try:
        give_up = time.monotonic() + DEADLINE
        while (problem.out[1] < 0).any() and time.monotonic() < give_up:
            time.sleep(0.001)
        assert (problem.out[1] >= 0).all()
        assert caller.is_alive()
    finally:
        pool._cancel()
        caller.join(DEADLINE)
    assert not caller.is_alive()


@needs_interpreters
def test_workers_stay_in_their_interpreters_between_regions() -> None:
    before = interpreters()
    with InterpreterPool(2) as pool:
        for _ in range(3):
            gilx.run("mandelbrot", size=20, pool=pool)
            new = interpreters() - before
            assert len(new) == 2
            assert all(interpreter.is_running() for interpreter in new)


@needs_interpreters
@pytest.mark.parametrize("closed", [True, False])
def test_nothing_is_left_of_a_pool(closed: bool) -> None:
    def left() -> tuple[set[Any], set[Any], set[Any]]:
        gc.collect()  # also what other tests have dropped
        threads = {thread.ident for thread in threading.enumerate()}
        return interpreters(), threads, set(os.listdir("/proc/self/fd"))

    before = left()
    pool = InterpreterPool(2)
    gilx.run("mandelbrot", size=20, pool=pool)
    if closed:
        pool.close()
    del pool
    for more, had in zip(left(), before, strict=True):
        assert more <= had


@needs_interpreters
def test_a_worker_keeps_no_arrays_between_regions(pool: InterpreterPool) -> None:
    [region] = regions(gilx.kernels.get("mandelbrot").problem(20))
    memory = bytearray(region.arguments[-1].nbytes)
    out = memoryview(memory).cast("B").cast("i", region.arguments[-1].shape)
    pool.run(replace(region, arguments=(*region.arguments[:-1], out)))
    assert any(memory)
    out.release()
    give_up = time.monotonic() + DEADLINE
    while True:  # what interpreters had is given back between two lines of Python
        try:
            memory.append(0)
        except BufferError:
            assert time.monotonic() < give_up
            time.sleep(0.001)
        else:
            break


@needs_interpreters
def test_a_region_after_one_that_nobody_waited_for(pool: InterpreterPool) -> None:
    # As a second Ctrl-C may leave it: handed out and never waited for.
    region = endless(pool)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InterpreterPool, "_wait", _give_up)
        patch.setattr(InterpreterPool, "_stop", InterpreterPool._cancel)
        with pytest.raises(TimeoutError):
            pool.run(region)
    result = gilx.run("mandelbrot", size=20, pool=pool)
    result.problem.check(result.value)


def _give_up(pool: InterpreterPool, number: int) -> list[tuple[Any, ...]]:
    if number == pool._number and min(pool._finished) < number:
        raise TimeoutError
    return []


@needs_interpreters
def test_a_worker_that_ends_is_an_error() -> None:
    pool = InterpreterPool(2)
    pool._workers[1].put(("not a task",))  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(RuntimeError, match="the interpreters pool: worker 1 ended: "):
            gilx.run("mandelbrot", size=20, pool=pool)
    pool.close()


@needs_interpreters
def test_a_forked_child_can_not_use_the_pool(
    pool: InterpreterPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No fork: CPython 3.14 and 3.15 crash in the child while there are sub-interpreters.
    monkeypatch.setattr(pool, "_process", pool._process + 1)
    with pytest.raises(RuntimeError, match="from which this one was forked"):
        gilx.run("mandelbrot", size=20, pool=pool)


@needs_interpreters
def test_close_works_after_ctrl_c_between_the_ends_of_a_pipe() -> None:
    class InterruptedOnce:
        def __init__(self, file: Any) -> None:
            self.file, self.interrupted = file, False

        def close(self) -> None:
            self.file.close()
            if not self.interrupted:
                self.interrupted = True
                raise KeyboardInterrupt

    pool = InterpreterPool(1)
    [worker] = pool._workers
    worker._bell = InterruptedOnce(worker._bell)  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        pool.close()
    pool.close()
    assert worker._ringer.closed
