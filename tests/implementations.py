"""Compiled implementations of the kernels, and problems that are small enough for all."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
