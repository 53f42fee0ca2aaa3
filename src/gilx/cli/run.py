"""``gilx run KERNEL``: run one kernel once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx import kernels, pools
from gilx.cli.option_types import add_options
from gilx.cli.reserved_output import print_text
from gilx.pools.pool import SCHEDULES
from gilx.pools.run import run as run_kernel
from gilx.system.environment import describe

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments; the library checks what they hold."""
    parser.add_argument("kernel", metavar="KERNEL", help=", ".join(kernels.names()))
    add_options(
        parser,
        {
            "--workers N": "how many workers (default: the usable CPUs)",
            "--variant VARIANT c-nogil": "python, numpy, c-gil, c-nogil, cython-gil,"
            " cython-nogil (default: c-nogil)",
            "--pool POOL threads": f"{', '.join(pools.names())} (default: threads)",
            "--schedule SCHEDULE dynamic": f"{', '.join(SCHEDULES)} (default: dynamic)",
            "--size N": "size of the problem",
            "--seed N 0": "seed of the problem",
        },
    )


def run(options: argparse.Namespace) -> int:
    """Run the kernel and print how long it took and at what rate it worked."""
    result = run_kernel(
        options.kernel,
        workers=options.workers,
        pool=options.pool,
        variant=options.variant,
        schedule=options.schedule,
        size=options.size,
        seed=options.seed,
    )
    problem = result.problem
    problem.check(problem.out)
    rate = problem.units / result.seconds
    print_text(
        f"{problem.kernel.name} {result.variant}, size {problem.size}: {result.workers}"
        f" worker{'s' if result.workers != 1 else ''} ({result.pool}, {result.schedule}),"
        f" {result.seconds * 1e3:.1f} ms, {rate / 1e6:.3g} million"
        f" {problem.kernel.unit} per second, result checked"
    )
    if result.start_seconds:
        print_text(
            f"starting the workers took another {result.start_seconds * 1e3:.0f} ms"
        )
    print_text(describe())
    return 0
