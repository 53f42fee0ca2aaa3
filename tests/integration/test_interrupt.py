"""Ctrl-C and cancelling stop kernels, inside long items too."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING

import numpy as np
import pytest

import gilx
from gilx._compat import gil_enabled
from gilx.ckernels import Counter, NativeTeam, rendezvous_nogil, spin
from tests.implementations import SMALL

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from tests.implementations import Implementation

pytestmark = pytest.mark.thread_unsafe(reason="takes signals")

# Work that would take far longer than the tests let it, in two items if possible.
LONG: dict[str, Callable[[], tuple[Any, ...]]] = {
    "mandelbrot": lambda: (
        np.zeros(2),
        np.zeros(2),
        2**31 - 1,
        np.zeros((2, 2), np.int32),
    ),
    "nbody": lambda: (*np.zeros((4, 200_000)), 1.0, np.zeros((200_000, 3))),
    "matmul": lambda: (
        np.zeros((300_000, 400)),
        np.zeros((400, 400)),
        np.zeros((300_000, 400)),
    ),
    "collatz": lambda: (2**50, np.zeros(200_000_000, np.int32)),
    "primes": lambda: (2**48, 2**47, np.zeros(2, np.int64)),
    "montecarlo": lambda: (
        *(100.0, 105.0, 0.02, 0.25, 1.5, 2**62, 2**61, 0),
        np.zeros((2, 2)),
    ),
    "levenshtein": lambda: (
        np.zeros(2_000_000, np.uint8),
        np.array([0, 1_000_000, 2_000_000]),
        np.zeros(2_000_000, np.uint8),
        np.array([0, 1_000_000, 2_000_000]),
        np.zeros(2, np.int32),
    ),
}


def interrupted(call: Callable[[], object]) -> KeyboardInterrupt:
    """Make a call that ends by SIGINT, which a helper sends to this process meanwhile."""
    done = threading.Event()
    # Python ignores what is raised in callbacks of the garbage collector (Hypothesis has
    # one), and so would lose the signal.
    collects = gc.isenabled()
    gc.disable()
    # The signal must come from outside: a held call lets no other thread here run.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    helper = subprocess.Popen(["sh", "-c", f"sleep 0.1; kill -INT {os.getpid()}"])
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            call()
            done.wait(30)  # the call was over before the signal came: fail, but cleanly
    finally:
        signal.signal(signal.SIGINT, before)
        if collects:
            gc.enable()
        helper.wait()
    return caught.value


@pytest.mark.parametrize("name", LONG)
def test_ctrl_c_in_a_direct_call(implementation: Implementation, name: str) -> None:
    function, arguments = implementation[name], LONG[name]()
    interrupted(lambda: function(*arguments))


# More items than anyone can wait for, each of which is little work, or none at all.
MANY: dict[str, Callable[[], tuple[Any, ...]]] = {
    "heat": lambda: (np.empty((2**58, 0)), 0.1, np.empty((2**58, 0))),
    "matmul": lambda: (np.empty((2**58, 0)), np.empty((0, 0)), np.empty((2**58, 0))),
    "collatz": lambda: (1, np.zeros(500_000_000, np.int32)),
}


@pytest.mark.parametrize("name", MANY)
def test_ctrl_c_between_small_claims(implementation: Implementation, name: str) -> None:
    arguments = MANY[name]()
    take = Counter(0, len(arguments[-1]))
    function = implementation[name]
    interrupted(lambda: function(*arguments, take=take))
    assert take.remaining


@pytest.mark.parametrize("name", ["heat", "matmul"])
def test_ctrl_c_in_rows_of_nothing(implementation: Implementation, name: str) -> None:
    function, arguments = implementation[name], MANY[name]()
    interrupted(lambda: function(*arguments))


@pytest.mark.parametrize("name", MANY)
def test_ctrl_c_between_small_claims_of_a_team(name: str) -> None:
    team, arguments = NativeTeam(1), MANY[name]()
    interrupted(lambda: team.compute(name, arguments, 1))
    team.close()


def test_ctrl_c_in_a_region(kernel: gilx.kernels.Kernel) -> None:
    with gilx.pools.ThreadPool(2) as pool:

        def forever() -> None:
            while True:
                gilx.run(kernel.name, pool=pool)

        interrupted(forever)
        # The pool goes on working.
        result = gilx.run(kernel.name, pool=pool, size=50)
        result.problem.check(result.problem.out)


def test_the_caller_does_not_wait_for_a_future(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python code takes the lock of a future, and Ctrl-C there would leave it taken."""

    def refuse(*_: object) -> None:
        raise AssertionError("the lock of a future was taken")

    with gilx.pools.ThreadPool(2) as pool:
        monkeypatch.setattr(Future, "result", refuse)
        monkeypatch.setattr(Future, "exception", refuse)
        result = gilx.run("histogram", pool=pool, size=SMALL["histogram"])
        result.problem.check(result.problem.out)


def test_ctrl_c_in_instruments() -> None:
    interrupted(lambda: spin(1_000_000, 1_000_000, 60 * 10**9))
    interrupted(lambda: spin(60 * 10**9, 1, 60 * 10**9))
    interrupted(lambda: spin(1, 1, 60 * 10**9))
    interrupted(lambda: spin(0, 1, 60 * 10**9))
    interrupted(lambda: rendezvous_nogil(2, 60 * 10**9))


@pytest.mark.parametrize("name", LONG)
def test_cancelling_stops_a_long_item(implementation: Implementation, name: str) -> None:
    if implementation.variant == "gil" and gil_enabled():
        pytest.skip("nobody else runs during a held call, so nobody could cancel it")
    items = len(LONG[name]()[-1])
    counter = Counter(0, items, (items + 1) // 2)
    result: list[int] = []
    worker = threading.Thread(
        target=lambda: result.append(implementation[name](*LONG[name](), take=counter))
    )
    worker.start()
    while counter.remaining == items:
        worker.join(0.01)
    counter.cancel()
    worker.join(30)
    assert result == [0]
    assert counter.cancelled
    assert counter.take() is None
