"""Arms that are timed to judge scaling, their workers, and their failures."""

from __future__ import annotations

import importlib
import os
import sys
import zlib
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

import gilx
from gilx.pools import ThreadPool
from gilx.speedup.arms import Arms
from gilx.speedup.call_processes import NoProcessesError
from gilx.speedup.prepared_call import PreparedCall
from gilx.speedup.targets import CallableTarget
from gilx.speedup.thread_limits import Limited
from tests.markers import needs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# It writes nothing: what threads allocate may lie so close together that none gains.
COMPUTE = partial(zlib.crc32, bytes(4 << 20))
ALL: Any = {"seconds": 0.01, "budget": 60.0}

MODULE = """
import os

made = []

def use_up(items):
    made.append(items.pop())

def fresh():
    return ([bytes(10)],)

def fails_elsewhere(here, path):
    if os.getpid() != here:
        with open(path, "a+") as file:
            file.write("x")
        if os.path.getsize(path) > 7:
            raise ValueError("late")
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Functions in a module that other processes find, too."""
    (tmp_path / "gilx_calls_to_send.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "gilx_calls_to_send", raising=False)
    return importlib.import_module("gilx_calls_to_send")


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    with ThreadPool(2) as threads:
        yield threads


def target(fn: Callable[..., object], setup: Any = None) -> CallableTarget:
    return CallableTarget(PreparedCall(fn, (), setup))


def test_a_block_has_all_arms(pool: ThreadPool) -> None:
    with Arms(target(COMPUTE), pool) as arms:
        [one] = arms.blocks(3, seconds=0.01, budget=0.0, control=True, single=True)
    assert arms.kind == "the same calls in processes"
    assert arms.reason == ""
    own = {"serial", "parallel", "single serial", "single parallel"}
    assert set(one) == own | {"ceiling", "control", "control serial"}
    for name in (*own, "ceiling"):
        sample = one[name]
        assert sample.worker_cpu is not None
        assert sample.longest is not None
        assert sample.worker_cpu > 0
        # What it takes to hand out work is in one of them and not in the other.
        assert 0 < sample.longest < sample.seconds + 1


def test_without_a_ceiling_there_are_two_arms(pool: ThreadPool) -> None:
    with Arms(target(COMPUTE), pool, ceiling=False) as arms:
        [one] = arms.blocks(3, seconds=0.01, budget=0.0)
    assert arms.kind == ""
    assert set(one) == {"serial", "parallel"}


def test_the_serial_run_stands_for_the_calls_of_all_workers(pool: ThreadPool) -> None:
    made: list[int] = []

    def call() -> None:
        made.append(len(made))

    with Arms(target(call), pool, ceiling=False) as arms:
        [one] = arms.blocks(5, seconds=0.01, budget=0.0, warm_up=False)
    assert len(made) == 5 + 2 * 5
    assert one["serial"].regions == 2 * one["parallel"].regions


def test_blocks_are_made_until_there_are_enough(pool: ThreadPool) -> None:
    with Arms(target(COMPUTE), pool) as arms:
        assert len(list(islice(arms.blocks(1, **ALL), 4))) == 4
        assert len(list(islice(arms.blocks(1, **ALL), 2))) == 2


def test_what_can_not_be_sent_is_compared_with_other_work(pool: ThreadPool) -> None:
    with Arms(target(lambda: COMPUTE()), pool) as arms:  # noqa: PLW0108
        one = next(arms.blocks(1, **ALL))
    assert arms.kind.startswith("other work: ")
    assert arms.reason.startswith("it can't be pickled")
    assert "ceiling serial" in one
    assert one["ceiling"].longest is None


def test_a_process_that_fails_late(calls: Any, pool: ThreadPool, tmp_path: Path) -> None:
    """Earlier timings are lost, and the ceiling is other work."""
    call = partial(calls.fails_elsewhere, os.getpid(), str(tmp_path / "n"))
    with Arms(target(call), pool) as arms:
        with pytest.raises(NoProcessesError):
            list(arms.blocks(1, **ALL))
        found = list(islice(arms.blocks(1, **ALL), 5))
    assert len(found) == 5
    assert all("ceiling serial" in one for one in found)
    assert arms.reason == "in a process it raised ValueError: late"


def test_measure_begins_again_if_a_process_fails_late(calls: Any, tmp_path: Path) -> None:
    call = partial(calls.fails_elsewhere, os.getpid(), str(tmp_path / "n"))
    [row] = gilx.measure(call, workers=2, repeat=1, blocks=6, budget=0.3).rows
    assert row.comparison.blocks == 6
    note = "no ceiling by processes: in a process it raised ValueError: late"
    assert any(each.startswith(note) for each in row.notes), row


def test_every_call_has_fresh_arguments(calls: Any, pool: ThreadPool) -> None:
    with Arms(target(calls.use_up, calls.fresh), pool) as arms:
        for some in (2, 3):
            assert len(list(islice(arms.blocks(some, **ALL), 3))) == 3
    assert arms.reason == ""
    # In here: one block warms up, three count; alone and by two threads.
    assert len(calls.made) == (2 + 3) * 4 * 3


@needs("threadpoolctl")
def test_threads_of_what_was_sent_are_limited() -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl")
    pytest.importorskip("numpy")
    import pickle

    before = threadpoolctl.threadpool_info()
    try:
        call = pickle.loads(pickle.dumps(Limited(partial(divmod, 7, 3), 1)))
        assert call() == (2, 1)
        assert {each["num_threads"] for each in threadpoolctl.threadpool_info()} <= {1}
    finally:
        for each in before:
            threadpoolctl.threadpool_limits({each["prefix"]: each["num_threads"]})
