"""All groups of cases, by name."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from . import instrument_cases, kernel_cases, module_cases, refused_memory, team_cases

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .counting import Case, Memory

__all__ = ["GROUPS"]

_WITH_MEMORY: dict[str, Callable[[Memory], Iterator[Case]]] = {
    "parts": instrument_cases.parts,
    "counters": instrument_cases.counters,
    "increments": instrument_cases.increments,
    "spins": instrument_cases.spins,
    "c-nogil": partial(kernel_cases.kernels, "c", "nogil"),
    "c-gil": partial(kernel_cases.kernels, "c", "gil"),
    "cython-nogil": partial(kernel_cases.kernels, "cy", "nogil"),
    "cython-gil": partial(kernel_cases.kernels, "cy", "gil"),
    "teams": team_cases.teams,
    "samplers": module_cases.samplers,
    "modules": module_cases.modules,
    "without_threads": team_cases.without_threads,
    "after_fork": team_cases.after_fork,
}
# Of the kernels, one group for each language has all that is to be refused.
_REFUSED = {
    name: _WITH_MEMORY[name]
    for name in (
        "parts", "counters", "increments", "spins", "c-nogil", "cython-gil", "teams",
        "samplers",
    )
} | {"modules": refused_memory.modules}  # fmt: skip

GROUPS = _WITH_MEMORY | {
    f"{name}, memory refused": partial(refused_memory.refused, group)
    for name, group in _REFUSED.items()
}
