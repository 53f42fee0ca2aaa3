"""``gilx run KERNEL``: run one kernel once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx import kernels, pools
from gilx.cli.option_types import whole_number
from gilx.cli.reserved_output import print_text
from gilx.pools.pool import SCHEDULES
from gilx.pools.run import run as run_kernel
from gilx.system.environment import describe

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments; the library checks what they hold."""
    parser.add_argument("kernel", metavar="KERNEL", help=", ".join(kernels.names()))
    parser.add_argument(
        "--workers",
        metavar="N",
        type=whole_number,
        help="how many workers (default: the usable CPUs)",
    )
    parser.add_argument(
        "--variant",
        default="c-nogil",
        help="python, numpy, c-gil, c-nogil, cython-gil, cython-nogil (default: c-nogil)",
    )
    parser.add_argument(
        "--pool",
        default="threads",
        help=f"{', '.join(pools.names())} (default: threads)",
    )
    parser.add_argument(
        "--schedule",
        default="dynamic",
        help=f"{', '.join(SCHEDULES)} (default: dynamic)",
    )
    parser.add_argument(
        "--size", metavar="N", type=whole_number, help="size of the problem"
    )
    parser.add_argument(
        "--seed", metavar="N", type=whole_number, default=0, help="seed of the problem"
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
