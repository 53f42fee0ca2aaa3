"""``gilx grain``: the smallest grain at which threads beat one thread, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gilx import kernels, pools
from gilx.cli.option_types import number, whole_number
from gilx.cli.progress import show
from gilx.cli.target import find_target
from gilx.speedup.grain import grain

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments; the library checks what they hold."""
    parser.add_argument(
        "target",
        metavar="KERNEL|MODULE:CALLABLE",
        help=f"{', '.join(kernels.names())}; or a callable that takes start and stop, and"
        " computes the items between",
    )
    parser.add_argument(
        "--items", metavar="N", help="how many items the callable has; it needs this"
    )
    parser.add_argument("--size", metavar="N", help="size of the kernel's problem")
    parser.add_argument("--variant", help="the kernel's variant (default: c-nogil)")
    parser.add_argument(
        "--workers", metavar="N", help="how many workers (default: the usable CPUs)"
    )
    parser.add_argument(
        "--pool", default="threads", help=f"{', '.join(pools.names())} (default: threads)"
    )
    parser.add_argument(
        "--budget",
        metavar="SECONDS",
        default="5",
        help="how long to measure (default: 5)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Measure and print what was found."""
    target: Any = options.target
    if ":" in target:
        # Bound to no arguments: the library gives it a start and a stop.
        target = find_target(options.target, ())
        target.__qualname__ = options.target
    found = grain(
        target,
        workers=whole_number("workers", options.workers),
        variant=options.variant,
        pool=options.pool,
        size=whole_number("size", options.size),
        items=whole_number("items", options.items),
        budget=number("budget", options.budget),
        show=show,
    )
    show("")
    print(found.to_json() if options.json else found)
    return 0
