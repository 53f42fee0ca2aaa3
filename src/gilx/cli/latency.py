"""``gilx latency``: how long a callable makes another thread wait for the GIL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.cli.option_types import number, whole_numbers
from gilx.cli.target import add_target, find_target
from gilx.sampling.latency import latency
from gilx.sampling.release_costs import costs

if TYPE_CHECKING:
    import argparse

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments; the library checks what they hold."""
    add_target(parser)
    parser.add_argument(
        "--threads",
        metavar="N,N...",
        default="1",
        help="how many threads call it, one or several numbers (default: 1)",
    )
    parser.add_argument(
        "--period",
        metavar="SECONDS",
        default="0.005",
        help="mean time between the other thread's wakes (default: 0.005)",
    )
    parser.add_argument(
        "--duration",
        metavar="SECONDS",
        default="2",
        help="how long to take delays for each number of threads (default: 2)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace) -> int:
    """Measure and print the table, or JSON."""
    call = find_target(options.target, options.arguments)
    threads = whole_numbers("threads", options.threads) or []
    found = latency(
        call,
        threads=threads,
        period=number("period", options.period),
        duration=number("duration", options.duration),
    )
    if options.json:
        print(found.to_json())
    else:
        print(f"{found}\n\nOn this machine:\n{costs()}")
    return 0
