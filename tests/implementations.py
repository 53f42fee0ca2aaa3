"""Compiled implementations of the kernels, and problems that are small or endless."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

import gilx
from gilx.pools.run import regions

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from gilx.pools import Pool, Region


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


@cache
def one_worker(kernel: str) -> gilx.RunResult:
    """Return a small run by one worker, whose result was checked."""
    result = gilx.run(kernel, pool="serial", size=SMALL[kernel])
    assert result.workers == 1
    result.problem.check(result.problem.out)
    return result


def endless(pool: Pool, variant: str = "c-nogil", most: int = 2**31 - 1) -> Region:
    """Return a region of two items, each of which would take many seconds."""
    problem = pool.place(gilx.kernels.get("mandelbrot").problem(2))
    re, im, _ = problem.inputs
    re[:] = im[:] = 0
    [region] = regions(replace(problem, inputs=(re, im, most)), variant=variant)
    return region
