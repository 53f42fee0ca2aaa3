"""``gilx probe``: how much of a call, of a program or of a process holds the GIL."""

from __future__ import annotations

import argparse
import atexit
import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gilx._compat import gil_enabled
from gilx.cli.file_options import add_json, save_and_print
from gilx.cli.option_types import add_options, whole_number
from gilx.cli.outside_watch import watch_command, watch_process
from gilx.cli.probe_output import (
    OF_ONE_WATCH,
    check_files,
    files_of,
    keeps_stacks,
    report,
    text_of,
)
from gilx.cli.program_runner import (
    ProgramAction,
    StandardOutput,
    add_program,
    find_program,
    names_script,
)
from gilx.cli.reserved_output import output_for
from gilx.cli.target import find_target
from gilx.errors import (
    MOST_CALLS,
    ArgumentError,
    above_zero,
    at_least,
    number_between,
    shown,
)
from gilx.sampling.probe import probe, probe_with_watch
from gilx.sampling.watch import watch_with_callers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gilx.cli.program_runner import Program
    from gilx.sampling.usage import GilUsage
    from gilx.sampling.watch import Watch

# Options for calls only. Each default is an object of its own: an option was given if its
# value is another object, even an equal one.
_FOR_CALLS = {
    "repeat": None,
    "predict": None,
    "precision": 0.01,
    "budget": 5.0,
    "no_warmup": False,
}
# Options for calls that processes have, too.
_FOR_PROCESSES = ("budget",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "exit status: for a callable or a process, 0 if the usage of the GIL was printed,"
        " 1 if the GIL can't be watched or the callable raised, 2 if the command line is"
        " wrong, 130 after Ctrl-C, which ends the watch of a process and prints its usage"
        " until then; for a program or a command, its own exit status, or 128 plus the"
        " number of the signal that killed a command"
    )
    add_json(parser, "the usage")
    add_options(
        parser,
        {
            "--trace FILE": "write a trace of the threads and lines that held the GIL,"
            " for Perfetto or the Firefox Profiler; one call is watched"
            " unless --repeat is given",
            "--plot FILE": "draw a timeline of the threads that held the GIL",
            "--html FILE": "write a page with a timeline of the threads that held the"
            " GIL, the places in the code that held the GIL, and a flame graph",
            "--stacks FILE": "write the Python stacks that held the GIL, for flame graph"
            " tools: FILE.collapsed or FILE.speedscope.json; one call is watched"
            " unless --repeat is given",
            "--verbose": "print all figures, all places that hold the GIL, and where"
            " threads wait",
            "--repeat N": "watch exactly N calls",
            "--no-warmup": "count the first call of a callable like any other",
            "--precision SHARE": "half-width of the interval at which to stop (default:"
            " 0.01)",
            "--budget S": "seconds that all calls may take (default: 5); a running call"
            " is not interrupted. For a process or a COMMAND: seconds for which to watch"
            " it (default for a COMMAND: until it ends)",
            "--predict N,N...": "predict the calls per second of N threads from those of"
            " one thread",
        },
    )
    parser.set_defaults(**_FOR_CALLS, program=None)
    parser.add_argument(
        "--subprocesses",
        action="store_true",
        help="for a process or a COMMAND: also watch the processes that it starts",
    )
    pid = parser.add_argument(
        "--pid",
        action=_Pid,
        type=whole_number,
        metavar="PID",
        help="watch a running process instead of a TARGET. The process is not stopped and"
        " loads nothing; its Python, 3.11 to 3.15, need not be the one that runs gilx",
    )
    pid.target = add_program(  # type: ignore[attr-defined] # of _Pid
        parser,
        "module:callable, and Python literals to call it with; a program: script.py, a"
        " directory or zip file with a __main__.py, or a module after -m; or, after --,"
        " any COMMAND with its arguments, which runs as a process of its own and is"
        " watched from outside. A program is watched from its start to its end, and is"
        " passed all arguments after its name. gilx does not end a call or a program that"
        " does not return",
        _Target,
    )


class _Pid(argparse.Action):
    """Store ``pid``, with which no target is needed."""

    target: argparse.Action

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - as argparse calls it
        namespace: argparse.Namespace,
        values: Any,  # noqa: ANN401 - a number
        option_string: str | None = None,  # noqa: ARG002 - likewise
    ) -> None:
        """Take the number."""
        namespace.pid, self.target.required = values, False


class _Target(ProgramAction):
    """Store ``target``, and the words after it as ``arguments``.

    After a callable the same parser goes on, with options and literals in any order.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,  # noqa: ANN401 - a list of words
        option_string: str | None = None,
    ) -> None:
        """Take the words from the target on, or the literals among them."""
        if self.nargs == argparse.ZERO_OR_MORE:
            namespace.arguments = values
            return
        command = _command_in(values, getattr(parser, "words", ()))
        if command:
            namespace.program = command
            return
        super().__call__(parser, namespace, values, option_string)
        if not (namespace.module or names_script(namespace.target)):
            words = namespace.arguments
            self.nargs, namespace.arguments = argparse.ZERO_OR_MORE, []
            # argparse would drop a leading "--", so the words after it are kept from it.
            end = words.index("--") if "--" in words else len(words)
            parser.parse_intermixed_args(words[:end], namespace)
            namespace.arguments = [*namespace.arguments, *words[end + 1 :]]
            if namespace.module:
                parser.error("-m: expected before TARGET")


def _command_in(values: Sequence[str], words: Sequence[str]) -> list[str]:
    """Return the words after ``--``; none if the values begin with another target.

    Parameters
    ----------
    values : sequence of str
        The last words of the command line, from the target on. Python 3.13 and newer
        leave out ``--``.
    words : sequence of str
        The command line.

    """
    if values[0] == "--":
        return list(values[1:])
    before = words[: len(words) - len(values)]
    return list(values) if before and before[-1] == "--" else []


def run(options: argparse.Namespace) -> int | Callable[[], int]:
    """Probe a call and print the usage, or return a function that runs a program."""
    if options.pid is not None or options.program is not None:
        return _watch_from_outside(options)
    if options.subprocesses:
        raise ArgumentError(
            "subprocesses: expected only with --pid or -- COMMAND, which are watched from"
            " outside"
        )
    program = find_program(options)
    if program is not None:
        return _watch_program(program, options)
    if ":" not in options.target:
        raise ArgumentError(
            "target: expected module:callable, -m module, or a script, directory or zip"
            f" file that exists; got {options.target!r}"
        )
    check_files(options)
    output = output_for(options.json)
    call = find_target(options.target, options.arguments)
    if options.predict is not None and not gil_enabled():
        raise ArgumentError(
            "predict: expected a Python that runs with a GIL, got one without"
        )
    usage, watching = _run_callable(call, options)
    text = text_of(usage, options)
    if options.predict is not None:
        text += f"\n\n{_predicted(usage, options.predict)}"
    save_and_print(files_of(options, usage, watching), text, output)
    return 0


def _watch_from_outside(options: argparse.Namespace) -> int:
    """Watch another process, or a program that is started as one."""
    name = "--pid" if options.pid is not None else "-- COMMAND"
    target = options.program if options.pid is not None else None
    if options.target is not None or options.module or target is not None:
        got = next(filter(None, (options.target, target and target[0])), "-m")
        raise ArgumentError(
            f"target: expected none together with {name}, got {shown(got)}"
        )
    for one, default in _FOR_CALLS.items():
        if one not in _FOR_PROCESSES and getattr(options, one) is not default:
            raise ArgumentError(f"{one.replace('_', '-')}: can't be combined with {name}")
    if options.pid is not None:
        return watch_process(options)
    if options.budget is _FOR_CALLS["budget"]:
        options.budget = None
    return watch_command(options)


def _predicted(usage: GilUsage, workers: list[int]) -> str:
    if usage.inconclusive_reason:
        return "No prediction, since the usage is inconclusive."
    if not usage.held.known:
        return "No prediction, since the share for which the GIL was held is unknown."
    return str(usage.predict(workers))


def _run_callable(
    call: Callable[[], Any], options: argparse.Namespace
) -> tuple[GilUsage, Watch | None]:
    budget = above_zero("budget", options.budget)
    precision = number_between("precision", options.precision, 0.001, 0.5)
    warmup = not options.no_warmup
    if any(getattr(options, name) is not None for name in OF_ONE_WATCH):
        calls = 1 if options.repeat is None else options.repeat
        calls = at_least("repeat", calls, 1, MOST_CALLS)
        return probe_with_watch(
            call,
            repeat=calls,
            budget=budget,
            warmup=warmup,
            stacks=keeps_stacks(options),
        )
    usage = probe(
        call, repeat=options.repeat, precision=precision, budget=budget, warmup=warmup
    )
    return usage, None


def _watch_program(program: Program, options: argparse.Namespace) -> Callable[[], int]:
    """Begin to watch; return a function that runs a program.

    The usage is reported when the interpreter ends. By then it has waited for the
    program's threads, and called what the program registered for the exit. Output
    of the program is printed as it is, even before a usage as JSON.
    """
    for name, default in _FOR_CALLS.items():
        if getattr(options, name) is not default:
            raise ArgumentError(
                f"{name.replace('_', '-')}: expected only with module:callable, since a"
                " program runs once"
            )
    check_files(options)
    for name in ("json", *OF_ONE_WATCH):
        path = getattr(options, name)
        if path not in (None, "-"):  # the program may change the current directory
            setattr(options, name, str(Path(path).absolute()))
    watching = watch_with_callers(stacks=keeps_stacks(options), needs_gil=False)
    watching.__enter__()
    # The function that is registered first is called last.
    atexit.register(_report, watching, program.name, options, StandardOutput())
    process = os.getpid()  # the child of a fork is not watched
    return partial(program.run, lambda: int(os.getpid() == process))


def _report(
    watching: Watch, name: str, options: argparse.Namespace, output: StandardOutput
) -> None:
    """Report on a program that has ended; its exit status is left alone."""
    watching.stop()
    if not watching.ended:
        return  # in the child of a fork, which is not watched
    report(watching.usage_of_program(name), watching, options, output)
