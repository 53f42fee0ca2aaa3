"""``gilx doctor``: measurement problems of this machine, and their remedies.

Exit status: 0 without warnings, 1 with warnings.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import sys
import time
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING

from gilx._compat import gil_enabled
from gilx.cli.file_options import add_json, check_json, print_or_save
from gilx.cli.option_types import add_options
from gilx.cli.progress import show
from gilx.cli.reserved_output import output_for
from gilx.errors import ArgumentError, WatchUnavailableError, number_between
from gilx.formatting import duration, one_line, percent, wrapped
from gilx.records import encode
from gilx.sampling.watch import backend, free_backend
from gilx.system.conditions import between, snapshot
from gilx.system.diagnostics import examine, examine_imports
from gilx.system.environment import Environment
from gilx.system.gil_imports import forced_gil, noted_imports, try_imports

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from gilx.system.conditions import Conditions
    from gilx.system.diagnostics import Finding
    from gilx.system.gil_imports import ImportTrial

_SCHEMA = "gilx.doctor"
_VERSION = 2
# Ways of reading memory that need an article in a sentence.
_READERS = {"memory file": "a memory file", "pipe": "a pipe"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = "exit status: 0 without warnings, 1 with warnings"
    parser.add_argument(
        "modules",
        metavar="MODULE",
        nargs="*",
        help="module to import first, as your program does (default: numpy)",
    )
    add_options(parser, {"--seconds S 1": "how long to watch the machine (default: 1)"})
    add_json(parser, "the findings", is_target=_is_module, target="a module")


def _is_module(word: str) -> bool:
    """Return whether a word names a module, which may be in the current directory."""
    top = word.partition(".")[0]
    if not top.isidentifier() or word.endswith(".json"):
        return False
    return top in sys.modules or bool(
        importlib.util.find_spec(top) or PathFinder.find_spec(top, [""])
    )


def run(options: argparse.Namespace) -> int:
    """Examine the machine, print the findings, and return 1 if any is a warning."""
    check_json(options.json)
    output = output_for(options.json)
    seconds = number_between("seconds", options.seconds, 0.1, 3600, unit="seconds")
    modules = options.modules or ["numpy"]
    # Before any other import, which may turn the GIL on.
    was_on = gil_enabled() and not forced_gil()
    _import(modules)
    environment = Environment.here()
    trials = _try(modules, was_on=was_on) if environment.free_threaded else {}
    show(f"watching the machine for {duration(seconds)}")
    before = snapshot()
    time.sleep(seconds)
    conditions = between(before, snapshot())
    show("")
    findings = sorted(
        (*examine(environment, conditions), *examine_imports(trials, conditions)),
        key=lambda finding: not finding.is_warning,
    )
    has_warnings = any(finding.is_warning for finding in findings)
    record = {
        "schema": _SCHEMA,
        "version": _VERSION,
        "has_warnings": has_warnings,
        "findings": encode(findings),
        "imports": {name: encode(trial) for name, trial in trials.items()},
        "watch": ", ".join(_watch()),
        "environment": json.loads(environment.to_json()),
        "conditions": json.loads(conditions.to_json()),
    }
    text = _page(environment, conditions, findings)
    print_or_save(text, json.dumps(record, indent=2), options.json, output)
    return int(has_warnings)


def _import(modules: Sequence[str]) -> None:
    """Import the modules that the user's program imports."""
    # For a script on PATH, sys.path begins with the script's directory instead.
    if "" not in sys.path:
        sys.path.insert(0, "")
    # The modules may print, but a program may read standard output.
    with contextlib.redirect_stdout(sys.stderr):
        for name in modules:
            try:
                importlib.import_module(name)
            except Exception as error:
                raise ArgumentError(
                    f"module: can't import {name!r}: {one_line(error)}"
                ) from error


def _try(modules: Sequence[str], *, was_on: bool) -> dict[str, ImportTrial]:
    """Import each module in a process of its own, so that none hides another's effect.

    If the GIL was on already, an import at Python's start or by gilx turned it on.
    """
    trials: dict[str, ImportTrial] = {}
    for name in (*([__name__] if was_on else []), *modules):
        show(f"importing {name} in another process")
        trials[name] = try_imports([name])
    if was_on and (cause := trials[__name__].cause) is not None:
        noted_imports.insert(0, cause)
    return trials


def _page(
    environment: Environment, conditions: Conditions, findings: Sequence[Finding]
) -> str:
    warnings = [finding for finding in findings if finding.is_warning]
    notes = [finding for finding in findings if not finding.is_warning]
    lines = [str(environment), _now(conditions), ""]
    if warnings:
        lines += ["Measurement problems found:", *_items(warnings)]
    else:
        lines.append("No measurement problems found.")
    if notes:
        lines += ["", "Good to know:", *_items(notes)]
    return "\n".join(lines)


def _now(conditions: Conditions) -> str:
    """Return the conditions as lines that follow those of the environment."""
    threads, throttled = conditions.native_threads, conditions.throttled
    if threads is None:
        owners = "unknown without threadpoolctl"
    else:
        owners = ", ".join(f"{one.library}: {one.threads}" for one in threads) or "none"
    steal = conditions.steal
    figures = (
        f"other processes {_or_unknown(conditions.others, '.2f')} CPUs,"
        f" steal {'unknown' if steal is None else percent(steal)},"
        f" throttled {'unknown' if throttled is None else duration(throttled)}"
    )
    source = conditions.clock_source or "source unknown"
    lines = [
        ("GIL", conditions.gil),
        ("GIL watch" if gil_enabled() else "watch", f"\n{'':13}".join(_watch())),
        ("load", _or_unknown(conditions.load, ".2f")),
        (f"over {duration(conditions.seconds)}", figures),
        ("clock", f"{source}, steps of {duration(conditions.clock_step)}"),
        ("governor", ", ".join(conditions.governors or ["unknown"])),
        ("thread pools", owners),
    ]
    return "\n".join(f"{name:<13}{text}" for name, text in lines)


def _watch() -> list[str]:
    """Return lines on how the GIL or threads are read, or one on why they are not."""
    try:
        if not gil_enabled():
            return _watch_without_gil()
        found_by, read_by = backend()
    except WatchUnavailableError as error:
        return [f"not available: {error}"]
    reader = _READERS.get(read_by, read_by)
    return [f"finds the GIL through {found_by}", f"reads memory through {reader}"]


def _watch_without_gil() -> list[str]:
    read_by, world_missing = free_backend()
    stops = f"not read, since {world_missing}" if world_missing else "read"
    return [
        "reads the states of threads",
        f"stops of all threads: {stops}",
        f"reads memory through {_READERS.get(read_by, read_by)}",
    ]


def _or_unknown(value: float | None, form: str) -> str:
    return "unknown" if value is None else format(value, form)


def _items(findings: Sequence[Finding]) -> list[str]:
    return [
        line
        for one in findings
        for line in wrapped(str(one), "* ", "  ", whole_words=True)
    ]
