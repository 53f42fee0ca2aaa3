"""Counts of references and memory blocks, and of the buffers that are still held."""

from __future__ import annotations

import gc
import sys
from array import array
from dataclasses import dataclass
from itertools import repeat
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Case", "Memory", "growth"]

WARM_UP = 12  # calls until caches of the interpreter have settled
ROUNDS = 4  # of counting, of which one must show no growth


@dataclass(frozen=True)
class Case:
    """A call that must leave all counts as they were."""

    name: str
    call: Callable[[], object]
    times: int = 10
    """Number of calls between two counts."""
    keeps: bool = False
    """True if the next case uses the same buffers."""
    runs_python: bool = False
    """True if a Python function runs within, so that it can't be refused memory."""


class Memory:
    """Buffers for calls, of Python's own types only.

    NumPy's modules are no debug build: references that they take and give up are not
    counted, so that calling them would shift the total.
    """

    def __init__(self) -> None:
        self._views: list[memoryview] = []

    def of(self, code: str, *shape: int) -> memoryview:
        """Return memory of items of a struct module's format code."""
        items: Any = memoryview(array(code, [0]) * prod(shape)).cast("B")
        return self.add(items.cast(code, shape) if prod(shape) else items.cast(code))

    def add(self, view: memoryview) -> memoryview:
        """Include a view that was made elsewhere."""
        self._views.append(view)
        return view

    def held(self) -> int:
        """Release all views; return how many of them somebody still holds."""
        held = 0
        for view in self._views:
            try:
                view.release()
            except BufferError:
                held += 1
        self._views.clear()
        return held


def _settle() -> None:
    """Free what nobody refers to, and what the interpreter only keeps for later."""
    gc.collect()
    # Attributes that were looked up in types are among that.
    if sys.version_info >= (3, 13):
        sys._clear_internal_caches()
    else:
        sys._clear_type_cache()


def _count(call: Callable[[], object], times: int) -> tuple[int, int]:
    again = repeat(None, times)
    references = blocks = 0
    _settle()
    blocks = sys.getallocatedblocks()
    references = sys.gettotalrefcount()
    for _ in again:
        call()
    _settle()
    references = sys.gettotalrefcount() - references
    blocks = sys.getallocatedblocks() - blocks
    return references, blocks


def _nothing() -> None:
    pass


def growth(call: Callable[[], object], times: int) -> tuple[float, float]:
    """Return by how many references and blocks the totals grow with each call.

    What happens once, such as a cache that grows, is not growth: the smallest of several
    counts is taken, and zero is exact.
    """
    for _ in range(min(WARM_UP, times)):
        call()
    best = (0, 0)
    for number in range(ROUNDS):
        _count(_nothing, times)
        none = _count(_nothing, times)
        found = _count(call, times)
        grown = (found[0] - none[0], found[1] - none[1])
        if grown == (0, 0):
            return 0.0, 0.0
        if number == 0 or sum(map(abs, grown)) < sum(map(abs, best)):
            best = grown
    return best[0] / times, best[1] / times
