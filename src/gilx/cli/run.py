"""``gilx run KERNEL``: run one kernel once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx import kernels, pools
from gilx.cli.option_types import add_options
from gilx.cli.reserved_output import print_text
from gilx.formatting import duration, rounded, wrapped
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
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="print size, pool, schedule, rate and the time to start the workers, too",
    )


def run(options: argparse.Namespace) -> int:
    """Run the kernel, check its result, and print the time that it took."""
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
    workers = f"{result.workers} worker{'s' if result.workers != 1 else ''}"
    name = problem.kernel.name
    sentences = (
        f"{workers} computed {name} in {duration(result.seconds)}; the result is right.",
        f"gilx measure {name} shows the speedup over one worker.",
    )
    print_text("\n".join(line for words in sentences for line in wrapped(words)))
    if options.verbose:
        details = {
            "variant": result.variant,
            "size": str(problem.size),
            "pool": result.pool,
            "schedule": result.schedule,
            "rate": f"{rounded(rate / 1e6)} million {problem.kernel.unit} a second",
        }
        if result.start_seconds:
            details["start of workers"] = duration(result.start_seconds)
        print_text("\n".join(f"  {name:<16}  {text}" for name, text in details.items()))
    print_text("\n".join(wrapped(describe())))
    return 0
