"""What a region costs: an empty one, of two workers, in every pool and its peers.

All are timed in one run, in blocks of random order; ratios are taken within a block, to
two tasks handed to `concurrent.futures.ThreadPoolExecutor`. A sample is the median of
many regions in a row. Run it with nothing else running::

    python benchmarks/region.py [--blocks N] [--regions N]

joblib and numba are timed where they are installed. Where there is a C compiler, the
native team is then compared, in C, with OpenMP's and with what waking a thread costs at
least.
"""

from __future__ import annotations

import argparse
import importlib
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any

import gilx
from gilx import kernels, pools
from gilx.cli.table import format_table
from gilx.dispatch import regions
from gilx.environment import describe
from gilx.errors import ArgumentError
from gilx.meter.blocks import time_blocks
from gilx.meter.statistics import median_interval

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.pools import Pool

WORKERS = 2
PEER = "ThreadPoolExecutor"
# The address of a function that is not called, since there are no items.
_NOWHERE = 1
# Between arms: longer than any team spins before it lets its CPU go.
_PARK_SECONDS = 0.02


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--blocks", type=int, default=41)
    parser.add_argument("--regions", type=int, default=200)
    options = parser.parse_args()
    print(describe(), "\n")
    with ExitStack() as stack:
        arms = {
            name: partial(sample, once, options.regions)
            for name, once in (gilx_arms(stack) | peer_arms(stack)).items()
        }
        samples = time_blocks(arms, options.blocks)
    rows = []
    for name, seconds in sorted(samples.items(), key=lambda arm: median(arm[1])):
        ratios = [a / b for a, b in zip(seconds, samples[PEER], strict=True)]
        low, high = median_interval(ratios)
        rows.append(
            (
                name,
                f"{median(seconds) * 1e6:.1f} us",
                f"{median(ratios):.3f}",
                f"{low:.3f} to {high:.3f}",
            )
        )
    header = ("an empty region", "median", f"/ {PEER}", "interval")
    print(format_table(header, rows, right=(1, 2)), "\n")
    if shutil.which("gcc") is None:
        print("not timed in C: there is no gcc")
    else:
        compare_in_c(options.blocks)


def sample(once: Callable[[], object], count: int) -> float:
    """Return the median seconds of a region, of so many or a tenth of a second."""
    sleep(_PARK_SECONDS)
    once()
    times: list[float] = []
    while len(times) < count and sum(times) < 0.1:
        begin = perf_counter()
        once()
        times.append(perf_counter() - begin)
    return median(times)


def compare_in_c(rounds: int) -> None:
    """Build region_native.c, run it, and print its ratios."""
    root = Path(__file__).parents[1]
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "region_native"
        sources = ("csrc/team/team.c", "csrc/platform/forks.c")
        subprocess.run(
            [
                *("gcc", "-std=c11", "-O3", "-fopenmp", "-pthread", "-o", program),
                root / "benchmarks/region_native.c",
                *(root / source for source in sources),
            ],
            check=True,
        )
        # OpenMP's threads spin as long as they like, as is their custom.
        done = subprocess.run(
            [program, str(rounds)], check=True, capture_output=True, text=True
        )
    times = list(
        zip(*(map(int, line.split()) for line in done.stdout.splitlines()), strict=True)
    )
    names = [
        "native team, awake",
        "OpenMP, awake",
        "native team, asleep",
        "condition variable, there and back",
    ]
    print(
        format_table(
            ("in C", "median", ""),
            [(n, f"{median(t):.0f} ns", "") for n, t in zip(names, times, strict=True)],
            right=(1,),
        )
    )
    rows = []
    for first, second in ((0, 1), (2, 3)):
        ratios = [a / b for a, b in zip(times[first], times[second], strict=True)]
        low, high = median_interval(ratios)
        rows.append(
            (
                f"{names[first]} / {names[second]}",
                f"{median(ratios):.3f}",
                f"{low:.3f} to {high:.3f}",
            )
        )
    print(format_table(("ratio", "median", "interval"), rows, right=(1,)))


def gilx_arms(stack: ExitStack) -> dict[str, Callable[[], object]]:
    """Return an empty region on each of gilx's pools that this Python can run."""
    arms: dict[str, Callable[[], object]] = {}
    for name in pools.names():
        try:
            pool = stack.enter_context(pools.start(name, WORKERS))
        except ArgumentError as error:
            print(f"not timed: {error}")
            continue
        if pool.start_seconds:
            print(f"{name}: its workers started in {pool.start_seconds * 1e3:.0f} ms")
        arms[name] = partial(pool.run, empty_region(pool))
    team = stack.enter_context(gilx.Team(WORKERS))
    arms["gilx.Team.run"] = partial(team.run, _NOWHERE, None, 0)
    return arms


def empty_region(pool: Pool) -> pools.Region:
    """Return a region of no items: every worker makes its call, and finds no work."""
    problem = pool.place(kernels.get("triad").problem(1))
    return replace(regions(problem)[0], items=0)


def peer_arms(stack: ExitStack) -> dict[str, Callable[[], object]]:
    """Return two empty tasks on what else there is to run them."""
    executor = stack.enter_context(ThreadPoolExecutor(WORKERS))

    def two_submits() -> None:
        for future in [executor.submit(int) for _ in range(WORKERS)]:
            future.result()

    arms: dict[str, Callable[[], object]] = {PEER: two_submits}
    try:
        joblib: Any = importlib.import_module("joblib")
        parallel = stack.enter_context(joblib.Parallel(WORKERS, backend="threading"))
        arms["joblib threading"] = lambda: parallel(
            joblib.delayed(int)() for _ in range(WORKERS)
        )
    except ModuleNotFoundError as error:
        print(f"not timed: {error.name} is not installed")
    try:
        numba: Any = importlib.import_module("numba")
        import numpy as np  # noqa: PLC0415 - numba brings it

        def loop(out: Any) -> None:  # noqa: ANN401 - numba finds the type
            for i in numba.prange(out.size):
                out[i] = i

        numba.set_num_threads(min(WORKERS, numba.config.NUMBA_NUM_THREADS))
        arms["numba prange"] = partial(
            numba.njit(loop, parallel=True), np.zeros(WORKERS, np.int64)
        )
    except ModuleNotFoundError as error:
        print(f"not timed: {error.name} is not installed")
    return arms


if __name__ == "__main__":
    main()
