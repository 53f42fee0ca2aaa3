"""What is timed to judge scaling: arms, their workers, and what happens if they fail."""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import pytest

from gilx.speedup.call_processes import NoProcessesError
from gilx.testing.checked_call import CheckedCall, Limited
from gilx.testing.scaling_arms import Arms

if TYPE_CHECKING:
    from pathlib import Path

COMPUTE = partial(hashlib.pbkdf2_hmac, "sha256", b"password", b"salt", 5_000)
ALL = {"seconds": 0.01, "budget": 60.0}

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


def test_a_block_has_all_arms() -> None:
    with Arms(CheckedCall(COMPUTE, (), None), 2, 3, None) as arms:
        [one] = arms.blocks(3, seconds=0.01, budget=0.0)
    assert arms.kind == "the same calls in processes"
    assert arms.doubt == ""
    assert min(one.serial, one.parallel, one.ceiling) > 0
    assert one.ceiling_serial is None
    for cpu in (one.serial_cpu, one.parallel_cpu, one.ceiling_cpu):
        assert cpu is not None
        assert cpu > 0
    for own, wall in (
        (one.serial_own, one.serial),
        (one.parallel_own, one.parallel),
        (one.ceiling_own, one.ceiling),
    ):
        assert own is not None
        # What it takes to hand out work is in one of them and not in the other.
        assert 0 < own < wall + 1


def test_blocks_are_made_until_there_are_enough() -> None:
    with Arms(CheckedCall(COMPUTE, (), None), 2, 1, None) as arms:
        assert len(list(islice(arms.blocks(1, **ALL), 4))) == 4
        assert len(list(islice(arms.blocks(1, **ALL), 2))) == 2


def test_what_can_not_be_sent_is_compared_with_other_work() -> None:
    with Arms(CheckedCall(lambda: COMPUTE(), (), None), 2, 1, None) as arms:  # noqa: PLW0108
        one = next(arms.blocks(1, **ALL))
    assert arms.kind.startswith("other work: ")
    assert arms.doubt.startswith("it can't be pickled")
    assert one.ceiling_serial is not None
    assert one.ceiling_own is None


def test_a_process_that_fails_late(calls: Any, tmp_path: Path) -> None:
    """What was timed until then is lost, and the ceiling is other work."""
    call = partial(calls.fails_elsewhere, os.getpid(), str(tmp_path / "n"))
    with Arms(CheckedCall(call, (), None), 2, 1, None) as arms:
        with pytest.raises(NoProcessesError):
            list(arms.blocks(1, **ALL))
        found = list(islice(arms.blocks(1, **ALL), 5))
    assert len(found) == 5
    assert all(one.ceiling_serial is not None for one in found)
    assert arms.doubt == "in a process it raised ValueError: late"


def test_every_call_has_fresh_arguments(calls: Any) -> None:
    with Arms(CheckedCall(calls.use_up, (), calls.fresh), 2, 3, None) as arms:
        for some in (2, 3):
            assert len(list(islice(arms.blocks(some, **ALL), 3))) == 3
    assert arms.doubt == ""
    # In here: one block warms up, three count; alone and by two threads.
    assert len(calls.made) == (2 + 3) * 4 * 3


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
