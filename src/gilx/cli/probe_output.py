"""Output of ``gilx probe``: the text, and the files that options name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gilx.cli.file_options import (
    check_file,
    check_json,
    check_page,
    check_picture,
    check_stacks,
    save,
    save_picture,
)
from gilx.cli.reserved_output import OutputError
from gilx.errors import ArgumentError, MissingExtraError, at_least
from gilx.formatting import printable
from gilx.rendering.sites_table import sites_text
from gilx.rendering.timeline_chart import picture_of
from gilx.rendering.timeline_page import document_of
from gilx.rendering.waits_table import waits_text
from gilx.sampling.known_stacks import reason_against_stacks
from gilx.sampling.processes_usage import ProcessesUsage
from gilx.sampling.stacks import stacks_text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from gilx.cli.program_runner import StandardOutput
    from gilx.sampling.usage import GilUsage
    from gilx.sampling.watch import Watch

OF_ONE_WATCH = ("trace", "plot", "html", "stacks")
"""Options for files that are made of the samples of one watch."""


def check_files(options: argparse.Namespace) -> None:
    """Check before anything runs that the files can be made."""
    check_json(options.json)
    check_file("trace", options.trace)
    check_picture("plot", options.plot)
    check_page("html", options.html)
    check_stacks("stacks", options.stacks)
    if options.predict is None:
        return
    from gilx.sampling.prediction import MOST_WORKERS  # noqa: PLC0415 - loads NumPy

    for count in options.predict:
        at_least("predict", count, 1, MOST_WORKERS)
    if options.json == "-":
        raise ArgumentError(
            "predict: can't be combined with --json on standard output; call"
            " GilUsage.predict on the usage that is printed there"
        )


def keeps_stacks(options: argparse.Namespace) -> bool:
    """Return whether stacks are asked for; a page has them if they can be read."""
    if options.stacks is not None:
        return True
    return options.html is not None and not reason_against_stacks()


def text_of(usage: GilUsage | ProcessesUsage, options: argparse.Namespace) -> str:
    """Return the text that is printed about a usage."""
    if options.json == "-":
        return usage.to_json()
    whole = usage.total if isinstance(usage, ProcessesUsage) else usage
    if not options.verbose:
        return str(usage)
    tables = [usage.details(), sites_text(whole), waits_text(whole)]
    return "\n\n".join(filter(None, tables))


def files_of(
    options: argparse.Namespace,
    usage: GilUsage | ProcessesUsage,
    watching: Watch | None,
    finding: str = "",
) -> Iterator[Callable[[], None]]:
    """Yield functions that each save one file that was asked for."""
    if options.json not in (None, "-"):
        yield lambda: save("json", options.json, f"{usage.to_json()}\n")
    if watching is None or isinstance(usage, ProcessesUsage):
        return
    if all(getattr(options, name) is None for name in OF_ONE_WATCH):
        return
    timeline = watching.timeline
    if options.trace is not None:
        yield lambda: save("trace", options.trace, timeline.to_trace())
    if options.plot is not None:
        yield lambda: save_picture("plot", options.plot, picture_of(timeline, finding))
    if options.html is not None:
        stacks = watching.stacks if watching.keeps_stacks else None
        page = document_of(timeline, finding, usage, stacks)
        yield lambda: save("html", options.html, page.html())
    if options.stacks is not None:
        yield lambda: _save_stacks(options.stacks, usage, watching)


def _save_stacks(path: str, usage: GilUsage, watching: Watch) -> None:
    if not watching.keeps_stacks:  # a process whose stacks turned out to be unreadable
        raise ArgumentError(
            f"stacks: {usage.program} has none, since {usage.sites_missing}"
        )
    save("stacks", path, stacks_text(watching.stacks, path))


def report(
    usage: GilUsage | ProcessesUsage,
    watching: Watch | None,
    options: argparse.Namespace,
    output: StandardOutput,
) -> None:
    """Report on a program without changing its exit status: errors are only printed."""
    finding = "" if isinstance(usage, ProcessesUsage) else usage.sentence()
    for save_one in files_of(options, usage, watching, finding):
        try:
            save_one()
        except (ArgumentError, MissingExtraError) as error:
            complain(str(error))
    try:
        output.print(text_of(usage, options))
    except OSError as error:
        problem = OutputError(error)
        if not problem.reader_left:
            complain(str(problem))


def complain(words: str) -> None:
    """Print on standard error what is wrong."""
    # The program may have replaced sys.stderr.
    if sys.__stderr__ is not None:  # print() would take standard output instead
        print(f"gilx probe: {printable(words)}", file=sys.__stderr__)
