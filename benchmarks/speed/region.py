"""Cost of an empty region of two workers, in every pool and its peers.

All are timed in one run, in blocks of random order; ratios are taken within a block, to
two tasks handed to `concurrent.futures.ThreadPoolExecutor`. A sample is the median of
many regions in a row. Run it with nothing else running::

    python benchmarks/speed/region.py [--blocks N] [--regions N]

joblib and numba are timed where they are installed. Where there is a C compiler, the
native team is then compared, in C, with OpenMP's and with what waking a thread costs at
least.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any

from figures import Figure, Measured, ratio, run_script, typical

import gilx
from gilx import kernels, pools
from gilx.errors import ArgumentError
from gilx.pools.run import regions
from gilx.speedup.blocks import interleaved, samples_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.pools import Pool

__all__ = ["measure"]

FULL, QUICK = 41, 7  # blocks
REGIONS = 200
WORKERS = 2
PEER = "ThreadPoolExecutor"
# The address of a function that is not called, since there are no items.
_NOWHERE = 1
# Between arms: longer than any team spins before it lets its CPU go.
_PARK_SECONDS = 0.02


def measure(_subject: str, blocks: int, regions: int = REGIONS) -> Measured:
    """Time so many regions of each kind in each of so many blocks, then those in C."""
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        once = gilx_arms(stack, missing) | peer_arms(stack, missing)
        arms = {name: partial(sample, each, regions) for name, each in once.items()}
        samples = samples_of(islice(interleaved(arms), blocks))
    order = sorted(samples, key=lambda name: median(samples[name]))
    figures = [
        *(
            typical(name, [each * 1e6 for each in samples[name]], unit="\u00b5s")
            for name in order
        ),
        *(
            ratio(f"{name} / {PEER}", samples[name], samples[PEER])
            for name in order
            if name != PEER
        ),
    ]
    if shutil.which("gcc") is None:
        missing["native team / OpenMP"] = "gcc is not installed"
    else:
        figures += in_c(blocks)
    seconds = {name: tuple(times) for name, times in samples.items()}
    return Measured(tuple(figures), missing, seconds)


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


def in_c(rounds: int) -> list[Figure]:
    """Build region_native.c, run it, and return its times and ratios."""
    root = Path(__file__).parents[2]
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "region_native"
        sources = ("csrc/team/team.c", "csrc/platform/forks.c")
        subprocess.run(
            [
                *("gcc", "-std=c11", "-O3", "-fopenmp", "-pthread", "-o", program),
                root / "benchmarks/speed/region_native.c",
                *(root / source for source in sources),
            ],
            check=True,
        )
        # OpenMP's threads spin as long as they like, as is their custom.
        done = subprocess.run(
            [program, str(rounds)], check=True, capture_output=True, text=True
        )
    columns = zip(
        *(map(int, line.split()) for line in done.stdout.splitlines()), strict=True
    )
    names = (
        "native team, awake, in C",
        "OpenMP, awake",
        "native team, asleep, in C",
        "condition variable, there and back",
    )
    times = dict(zip(names, columns, strict=True))
    return [
        *(typical(name, each, unit="ns") for name, each in times.items()),
        *(
            ratio(f"{first} / {second}", times[first], times[second])
            for first, second in (names[:2], names[2:])
        ),
    ]


def gilx_arms(
    stack: ExitStack, missing: dict[str, str]
) -> dict[str, Callable[[], object]]:
    """Return an empty region on each of gilx's pools that this Python can run.

    Why it can't run the others is put into `missing`.
    """
    arms: dict[str, Callable[[], object]] = {}
    for name in pools.names():
        try:
            pool = stack.enter_context(pools.start(name, WORKERS))
        except ArgumentError as error:
            missing[name] = str(error)
            continue
        arms[name] = partial(pool.run, empty_region(pool))
    team = stack.enter_context(gilx.Team(WORKERS))
    arms["gilx.Team.run"] = partial(team.run, _NOWHERE, None, 0)
    return arms


def empty_region(pool: Pool) -> pools.Region:
    """Return a region of no items: every worker makes its call, and finds no work."""
    problem = pool.place(kernels.get("triad").problem(1))
    return replace(regions(problem)[0], items=0)


def peer_arms(
    stack: ExitStack, missing: dict[str, str]
) -> dict[str, Callable[[], object]]:
    """Return two empty tasks on what else there is to run them.

    What is not installed is put into `missing`.
    """
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
        missing["joblib threading"] = f"{error.name} is not installed"
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
        missing["numba prange"] = f"{error.name} is not installed"
    return arms


if __name__ == "__main__":
    run_script(__doc__, measure, blocks=FULL, regions=REGIONS)
