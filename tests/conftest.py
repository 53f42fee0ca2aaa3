"""The facade: every test of kernels runs once per implementation and variant."""

from __future__ import annotations

import importlib
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

import gilx

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType


@dataclass(frozen=True)
class Implementation:
    """One compiled module in one variant."""

    language: str
    variant: str

    @property
    def module(self) -> ModuleType:
        return importlib.import_module(
            {"c": "gilx.ckernels", "cython": "gilx.cykernels"}[self.language]
        )

    def __getitem__(self, kernel: str) -> Callable[..., Any]:
        function: Callable[..., Any] = getattr(self.module, f"{kernel}_{self.variant}")
        return function

    def __str__(self) -> str:
        return f"{self.language}-{self.variant}"


IMPLEMENTATIONS = [
    Implementation(language, variant)
    for language in ("c", "cython")
    for variant in ("gil", "nogil")
]


def pytest_configure() -> None:
    # What a shell starts in the background ignores Ctrl-C, and so would all that the tests
    # start and interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


# Sizes of problems that even the references compute in a moment, of at least four items.
SMALL = {
    "mandelbrot": 40,
    "nbody": 37,
    "matmul": 29,
    "collatz": 300,
    "primes": 2_000_000,
    "montecarlo": 15_000,
    "histogram": 300_000,
    "triad": 1000,
    "heat": 23,
    "levenshtein": 9,
}


@pytest.fixture(params=IMPLEMENTATIONS, ids=str)
def implementation(request: pytest.FixtureRequest) -> Implementation:
    chosen: Implementation = request.param
    return chosen


@pytest.fixture(params=gilx.kernels.names())
def kernel(request: pytest.FixtureRequest) -> gilx.kernels.Kernel:
    return gilx.kernels.get(request.param)
