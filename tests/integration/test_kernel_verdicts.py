"""Claims about the kernels, asserted as users of gilx assert those of their code.

`pytest -m "not alone"` leaves them out: on a machine with much else to do they would be
inconclusive, and take their time to find out.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

import gilx

if TYPE_CHECKING:
    from gilx.kernels.kernel import Problem
    from gilx.pytest_plugin.checks import Checks
    from tests.implementations import Implementation

pytestmark = pytest.mark.idle_machine

# Sizes that take each kernel some 1 to 20 ms in C.
SIZES = {
    "mandelbrot": 160,
    "nbody": 900,
    "matmul": 250,
    "collatz": 30_000,
    "primes": 12_000_000,
    "montecarlo": 300_000,
    "histogram": 8_000_000,
    "triad": 1_000_000,
    "heat": 900,
    "levenshtein": 1000,
}


class Work:
    """A kernel's run, on a problem of each thread's own.

    Threads then share no more than processes do, and the same can be sent to those.
    """

    def __init__(self, name: str, variant: str) -> None:
        self._made_of = name, variant
        self._kernel = gilx.kernels.get(name)
        self._function = self._kernel.function(variant)
        self._own = threading.local()

    def __call__(self) -> None:
        problem: Problem | None = getattr(self._own, "problem", None)
        if problem is None:
            problem = self._kernel.problem(SIZES[self._kernel.name])
            self._own.problem = problem
        for arguments in problem.calls():
            self._function(*arguments)

    def __reduce__(self) -> tuple[type[Work], tuple[Any, ...]]:
        return Work, self._made_of


def test_the_gil_is_held_or_released(
    gil: Checks, implementation: Implementation, kernel: gilx.kernels.Kernel
) -> None:
    work = Work(kernel.name, str(implementation))
    work()
    check = gil.holds if implementation.variant == "gil" else gil.releases
    check(work, at_least=0.9, budget=2)


# Memory gives threads of one process less than processes, on some machines.
EFFICIENCY = {"triad": 0.5}


@pytest.mark.parametrize("variant", ["c-nogil", "cython-nogil"])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
            marks=pytest.mark.scales(efficiency=EFFICIENCY.get(name, 0.7), budget=8),
        )
        for name in SIZES
    ],
)
def test_threads_scale(work: Work) -> None:
    work()


@pytest.fixture
def work(name: str, variant: str) -> Work:
    return Work(name, variant)


def test_every_kernel_is_here() -> None:
    assert tuple(SIZES) == gilx.kernels.names()
