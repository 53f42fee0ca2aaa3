"""Throughput of every variant of every kernel, and how the variants compare.

All variants of a kernel are timed in one run, in one thread, in blocks of random order;
ratios are taken within a block. Run it with nothing else running::

    python benchmarks/kernels.py [--blocks N] [KERNEL ...]

Ratios are of speeds (first over second), with an interval of the median at 95 %.
Beside them are timed the peers that can be had (``pip install gilx[bench]``): numba's
versions of the Cython loops, straightforward C compiled for this machine, the library
that a user would pick, on one thread, and for kernels that memory binds a copy loop that
moves as many bytes. ``GILX_ISA=avx2`` in the environment gives the C kernels another
instruction set than the best.
"""

from __future__ import annotations

import argparse
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

import one_thread  # noqa: F401 - before NumPy is loaded
from peers import peers

from gilx import kernels
from gilx.cli.table import format_table
from gilx.dispatch import regions, run_all
from gilx.environment import describe
from gilx.meter.blocks import time_blocks
from gilx.meter.statistics import median_interval
from gilx.pools import SerialPool

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.kernels.base import Kernel

# What the references work on: bound by memory, they must meet the same arrays.
_REFERENCES = {"histogram": ("python",), "triad": ("python",), "heat": ("python",)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kernels", nargs="*", default=list(kernels.names()))
    parser.add_argument("--blocks", type=int, default=21)
    options = parser.parse_args()
    print(describe(), "\n")
    with SerialPool() as pool:
        for name in options.kernels:
            measure(kernels.get(name), options.blocks, pool)


def measure(kernel: Kernel, blocks: int, pool: SerialPool) -> None:
    """Measure one kernel and print its rates and ratios."""
    large, small = kernel.problem(), kernel.problem(kernel.python_size)
    # The references are slow: they work on a small problem, and rates are compared.
    slow = _REFERENCES.get(kernel.name, ("python", "numpy"))
    problems = {v: small if v in slow else large for v in kernel.variants}
    arms: dict[str, Callable[[], float]] = {
        variant: partial(run_all, pool, regions(problem, variant=variant))
        for variant, problem in problems.items()
    }
    for peer, arm in peers(large).items():
        problems[peer] = large
        arms[peer] = arm
    samples = time_blocks(arms, blocks)
    rates = {
        arm: [problems[arm].units / seconds for seconds in samples[arm]] for arm in arms
    }
    print(f"{kernel.name}: million {kernel.unit} per second, one thread")
    print(
        format_table(
            ("variant", "median", ""),
            [(variant, f"{median(rates[variant]) / 1e6:.4g}", "") for variant in rates],
            right=(1,),
        )
    )
    pairs = [("c-nogil", "python"), ("c-nogil", "numpy"), ("c-gil", "c-nogil")]
    pairs += [("cython-gil", "cython-nogil"), ("cython-nogil", "c-nogil")]
    pairs += [("cython-nogil", "numba"), ("c-nogil", "numba")]
    pairs += [
        ("c-nogil", peer) for peer in problems if peer not in (*kernel.variants, "numba")
    ]
    rows = []
    for first, second in pairs:
        if second not in rates:
            continue
        ratios = [a / b for a, b in zip(rates[first], rates[second], strict=True)]
        low, high = median_interval(ratios)
        rows.append(
            (f"{first} / {second}", f"{median(ratios):.3f}", f"{low:.3f} to {high:.3f}")
        )
    print(format_table(("ratio", "median", "interval"), rows, right=(1,)), "\n")


if __name__ == "__main__":
    main()
