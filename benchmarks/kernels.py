"""Throughput of every variant of every kernel, and how the variants compare.

All variants of a kernel are timed in one run, in blocks of random order; ratios are taken
within a block. Run it with nothing else running::

    python benchmarks/kernels.py [--blocks N] [KERNEL ...]

Ratios are of speeds (first over second), with a bootstrap interval of the median at 95 %.
"""

from __future__ import annotations

import argparse
import random
from functools import partial
from statistics import median, quantiles

from gilx import kernels
from gilx.cli.table import format_table
from gilx.dispatch import regions, run_all
from gilx.environment import describe
from gilx.meter.blocks import time_blocks
from gilx.pools import SerialPool


def interval(ratios: list[float]) -> tuple[float, float]:
    """Return the percentile bootstrap interval of the median, at 95 %."""
    draw = random.Random(0)
    medians = [median(draw.choices(ratios, k=len(ratios))) for _ in range(2000)]
    cuts = quantiles(medians, n=40)
    return cuts[0], cuts[-1]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kernels", nargs="*", default=list(kernels.names()))
    parser.add_argument("--blocks", type=int, default=31)
    options = parser.parse_args()
    print(describe(), "\n")
    with SerialPool() as pool:
        for name in options.kernels:
            measure(kernels.get(name), options.blocks, pool)


def measure(kernel: kernels.Kernel, blocks: int, pool: SerialPool) -> None:
    """Measure one kernel and print its rates and ratios."""
    large, small = kernel.problem(), kernel.problem(kernel.python_size)
    # The references are slow: they work on a small problem, and rates are compared.
    problems = {
        variant: small if variant in ("python", "numpy") else large
        for variant in kernel.variants
    }
    work = {variant: regions(p, variant=variant) for variant, p in problems.items()}
    samples = time_blocks(
        {variant: partial(run_all, pool, w) for variant, w in work.items()}, blocks
    )
    rates = {
        variant: [problems[variant].units / seconds for seconds in samples[variant]]
        for variant in kernel.variants
    }
    print(f"{kernel.name}: million {kernel.unit} per second, one thread")
    print(
        format_table(
            ("variant", "median", ""),
            [(variant, f"{median(rates[variant]) / 1e6:.4g}", "") for variant in rates],
            right=(1,),
        )
    )
    pairs = [("c-nogil", "python"), ("c-nogil", "c-gil"), ("cython-nogil", "c-nogil")]
    if kernel.numpy:
        pairs.append(("c-nogil", "numpy"))
    rows = []
    for first, second in pairs:
        ratios = [a / b for a, b in zip(rates[first], rates[second], strict=True)]
        low, high = interval(ratios)
        rows.append(
            (f"{first} / {second}", f"{median(ratios):.3f}", f"{low:.3f} to {high:.3f}")
        )
    print(format_table(("ratio", "median", "interval"), rows, right=(1,)), "\n")


if __name__ == "__main__":
    main()
