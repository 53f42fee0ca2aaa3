"""Measure libraries that are installed here: python -m atlas LIBRARY...

Each result is kept in ``atlas/results``. If there is an earlier one, what changed since
is printed. `nox -s atlas` installs the newest versions first.

A line that differs from the earlier result is measured in new processes, until one of
them agrees with it, and counts as changed if none of three does.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from atlas.comparison import CHANGED, changed_labels, changes, with_others_of
from atlas.results import (
    ONE_THREAD,
    PLANS,
    RESULTS,
    Result,
    compact,
    libraries,
    minor,
    results,
)
from gilx.audit import Audit, compare, perform, read_plan
from gilx.cli.audit import comparison_text
from gilx.cli.progress import show
from gilx.errors import ArgumentError
from gilx.system.environment import Environment

_MORE_PROCESSES = 3


def main(words: list[str]) -> int:
    """Measure the libraries, each in a process of its own; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m atlas")
    parser.add_argument("library", nargs="+", choices=libraries())
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER")
    parser.add_argument("--only", action="append", metavar="NAME", help="only this call")
    options = parser.parse_args(words)
    if options.only and options.results == RESULTS:
        parser.error(
            "only: expected --results with another folder, since the file of a"
            " library has all of its calls"
        )
    if len(options.library) == 1 and ONE_THREAD.items() <= os.environ.items():
        return _measured(options.library[0], options.results, options.only)
    # Libraries read the variables when they are loaded.
    return max(
        _in_a_process(library, options.results, options.only).returncode
        for library in options.library
    )


def _in_a_process(
    library: str, folder: Path, only: list[str] | None, *, quiet: bool = False
) -> subprocess.CompletedProcess[bytes]:
    """Measure a library, or some of its calls, in a new process."""
    chosen = [word for name in only or () for word in ("--only", name)]
    return subprocess.run(  # noqa: S603 - this Python, with names of plans
        [sys.executable, "-m", "atlas", library, "--results", str(folder), *chosen],
        env={**os.environ, **ONE_THREAD},
        stdout=subprocess.DEVNULL if quiet else None,
        check=False,
    )


def _measured(library: str, folder: Path, only: list[str] | None = None) -> int:
    here = platform.python_version()
    made = Result(
        library=library,
        release=here if library == "python" else version(library),
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        audit=Audit((), Environment.here()),
    )
    before = _before(made, folder)
    baseline = None if before is None else before.audit
    plan = read_plan(PLANS / f"{library}.toml")
    audit = perform(plan.only(only) if only else plan, baseline=baseline, progress=show)
    made = replace(made, audit=audit)
    if before is not None:
        # So that nothing is lost if the rest is interrupted.
        compact(with_others_of(before, made)).save(folder)
        made = _confirmed(before, made)
    kept = made if before is None else with_others_of(before, made)
    failed = [line for line in audit.lines if line.error]
    for line in failed:
        print(f"{library} {made.release}: {line.label}: {line.error}")
    path = compact(kept).save(folder)
    print(f"{library} {made.release}: {len(audit.lines)} lines in {path}")
    if before is not None:
        print(f"since {before.library} {before.release} of {before.date}:")
        print(comparison_text(before.audit, audit, changes(before, made)))
    return 1 if failed else 0


def _confirmed(before: Result, made: Result) -> Result:
    """Return a result that has lines of more processes of those that changed."""
    suspected = changed_labels(before, made)
    for _ in range(_MORE_PROCESSES):
        if not suspected:
            break
        names = sorted(
            {line.name for line in made.audit.lines if line.label in suspected}
        )
        with tempfile.TemporaryDirectory() as folder:
            _in_a_process(made.library, Path(folder), names, quiet=True)
            again = tuple(
                line
                for result in results(Path(folder))
                for line in result.audit.lines
                if line.label in suspected
            )
        if not again:
            print(
                f"{made.library}: another process measured nothing;"
                " changes are unconfirmed"
            )
            break
        made = replace(made, others=(*again, *made.others))
        suspected &= changed_labels(before, made, (*CHANGED, "unknown"))
    return made


def _before(made: Result, folder: Path) -> Result | None:
    """Return the newest earlier result that this one can be compared with."""
    reasons = []
    for earlier in reversed(results(folder)):
        if earlier.library != made.library or minor(earlier) != minor(made):
            continue
        try:
            compare(earlier.audit, made.audit)
        except ArgumentError as error:
            reasons.append(str(error))
            continue
        return earlier
    why = f"not compared with an earlier one: {reasons[0]}" if reasons else ""
    print(f"{made.library} {made.release}: {why or 'no earlier result to compare with'}")
    return None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
