"""Time to locate and certify the GIL at the first watch of a process, and at later ones.

Each sample is taken in a process of its own, which has imported gilx before. Processes
with different ways to locate the GIL (the places of its version, or the search) and to
read memory run in random order. Run it with nothing else running::

    python benchmarks/speed/first_watch.py [--blocks N] [--beside N[,N...]]

Locating and certifying is to take at most 10 ms, and nothing once the GIL is known: what
is left then is opening memory for reading. ``--beside 0,2`` repeats it beside threads
that compute in Python all the time, where taking the GIL again lasts a few switch
intervals. That happens once in certifying, and once whenever a watch starts.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from figures import Measured, judged, typical

from gilx.errors import WatchUnavailableError
from gilx.speedup.blocks import interleaved, samples_of
from gilx.system.environment import describe

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCKS = 11
GOAL = 10.0  # milliseconds
_WAYS = {"places of the version": "", "search": "search"}
_READERS = ("memory file", "pipe", "process_vm_readv", "/proc/self/mem")
_STEPS = ("first: locate and certify", "later", "later: start a watch")
_PROGRAM = """
import json, sys, threading, time
import gilx
from gilx.errors import WatchUnavailableError
from gilx.sampling.watch import backend
stop = threading.Event()
def compute():
    while not stop.is_set():
        sum(range(100))
for _ in range(int(sys.argv[1])):
    threading.Thread(target=compute).start()
def seconds(call):
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin
try:
    times = [seconds(backend), seconds(backend)]
    watch = gilx.watch()
    times.append(seconds(watch.__enter__))
    watch.stop()
    print(json.dumps(times))
except WatchUnavailableError as error:
    print(json.dumps(str(error)))
finally:
    stop.set()
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--blocks", type=int, default=BLOCKS)
    parser.add_argument("--beside", default="0", help="threads that compute meanwhile")
    options = parser.parse_args()
    print(describe(), "\n")
    for threads in map(int, options.beside.split(",")):
        print(f"beside {threads} threads that compute")
        print(timed(options.blocks, threads).text(), "\n")


def timed(blocks: int, threads: int) -> Measured:
    """Return the times of each step by each way and reader that work here."""
    arms: dict[tuple[str, str], Callable[[], list[float]]] = {}
    missing: dict[str, str] = {}
    for way, find in _WAYS.items():
        for reader in _READERS:
            arm = partial(_steps, find, reader, threads)
            try:
                arm()
            except WatchUnavailableError as error:
                missing[f"{way}, {reader}"] = str(error)
            else:
                arms[way, reader] = arm
    samples = samples_of(islice(interleaved(arms, warm_up=False), blocks))
    figures = []
    for number, step in enumerate(_STEPS):
        for way, reader in arms:
            milliseconds = [steps[number] * 1e3 for steps in samples[way, reader]]
            figure = typical(f"{step}; {way}, {reader}", milliseconds, unit="ms")
            if number == 0:
                note = judged(figure, GOAL, at_most=True)
                figure = replace(figure, note=f"{GOAL:g} ms: {note}")
            figures.append(figure)
    return Measured(tuple(figures), missing)


def _steps(find: str, reader: str, threads: int) -> list[float]:
    """Return the seconds of each step in a new process."""
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(threads)],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "GILX_FIND_GIL": find, "GILX_MEMORY": reader},
    )
    steps: list[float] | str = json.loads(done.stdout)
    if isinstance(steps, str):
        raise WatchUnavailableError(steps)
    return steps


if __name__ == "__main__":
    main()
