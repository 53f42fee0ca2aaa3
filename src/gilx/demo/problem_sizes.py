"""Sizes of work that follow from how long it should take on this machine."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gilx.pools import SerialPool
from gilx.pools.run import regions, run_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.kernels.kernel import Kernel

_LARGEST = 1 << 40
_TRIES = 5  # the quickest counts: others were held up
_DIGITS = 2  # significant ones: a size is for people, too


def size_lasting(timed: Callable[[int], float], seconds: float) -> int:
    """Return the size of work that takes about so many seconds.

    Sizes are doubled until the work takes a fourth of that; the rest follows from how its
    time has grown.

    Parameters
    ----------
    timed : callable
        Does work of a size, and returns its wall time in seconds.
    seconds : float
        How long the work should take, above 0.

    """
    size, spent = 1, 0.0
    while True:
        before, spent = spent, min(timed(size) for _ in range(_TRIES))
        if spent >= seconds / 4 or size >= _LARGEST:
            break
        size *= 2
    # Between a size that grows in one direction and one that grows in three.
    power = math.log2(spent / before) if 0 < before < spent else 1.0
    power = min(3.0, max(1.0, power))
    wanted = size * (seconds / max(spent, 1e-9)) ** (1 / power)
    return max(1, int(float(f"{wanted:.{_DIGITS}g}")))


def problem_size(kernel: Kernel, variant: str, seconds: float) -> int:
    """Return the size of a kernel's problem that one worker computes in so many seconds.

    Parameters
    ----------
    kernel : Kernel
        Which kernel.
    variant : str
        Which of its variants computes it.
    seconds : float
        How long that should take, above 0.

    """
    serial = SerialPool()

    def timed(size: int) -> float:
        return run_all(serial, regions(kernel.problem(size), variant=variant))

    return size_lasting(timed, seconds)
