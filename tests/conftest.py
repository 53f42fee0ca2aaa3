"""The facade: every test of kernels runs once per implementation and variant."""

from __future__ import annotations

import importlib
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


@pytest.fixture(params=IMPLEMENTATIONS, ids=str)
def implementation(request: pytest.FixtureRequest) -> Implementation:
    chosen: Implementation = request.param
    return chosen


@pytest.fixture(params=gilx.kernels.names())
def kernel(request: pytest.FixtureRequest) -> gilx.kernels.Kernel:
    return gilx.kernels.get(request.param)
