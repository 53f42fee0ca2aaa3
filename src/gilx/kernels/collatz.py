"""collatz: integers and branches that can't be foreseen, uneven."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gilx.kernels.kernel import Kernel, Problem

if TYPE_CHECKING:
    import numpy as np

    from gilx.kernels.kernel import Array

LARGEST = 2**64 - 1


class Collatz(Kernel):
    """Steps of the Collatz iteration for numbers in a row."""

    name = "collatz"
    summary = "Steps of the Collatz iteration until 1"
    bottleneck = "integers and branches, uneven"
    item = "number"
    unit = "steps"
    default_size = 2_300_000
    python_size = 10_000

    @staticmethod
    def python(first: int, out: Array, start: int, stop: int) -> None:
        """Compute in pure Python, a step at a time."""
        for item in range(start, stop):
            n = first + item
            steps = 0
            while n != 1:
                n = n // 2 if n % 2 == 0 else 3 * n + 1
                steps += 1
                if n > LARGEST:
                    steps = -1
                    break
            out[item] = steps

    def make(self, size: int, rng: np.random.Generator) -> tuple[tuple[Any, ...], Array]:
        """Return where to start, a small number: then the way grows longer on average."""
        import numpy as np  # noqa: PLC0415 - see Kernel

        return (int(rng.integers(1, 1000)),), np.zeros(size, np.int32)

    def units(self, problem: Problem) -> int:
        """Return the sum of all steps, which takes computing them."""
        import numpy as np  # noqa: PLC0415 - see Kernel

        return int(self._computed(problem).sum(dtype=np.int64))


KERNEL = Collatz()
