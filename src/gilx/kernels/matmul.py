"""matmul: floating point and caches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from gilx.kernels.kernel import Kernel, Problem
from gilx.kernels.parameters import Buffer, Output, Parameters

if TYPE_CHECKING:
    import numpy as np

    from gilx.kernels.kernel import Array


class MatMul(Kernel):
    """Product of two square matrices."""

    name = "matmul"
    summary = "Product of two matrices"
    bottleneck = "floating point and caches"
    item = "row"
    unit = "flops"
    default_size = 1100
    python_size = 96
    least_grain = 80  # each call packs all of b, which few rows would not be worth
    tolerance: ClassVar[float] = 1e-12
    # Order of operations: each element is a sum that starts from 0 and adds
    # a[i, k]*b[k, j], k ascending.
    parameters: ClassVar[Parameters] = (
        Buffer("a", "float64", "rows, inner", "the left-hand matrix"),
        Buffer("b", "float64", "inner, columns", "the right-hand matrix"),
        Output("float64", "rows, columns", "the product of the two matrices"),
    )
    source = (
        "The definition, computed in blocks that stay in the caches, after Goto and van "
        "de Geijn, Anatomy of High-Performance Matrix Multiplication, ACM TOMS 34 "
        "(2008). Each element has one accumulator; no fused multiply-add."
    )

    @staticmethod
    def python(a: Array, b: Array, out: Array, start: int, stop: int) -> None:
        """Compute in pure Python, an element at a time."""
        rows = a[start:stop].tolist()
        columns = b.T.tolist()
        for row in range(start, stop):
            for column, factors in enumerate(columns):
                total = 0.0
                for left, right in zip(rows[row - start], factors, strict=True):
                    total += left * right
                out[row, column] = total

    @staticmethod
    def numpy(a: Array, b: Array, out: Array, start: int, stop: int) -> None:
        """Compute with `numpy.matmul`: BLAS, which may start threads of its own."""
        import numpy as np  # noqa: PLC0415 - see Kernel

        np.matmul(a[start:stop], b, out=out[start:stop])

    def make(self, size: int, rng: np.random.Generator) -> tuple[tuple[Any, ...], Array]:
        """Return two square matrices of normal numbers."""
        import numpy as np  # noqa: PLC0415 - see Kernel

        a, b = rng.standard_normal((2, size, size))
        return (a, b), np.zeros((size, size))

    def units(self, problem: Problem) -> int:
        """Return multiplications and additions."""
        return 2 * problem.size**3


KERNEL = MatMul()
