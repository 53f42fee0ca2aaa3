"""Executors that somebody brings: tasks share nothing with the caller."""

from __future__ import annotations

import os
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import pytest

import gilx
from gilx.pools import ExecutorPool
from tests.integration.test_interrupt import interrupted

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.pools.pool import Schedule

pytestmark = pytest.mark.concurrent_callers


class Counting(Executor):
    """Runs tasks at once, and counts them."""

    def __init__(self) -> None:
        self.tasks: list[tuple[int, int]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.tasks.append(args[-2:])
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


@pytest.mark.parametrize(
    ("schedule", "items", "grain", "tasks"),
    [
        ("static", 100, None, 2),
        ("static", 1, None, 1),
        ("dynamic", 100, None, 8),
        ("dynamic", 100, 30, 4),
        ("dynamic", 3, None, 3),
    ],
)
def test_how_many_tasks(
    schedule: Schedule, items: int, grain: int | None, tasks: int
) -> None:
    executor = Counting()
    gilx.run(
        "collatz", pool=executor, workers=2, size=items, schedule=schedule, grain=grain
    )
    assert len(executor.tasks) == tasks
    assert executor.tasks[0][0] == 0
    assert executor.tasks[-1][1] == items


def test_the_executor_stays_open() -> None:
    with ThreadPoolExecutor(1) as executor:
        gilx.run("collatz", pool=executor, workers=1, size=10)
        with ExecutorPool(executor, 1) as pool:
            pass
        assert executor.submit(len, "abc").result(30) == 3
        with pytest.raises(RuntimeError, match="the ThreadPoolExecutor pool was closed"):
            gilx.run("collatz", pool=pool, size=10)
    with pytest.raises(RuntimeError, match="cannot schedule new futures after shutdown"):
        gilx.run("collatz", pool=executor, size=10)


@pytest.mark.thread_unsafe(reason="takes signals")
def test_ctrl_c_comes_back_at_once_and_cancels_what_has_not_begun() -> None:
    futures: list[Future[Any]] = []

    class Never(Executor):
        def submit(self, *_: Any, **__: Any) -> Future[Any]:
            futures.append(Future())
            return futures[-1]

    interrupted(lambda: gilx.run("collatz", pool=Never(), workers=2, size=10))
    assert len(futures) == 8
    assert all(future.cancelled() for future in futures)


def test_workers_of_an_executor_are_checked() -> None:
    with ThreadPoolExecutor(1) as executor:
        with pytest.raises(ValueError, match="workers: expected at least 1, got 0"):
            ExecutorPool(executor, 0)
        with pytest.raises(ValueError, match="workers: expected at least 1, got 0"):
            gilx.run("collatz", pool=executor, workers=0, size=10)


def test_a_dead_worker_is_the_executors_to_report() -> None:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        broken = executor.submit(os._exit, 1)
        with pytest.raises(RuntimeError, match="process"):
            broken.result(60)
        with pytest.raises(RuntimeError, match="process"):
            gilx.run("collatz", pool=executor, workers=1, size=10)
