"""Held and released, proved by who gets to run, never by a stopwatch threshold."""

from __future__ import annotations

import os
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

import gilx
from gilx import ckernels
from gilx.demo.release_proof import runs_beside
from tests.implementations import IMPLEMENTATIONS
from tests.markers import needs_fork, needs_gil, needs_no_gil

if TYPE_CHECKING:
    from typing import Literal

    from gilx.kernels.kernel import Problem
    from tests.implementations import Implementation

DEADLINE = 30


@pytest.fixture(scope="module")
def problems() -> dict[str, Problem]:
    """Problems that were made already, by the names of their kernels."""
    return {}


# One function in C releases the GIL for all kernels, one template makes those in Cython.
@pytest.mark.thread_unsafe(reason="changes the switch interval")
@needs_gil
@pytest.mark.parametrize(
    ("implementation", "kernel"),
    [
        pytest.param(
            implementation,
            gilx.kernels.get(name),
            marks=[] if name in ("heat", "primes") else [pytest.mark.slow],
            id=f"{implementation}-{name}",
        )
        for implementation in IMPLEMENTATIONS
        for name in gilx.kernels.names()
    ],
)
def test_another_thread_runs_only_inside_a_released_call(
    implementation: Implementation,
    kernel: gilx.kernels.Kernel,
    problems: dict[str, Problem],
) -> None:
    # Being woken takes a moment: a released call of 50 ms leaves time for that, and if
    # not, one of a few does. A held call lets nobody run.
    if kernel.name not in problems:
        problems[kernel.name] = kernel.problem()
    problem = problems[kernel.name]
    call = partial(implementation[kernel.name], *problem.inputs, problem.out)
    released = implementation.variant == "nogil"
    assert runs_beside(call, tries=5 if released else 1) == released


def meet(function_name: str, timeout: float, parties: int = 2) -> list[int]:
    """Return how many callers each of two met, who wait until so many are there."""
    function = getattr(ckernels, function_name)
    found: list[int] = []
    barrier = threading.Barrier(2)

    def enter() -> None:
        barrier.wait(DEADLINE)
        found.append(function(parties, int(timeout * 1e9)))

    threads = [threading.Thread(target=enter) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE)
    return found


@pytest.mark.thread_unsafe(reason="callers meet those of other tests")
def test_released_callers_meet() -> None:
    assert meet("rendezvous_nogil", DEADLINE) == [2, 2]


@pytest.mark.thread_unsafe(reason="callers meet those of other tests")
@needs_gil
def test_held_callers_never_meet() -> None:
    assert meet("rendezvous_gil", 0.05) == [1, 1]


@pytest.mark.thread_unsafe(reason="callers meet those of other tests")
@needs_no_gil
def test_attached_callers_meet_without_a_gil() -> None:
    assert meet("rendezvous_gil", DEADLINE) == [2, 2]


@pytest.mark.thread_unsafe(reason="callers meet those of other tests")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of forks beside threads
@needs_fork
def test_nobody_meets_those_who_were_there_before_a_fork() -> None:
    call = ckernels.rendezvous_nogil
    thread = threading.Thread(target=call, args=(3, 10**9 * DEADLINE))
    thread.start()
    while call(2, 0) != 2:  # it is inside
        pass
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if call(2, 1000) == call(2, 1000) == 1 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    # In this process the thread is there still: the two meet it, which lets it go, too.
    assert meet("rendezvous_nogil", DEADLINE, parties=3) == [3, 3]
    thread.join(DEADLINE)


def test_the_longest_holds_stay_in_range() -> None:
    # This seed begins with a draw of more than ten times the mean.
    done = ckernels.spin(10**18, 10**18, 5_000_000, rhythm="exponential", seed=23486)
    assert done.cycles == 0
    assert done.held_min_ns > 0.9 * done.wall_ns


@pytest.mark.parametrize("rhythm", ["fixed", "exponential"])
@pytest.mark.parametrize("released", ["spin", "sleep"])
def test_spin_reports_a_band(
    rhythm: Literal["fixed", "exponential"], released: Literal["spin", "sleep"]
) -> None:
    done = ckernels.spin(100_000, 100_000, 20_000_000, rhythm=rhythm, released=released)
    assert done.wall_ns >= 20_000_000
    assert 0 < done.held_min_ns <= done.held_max_ns <= done.wall_ns
    assert done.waited_ns <= done.held_max_ns - done.held_min_ns
    assert done.cycles >= 1


def test_spin_without_release_holds_all_the_time() -> None:
    done = ckernels.spin(1000, 0, 5_000_000)
    assert done.cycles == 0
    assert done.held_min_ns == done.held_max_ns
    assert done.held_min_ns > 0.9 * done.wall_ns


@pytest.mark.parametrize(
    ("arguments", "keywords", "words"),
    [
        ((0, 0, 1), {}, "hold_ns: expected at least 1"),
        ((-1, 0, 1), {}, "hold_ns: expected 0 to"),
        ((1, 1, 10**19), {}, "total_ns: expected 0 to"),
        ((1, 1, 1), {"rhythm": "waltz"}, "rhythm: expected 'fixed' or 'exponential'"),
        ((1, 1, 1), {"released": None}, "released: expected 'spin' or 'sleep', got None"),
        ((1, 1, 1), {"seed": -1}, "seed: expected 0 to"),
    ],
)
def test_bad_spins(
    arguments: tuple[int, int, int], keywords: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        ckernels.spin(*arguments, **keywords)  # type: ignore[arg-type]


@pytest.mark.parametrize("variant", ["gil", "nogil"])
def test_bad_rendezvous(variant: str) -> None:
    function = getattr(ckernels, f"rendezvous_{variant}")
    with pytest.raises(ValueError, match="parties: expected 1 to"):
        function(0, 1)
    with pytest.raises(ValueError, match="timeout_ns: expected 0 to"):
        function(1, -1)
    assert function(1, 0) == 1
