"""collatz: integers and branches that can't be foreseen, uneven."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from gilx.kernels.kernel import Kernel, Problem
from gilx.kernels.parameters import Integer, Output, Parameters

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
    # Item i: n is halved if even, else becomes 3n + 1; at 1 the count ends.
    parameters: ClassVar[Parameters] = (
        Integer("first", 1, 2**62, "the number that item 0 starts from"),
        Output(
            "int32",
            "numbers",
            "steps from first + i until 1; -1 if a number exceeds unsigned 64 bits",
        ),
    )
    source = (
        "Lagarias, The 3x+1 Problem and Its Generalizations, Amer. Math. Monthly 92 "
        "(1985)."
    )

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
