"""Calls whose answers are known, for `flake.py`; processes load them from here."""

from __future__ import annotations

import math
import threading
import timeit
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, Self

from gilx import kernels

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.kernels.kernel import Problem

__all__ = ["KINDS", "LENGTHS", "Kind", "Work"]

Kind = Literal["released", "held", "half", "memory", "locked", "partly"]
KINDS: tuple[Kind, ...] = ("released", "held", "half", "memory", "locked", "partly")
LENGTHS = (2, 20, 200)
"""Of a call, in milliseconds, about."""

_BODIES = 2000  # whose interactions are timed, to find how many bodies take so long
_ELEMENTS = 5_000_000  # of a triad that is bound by memory
_LOCKED = 0.7  # the share of partly's time that is behind the lock


class _Own(threading.local):
    """Arrays, and the calls that work on them."""

    def __init__(self) -> None:
        self.problems: dict[tuple[str, int], Problem] = {}
        self.calls: dict[Work, list[Callable[[], Any]]] = {}


_own = _Own()
_lock = threading.Lock()


@dataclass(frozen=True)
class Work:
    """A call of a kernel, with arrays for each thread that makes it.

    ``released`` and ``held`` compute nbody with and without the GIL. ``half`` holds it
    for about a millisecond and releases it for one, in turns. ``memory`` releases it, and
    is bound by memory. ``locked`` releases the GIL, but a lock of its own lets one thread
    at a time into nbody; ``partly`` has 70 % of each two milliseconds behind that lock.
    """

    kind: Kind
    length: int
    """In milliseconds, about: one of `LENGTHS`."""
    size: int
    """Bodies, or the elements of a triad."""
    rounds: int = 1
    """Number of triads in a row."""

    @classmethod
    def lasting(cls, kind: Kind, length: int) -> Self:
        """Return a call that takes about ``length`` milliseconds on this machine, idle.

        The first call of a process times the kernels.
        """
        if kind == "memory":
            parts = length / 1e3 / _seconds("triad", _ELEMENTS)
            rounds = max(1, math.ceil(parts))
            return cls(kind, length, round(_ELEMENTS * parts / rounds), rounds)
        bodies = _BODIES * math.sqrt(length / 1e3 / _seconds("nbody", _BODIES))
        return cls(kind, length, round(bodies))

    def __call__(self) -> None:
        """Do it."""
        if self not in _own.calls:
            _own.calls[self] = self._parts()
        for call in _own.calls[self]:
            call()

    def _parts(self) -> list[Callable[[], Any]]:
        if self.kind == "memory":
            return [_part("triad", self.size, "c-nogil")] * self.rounds
        bodies = self.size
        if self.kind in ("released", "held", "locked"):
            variant = "c-gil" if self.kind == "held" else "c-nogil"
            return [_part("nbody", bodies, variant, locked=self.kind == "locked")]
        first, variant = (0.5, "c-gil") if self.kind == "half" else (_LOCKED, "c-nogil")
        parts = []
        for i in range(half := self.length // 2):
            start, stop = bodies * i // half, bodies * (i + 1) // half
            middle = start + round(first * (stop - start))
            parts += [
                _part(
                    *("nbody", bodies, variant, start, middle),
                    locked=self.kind == "partly",
                ),
                _part("nbody", bodies, "c-nogil", middle, stop),
            ]
        return parts


@cache
def _seconds(kernel: str, size: int) -> float:
    call = _part(kernel, size, "c-nogil")
    call()
    return median(timeit.repeat(call, number=1, repeat=15))


def _part(
    kernel: str,
    size: int,
    variant: str,
    start: int = 0,
    stop: int | None = None,
    *,
    locked: bool = False,
) -> Callable[[], Any]:
    key = kernel, size
    if key not in _own.problems:
        _own.problems[key] = kernels.get(kernel).problem(size)
    problem = _own.problems[key]
    function = problem.kernel.function(variant)
    arguments = problem.calls()[0]
    end = problem.items if stop is None else stop

    def call() -> None:
        with _lock if locked else nullcontext():
            function(*arguments, start, end)

    return call
