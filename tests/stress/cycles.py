"""Start, use and stop something many times: memory, threads and files must not grow."""

from __future__ import annotations

import gc
import os
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import gilx
from gilx.ckernels import Counter, NativeTeam
from gilx.errors import ArgumentError, NoGilError, WatchUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SUBJECTS", "Growth", "cycle"]

SMALL = 8  # size of problems
SETTLE = 60.0  # seconds in which threads that ended may still be listed


def _pool(name: str) -> Callable[[], None]:
    variant = "c-nogil"

    def once() -> None:
        with gilx.pools.start(name, 2) as pool:
            gilx.run("mandelbrot", pool=pool, variant=variant, size=SMALL)

    return once


def _watch() -> None:
    with gilx.watch() as watching:
        gilx.run("mandelbrot", pool="serial", size=SMALL)
    usage = watching.usage
    assert (
        usage.sums.without_gil
        or 0 <= usage.locked.value <= 1
        or usage.inconclusive_reason
    )


def _dropped_watch() -> None:
    watching = gilx.watch()
    watching.__enter__()
    del watching


def _team() -> None:
    team = NativeTeam(3, 1000)
    out = np.zeros(3)
    assert team.compute("triad", (np.ones(3), np.ones(3), 2.0, out)) == 3
    assert out.tolist() == [3.0] * 3
    team.close()


def _dropped_team() -> None:
    NativeTeam(3, 0).compute("triad", (np.ones(3), np.ones(3), 2.0, np.zeros(3)))


def _counter() -> None:
    memory = bytearray(256)
    view = memoryview(memory)[-id(memory) % 8 :]  # any alignment may come
    try:
        counter = Counter(0, 9, memory=view)
    except ValueError:
        return  # not aligned
    assert counter.take() == (0, 1)


# What is started and stopped; and one of how many times, where it takes long.
SUBJECTS: dict[str, tuple[Callable[[], None], int]] = {
    "threads": (_pool("threads"), 1),
    "native": (_pool("native"), 1),
    "processes": (_pool("processes"), 100),
    "interpreters": (_pool("interpreters"), 100),
    "watch": (_watch, 1),
    "watch, dropped": (_dropped_watch, 1),
    "team": (_team, 1),
    "team, dropped": (_dropped_team, 1),
    "counter": (_counter, 1),
}


def _threads() -> int:
    return len(os.listdir("/proc/self/task"))


def _files() -> int:
    return len(os.listdir("/proc/self/fd"))


def _memory() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _settled(count: Callable[[], int], most: int) -> int:
    """Return a count once it is down at `most`, or what it is after a while."""
    until = time.monotonic() + SETTLE
    while (found := count()) > most and time.monotonic() < until:
        time.sleep(0.01)
    return found


@dataclass
class Growth:
    """Growth from the warm-up to the end."""

    cycles: int
    seconds: float
    threads: int
    files: int
    memory: int
    """Bytes of the resident set."""
    steady: float
    """Bytes a cycle by which the resident set grew in each quarter after the first, at
    least: a leak goes on, while a table that grows once does so in one of them."""


def cycle(name: str, count: int) -> Growth | None:
    """Do one of the subjects so many times, after a tenth of that to warm up.

    Returns
    -------
    Growth or None
        None where this Python doesn't have it.

    """
    once, divisor = SUBJECTS[name]
    count = max(4, count // divisor)
    try:
        for _ in range(max(2, count // 10)):
            once()
    except (ArgumentError, NoGilError, WatchUnavailableError):
        return None
    gc.collect()
    threads, files = _threads(), _files()
    memory = [_memory()]
    quarter = count // 4
    begin = time.monotonic()
    for _ in range(4):
        for _ in range(quarter):
            once()
        gc.collect()
        memory.append(_memory())
    seconds = time.monotonic() - begin
    grown = [later - earlier for earlier, later in pairwise(memory)]
    return Growth(
        4 * quarter,
        seconds,
        _settled(_threads, threads) - threads,
        _settled(_files, files) - files,
        memory[-1] - memory[0],
        min(grown[1:]) / quarter,
    )
