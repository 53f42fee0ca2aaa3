"""What a region costs: an empty one, of two workers, in every pool and its peers.

All are timed in one run, in blocks of random order; ratios are taken within a block, to
two tasks handed to `concurrent.futures.ThreadPoolExecutor`. A sample is the median of
many regions in a row. Run it with nothing else running::

    python benchmarks/region.py [--blocks N] [--regions N]

joblib and numba are timed where they are installed.
"""

from __future__ import annotations

import argparse
import importlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from statistics import median
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any

from intervals import interval

from gilx import kernels, pools
from gilx.cli.table import format_table
from gilx.dispatch import regions
from gilx.environment import describe
from gilx.errors import ArgumentError
from gilx.meter.blocks import time_blocks

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.pools import Pool

WORKERS = 2
PEER = "ThreadPoolExecutor"
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
        low, high = interval(ratios)
        rows.append(
            (
                name,
                f"{median(seconds) * 1e6:.1f} us",
                f"{median(ratios):.3f}",
                f"{low:.3f} to {high:.3f}",
            )
        )
    header = ("an empty region", "median", f"/ {PEER}", "interval")
    print(format_table(header, rows, right=(1, 2)))


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
