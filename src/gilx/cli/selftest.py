"""Command ``gilx selftest``, which checks the GIL watch on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.cli.option_types import add_options
from gilx.cli.progress import show
from gilx.cli.reserved_output import print_text
from gilx.formatting import duration, format_table, percent, wrapped
from gilx.sampling.selftest import selftest
from gilx.system.environment import describe

if TYPE_CHECKING:
    import argparse

    from gilx.sampling.selftest import Check


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "exit status: 0 if the watch can be trusted, 1 if it was wrong,"
        " 3 if the CPUs were too busy for a result"
    )
    add_options(
        parser,
        {
            "--seconds S 1": "seconds for each rhythm (default: 1)",
            "--cost SHARE 0.03": "share of one CPU that the sampler may take (default:"
            " 0.03)",
        },
    )


def run(options: argparse.Namespace) -> int:
    """Check the watch, print the result, and return the exit status.

    It is 0 if the watch can be trusted, 1 if it was wrong, 3 if the CPUs were too busy.
    """
    result = selftest(
        options.seconds,
        cost=options.cost,
        progress=show,
    )
    show("")
    title = "The GIL watch is checked against work that holds the GIL in a known rhythm."
    print_text(f"{title}\n")
    print_text("\n".join(wrapped(describe())) + "\n")
    head = ("rhythm", "truth (%)", "held (%)", "interval (%)", "samples", "unknown", "")
    print_text(format_table(head, [_row(c) for c in result.checks], right=range(1, 6)))
    usages = [check.usage for check in result.checks]
    covered = sum(check.covered for check in result.checks)
    mean_error = sum(abs(c.error) for c in result.checks) / len(usages)
    summary = (
        f"The GIL was found through {usages[0].backend}. The sampler took one sample"
        f" every {duration(sum(u.resolution for u in usages) / len(usages))},"
        f" {duration(sum(u.lateness for u in usages) / len(usages))} late on average,"
        f" and used {percent(sum(u.cost for u in usages) / len(usages))} of a CPU. The"
        f" mean error is {mean_error * 100:.2f} percentage points; {covered} of"
        f" {len(usages)} intervals contain the truth."
    )
    if result.repeated:
        summary += (
            f" The first interval missed the truth for {result.repeated} of"
            f" {len(usages)} rhythms; the table has their second check."
        )
    print_text("\n" + "\n".join(wrapped(summary)))
    if result.trusted:
        print_text("The watch can be trusted here.")
        return 0
    if result.wrong:
        print_text(f"The watch can't be trusted here and now: {result.wrong}.")
        return 1
    print_text(f"The CPUs were too busy to check the watch: {result.undecided}.")
    return 3


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
        words if check.covered or not check.right else "right, interval barely misses",
    )
