"""``gilx latency``: how long a callable makes another thread wait for the GIL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.cli.file_options import add_json, check_json, print_or_save
from gilx.cli.option_types import add_options
from gilx.cli.reserved_output import output_for
from gilx.cli.target import add_target, find_target
from gilx.errors import NotCompiledError
from gilx.sampling.latency import latency
from gilx.sampling.release_costs import release_costs

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments; the library checks what they hold."""
    add_target(parser)
    add_options(
        parser,
        {
            "--workers N,N... 1": "number of threads that call it, or several numbers to"
            " compare (default: 1)",
            "--period SECONDS 0.005": "mean time between the wake-ups of the other thread"
            " (default: 0.005)",
            "--budget SECONDS 4": "how long to measure in all (default: 4)",
        },
    )
    add_json(parser, "the figures")


def run(options: argparse.Namespace) -> int:
    """Measure and print the table, or JSON."""
    check_json(options.json)
    output = output_for(options.json)
    call = find_target(options.target, options.arguments)
    result = latency(
        call,
        workers=options.workers,
        period=options.period,
        budget=options.budget,
    )
    text = "" if options.json == "-" else f"{result}\n\n{_costs()}"
    print_or_save(text, result.to_json(), options.json, output)
    return 0


def _costs() -> str:
    """Return what a release costs on this machine, or why that is not known."""
    try:
        return f"On this machine:\n{release_costs()}"
    except NotCompiledError as error:
        return f"The costs of a release are unknown: {error}."
