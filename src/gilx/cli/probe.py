"""``gilx probe``: how much of a call, or of a script, holds the GIL."""

from __future__ import annotations

import argparse
import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gilx.cli import Parser
from gilx.cli.files import check_page, save, save_figure
from gilx.cli.numbers import number, whole_number
from gilx.cli.target import find_target
from gilx.errors import ArgumentError, above_zero, at_least
from gilx.gilwatch.probe import probe, probe_with_timeline
from gilx.gilwatch.watch import watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.gilwatch.timeline import Timeline
    from gilx.gilwatch.usage import GilUsage

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    _add_options(parser)
    parser.add_argument(
        "target",
        metavar="TARGET",
        help="module:callable, or script.py, which is watched from its start to its end",
    )
    parser.add_argument(
        "arguments",
        nargs=argparse.REMAINDER,
        metavar="...",
        help="Python literals for a callable; all that follows a script's name goes to"
        " the script",
    )


def _add_options(parser: argparse.ArgumentParser) -> None:
    quiet = argparse.SUPPRESS
    parser.add_argument(
        "--json", action="store_true", default=quiet, help="print the usage as JSON"
    )
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
        "--repeat", metavar="N", default=quiet, help="watch exactly N calls"
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
        default=quiet,
        help="half the width of the interval to reach (default: 0.01)",
    )
    parser.add_argument(
        "--budget",
        metavar="S",
        default=quiet,
        help="seconds that all calls may take (default: 5)",
    )


def run(options: argparse.Namespace) -> int:
    """Probe and print what was found."""
    timeline: Timeline | None
    if options.target.endswith(".py"):
        _check(options)
        status, usage, timeline = _run_script(options.target, options.arguments)
    else:
        # Options may follow a callable's arguments too: those are literals.
        rest = Parser(prog="gilx probe", add_help=False)
        _add_options(rest)
        rest.add_argument("arguments", nargs="*")
        given = rest.parse_intermixed_args(options.arguments)
        vars(options).update(vars(given))
        if ":" not in options.target:
            raise ArgumentError(
                f"target: expected module:callable or script.py, got {options.target!r}"
            )
        _check(options)
        call = find_target(options.target, options.arguments)
        status, usage, timeline = 0, *_run_callable(call, options)
    print(usage.to_json() if getattr(options, "json", False) else usage)
    if timeline is not None and hasattr(options, "timeline"):
        save("timeline", options.timeline, timeline.to_trace())
    if timeline is not None and hasattr(options, "plot"):
        save_figure("plot", options.plot, timeline.plot())
    if timeline is not None and hasattr(options, "html"):
        save("html", options.html, timeline.to_html())
    return status


def _check(options: argparse.Namespace) -> None:
    """Learn before anything runs that a page can't be made."""
    if hasattr(options, "html"):
        check_page("html", options.html)


def _run_callable(
    call: Callable[[], Any], options: argparse.Namespace
) -> tuple[GilUsage, Timeline | None]:
    repeat = whole_number("repeat", getattr(options, "repeat", None))
    budget = above_zero("budget", number("budget", getattr(options, "budget", "5")))
    warmup = not getattr(options, "no_warmup", False)
    if any(hasattr(options, name) for name in ("timeline", "plot", "html")):
        calls = at_least("repeat", 1 if repeat is None else repeat, 1)
        return probe_with_timeline(call, repeat=calls, budget=budget, warmup=warmup)
    usage = probe(
        call,
        repeat=repeat,
        precision=number("precision", getattr(options, "precision", "0.01")),
        budget=budget,
        warmup=warmup,
    )
    return usage, None


def _run_script(path: str, arguments: list[str]) -> tuple[int, GilUsage, Timeline]:
    if not Path(path).is_file():
        raise ArgumentError(f"target: expected a script that exists, got {path!r}")
    status = 0
    before, sys.argv = sys.argv, [path, *arguments]
    sys.path.insert(0, str(Path(path).resolve().parent))
    watching = watch()
    try:
        with watching:
            runpy.run_path(path, run_name="__main__")
    except SystemExit as error:
        status = (
            error.code if isinstance(error.code, int) else int(error.code is not None)
        )
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    finally:
        sys.argv = before
        del sys.path[0]
    return status, watching.usage, watching.timeline
