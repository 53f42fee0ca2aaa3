"""Fuzz gilx for as long as one likes.

::

    python -m tests.fuzz [--calls N] [--seconds S] [--seed S] [--first N] [--only compiled,files,...]

A finding is printed with the command that repeats it. Exit status: 0 when nothing was
found, 1 when something was, also when the process died.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections import Counter
from mmap import mmap

from . import run


def main() -> int:
    """Fuzz in a child process, so that a crash is a finding like any other."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description="Fuzz gilx."
    )
    parser.add_argument("--calls", type=int, default=10_000, help="about how many calls")
    parser.add_argument("--seconds", type=float, default=math.inf, help="at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="round to start with")
    parser.add_argument("--rounds", type=int, help="in place of calls")
    parser.add_argument(
        "--only",
        default=",".join(run.SUBJECTS),
        help=f"what to fuzz, separated by commas (default: {','.join(run.SUBJECTS)})",
    )
    options = parser.parse_args()
    subjects = options.only.split(",")
    if unknown := set(subjects) - set(run.SUBJECTS):
        parser.error(f"--only: no such subject: {', '.join(sorted(unknown))}")
    repeat = f"python -m tests.fuzz --seed {options.seed} --only {options.only}"

    current = mmap(-1, 8)  # shared with the child
    child = os.fork()
    if child == 0:
        found = run.rounds(
            subjects,
            seed=options.seed,
            first=options.first,
            most=options.rounds,
            calls=options.calls,
            seconds=options.seconds,
            at=lambda number: current.__setitem__(
                slice(0, 8), number.to_bytes(8, sys.byteorder)
            ),
        )
        print(f"{sum(found.calls.values())} calls in {found.rounds} rounds:")
        for name, count in sorted(Counter(found.calls).items()):
            print(f"  {name}: {count}")
        for number, text in found.findings:
            print(f"\n{text}\nrepeat: {repeat} --first {number} --rounds 1")
        print(f"{len(found.findings)} findings")
        sys.stdout.flush()
        os._exit(2 if found.findings else 0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, 2):
        number = int.from_bytes(current[:8], sys.byteorder)
        print(f"died with {code}\nrepeat: {repeat} --first {number} --rounds 1")
    return 1 if code else 0


sys.exit(main())
