"""``gilx probe``: how much of a call, or of a program, holds the GIL."""

from __future__ import annotations

import argparse
import atexit
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gilx.cli import Parser
from gilx.cli.file_options import (
    add_json,
    check_file,
    check_page,
    check_picture,
    save,
    save_picture,
)
from gilx.cli.option_types import number, whole_number
from gilx.cli.program_runner import StandardOutput, find_module, find_script, names_script
from gilx.cli.target import find_target
from gilx.errors import ArgumentError, MissingExtraError, above_zero, at_least
from gilx.formatting import printable
from gilx.rendering.timeline_chart import picture_of
from gilx.rendering.timeline_page import document_of
from gilx.sampling.probe import probe, probe_with_timeline
from gilx.sampling.program_usage import usage_of_program
from gilx.sampling.watch import watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gilx.cli.program_runner import Program
    from gilx.sampling.timeline import Timeline
    from gilx.sampling.usage import GilUsage
    from gilx.sampling.watch import Watch

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    _add_options(parser)
    parser.add_argument(
        "-m",
        dest="module",
        action="store_true",
        help="TARGET is a module to run, as by python -m",
    )
    parser.add_argument(
        "target",
        action=_ProbeTarget,
        nargs=argparse.PARSER,
        metavar="TARGET",
        help="module:callable and Python literals to call it with; or a program:"
        " script.py, a directory or zip file with a __main__.py, or, after -m, a module."
        " A program is watched from its start to its end, and everything after its name"
        " is its own. Nothing ends a call or a program that does not return",
    )


class _ProbeTarget(argparse.Action):
    """Store ``target`` and ``arguments``.

    They are one argument to argparse, which would take a ``--`` out of a second one.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - as argparse calls it
        namespace: argparse.Namespace,
        values: Any,  # noqa: ANN401 - a list of words
        option_string: str | None = None,  # noqa: ARG002 - as argparse calls it
    ) -> None:
        words = values[1:] if values[0] == "--" else values
        namespace.target, namespace.arguments = words[0], words[1:]


def _add_options(parser: argparse.ArgumentParser) -> None:
    quiet = argparse.SUPPRESS
    add_json(parser, "the usage", default=quiet)
    parser.add_argument(
        "--timeline",
        metavar="FILE",
        default=quiet,
        help="write who held the GIL when, for Perfetto or chrome://tracing; of one call",
    )
    parser.add_argument(
        "--plot", metavar="FILE", default=quiet, help="draw the same as a picture"
    )
    parser.add_argument(
        "--html", metavar="FILE", default=quiet, help="write the same as a page"
    )
    parser.add_argument(
        "--repeat",
        metavar="N",
        type=whole_number,
        default=quiet,
        help="watch exactly N calls",
    )
    parser.add_argument(
        "--no-warmup",
        action="store_true",
        default=quiet,
        help="count the first call of a callable as any other",
    )
    parser.add_argument(
        "--precision",
        metavar="SHARE",
        type=number,
        default=quiet,
        help="half the width of the interval to reach (default: 0.01)",
    )
    parser.add_argument(
        "--budget",
        metavar="S",
        type=number,
        default=quiet,
        help="seconds that all calls may take (default: 5); no call is ended",
    )


def run(options: argparse.Namespace) -> int | Callable[[], int]:
    """Probe a call and print the usage, or return a function that runs a program."""
    if options.module:
        return _watch_program(find_module(options.target, options.arguments), options)
    if names_script(options.target):
        return _watch_program(find_script(options.target, options.arguments), options)
    # Options may follow a callable's arguments too: those are literals.
    rest = Parser(prog="gilx probe", add_help=False)
    _add_options(rest)
    rest.add_argument("arguments", nargs="*")
    given = rest.parse_intermixed_args(options.arguments)
    vars(options).update(vars(given))
    if ":" not in options.target:
        raise ArgumentError(
            "target: expected module:callable, -m module, or a script, directory or zip"
            f" file that exists; got {options.target!r}"
        )
    _check(options)
    usage, timeline = _run_callable(
        find_target(options.target, options.arguments), options
    )
    print(_text(usage, options))
    for save_one in _files(options, usage, timeline):
        save_one()
    return 0


def _check(options: argparse.Namespace) -> None:
    """Learn before anything runs that a file can't be made."""
    if _json_file(options) is not None:
        check_file("json", options.json)
    if hasattr(options, "timeline"):
        check_file("timeline", options.timeline)
    if hasattr(options, "plot"):
        check_picture("plot", options.plot)
    if hasattr(options, "html"):
        check_page("html", options.html)


def _text(usage: GilUsage, options: argparse.Namespace) -> str:
    return usage.to_json() if getattr(options, "json", None) == "-" else str(usage)


def _json_file(options: argparse.Namespace) -> str | None:
    path = getattr(options, "json", None)
    return None if path == "-" else path


def _files(
    options: argparse.Namespace,
    usage: GilUsage,
    timeline: Timeline | None,
    finding: str = "",
) -> Iterator[Callable[[], None]]:
    """Return functions that each save one file that was asked for."""
    if (path := _json_file(options)) is not None:
        yield lambda: save("json", path, f"{usage.to_json()}\n")
    if timeline is None:
        return
    if hasattr(options, "timeline"):
        yield lambda: save("timeline", options.timeline, timeline.to_trace())
    if hasattr(options, "plot"):
        yield lambda: save_picture("plot", options.plot, picture_of(timeline, finding))
    if hasattr(options, "html"):
        yield lambda: save("html", options.html, document_of(timeline, finding).html())


def _run_callable(
    call: Callable[[], Any], options: argparse.Namespace
) -> tuple[GilUsage, Timeline | None]:
    repeat = getattr(options, "repeat", None)
    budget = above_zero("budget", getattr(options, "budget", 5.0))
    warmup = not getattr(options, "no_warmup", False)
    if any(hasattr(options, name) for name in ("timeline", "plot", "html")):
        calls = at_least("repeat", 1 if repeat is None else repeat, 1)
        return probe_with_timeline(call, repeat=calls, budget=budget, warmup=warmup)
    usage = probe(
        call,
        repeat=repeat,
        precision=getattr(options, "precision", 0.01),
        budget=budget,
        warmup=warmup,
    )
    return usage, None


def _watch_program(program: Program, options: argparse.Namespace) -> Callable[[], int]:
    """Begin to watch; return a function that runs a program.

    The usage is reported when the interpreter ends. By then it has waited for the
    program's threads, and called what the program registered for the exit.
    """
    for name in ("repeat", "precision", "budget", "no_warmup"):
        if hasattr(options, name):
            raise ArgumentError(
                f"{name.replace('_', '-')}: expected only with module:callable, since a"
                " program runs once"
            )
    _check(options)
    names = ("json", "timeline", "plot", "html")
    for name in names if _json_file(options) is not None else names[1:]:
        if hasattr(options, name):  # the program may change the current directory
            setattr(options, name, str(Path(getattr(options, name)).absolute()))
    watching = watch()
    watching.__enter__()
    # What is registered first is called last.
    atexit.register(_report, watching, program.name, options, StandardOutput())
    return program.run


def _report(
    watching: Watch, name: str, options: argparse.Namespace, output: StandardOutput
) -> None:
    """Report on a program that has ended; its exit status is left alone."""
    watching.stop()
    if not watching.ended:
        return  # in the child of a fork, which is not watched
    usage = usage_of_program(watching, name)
    try:
        output.print(_text(usage, options))
    except BrokenPipeError:
        pass  # the reader of the pipe left, as `head` does
    except OSError as error:
        _complain(f"can't write to standard output: {error.strerror}")
    for save_one in _files(options, usage, watching.timeline, usage.sentence()):
        try:
            save_one()
        except (ArgumentError, MissingExtraError) as error:
            _complain(str(error))


def _complain(words: str) -> None:
    # The program may have replaced sys.stderr.
    print(f"gilx probe: {printable(words)}", file=sys.__stderr__)
