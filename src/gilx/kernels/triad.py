"""triad: memory bandwidth and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from gilx.kernels.kernel import Kernel, Problem
from gilx.kernels.parameters import Buffer, Output, Parameters, Real

if TYPE_CHECKING:
    import numpy as np

    from gilx.kernels.kernel import Array

SCALAR = 3.0


class Triad(Kernel):
    """One array plus a multiple of another."""

    name = "triad"
    summary = "Add a multiple of one array to another"
    bottleneck = "memory bandwidth"
    item = "element"
    unit = "bytes"
    default_size = 1 << 23
    python_size = 1 << 16
    sweeps = 12
    # Order of operations: out[i] = b[i] + scalar*c[i].
    parameters: ClassVar[Parameters] = (
        Buffer("b", "float64", "size", "the numbers to add to"),
        Buffer("c", "float64", "size", "the numbers to multiply"),
        Real("scalar", "the factor"),
        Output("float64", "size", "b + scalar*c"),
    )
    source = (
        "The triad of McCalpin, Memory Bandwidth and Machine Balance in Current High "
        "Performance Computers, IEEE TCCA Newsletter (1995)."
    )

    @staticmethod
    def python(
        b: Array, c: Array, scalar: float, out: Array, start: int, stop: int
    ) -> None:
        """Compute in pure Python, an element at a time."""
        sums = []
        for left, right in zip(
            b[start:stop].tolist(), c[start:stop].tolist(), strict=True
        ):
            sums.append(left + scalar * right)
        out[start:stop] = sums

    @staticmethod
    def numpy(
        b: Array, c: Array, scalar: float, out: Array, start: int, stop: int
    ) -> None:
        """Compute with NumPy, without temporary arrays."""
        import numpy as np  # noqa: PLC0415 - see Kernel

        np.multiply(c[start:stop], scalar, out=out[start:stop])
        out[start:stop] += b[start:stop]

    def make(self, size: int, rng: np.random.Generator) -> tuple[tuple[Any, ...], Array]:
        """Return two arrays and a factor."""
        import numpy as np  # noqa: PLC0415 - see Kernel

        b, c = rng.random((2, size))
        return (b, c, SCALAR), np.zeros(size)

    def next_inputs(self, inputs: tuple[Any, ...], out: Array) -> tuple[Any, ...]:
        """Return the inputs of the next sweep: the last sum is what is added to."""
        _, c, scalar = inputs
        return out, c, scalar

    def units(self, problem: Problem) -> int:
        """Return bytes read and written, as McCalpin counts them: 24 an element."""
        return 24 * problem.sweeps * problem.size

    def reference(self, problem: Problem, item: int) -> Array:
        """Return one element after all sweeps."""
        import numpy as np  # noqa: PLC0415 - see Kernel

        b, c, scalar = problem.inputs
        total = b[item : item + 1]
        for _ in range(problem.sweeps):
            before, total = total, np.zeros(1)
            self.python(before, c[item : item + 1], scalar, total, 0, 1)
        element: Array = total[0]
        return element


KERNEL = Triad()
