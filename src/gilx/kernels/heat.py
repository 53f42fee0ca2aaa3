"""heat: memory bandwidth, and a barrier after every sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from gilx.kernels.kernel import Kernel, Problem
from gilx.kernels.parameters import Buffer, Output, Parameters, Real

if TYPE_CHECKING:
    import numpy as np

    from gilx.kernels.kernel import Array

RATE = 0.2


class Heat(Kernel):
    """Explicit steps of the heat equation on a grid; a call does one."""

    name = "heat"
    summary = "One explicit step of the heat equation on a grid"
    bottleneck = "memory bandwidth, a region each sweep"
    item = "row"
    unit = "cells"
    default_size = 3200
    python_size = 200
    sweeps = 12
    least_grain = 48  # eight rows are computed together
    # Order of operations: u + rate*(((above + below) + (left + right)) - 4*u) inside,
    # u on the border.
    parameters: ClassVar[Parameters] = (
        Buffer("u", "float64", "height, width", "temperatures before the step"),
        Real("rate", "diffusivity * time step / spacing squared; stable from 0 to 0.25"),
        Output(
            "float64", "height, width", "temperatures after it; the border keeps its own"
        ),
    )
    source = (
        "The five-point scheme: LeVeque, Finite Difference Methods for Ordinary and "
        "Partial Differential Equations, SIAM (2007), section 9."
    )

    @staticmethod
    def python(u: Array, rate: float, out: Array, start: int, stop: int) -> None:
        """Compute one step in pure Python, a cell at a time."""
        height, width = u.shape
        for row in range(start, stop):
            here = u[row].tolist()
            result = list(here)
            if 0 < row < height - 1:
                above, below = u[row - 1].tolist(), u[row + 1].tolist()
                for i in range(1, width - 1):
                    around = (above[i] + below[i]) + (here[i - 1] + here[i + 1])
                    result[i] = here[i] + rate * (around - 4.0 * here[i])
            out[row] = result

    @staticmethod
    def numpy(u: Array, rate: float, out: Array, start: int, stop: int) -> None:
        """Compute one step with NumPy, all rows at a time."""
        out[start:stop] = u[start:stop]
        first, last = max(start, 1), min(stop, u.shape[0] - 1)
        if first < last:
            here = u[first:last, 1:-1]
            around = (u[first - 1 : last - 1, 1:-1] + u[first + 1 : last + 1, 1:-1]) + (
                u[first:last, :-2] + u[first:last, 2:]
            )
            out[first:last, 1:-1] = here + rate * (around - 4.0 * here)

    def make(self, size: int, rng: np.random.Generator) -> tuple[tuple[Any, ...], Array]:
        """Return a grid of random temperatures."""
        import numpy as np  # noqa: PLC0415 - see Kernel

        return (rng.random((size, size)), RATE), np.zeros((size, size))

    def next_inputs(self, inputs: tuple[Any, ...], out: Array) -> tuple[Any, ...]:
        """Return the inputs of the next step: the temperatures after the last one."""
        _, rate = inputs
        return out, rate

    def units(self, problem: Problem) -> int:
        """Return the cells of all sweeps."""
        return problem.sweeps * problem.size**2

    def reference(self, problem: Problem, item: int) -> Array:
        """Return one row after all sweeps, from the rows that it depends on."""
        u, rate = problem.inputs
        low = max(0, item - problem.sweeps)
        high = min(problem.items, item + problem.sweeps + 1)
        # The rows at the edges of this strip become wrong, one more with each sweep, but
        # not the row in the middle; the grid's own border stays right.
        strip = u[low:high].copy()
        for _ in range(problem.sweeps):
            result = strip.copy()
            self.python(strip, rate, result, 0, high - low)
            strip = result
        row: Array = strip[item - low]
        return row


KERNEL = Heat()
