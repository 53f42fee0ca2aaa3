"""``gilx grain``: the smallest grain at which threads beat one thread, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gilx import kernels, pools
from gilx.cli.file_options import add_json, check_json, print_or_save
from gilx.cli.option_types import add_options
from gilx.cli.progress import show
from gilx.cli.reserved_output import output_for
from gilx.cli.target import find_target
from gilx.speedup.grain import grain

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments; the library checks what they hold."""
    parser.epilog = (
        "exit status: 0 if the grain was measured, whether or not threads pay, 1 if the"
        " callable raised or the workers can't be started, 2 if the command line is wrong"
    )
    parser.add_argument(
        "target",
        metavar="KERNEL|MODULE:CALLABLE",
        help=f"{', '.join(kernels.names())}; or a callable that takes start and stop, and"
        " computes the items between",
    )
    add_options(
        parser,
        {
            "--items N": "number of items of the callable; required for a callable",
            "--size N": "size of the kernel's problem",
            "--variant VARIANT": "the kernel's variant (default: c-nogil)",
            "--workers N": "how many workers (default: the usable CPUs)",
            "--pool POOL threads": f"{', '.join(pools.names())} (default: threads)",
            "--budget SECONDS 5": "how long to measure (default: 5)",
        },
    )
    add_json(parser, "the figures")


def run(options: argparse.Namespace) -> int:
    """Measure and print the result."""
    check_json(options.json)
    output = output_for(options.json)
    target: Any = options.target
    if ":" in target:
        # Bound to no arguments: the library gives it a start and a stop.
        target = find_target(options.target, ())
        target.__qualname__ = options.target
    result = grain(
        target,
        workers=options.workers,
        variant=options.variant,
        pool=options.pool,
        size=options.size,
        items=options.items,
        budget=options.budget,
        progress=show,
    )
    show("")
    print_or_save(str(result), result.to_json(), options.json, output)
    return 0
