"""histogram: scattered increments, then a merge of partial results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gilx.kernels.kernel import Kernel, Problem

if TYPE_CHECKING:
    import numpy as np

    from gilx.kernels.kernel import Array

BINS = 256
BLOCK = 1 << 16


class Histogram(Kernel):
    """How often each byte value occurs in blocks of data."""

    name = "histogram"
    summary = "Count byte values, block by block, and add the counts up"
    bottleneck = "scattered increments, then a merge"
    item = "block"
    unit = "bytes"
    default_size = 3 << 26
    python_size = 3 << 20

    @staticmethod
    def python(data: Array, block: int, out: Array, start: int, stop: int) -> None:
        """Compute in pure Python, a byte at a time."""
        for item in range(start, stop):
            counts = [0] * BINS
            for byte in data[item * block : (item + 1) * block].tolist():
                counts[byte] += 1
            for value, count in enumerate(counts):
                out[item, value] = count

    @staticmethod
    def numpy(data: Array, block: int, out: Array, start: int, stop: int) -> None:
        """Compute with `numpy.bincount`, a block at a time."""
        import numpy as np  # noqa: PLC0415 - see Kernel

        for item in range(start, stop):
            out[item] = np.bincount(
                data[item * block : (item + 1) * block], minlength=BINS
            )

    def make(self, size: int, rng: np.random.Generator) -> tuple[tuple[Any, ...], Array]:
        """Return bytes of which half are drawn evenly, half are in runs, as in images."""
        import numpy as np  # noqa: PLC0415 - see Kernel

        scattered = rng.integers(0, BINS, -(-size // 2), np.uint8)
        run = 64
        runs = np.repeat(scattered[: -(-size // run)], run)
        data = np.concatenate((runs[: size // 2], scattered))
        return (data, BLOCK), np.zeros((-(-size // BLOCK), BINS), np.int64)

    def units(self, problem: Problem) -> int:
        """Return the number of bytes."""
        return problem.size

    def merge(self, problem: Problem, out: Array) -> Array:
        """Return the counts of all blocks together."""
        del problem
        total: Array = out.sum(axis=0)
        return total


KERNEL = Histogram()
