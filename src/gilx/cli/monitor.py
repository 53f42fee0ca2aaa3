"""``gilx monitor``: report when a program does not release the GIL, or blocks a loop."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING, Any

from gilx.cli.option_types import add_options
from gilx.cli.program_runner import find_module, find_script, names_script
from gilx.errors import ArgumentError
from gilx.sampling.monitor import Monitor

if TYPE_CHECKING:
    from collections.abc import Callable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "exit status: the program's own; 1 if the GIL can't be watched, 2 if the command"
        " line is wrong, 70 if --exit ended the program"
    )
    add_options(
        parser,
        {
            "--stall SECONDS 0.1": "how long a thread waits for the GIL until that is"
            " reported (default: 0.1)",
            "--loop SECONDS": "how long an event loop of asyncio has not returned to its"
            " selector until that is reported (default: loops are not watched)",
            "--cost SHARE 0.01": "share of one CPU that the sampler may take (default:"
            " 0.01)",
            "--log FILE": "append reports to a file, instead of standard error",
            "--lone": "report it also if no thread waits",
            "--exit": "end the program after a report, with status 70",
        },
    )
    parser.add_argument(
        "-m",
        dest="module",
        action="store_true",
        help="TARGET is a module to run, as by python -m",
    )
    parser.add_argument(
        "target",
        action=_Program,
        nargs=argparse.PARSER,
        metavar="TARGET",
        help="a program: script.py, a directory or zip file with a __main__.py, or, after"
        " -m, a module. Everything after its name is its own",
    )


class _Program(argparse.Action):
    """Store ``target``, and the words after it as ``arguments``."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - as argparse calls it
        namespace: argparse.Namespace,
        values: Any,  # noqa: ANN401 - a list of words
        option_string: str | None = None,  # noqa: ARG002 - likewise
    ) -> None:
        """Take the words from the target on."""
        words = values[1:] if values[0] == "--" else values  # Python 3.13 leaves it out
        namespace.target, namespace.arguments = words[0], words[1:]


def run(options: argparse.Namespace) -> Callable[[], int]:
    """Start the monitor; return a function that runs a program.

    The monitor is stopped when the interpreter ends.
    """
    if options.module:
        program = find_module(options.target, options.arguments)
    elif names_script(options.target):
        program = find_script(options.target, options.arguments)
    else:
        raise ArgumentError(
            "target: expected -m module, or a script, directory or zip file that exists;"
            f" got {options.target!r}"
        )
    monitor = Monitor(
        options.stall,
        options.cost,
        lone=options.lone,
        loop=options.loop,
        log=options.log,
        on_stall="exit" if options.exit else "report",
    )
    monitor.start()
    return partial(program.run, own_threads=2 if options.lone else 1, in_children=True)
