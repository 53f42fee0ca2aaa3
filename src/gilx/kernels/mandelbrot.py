"""mandelbrot: floating point, and rows of very different cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from gilx.kernels.kernel import Kernel, Problem
from gilx.kernels.parameters import Buffer, Integer, Output, Parameters

if TYPE_CHECKING:
    import numpy as np

    from gilx.kernels.kernel import Array

MAX_ITER = 256


class Mandelbrot(Kernel):
    """Escape counts of the Mandelbrot set on a grid."""

    name = "mandelbrot"
    summary = "Escape counts of the Mandelbrot set on a grid"
    bottleneck = "floating point, rows of uneven cost"
    item = "row"
    unit = "iterations"
    default_size = 1700
    python_size = 96
    # Order of operations: z = 0; count = 0; while count < max_iter and
    # zr*zr + zi*zi <= 4: (zr, zi) = ((zr*zr - zi*zi) + re, 2*(zr*zi) + im), count += 1.
    parameters: ClassVar[Parameters] = (
        Buffer("re", "float64", "width", "real part of c for each column"),
        Buffer("im", "float64", "height", "imaginary part of c for each row"),
        Integer("max_iter", 0, 2**31 - 1, "the count at which a point is given up"),
        Output("int32", "height, width", "iterations until abs(z) > 2, at most max_iter"),
    )
    source = (
        "The escape-time algorithm, the iteration z = z*z + c with bailout radius 2: "
        "Peitgen and Saupe, The Science of Fractal Images, Springer (1988), chapter 4. "
        "In double precision without fused multiply-add."
    )

    @staticmethod
    def python(
        re: Array, im: Array, max_iter: int, out: Array, start: int, stop: int
    ) -> None:
        """Compute in pure Python, a point at a time."""
        columns = re.tolist()
        rows = im.tolist()
        for row in range(start, stop):
            ci = rows[row]
            for column, cr in enumerate(columns):
                zr = zi = 0.0
                count = 0
                while count < max_iter and zr * zr + zi * zi <= 4.0:
                    zr, zi = zr * zr - zi * zi + cr, 2.0 * (zr * zi) + ci
                    count += 1
                out[row, column] = count

    @staticmethod
    def numpy(
        re: Array, im: Array, max_iter: int, out: Array, start: int, stop: int
    ) -> None:
        """Compute with NumPy, all points of a row at a time."""
        import numpy as np  # noqa: PLC0415 - see Kernel

        for row in range(start, stop):
            zr = np.zeros_like(re)
            zi = np.zeros_like(re)
            inside = np.ones(re.shape, bool)
            count = np.zeros(re.shape, np.int32)
            # Points that left go on to infinity, which is fine.
            with np.errstate(over="ignore", invalid="ignore"):
                for _ in range(max_iter):
                    inside &= zr * zr + zi * zi <= 4.0
                    if not inside.any():
                        break
                    count += inside
                    zr, zi = zr * zr - zi * zi + re, 2.0 * (zr * zi) + im[row]
            out[row] = count

    def make(self, size: int, rng: np.random.Generator) -> tuple[tuple[Any, ...], Array]:
        """Return a view that is not symmetric, so that equal blocks of rows differ."""
        import numpy as np  # noqa: PLC0415 - see Kernel

        shift = rng.uniform(-0.01, 0.01, 2)
        re = np.linspace(-2.0, 0.6, size) + shift[0]
        im = np.linspace(-1.3, 0.4, size) + shift[1]
        return (re, im, MAX_ITER), np.zeros((size, size), np.int32)

    def units(self, problem: Problem) -> int:
        """Return the sum of all counts, which takes computing them."""
        import numpy as np  # noqa: PLC0415 - see Kernel

        return int(self._computed(problem).sum(dtype=np.int64))


KERNEL = Mandelbrot()
