"""``gilx selftest``: whether the GIL watch can be trusted on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.cli.option_types import add_options
from gilx.cli.progress import show
from gilx.cli.reserved_output import print_text
from gilx.formatting import duration, format_table, percent
from gilx.sampling.selftest import selftest
from gilx.system.environment import describe

if TYPE_CHECKING:
    import argparse

    from gilx.sampling.selftest import Check


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "exit status: 0 if the watch can be trusted, 1 if it was wrong,"
        " 3 if the CPUs were too busy to tell"
    )
    add_options(
        parser,
        {
            "--seconds S 1": "for each rhythm (default: 1)",
            "--cost SHARE 0.03": "of one CPU that the sampler may take (default: 0.03)",
        },
    )


def run(options: argparse.Namespace) -> int:
    """Check, print the table, and return 1 if the watch was wrong, 3 if it can't tell."""
    result = selftest(
        options.seconds,
        cost=options.cost,
        progress=show,
    )
    show("")
    print_text("The GIL watch against work that holds the GIL in a known rhythm.\n")
    print_text(f"{describe()}\n")
    head = ("rhythm", "truth", "held", "interval", "samples", "unknown", "")
    print_text(format_table(head, [_row(c) for c in result.checks], right=range(1, 6)))
    usages = [check.usage for check in result.checks]
    covered = sum(check.covered for check in result.checks)
    mean_error = sum(abs(c.error) for c in result.checks) / len(usages)
    print_text(
        f"\nFound by {usages[0].backend}; one sample in"
        f" {duration(sum(u.resolution for u in usages) / len(usages))},"
        f" {duration(sum(u.lateness for u in usages) / len(usages))} late on average,"
        f" for {percent(sum(u.cost for u in usages) / len(usages))} of a CPU;"
        f"\noff by {mean_error * 100:.2f} points on average;"
        f" {covered} of {len(usages)} intervals hold the truth."
    )
    if result.trusted:
        print_text("The watch can be trusted here.")
        return 0
    print_text(f"The watch can't be trusted here and now: {result.trouble}.")
    return 1 if result.wrong else 3


def _row(check: Check) -> tuple[str, ...]:
    usage = check.usage
    low, high = check.truth
    words = "right" if check.right else "WRONG"
    return (
        check.name,
        f"{low * 100:.1f} to {high * 100:.1f}",
        f"{usage.held.value * 100:.1f}",
        f"{usage.held.low * 100:.1f} to {usage.held.high * 100:.1f}",
        f"{usage.samples}",
        percent(usage.unknown),
        words if check.covered or not check.right else "right, interval misses",
    )
