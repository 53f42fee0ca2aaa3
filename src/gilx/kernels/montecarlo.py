"""montecarlo: random numbers, exponentials and logarithms."""

from __future__ import annotations

from math import exp, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, ClassVar

from gilx.kernels.kernel import Kernel, Problem
from gilx.kernels.parameters import Integer, Output, Parameters, Real

if TYPE_CHECKING:
    import numpy as np

    from gilx.kernels.kernel import Array

SPOT, STRIKE, RATE, VOLATILITY, YEARS = 100.0, 105.0, 0.02, 0.25, 1.5
BLOCK = 1 << 12
WORD = 2**32 - 1


def philox(counter: int, key: int) -> tuple[int, int, int, int]:
    """Return four random words of 32 bits: Philox4x32-10, see the C kernel's philox.h.

    Parameters
    ----------
    counter, key : int
        Unsigned 64-bit numbers that select the four words, and their sequence.

    """
    c0, c1, c2, c3 = counter & WORD, counter >> 32, 0, 0
    key0, key1 = key & WORD, key >> 32
    for _ in range(10):
        first, second = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (
            (second >> 32) ^ c1 ^ key0,
            second & WORD,
            (first >> 32) ^ c3 ^ key1,
            first & WORD,
        )
        key0 = (key0 + 0x9E3779B9) & WORD
        key1 = (key1 + 0xBB67AE85) & WORD
    return c0, c1, c2, c3


class MonteCarlo(Kernel):
    """Price of a European call option, from its payoffs on random paths."""

    name = "montecarlo"
    summary = "Price of a European call option by simulation"
    bottleneck = "random numbers, exp and log"
    item = "block"
    unit = "paths"
    default_size = 16_000_000
    python_size = 8192
    # The reference takes exp, log and the normal quantile from the standard library.
    tolerance: ClassVar[float] = 1e-12
    # Order of operations: path p takes 64 bits of Philox4x32-10 with the counter p/2 (its
    # low and high word, 0, 0) and the key seed (low, high): words 0 and 1 if p is even, 2
    # and 3 if odd, the first of them low. With w those bits,
    # u = ((w >> 12) + 0.5) * 2**-52, z = normal(u), spread = volatility*sqrt(years),
    # drift = (rate - (0.5*volatility)*volatility)*years and
    # s = spot*exp(drift + spread*z), the path pays v = s > strike ? s - strike : 0.
    # Path j of a block adds v to sum j mod 8 of eight that start from 0, and v*v
    # likewise; item i is the eight added up in order. exp, log and normal are those of
    # elementary_functions.h.
    parameters: ClassVar[Parameters] = (
        Real("spot", "price of the asset today"),
        Real("strike", "price at which the option lets its owner buy"),
        Real("rate", "riskless interest, per year, compounded all the time"),
        Real("volatility", "standard deviation of the price's logarithm after one year"),
        Real("years", "time until the option ends"),
        Integer("paths", 0, 2**62, "how many paths to draw"),
        Integer("block", 1, 2**63 - 1, "paths in a block; the last may be shorter"),
        Integer("seed", 0, 2**63 - 1, "key of the random numbers"),
        Output(
            "float64",
            "ceil(paths/block), 2",
            "for each block the sum of what its paths pay, and of the squares of that",
        ),
    )
    source = (
        "Paths of geometric Brownian motion: Glasserman, Monte Carlo Methods in "
        "Financial Engineering, Springer (2003), section 1.1. Random numbers: "
        "Philox4x32-10, Salmon et al., Parallel random numbers: as easy as 1, 2, 3, "
        "SC'11. Normal deviates by inversion: Wichura, Algorithm AS 241, Appl. Statist. "
        "37 (1988). The price is exp(-rate*years) times the sum of all blocks over "
        "paths."
    )

    @staticmethod
    def python(
        spot: float,
        strike: float,
        rate: float,
        volatility: float,
        years: float,
        paths: int,
        block: int,
        seed: int,
        out: Array,
        start: int,
        stop: int,
    ) -> None:
        """Compute in pure Python, a path at a time."""
        normal = NormalDist().inv_cdf
        drift = (rate - 0.5 * volatility * volatility) * years
        spread = volatility * sqrt(years)
        for item in range(start, stop):
            total = squares = 0.0
            for path in range(item * block, min((item + 1) * block, paths)):
                words = philox(path // 2, seed)
                bits = words[path % 2 * 2] | words[path % 2 * 2 + 1] << 32
                u = ((bits >> 12) + 0.5) * 2.0**-52
                price = spot * exp(drift + spread * normal(u))
                paid = max(price - strike, 0.0)
                total += paid
                squares += paid * paid
            out[item] = total, squares

    def make(self, size: int, rng: np.random.Generator) -> tuple[tuple[Any, ...], Array]:
        """Return an option that will probably pay nothing, and a key drawn at random."""
        import numpy as np  # noqa: PLC0415 - see Kernel

        key = int(rng.integers(0, 2**63))
        option = (SPOT, STRIKE, RATE, VOLATILITY, YEARS)
        return (*option, size, BLOCK, key), np.zeros((-(-size // BLOCK), 2))

    def units(self, problem: Problem) -> int:
        """Return the number of paths."""
        return problem.size

    def merge(self, problem: Problem, out: Array) -> Array:
        """Return the price and its standard error (Glasserman 2003, section 1.1)."""
        import numpy as np  # noqa: PLC0415 - see Kernel

        _, _, rate, _, years, paths, _, _ = problem.inputs
        # Added one after the other, so that the result does not depend on how NumPy adds.
        total, squares = out.cumsum(axis=0)[-1]
        mean = total / paths
        variance = max(0.0, squares / paths - mean * mean)
        discount = exp(-rate * years)
        return np.array([discount * mean, discount * sqrt(variance / paths)])


KERNEL = MonteCarlo()
