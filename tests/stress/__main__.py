"""Stress gilx for as long as one likes.

::

    python -m tests.stress [--count N] [--seconds S] [--ends N] [--seed S] [--only A;B...]

Exit status: 0 when all was well, 1 when not.
"""

from __future__ import annotations

import argparse
import sys

from gilx._compat import gil_enabled

from .cycles import SUBJECTS, cycle
from .ends import WAYS, end_once
from .together import many_threads

# Fragments and caches: a leak of a hundred bytes in ten thousand cycles is more.
MEMORY = 1_000_000
# Bytes a cycle, in quarters long enough to see them among pages of memory.
STEADY, QUARTER = 16, 1000


def main() -> int:
    """Do what is asked for, and say how it went."""
    parser = argparse.ArgumentParser(prog="python -m tests.stress", description="Stress.")
    parser.add_argument(
        "--count", type=int, default=1000, help="starts and stops of each"
    )
    parser.add_argument(
        "--seconds", type=float, default=5, help="of many threads at once"
    )
    parser.add_argument("--ends", type=int, default=50, help="processes that end somehow")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--only", default=";".join(SUBJECTS), help="what to start and stop"
    )
    options = parser.parse_args()
    bad = 0
    for name in filter(None, options.only.split(";")) if options.count else ():
        growth = cycle(name.strip(), options.count)
        if growth is None:
            print(f"{name}: not on this Python")
            continue
        leaks = growth.steady > STEADY and growth.cycles >= 4 * QUARTER
        # A free-threaded CPython (3.14.7 for one) keeps some 3.5 MB of each interpreter that
        # was closed, of empty ones as well.
        known = name.strip() == "interpreters" and not gil_enabled()
        grew = (growth.memory > MEMORY or leaks) and not known
        wrong = bool(growth.threads or growth.files or grew)
        bad += wrong
        print(
            f"{name}: {growth.cycles} in {growth.seconds:.1f} s: {growth.threads:+}"
            f" threads, {growth.files:+} files, {growth.memory / 1024:+.0f} KiB,"
            f" {growth.steady:+.0f} bytes a cycle throughout{'  GREW' if wrong else ''}",
            flush=True,
        )
    if options.seconds:
        counts = many_threads(options.seconds, options.seed)
        print(f"many threads: {counts}", flush=True)
    for number in range(options.ends):
        way = [*WAYS][number % len(WAYS)]
        try:
            end_once(way, options.seed + number)
        except AssertionError as error:
            bad += 1
            print(error, flush=True)
    print(f"{options.ends} processes ended; {bad} failures of all this")
    return 1 if bad else 0


sys.exit(main())
