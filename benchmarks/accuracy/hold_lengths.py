"""Mean lengths of holds and releases, as the watch gives them, against the truth.

The truth is a band, of ``gilx.ckernels.spin``. "slowed" is by how much a cycle of both is
longer while the sampler reads than it really is. Run it with nothing else running::

    python benchmarks/accuracy/hold_lengths.py [--seconds S] [--runs N]
"""

from __future__ import annotations

import argparse
import random
from itertools import product
from statistics import median
from typing import TYPE_CHECKING, Literal

import gilx
from gilx.ckernels import spin
from gilx.formatting import format_table
from gilx.system.environment import describe

if TYPE_CHECKING:
    from gilx.ckernels import SpinResult

PERIODS = (1_000, 2_000, 4_000, 8_000, 20_000, 100_000)
FRACTIONS = (0.1, 0.5, 0.9)
RHYTHMS: tuple[Literal["fixed", "exponential"], ...] = ("fixed", "exponential")


def truth(done: SpinResult) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the bands of the mean hold and the mean release, in seconds."""
    held = done.held_min_ns, done.held_max_ns
    free = done.wall_ns - done.held_max_ns, done.wall_ns - done.held_min_ns
    cycles = done.cycles * 1e9
    return (held[0] / cycles, held[1] / cycles), (free[0] / cycles, free[1] / cycles)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--runs", type=int, default=6, help="runs of each rhythm")
    options = parser.parse_args()
    print(describe(), "\n")
    rows = []
    for period in PERIODS:
        covered = resolved = runs = 0
        slowed: list[float] = []
        for part, rhythm in product(FRACTIONS, RHYTHMS * options.runs):
            hold = round(period * part)
            with gilx.watch() as watch:
                done = spin(
                    *(hold, period - hold, round(options.seconds * 1e9)),
                    rhythm=rhythm,
                    seed=random.randrange(2**31),
                )
            usage = watch.usage
            bounds = usage.hold_length, usage.release_length
            for (low, high), (least, most) in zip(bounds, truth(done), strict=True):
                runs += 1
                covered += low <= most and least <= high
                resolved += low > 0 and high <= 4 * low
            high = sum(high for _, high in bounds)
            slowed.append(high - done.wall_ns / done.cycles * 1e-9)
        rows.append(
            (
                f"{period / 1000:g} µs",
                f"{runs}",
                f"{100 * covered / runs:.0f} %",
                f"{100 * resolved / runs:.0f} %",
                f"{median(slowed) * 1e6:.2f} µs",
            )
        )
    head = ("period", "lengths", "covered", "resolved", "upper bound above truth by")
    print(format_table(head, rows, right=range(1, 5)))


if __name__ == "__main__":
    main()
