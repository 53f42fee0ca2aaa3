"""``gilx compare``: changes between two reports, or two usages of the GIL.

Reports are those of ``gilx measure --json``, usages those of ``gilx probe --json``.

Exit status: 0 if nothing became worse; 1 if something did: a row's fraction of its
ceiling (its speedup, for a row without a ceiling) fell, or the share of the time during
which the GIL was held rose, and the intervals do not overlap; 2 if a file is neither a
report nor a usage, if the files are from different machines (without ``--force``),
or if they have nothing in common.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.cli.file_options import read_record
from gilx.cli.reserved_output import print_text
from gilx.errors import ArgumentError
from gilx.formatting import format_table, percent, table_with_remarks, wrapped
from gilx.records import read_object
from gilx.sampling.usage import GilUsage
from gilx.sampling.usage_comparison import compare_usages
from gilx.speedup.report import Report
from gilx.speedup.report_comparison import compare

if TYPE_CHECKING:
    import argparse

    from gilx.estimate import Estimate
    from gilx.system.environment import Environment

_MOST_LINES = 21  # of the table; its first line is about all lines of code


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "exit status: 0 if nothing became worse, 1 if something did, 2 if a file is"
        " neither a report nor a usage, if the two are from different machines, or if"
        " there is nothing to compare"
    )
    parser.add_argument(
        "before",
        metavar="A.json",
        help="the earlier report (from gilx measure --json) or usage (from gilx probe"
        " --json)",
    )
    parser.add_argument("after", metavar="B.json", help="the later report or usage")
    parser.add_argument(
        "--force", action="store_true", help="compare even if the machines differ"
    )


def run(options: argparse.Namespace) -> int:
    """Compare and print the table."""
    before, after = (
        read_record(path, _record) for path in (options.before, options.after)
    )
    paths = options.before, options.after
    if isinstance(before, Report) and isinstance(after, Report):
        return _compare_reports(before, after, paths, force=options.force)
    if isinstance(before, GilUsage) and isinstance(after, GilUsage):
        return _compare_usages(before, after, paths, force=options.force)
    kinds = ["report" if isinstance(one, Report) else "usage" for one in (before, after)]
    raise ArgumentError(f"after: expected a {kinds[0]}, got a {kinds[1]}")


def _record(text: str) -> Report | GilUsage:
    fields = read_object(text, "text: expected JSON of a report or usage")
    kind = GilUsage if fields.get("schema") == "gilx.usage" else Report
    record: Report | GilUsage = kind.from_json(text)
    return record


def _compare_usages(
    before: GilUsage, after: GilUsage, paths: tuple[str, str], *, force: bool
) -> int:
    changes = compare_usages(before, after, force=force)
    for path, usage, letter in zip(paths, (before, after), "AB", strict=True):
        print_text(f"{letter}: {path}: {usage.sentence()}")
    _print_differences(before.environment, after.environment)
    rows = [
        (
            percent(change.before.value),
            percent(change.after.value),
            change.verdict,
            f"{change.place} {change.function}".rstrip() + f"  {change.text}".rstrip(),
        )
        for change in changes[:_MOST_LINES]
    ]
    head = ("A", "B", "B holds the GIL", "where")
    print_text(f"\n{format_table(head, rows, right=range(2))}")
    if rest := len(changes) - len(rows):
        print_text(f"{rest} more line{'s' if rest > 1 else ''} with smaller shares")
    for usage, letter in zip((before, after), "AB", strict=True):
        if usage.sites_missing:
            print_text(f"{letter}: lines are unknown, since {usage.sites_missing}")
    return 1 if changes[0].verdict == "more" else 0


def _compare_reports(
    before: Report, after: Report, paths: tuple[str, str], *, force: bool
) -> int:
    changes = compare(before, after, force=force)
    for path, report, letter in zip(paths, (before, after), "AB", strict=True):
        environment = f"{letter}: {path}: {report.environment.summary()}"
        print_text("\n".join(wrapped(environment, rest="  ", whole_words=True)))
    _print_differences(before.environment, after.environment)
    rows = [
        (
            change.before.name,
            change.before.pool,
            str(change.before.workers),
            f"{change.before.speedup.value:.2f}x",
            f"{change.after.speedup.value:.2f}x",
            _share(change.before.ceiling_fraction),
            _share(change.after.ceiling_fraction),
            change.verdict,
        )
        for change in changes
    ]
    head = ("target", "pool", "workers", "A", "B", "A of ceiling", "B of ceiling", "")
    print_text(f"\n{table_with_remarks(head, rows, right=range(2, 7))}")
    return 1 if any(change.verdict == "worse" for change in changes) else 0


def _print_differences(before: Environment, after: Environment) -> None:
    """Print how the environments differ, if they do."""
    difference = before.same_machine(after, ("in A", "in B"))
    if difference.machine or difference.software:
        for line in wrapped(f"A and B are from {difference}"):
            print_text(line)


def _share(figure: Estimate) -> str:
    return f"{figure.value * 100:.0f} %" if figure.known else "-"
