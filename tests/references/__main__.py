"""Check reference counts, buffers and the GIL in the bindings under a debug build.

Builds the extension modules for a debug build of Python, calls all that they offer, and
reports each call that leaves references, memory blocks or buffers behind, or that Python
stops. Then does the same with faults seeded into the C sources, to show that such are
found.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from .build import Build, DebugPython, find_debug_python
from .faults import UNREACHED, Fault, chosen, groups_for
from .groups import GROUPS
from .run import run_group


def _check(build: Build, pool: ThreadPoolExecutor) -> bool:
    """Check the sources as they are; return whether nothing was found."""
    run = partial(run_group, build.python, build.package)
    total = 0
    findings: list[str] = []
    for count, found in pool.map(run, GROUPS):
        total += count
        findings += found
    for finding in findings:
        print(finding)
    print(f"{total} cases in {len(GROUPS)} groups: {len(findings)} findings")
    return not findings


def _find(build: Build, directory: Path, numbered: tuple[int, Fault]) -> str | None:
    """Return the first finding that a seeded fault causes, if any."""
    number, fault = numbered
    package = build.with_change(fault.source, fault.text, directory / f"fault{number}")
    for group in groups_for(fault, list(GROUPS)):
        _, findings = run_group(build.python, package, group, only_first=True)
        if findings:
            return findings[0]
    return None


def _check_faults(
    build: Build, directory: Path, faults: list[Fault], pool: ThreadPoolExecutor
) -> bool:
    """Seed faults; return whether all were found that can be reached."""
    missed = unreached = 0
    find = partial(_find, build, directory)
    for fault, finding in zip(faults, pool.map(find, enumerate(faults)), strict=True):
        reason = UNREACHED.get((fault.source, fault.code))
        if finding is None:
            missed += reason is None
            unreached += reason is not None
        print(f"{fault}\n    {finding or reason or 'NOT FOUND'}", flush=True)
    print(
        f"{len(faults)} seeded faults: {len(faults) - missed - unreached} found, "
        f"{missed} not found, {unreached} in code that is not reached"
    )
    return missed == 0


def _main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.references", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument(
        "--python", default=find_debug_python(), metavar="PATH",
        help="a debug build of Python; default: python3.X-dbg on PATH (%(default)s)",
    )  # fmt: skip
    parser.add_argument(
        "--faults", default="sample", metavar="WHICH",
        help="faults to seed: none, sample (some of each kind and source; the default),"
        " all, or those with this text in their description, such as team_type.c",
    )  # fmt: skip
    options = parser.parse_args()
    if options.python is None:
        parser.error("no debug build of Python on PATH (Debian: python3.11-dbg)")
    started = time.monotonic()
    with (
        tempfile.TemporaryDirectory() as name,
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        directory = Path(name)
        python = DebugPython.at(options.python)
        build = Build(python, directory)
        print(f"Python {python.version}, built in {time.monotonic() - started:.0f} s")
        passed = _check(build, pool)
        print(f"checked after {time.monotonic() - started:.0f} s", flush=True)
        # Faults are only told apart from what is wrong anyway if nothing is.
        faults = chosen(options.faults)
        if passed and faults:
            passed = _check_faults(build, directory, faults, pool)
            print(f"seeded after {time.monotonic() - started:.0f} s")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(_main())
