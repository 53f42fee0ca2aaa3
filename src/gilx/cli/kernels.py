"""``gilx kernels``: list the kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx import kernels
from gilx.cli.reserved_output import print_text
from gilx.formatting import format_table

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments: it has none."""
    del parser


def run(options: argparse.Namespace) -> int:
    """Print the kernels with what they do and what limits them."""
    del options
    rows = [
        (kernel.name, kernel.item, kernel.unit, f"{kernel.summary} ({kernel.bottleneck})")
        for kernel in map(kernels.get, kernels.names())
    ]
    print_text(
        format_table(("kernel", "item", "unit of work", "what it does (its limit)"), rows)
    )
    return 0
