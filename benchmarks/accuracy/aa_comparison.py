"""Share of A/A comparisons in which the meter finds a difference.

A call is compared with itself, again and again, in comparisons of 0.4 s. The interval of
its "speedup" at 95 % should exclude 1 in about one of twenty. Run it with nothing else
running, and again with ``--neighbours 1``, in pieces if need be::

    python benchmarks/accuracy/aa_comparison.py [--count N] [--neighbours N] [--file F]

With ``--file`` what was found before is read from there, and what is found is added.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

import gilx
from gilx.system.environment import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCKS = 21
SECONDS = 0.4
SIZE = 100  # of a mandelbrot that takes some 1.5 ms


@contextmanager
def neighbours(count: int) -> Iterator[None]:
    """Run so many processes that only compute."""
    # Until this process is gone: if it is killed they must not stay.
    code = (
        f"import os\nwhile os.getppid() == {os.getpid()}:\n"
        "    for _ in range(1_000_000): pass"
    )
    others = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(count)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def main() -> None:
    """Compare, and print how often there was a difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--neighbours", type=int, default=0)
    parser.add_argument("--file", type=Path)
    options = parser.parse_args()

    found: list[list[float]] = []
    if options.file is not None and options.file.exists():
        found = json.loads(options.file.read_text())
    problem = gilx.kernels.get("mandelbrot").problem(SIZE)
    function = problem.kernel.function("c-nogil")
    [arguments] = problem.calls()

    def call() -> None:
        function(*arguments, 0, problem.items)

    begin = time.perf_counter()
    with neighbours(options.neighbours):
        for _ in range(options.count):
            report = gilx.measure(
                call, aa=True, blocks=BLOCKS, budget=SECONDS, seed=len(found)
            )
            found.append([report.rows[0].speedup.value, *report.rows[0].speedup.interval])
    each = (time.perf_counter() - begin) / max(1, options.count)
    if options.file is not None:
        options.file.write_text(json.dumps(found))
    missed = sum(not low <= 1 <= high for _, low, high in found)
    widths = [math.log(high / low) / 2 for _, low, high in found]
    print(describe())
    print(
        f"{len(found)} comparisons of {BLOCKS} blocks, {each:.2f} s each, with"
        f" {options.neighbours} neighbours: {missed} intervals exclude 1"
        f" ({100 * missed / len(found):.1f} %); mean half-width"
        f" {100 * fmean(widths):.2f} %, worst speedup"
        f" {max((ratio for ratio, _, _ in found), key=lambda r: abs(math.log(r))):.3f}"
    )


if __name__ == "__main__":
    main()
