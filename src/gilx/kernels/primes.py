"""primes: integers in the first-level cache, a reduction."""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING, Any, ClassVar

from gilx.kernels.kernel import Kernel, Problem
from gilx.kernels.parameters import Integer, Output, Parameters

if TYPE_CHECKING:
    import numpy as np

    from gilx.kernels.kernel import Array

SEGMENT = 1 << 19
# Where each prime begins in a segment is a division: many segments more would be spent on
# these alone.
SEGMENTS = 1 << 10


class Primes(Kernel):
    """Number of primes below a limit."""

    name = "primes"
    summary = "Count primes, segment by segment"
    bottleneck = "integers in the first-level cache"
    item = "segment"
    unit = "numbers"
    default_size = 7 << 25
    python_size = 1 << 19
    # Item i counts the primes p with i*segment <= p < min((i+1)*segment, limit).
    parameters: ClassVar[Parameters] = (
        Integer("limit", 0, 2**48, "where to stop: primes below it"),
        Integer("segment", 1, 2**48, "numbers in a segment"),
        Output("int64", "ceil(limit/segment)", "how many primes lie in each segment"),
    )
    source = (
        "The sieve of Eratosthenes in segments that stay in the first-level cache, "
        "after Bays and Hudson, The segmented sieve of Eratosthenes and primes in "
        "arithmetic progressions to 10**12, BIT 17 (1977)."
    )

    @staticmethod
    def python(limit: int, segment: int, out: Array, start: int, stop: int) -> None:
        """Compute in pure Python, crossing out a number at a time."""
        for item in range(start, stop):
            low, high = item * segment, min((item + 1) * segment, limit)
            prime = [True] * (high - low)
            for n in range(low, min(2, high)):
                prime[n - low] = False
            # A factor that is not a prime crosses out nothing new.
            for factor in range(2, isqrt(max(0, high - 1)) + 1):
                if factor > 2 and factor % 2 == 0:
                    continue
                multiple = max(factor * factor, -(-low // factor) * factor)
                while multiple < high:
                    prime[multiple - low] = False
                    multiple += factor
            count = 0
            for flag in prime:
                count += flag
            out[item] = count

    @staticmethod
    def numpy(limit: int, segment: int, out: Array, start: int, stop: int) -> None:
        """Compute with NumPy, crossing out all multiples of a prime at once."""
        import numpy as np  # noqa: PLC0415 - see Kernel

        root = isqrt(limit)
        small = np.ones(root + 1, bool)
        small[:2] = False
        for factor in range(2, isqrt(root) + 1):
            if small[factor]:
                small[factor * factor :: factor] = False
        factors = np.flatnonzero(small).tolist()
        for item in range(start, stop):
            low, high = item * segment, min((item + 1) * segment, limit)
            prime = np.ones(high - low, bool)
            prime[: max(0, 2 - low)] = False
            for factor in factors:
                if factor * factor >= high:
                    break
                first = max(factor * factor, -(-low // factor) * factor)
                prime[first - low :: factor] = False
            out[item] = np.count_nonzero(prime)

    def make(self, size: int, rng: np.random.Generator) -> tuple[tuple[Any, ...], Array]:
        """Return the limit and a size of segments; there is nothing random here."""
        import numpy as np  # noqa: PLC0415 - see Kernel

        del rng
        segment = SEGMENT * max(1, -(-size // (SEGMENT * SEGMENTS)))
        return (size, segment), np.zeros(-(-size // segment), np.int64)

    def units(self, problem: Problem) -> int:
        """Return how many numbers are looked at."""
        return problem.size

    def merge(self, problem: Problem, out: Array) -> Array:
        """Return the number of primes in all segments."""
        del problem
        total: Array = out.sum(keepdims=True)
        return total


KERNEL = Primes()
