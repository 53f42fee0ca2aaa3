"""``gilx measure``: the speedup of several workers over one, and its limits.

Exit status: 0 when something was measured, 1 when nothing could be compared (the budget
is too small for one block), 2 when the command line is wrong. What a callable raises ends
the command with its traceback and status 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx import kernels, pools
from gilx.cli.file_options import (
    add_json,
    check_file,
    check_json,
    check_page,
    check_picture,
    save,
    save_and_print,
    save_picture,
)
from gilx.cli.option_types import add_options
from gilx.cli.progress import show
from gilx.cli.reserved_output import output_for
from gilx.cli.target import find_target
from gilx.errors import ArgumentError
from gilx.speedup.measure import measure

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from typing import TextIO

    from gilx.speedup.report import Report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments; the library checks what they hold."""
    parser.add_argument(
        "target",
        metavar="TARGET",
        help=f"a kernel ({', '.join(kernels.names())}) or module:callable",
    )
    parser.add_argument(
        "arguments",
        metavar="ARGUMENT",
        nargs="*",
        default=[],  # else argparse calls it required, too
        help="an argument for a callable, as a Python literal, such as 10 or '\"text\"'",
    )
    add_options(
        parser,
        {
            "--variants V,V...": "variants of a kernel: python, numpy, c-gil, c-nogil,"
            " cython-gil, cython-nogil (default: c-gil,c-nogil)",
            "--pools P,P... threads": f"{', '.join(pools.names())} (default: threads)",
            "--workers N,N...": "number of workers, or several numbers to compare"
            " (default: the usable CPUs)",
            "--precision SHARE 0.02": "half-width of the interval at which to stop"
            " (default: 0.02)",
            "--budget S 10": "seconds that all blocks may take (default: 10); a running"
            " call is not interrupted",
            "--blocks N": "make exactly N blocks",
            "--repeat M": "calls in a row that each worker makes in a sample; 1 measures"
            " single calls (default: enough to be timed well)",
            "--aa": "compare the serial run with itself (an A/A comparison), which should"
            " find no difference",
            "--size N": "size of a kernel's problem",
            "--seed N 0": "seed (default: 0)",
        },
    )
    add_json(parser, "the report")
    add_options(
        parser,
        {
            "--csv FILE": "also write CSV ('-': print CSV instead of the text)",
            "--plot FILE": "also write a picture",
            "--html FILE": "also write a page",
        },
    )
    parser.add_argument(
        "--verbose",
        action="store_true",
        help="print the details of each row, too: blocks, CPU times, context switches",
    )


def run(options: argparse.Namespace) -> int:
    """Measure, print the table and write the files that are asked for."""
    if options.json == options.csv == "-":
        raise ArgumentError(
            "csv: expected a file's name, since --json prints to standard output"
        )
    check_json(options.json)
    check_file("csv", None if options.csv == "-" else options.csv)
    check_picture("plot", options.plot)
    check_page("html", options.html)
    output = output_for(options.json, options.csv)
    target: str | Callable[[], object] = options.target
    if ":" in options.target:
        target = find_target(options.target, options.arguments)
    elif options.target not in kernels.names():
        raise ArgumentError(
            f"target: expected module:callable or one of {', '.join(kernels.names())};"
            f" got {options.target!r}"
        )
    elif options.arguments:
        raise ArgumentError(
            "argument 1: expected no arguments for a kernel, got"
            f" {options.arguments[0]!r}"
        )
    report = measure(
        target,
        variants=options.variants,
        pools=options.pools,
        workers=options.workers,
        precision=options.precision,
        budget=options.budget,
        blocks=options.blocks,
        repeat=options.repeat,
        aa=options.aa,
        progress=show,
        size=options.size,
        seed=options.seed,
    )
    write(report, options, output)
    return 0 if any(row.comparison.blocks for row in report.rows) else 1


def write(report: Report, options: argparse.Namespace, output: TextIO) -> None:
    """Write the files, and print the table, or JSON or CSV instead."""
    if options.json == "-":
        text = report.to_json()
    elif options.csv == "-":
        text = report.to_csv()
    else:
        details = [report.details()] if options.verbose else []
        text = "\n\n".join([str(report), *details])
    save_and_print(_files(report, options), text.rstrip("\n"), output)


def _files(report: Report, options: argparse.Namespace) -> Iterator[Callable[[], None]]:
    """Yield functions that each save one file that was asked for."""
    if options.json not in (None, "-"):
        yield lambda: save("json", options.json, report.to_json())
    if options.csv not in (None, "-"):
        yield lambda: save("csv", options.csv, report.to_csv())
    if options.plot is not None:
        yield lambda: save_picture("plot", options.plot, report.plot())
    if options.html is not None:
        yield lambda: save("html", options.html, report.to_html())
