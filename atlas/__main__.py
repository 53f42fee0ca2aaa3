"""Measure libraries that are installed here: python -m atlas LIBRARY...

Each result is kept in ``atlas/results``. If there is an earlier one, what changed since
is printed. `nox -s atlas` installs the newest versions first.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

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


def main(words: list[str]) -> int:
    """Measure the libraries, each in a process of its own; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m atlas")
    parser.add_argument("library", nargs="+", choices=libraries())
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER")
    options = parser.parse_args(words)
    if len(options.library) == 1 and ONE_THREAD.items() <= os.environ.items():
        return _measured(options.library[0], options.results)
    folder = str(options.results)
    # Libraries read the variables when they are loaded.
    return max(
        subprocess.run(  # noqa: S603 - this Python, with names of plans
            [sys.executable, "-m", "atlas", library, "--results", folder],
            env={**os.environ, **ONE_THREAD},
            check=False,
        ).returncode
        for library in options.library
    )


def _measured(library: str, folder: Path) -> int:
    here = platform.python_version()
    made = Result(
        library=library,
        release=here if library == "python" else version(library),
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        audit=Audit((), Environment.here()),
    )
    before = _before(made, folder)
    baseline = None if before is None else before.audit
    audit = perform(
        read_plan(PLANS / f"{library}.toml"), baseline=baseline, progress=show
    )
    made = Result(made.library, made.release, made.date, compact(audit))
    failed = [line for line in audit.lines if line.error]
    for line in failed:
        print(f"{library} {made.release}: {line.label}: {line.error}")
    print(f"{library} {made.release}: {len(audit.lines)} lines in {made.save(folder)}")
    if before is not None:
        print(f"since {before.library} {before.release} of {before.date}:")
        print(comparison_text(before.audit, audit, compare(before.audit, audit)))
    return 1 if failed else 0


def _before(made: Result, folder: Path) -> Result | None:
    """Return the newest earlier result that this one can be compared with."""
    earlier = [
        each
        for each in results(folder)
        if each.library == made.library and minor(each) == minor(made)
    ]
    if not earlier:
        print(f"{made.library} {made.release}: no earlier result to compare with")
        return None
    try:
        compare(earlier[-1].audit, made.audit)
    except ArgumentError as error:
        print(f"{made.library} {made.release}: not compared with an earlier one: {error}")
        return None
    return earlier[-1]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
