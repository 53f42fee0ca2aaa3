"""Calls whose answers are known, for `flake.py`: in a module, so that processes have them."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from gilx import kernels

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["KINDS", "LENGTHS", "Work"]

Kind = Literal["released", "held", "half", "memory"]
KINDS: tuple[Kind, ...] = ("released", "held", "half", "memory")
LENGTHS = (2, 20, 200)
"""Of a call, in milliseconds, about."""

# Bodies whose interactions take that many milliseconds, and elements and rounds of triads.
_BODIES = {2: 890, 20: 2800, 200: 8900}
_TRIADS = {2: (2_000_000, 1), 20: (4_000_000, 5), 200: (4_000_000, 50)}

_own = threading.local()


@dataclass(frozen=True)
class Work:
    """A call of a kernel, with arrays for each thread that makes it.

    ``released`` and ``held`` compute nbody with and without the GIL. ``half`` holds it
    for about a millisecond and releases it for one, in turns. ``memory`` releases it, and
    is bound by memory.
    """

    kind: Kind
    length: int
    """In milliseconds, about: one of `LENGTHS`."""

    def __call__(self) -> None:
        """Do it."""
        made = _own.__dict__
        if self not in made:
            made[self] = self._calls()
        for call in made[self]:
            call()

    def _calls(self) -> list[Callable[[], Any]]:
        if self.kind == "memory":
            size, rounds = _TRIADS[self.length]
            return [_part("triad", size, "c-nogil")] * rounds
        bodies = _BODIES[self.length]
        if self.kind != "half":
            variant = "c-gil" if self.kind == "held" else "c-nogil"
            return [_part("nbody", bodies, variant)]
        ends = [round(bodies * i / self.length) for i in range(self.length + 1)]
        return [
            _part("nbody", bodies, "c-nogil" if i % 2 else "c-gil", start, stop)
            for i, (start, stop) in enumerate(pairwise(ends))
        ]


def _part(
    kernel: str, size: int, variant: str, start: int = 0, stop: int | None = None
) -> Callable[[], Any]:
    key = kernel, size
    problems = _own.__dict__.setdefault("problems", {})
    if key not in problems:
        problems[key] = kernels.get(kernel).problem(size)
    problem = problems[key]
    function = problem.kernel.function(variant)
    arguments = problem.calls()[0]
    end = problem.items if stop is None else stop

    def call() -> None:
        function(*arguments, start, end)

    return call
