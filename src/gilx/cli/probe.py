"""``gilx probe``: how much of a call, of a program or of a process holds the GIL."""

from __future__ import annotations

import argparse
import atexit
import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gilx.cli.file_options import (
    add_json,
    check_file,
    check_json,
    check_page,
    check_picture,
    check_stacks,
    save,
    save_and_print,
    save_picture,
)
from gilx.cli.option_types import add_options, whole_number
from gilx.cli.program_runner import (
    ProgramAction,
    StandardOutput,
    add_program,
    find_program,
    names_script,
)
from gilx.cli.reserved_output import OutputError, output_for
from gilx.cli.target import find_target
from gilx.errors import (
    MOST_CALLS,
    ArgumentError,
    MissingExtraError,
    above_zero,
    at_least,
    number_between,
    shown,
)
from gilx.formatting import printable
from gilx.rendering.sites_table import sites_text
from gilx.rendering.timeline_chart import picture_of
from gilx.rendering.timeline_page import document_of
from gilx.rendering.waits_table import waits_text
from gilx.sampling.known_stacks import reason_against_stacks
from gilx.sampling.probe import probe, probe_with_watch
from gilx.sampling.process_watch import attach
from gilx.sampling.stacks import stacks_text
from gilx.sampling.watch import watch_with_callers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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
# Options for files of what one watch saw.
_OF_ONE_WATCH = ("trace", "plot", "html", "stacks")
# Those among the first that a process has, too.
_FOR_PROCESSES = ("budget",)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "exit status: of a callable or a process, 0 if the usage was printed, 1 if the"
        " GIL can't be watched or the callable raised, 2 if the command line is wrong; of"
        " a program, its own"
    )
    add_json(parser, "the usage")
    add_options(
        parser,
        {
            "--trace FILE": "write who held the GIL when, and in which line, as a trace"
            " for Perfetto or the Firefox Profiler; of one call",
            "--plot FILE": "draw the same as a picture",
            "--html FILE": "write the same as a page, with the places in the code that"
            " held the GIL and a flame graph",
            "--stacks FILE": "write the Python stacks that held the GIL, for flame graph"
            " tools: FILE.collapsed or FILE.speedscope.json; of one call",
            "--verbose": "list all places in the code that hold the GIL, and where"
            " threads wait",
            "--repeat N": "watch exactly N calls",
            "--no-warmup": "count the first call of a callable as any other",
            "--precision SHARE": "half the width of the interval to reach (default:"
            " 0.01)",
            "--budget S": "seconds that all calls may take (default: 5); no call is"
            " ended. Of a process, seconds for which it is watched",
            "--predict N,N...": "predict the calls a second of so many threads, from"
            " those of one",
        },
    )
    parser.set_defaults(**_FOR_CALLS)
    pid = parser.add_argument(
        "--pid",
        action=_Pid,
        type=whole_number,
        metavar="PID",
        help="watch a process that runs already, instead of a TARGET. It is not stopped"
        " and loads nothing; it may run another Python than gilx does, 3.11 to 3.15",
    )
    pid.target = add_program(  # type: ignore[attr-defined] # of _Pid
        parser,
        "module:callable and Python literals to call it with; or a program:"
        " script.py, a directory or zip file with a __main__.py, or, after -m, a module."
        " A program is watched from its start to its end, and everything after its name"
        " is its own. Nothing ends a call or a program that does not return",
        _Target,
    )


class _Pid(argparse.Action):
    """Store ``pid``, beside which no target is needed."""

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
        super().__call__(parser, namespace, values, option_string)
        if not (namespace.module or names_script(namespace.target)):
            words = namespace.arguments
            self.nargs, namespace.arguments = argparse.ZERO_OR_MORE, []
            # What follows "--" is kept from argparse, which would lose a leading one.
            end = words.index("--") if "--" in words else len(words)
            parser.parse_intermixed_args(words[:end], namespace)
            namespace.arguments = [*namespace.arguments, *words[end + 1 :]]
            if namespace.module:
                parser.error("-m: expected before TARGET")


def run(options: argparse.Namespace) -> int | Callable[[], int]:
    """Probe a call and print the usage, or return a function that runs a program."""
    if options.pid is not None:
        return _watch_process(options)
    program = find_program(options)
    if program is not None:
        return _watch_program(program, options)
    if ":" not in options.target:
        raise ArgumentError(
            "target: expected module:callable, -m module, or a script, directory or zip"
            f" file that exists; got {options.target!r}"
        )
    _check(options)
    output = output_for(options.json)
    call = find_target(options.target, options.arguments)
    usage, watching = _run_callable(call, options)
    text = _text(usage, options)
    if options.predict is not None:
        text += f"\n\n{_predicted(usage, options.predict)}"
    save_and_print(_files(options, usage, watching), text, output)
    return 0


def _watch_process(options: argparse.Namespace) -> int:
    """Watch a process, and print the usage."""
    if options.target is not None or options.module:
        raise ArgumentError(
            "target: expected none beside --pid, got"
            f" {shown(options.target if options.target is not None else '-m')}"
        )
    others = [name for name in _FOR_CALLS if name not in _FOR_PROCESSES]
    given = [name for name in others if getattr(options, name) is not _FOR_CALLS[name]]
    given += [name for name in _OF_ONE_WATCH if getattr(options, name) is not None]
    if given:
        raise ArgumentError(f"{given[0].replace('_', '-')}: expected none beside --pid")
    check_json(options.json)
    output = output_for(options.json)
    usage = attach(options.pid, budget=options.budget)
    save_and_print(_files(options, usage, None), _text(usage, options), output)
    return 0


def _check(options: argparse.Namespace) -> None:
    """Learn before anything runs that a file can't be made."""
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
            "predict: expected no --json on standard output beside it: the usage that is"
            " printed there makes the prediction, by GilUsage.predict"
        )


def _predicted(usage: GilUsage, workers: list[int]) -> str:
    if usage.doubt:
        return "No prediction, since the usage is inconclusive."
    return str(usage.predict(workers))


def _text(usage: GilUsage, options: argparse.Namespace) -> str:
    if options.json == "-":
        return usage.to_json()
    tables = [sites_text(usage), waits_text(usage)] if options.verbose else []
    return "\n\n".join(filter(None, [str(usage), *tables]))


def _files(
    options: argparse.Namespace,
    usage: GilUsage,
    watching: Watch | None,
    finding: str = "",
) -> Iterator[Callable[[], None]]:
    """Yield functions that each save one file that was asked for."""
    if options.json not in (None, "-"):
        yield lambda: save("json", options.json, f"{usage.to_json()}\n")
    if watching is None:
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
        text = stacks_text(watching.stacks, options.stacks)
        yield lambda: save("stacks", options.stacks, text)


def _run_callable(
    call: Callable[[], Any], options: argparse.Namespace
) -> tuple[GilUsage, Watch | None]:
    budget = above_zero("budget", options.budget)
    precision = number_between("precision", options.precision, 0.001, 0.5)
    warmup = not options.no_warmup
    if any(getattr(options, name) is not None for name in _OF_ONE_WATCH):
        calls = 1 if options.repeat is None else options.repeat
        calls = at_least("repeat", calls, 1, MOST_CALLS)
        return probe_with_watch(
            call,
            repeat=calls,
            budget=budget,
            warmup=warmup,
            stacks=_keeps_stacks(options),
        )
    usage = probe(
        call, repeat=options.repeat, precision=precision, budget=budget, warmup=warmup
    )
    return usage, None


def _keeps_stacks(options: argparse.Namespace) -> bool:
    """Return whether stacks are asked for; a page has them if they can be read."""
    if options.stacks is not None:
        return True
    return options.html is not None and not reason_against_stacks()


def _watch_program(program: Program, options: argparse.Namespace) -> Callable[[], int]:
    """Begin to watch; return a function that runs a program.

    The usage is reported when the interpreter ends. By then it has waited for the
    program's threads, and called what the program registered for the exit. What the
    program prints stays its own, also before a usage as JSON.
    """
    for name, default in _FOR_CALLS.items():
        if getattr(options, name) is not default:
            raise ArgumentError(
                f"{name.replace('_', '-')}: expected only with module:callable, since a"
                " program runs once"
            )
    _check(options)
    for name in ("json", *_OF_ONE_WATCH):
        path = getattr(options, name)
        if path not in (None, "-"):  # the program may change the current directory
            setattr(options, name, str(Path(path).absolute()))
    watching = watch_with_callers(stacks=_keeps_stacks(options), needs_gil=False)
    watching.__enter__()
    # What is registered first is called last.
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
    usage = watching.usage_of_program(name)
    for save_one in _files(options, usage, watching, usage.sentence()):
        try:
            save_one()
        except (ArgumentError, MissingExtraError) as error:
            _complain(str(error))
    try:
        output.print(_text(usage, options))
    except OSError as error:
        problem = OutputError(error)
        if not problem.reader_left:
            _complain(str(problem))


def _complain(words: str) -> None:
    # The program may have replaced sys.stderr.
    if sys.__stderr__ is not None:  # print() would take standard output instead
        print(f"gilx probe: {printable(words)}", file=sys.__stderr__)
