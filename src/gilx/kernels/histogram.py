"""histogram: scattered increments, then a merge of partial results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from gilx.kernels.kernel import Kernel, Problem
from gilx.kernels.parameters import Buffer, Integer, Output, Parameters

if TYPE_CHECKING:
    import numpy as np

    from gilx.kernels.kernel import Array

BINS = 256
BLOCK = 1 << 16


class Histogram(Kernel):
    """Counts of each byte value in blocks of data."""

    name = "histogram"
    summary = "Count byte values, block by block"
    bottleneck = "scattered increments, then a merge"
    item = "block"
    unit = "bytes"
    default_size = 3 << 26
    python_size = 3 << 20
    # Item i counts the bytes data[i*block : (i+1)*block].
    parameters: ClassVar[Parameters] = (
        Buffer("data", "uint8", "size", "the bytes to count"),
        Integer("block", 1, 2**63 - 1, "bytes in a block; the last may be shorter"),
        Output(
            "int64",
            "ceil(size/block), 256",
            "how often each byte value occurs in each block; their sum is the histogram",
        ),
    )
    source = "Partial histograms are merged by adding them in item order."

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
