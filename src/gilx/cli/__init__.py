"""The command ``gilx``.

Exit status:

- 0: all went well, or the reader of standard output left.
- 1: the GIL can't be watched, the watch can't be trusted, the doctor found a warning,
  nothing could be measured, a report or an audit is worse than the one before, the
  package that draws pictures and pages is not installed, or standard output can't be
  written to.
- 2: the command line is wrong; one line on standard error says why.
- 130: Ctrl-C was pressed.

``gilx probe`` and ``gilx monitor`` end with the exit status of the program that they
watch.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import sys
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any, NoReturn

import gilx
from gilx._compat import gil_enabled
from gilx.cli.reserved_output import OutputError, release_output
from gilx.errors import (
    ArgumentError,
    MissingExtraError,
    WatchUnavailableError,
    WorkersUnavailableError,
)
from gilx.formatting import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

# Each command is a module of this package with the functions add_arguments(parser) and
# run(options). The latter returns the exit status, or a function that runs a program and
# returns its exit status.
_COMMANDS = {
    "audit": "list which of many callables hold the GIL, and which scale",
    "compare": "show what changed between two reports, or two usages of the GIL",
    "demo": "show on this machine which code runs in parallel, and which does not",
    "doctor": "find problems that distort measurements here, and their remedies",
    "grain": "find how much work a task needs before threads pay",
    "kernels": "list the kernels",
    "latency": "measure how long a callable makes another thread wait for the GIL",
    "measure": "measure the speedup of several workers over one, and its limits",
    "monitor": "report when a program does not release the GIL, and where",
    "probe": "measure which lines of a call, program or process hold the GIL",
    "run": "run one kernel once",
    "selftest": "check the GIL watch against known work on this machine",
    "top": "show live which threads of a process hold the GIL or wait for it",
}


class Parser(argparse.ArgumentParser):
    """Parser whose errors are one line, worded like those of the library."""

    words: Sequence[str] = ()
    """The whole command line, since argparse does not pass on all of it."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit."""
        message = re.sub(r"^argument --([\w-]+): ", r"\1: ", message)
        self.exit(2, f"{self.prog}: {printable(message)}\n")

    def parse_known_args(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        namespace: Any = None,  # noqa: ANN401 - as argparse has it
    ) -> tuple[Any, list[str]]:
        """Parse words; as for Python, ``-mNAME`` means ``-m NAME``."""
        words = list(sys.argv[1:] if args is None else args)
        if "-m" in self._option_string_actions:
            words = self._with_module_apart(words)
        return super().parse_known_args(words, namespace)

    def _with_module_apart(self, words: list[str]) -> list[str]:
        """Return words with ``-m NAME`` for ``-mNAME``, which argparse does not know.

        The search ends at the first word that is neither an option nor an option's value.
        """
        index = 0
        while (
            index < len(words) and words[index].startswith("-") and words[index] != "--"
        ):
            word = words[index]
            if word.startswith("-m") and word != "-m":
                return [*words[:index], "-m", word[2:], *words[index + 1 :]]
            option = self._option_string_actions.get(word)
            index += 1
            if option is not None and index < len(words):
                takes_next = option.nargs == "?" and not words[index].startswith("-")
                index += option.nargs is None or takes_next
        return words


def _parser() -> tuple[Parser, dict[str, Parser]]:
    parser = Parser(
        prog="gilx",
        description="Does compiled Python code really run in parallel?",
    )
    parser.add_argument("--version", action="version", version=f"gilx {gilx.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    # argparse would look for abbreviated options among the words of a watched program,
    # too, and report an ambiguous one as an error.
    return parser, {
        name: commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        for name, text in _COMMANDS.items()
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, by default the process's own.

    Returns
    -------
    int
        The exit status.

    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    chosen = next((word for word in given if not word.startswith("-")), None)
    try:
        parser, commands = _parser()
        # Only the command that is asked for is loaded.
        if chosen in commands:
            module = importlib.import_module(f"gilx.cli.{chosen}")
            module.add_arguments(commands[chosen])
            commands[chosen].words = given
        options, unknown = parser.parse_known_args(given)
        if unknown:
            own = given[0] in unknown  # an option in front of the command
            speaker = parser if own else commands[options.command]
            speaker.error(f"unrecognized arguments: {' '.join(unknown)}")
        with _noting_gil_imports():
            outcome: int | Callable[[], int] = module.run(options)
    except ArgumentError as error:
        _complain(chosen, printable(str(error)))
        return 2
    except (MissingExtraError, WatchUnavailableError, WorkersUnavailableError) as error:
        _complain(chosen, str(error))
        return 1
    except KeyboardInterrupt:
        _complain(chosen, "interrupted")
        return 130
    except OutputError as error:
        # Python would complain once more when it flushes at exit.
        with suppress(OSError):
            release_output()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        if error.reader_left:  # of a pipe, as `head` does
            return 0
        _complain(chosen, str(error))
        return 1
    finally:
        if arguments is not None:  # the process goes on
            release_output()
    # A program runs outside of the try statement, which must not handle its exceptions.
    return outcome() if callable(outcome) else outcome


def _noting_gil_imports() -> AbstractContextManager[object]:
    """Return a context that records the import that turns the GIL on."""
    if gil_enabled():
        return nullcontext()
    from gilx.system.gil_imports import ImportWatch  # noqa: PLC0415 - without a GIL only

    return ImportWatch()


def _complain(command: str | None, words: str) -> None:
    if sys.stderr is not None:  # print() would take standard output instead
        print(f"gilx {command}: {words}", file=sys.stderr)
