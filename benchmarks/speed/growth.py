"""Time per unit of work on a problem of 100 times the default's work.

For every kernel ``c-nogil`` on one thread, at its default size and at one that makes 100
times as many units of work, or as many as fit into memory. Both are timed in blocks of
random order; the large one once in each. Run it with nothing else running::

    python benchmarks/speed/growth.py [--blocks N] [--times N] [KERNEL ...]

What should not cost more than at the default size is what grows with the work: the grid
of ``mandelbrot``, ``nbody`` and ``heat`` gets 10 times as wide, ``matmul``'s matrices 4.6
times.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from figures import Measured, ratio, run_script
from memory import free_memory

from gilx import kernels
from gilx.errors import ArgumentError
from gilx.pools import SerialPool
from gilx.pools.run import regions, run_all
from gilx.speedup.blocks import calls_needed, interleaved, samples_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.kernels.kernel import Kernel, Problem

__all__ = ["in_memory", "largest_size", "measure"]

TIMES = 100
FULL, QUICK = 6, 1  # blocks: six are what an interval needs
# How the work grows with the size, and how what is in memory does, where not as 1.
_WORK = {"mandelbrot": 2, "nbody": 2, "matmul": 3, "heat": 2}
_MEMORY = {"mandelbrot": 2, "matmul": 2, "heat": 2}
# Of what is free: making a problem takes up to so many times its arrays.
_SHARE = 0.3
_MAKING = 2.0
# Of a sample at the default size: long enough for what starts and ends with it.
_SECONDS = 0.15


def measure(subject: str, blocks: int, times: int = TIMES) -> Measured:
    """Compare a problem of so many times the work with the default."""
    kernel = kernels.get(subject)
    free = free_memory()
    if free is None:
        why = "the system does not say how much memory is free"
        return Measured((), {"time per unit": why})
    default = kernel.problem()
    size = largest_size(kernel, in_memory(default), times, free)
    large = kernel.problem(size)
    # Reading the units of some computes them, which also is their first run; of the
    # others all memory gets its pages before any is timed.
    units = {"default": default.units, "large": large.units}
    for _, *_, out in (call for problem in (default, large) for call in problem.calls()):
        out.fill(0)
    with SerialPool() as pool:
        one = regions(default)

        def many(count: int) -> float:
            return run_all(pool, one * count)

        count, _ = calls_needed(many, _SECONDS)
        arms: dict[str, Callable[[], float]] = {
            "default": partial(many, count),
            "large": partial(run_all, pool, regions(large)),
        }
        samples = samples_of(islice(interleaved(arms, warm_up=False), blocks))
    each = {
        "default": [seconds / count / units["default"] for seconds in samples["default"]],
        "large": [seconds / units["large"] for seconds in samples["large"]],
    }
    figure = ratio("time per unit", each["large"], each["default"])
    reached = units["large"] / units["default"]
    short = "" if reached > 0.9 * times else ", which is what fits into memory"
    note = (
        f"{reached:.3g} times the work{short}; arrays of"
        f" {_bytes(in_memory(default))}, then {_bytes(in_memory(large))}"
    )
    return Measured(
        (replace(figure, note=note),),
        samples={arm: tuple(seconds) for arm, seconds in samples.items()},
    )


def largest_size(kernel: Kernel, now: int, times: int, free: int) -> int:
    """Return the size of a problem of so many times the default's work, if it fits.

    Parameters
    ----------
    kernel : Kernel
        Whose problem.
    now : int
        Bytes of the arrays of the default problem.
    times : int
        How much more work, at least 1.
    free : int
        Bytes that may be had.

    Returns
    -------
    int
        The size, or a smaller one that fits.

    Raises
    ------
    ArgumentError
        Not even the default fits.

    """
    room = _SHARE * free / _MAKING / now
    if room < 1:
        raise ArgumentError(
            f"memory: expected {_bytes(round(now * _MAKING / _SHARE))} to be free for"
            f" {kernel.name}, got {_bytes(free)}"
        )
    wanted = times ** (1 / _WORK.get(kernel.name, 1))
    fits = room ** (1 / _MEMORY.get(kernel.name, 1))
    return int(kernel.default_size * min(wanted, fits))


def in_memory(problem: Problem) -> int:
    """Return the bytes of all arrays of a problem, those between sweeps too."""
    arrays = {
        array.ctypes.data: array.nbytes
        for call in problem.calls()
        for array in call
        if isinstance(array, np.ndarray)
    }
    return sum(arrays.values())


def _bytes(count: float) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count:.0f} bytes"


if __name__ == "__main__":
    run_script(__doc__, measure, kernels.names(), blocks=FULL, times=TIMES)
