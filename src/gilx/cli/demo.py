"""``gilx demo``: the same computation, holding the GIL and releasing it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from gilx import kernels
from gilx.cli.numbers import whole_number
from gilx.cli.progress import show
from gilx.cli.table import format_table
from gilx.dispatch import regions, run_all
from gilx.environment import describe, gil_enabled, usable_cpus
from gilx.errors import at_least, one_of
from gilx.meter.blocks import time_blocks
from gilx.meter.statistics import median_ratio
from gilx.pools import SerialPool, ThreadPool
from gilx.text import wrapped

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from gilx.kernels.base import Problem
    from gilx.pools.base import Pool

__all__ = ["add_arguments", "run"]

_VARIANTS = ("python", "c-gil", "c-nogil", "cython-gil", "cython-nogil")
# Computing binds the first, small integers in a cache the second, memory the third.
_KERNELS = ("mandelbrot", "primes", "triad")
_BLOCKS = 7
# Between what is no speedup at all and what is clearly one; the words say which.
_NO_SPEEDUP = 1.2
_GOOD_SHARE = 0.75


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "kernels",
        nargs="*",
        metavar="KERNEL",
        help=f"which kernels, see gilx kernels (default: {' '.join(_KERNELS)})",
    )
    parser.add_argument(
        "--workers", metavar="N", help="how many threads (default: the usable CPUs)"
    )


@dataclass(frozen=True)
class _Row:
    variant: str
    alone: float
    together: float
    speedup: float


def run(options: argparse.Namespace) -> int:
    """Measure and print the table."""
    names = [one_of("kernel", name, kernels.names()) for name in options.kernels]
    given = whole_number("workers", options.workers)
    cpus = usable_cpus()
    workers = at_least("workers", cpus if given is None else given, 1)

    print(f"Do more threads mean faster? The same work, by one thread and by {workers};")
    print("every result is checked against pure Python.\n")
    print("\n".join(wrapped(describe())), "\n", sep="")
    if cpus == 1:
        print(
            "This process may use one CPU only, so no speedup can be seen here: threads\n"
            "that release the GIL still take turns on the one CPU. Give it a second one\n"
            "(see taskset, or the container's CPU limit) to see the difference.\n"
        )
    for name, rows in _measure(names or list(_KERNELS), workers).items():
        print(f"{name}: {kernels.get(name).summary}")
        print(
            format_table(
                ("variant", "1 thread", f"{workers} threads", "speedup", ""),
                [
                    (
                        row.variant,
                        f"{row.alone * 1e3:.0f} ms",
                        f"{row.together * 1e3:.0f} ms",
                        f"{row.speedup:.2f}x",
                        _sentence(row, workers, cpus, kernels.get(name).bottleneck),
                    )
                    for row in rows
                ],
                right=(1, 2, 3),
            ),
            end="\n\n",
        )
    print(
        f"Medians of {_BLOCKS} rounds, each with every row in random order; speedups are"
        "\ntaken within a round. Pure Python works on a smaller problem, so compare its"
        "\nspeedup with the others', not its times."
    )
    return 0


def _measure(names: list[str], workers: int) -> dict[str, list[_Row]]:
    rows: dict[str, list[_Row]] = {}
    with SerialPool() as serial, ThreadPool(workers) as threads:
        for number, name in enumerate(names):
            kernel = kernels.get(name)
            show(f"{name}: preparing")
            large, small = kernel.problem(), kernel.problem(kernel.python_size)
            arms: dict[tuple[str, str], Callable[[], float]] = {}
            for variant in _VARIANTS:
                problem = small if variant == "python" else large
                arms[variant, "alone"] = _timed(serial, problem, variant)
                arms[variant, "together"] = _timed(threads, problem, variant)

            def show_block(block: int, name: str = name, number: int = number) -> None:
                show(
                    f"kernel {number + 1} of {len(names)}, {name}:"
                    f" round {block + 1} of {_BLOCKS}"
                )

            samples = time_blocks(arms, _BLOCKS, between=show_block)
            for problem in (small, large):
                problem.check(problem.out)
            rows[name] = [
                _Row(
                    variant,
                    median(samples[variant, "alone"]),
                    median(samples[variant, "together"]),
                    median_ratio(samples[variant, "alone"], samples[variant, "together"]),
                )
                for variant in _VARIANTS
            ]
    show("")
    return rows


def _timed(pool: Pool, problem: Problem, variant: str) -> Callable[[], float]:
    work = regions(problem, variant=variant, workers=pool.workers)
    return lambda: run_all(pool, work)


def _sentence(row: _Row, workers: int, cpus: int, bottleneck: str) -> str:
    """Say in a few words what a row shows; what was measured decides, not the name."""
    if not gil_enabled():
        what, holds = "no GIL here", False
    elif row.variant == "python":
        what, holds = "needs the GIL", True
    elif row.variant.endswith("-nogil"):
        what, holds = "releases the GIL", False
    else:
        what, holds = "holds the GIL", True
    most = min(workers, cpus)
    if workers == 1:
        return f"{what}"
    if most > 1 and row.speedup >= _GOOD_SHARE * most:
        return f"{what}: side by side"
    if holds and row.speedup <= _NO_SPEEDUP:
        return f"{what}: threads take turns"
    if most == 1:
        return f"{what}, but one CPU"
    if bottleneck.startswith("memory"):
        return f"{what}: waits for memory"
    gain = "no gain" if row.speedup <= _NO_SPEEDUP else "partly"
    return f"{what}: {gain}; busy CPUs?"
