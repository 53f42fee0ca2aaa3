"""``gilx compare``: what changed between two reports of ``gilx measure --json``.

Exit status: 0 when nothing became worse, 1 when a row did: its of-ceiling (its speedup,
where there is no ceiling) fell, and the intervals do not overlap; 2 when a file is no
report, when the reports are from different machines (unless ``--force`` is given), or
when they have no row in common.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.cli.file_options import read_record
from gilx.cli.reserved_output import print_text
from gilx.formatting import format_table
from gilx.speedup.report import Report
from gilx.speedup.report_comparison import compare

if TYPE_CHECKING:
    import argparse

    from gilx.estimate import Estimate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("before", metavar="A.json", help="the report to compare with")
    parser.add_argument("after", metavar="B.json", help="the report that is judged")
    parser.add_argument(
        "--force", action="store_true", help="compare even if the machines differ"
    )


def run(options: argparse.Namespace) -> int:
    """Compare and print the table."""
    before, after = (
        read_record(path, Report.from_json) for path in (options.before, options.after)
    )
    changes = compare(before, after, force=options.force)
    names = [(options.before, before), (options.after, after)]
    for (path, report), letter in zip(names, "AB", strict=True):
        print_text(f"{letter}: {path}: {report.environment.summary()}")
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
    print_text(f"\n{format_table(head, rows, right=range(2, 7))}")
    return 1 if any(change.verdict == "worse" for change in changes) else 0


def _share(figure: Estimate) -> str:
    return f"{figure.value * 100:.0f} %" if figure.known else "-"
