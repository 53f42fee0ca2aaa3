"""Random work with faults, for as long as one likes; every result is checked.

Kernels run in random variants, sizes and schedules on pools that live for many regions.
In between, workers are killed, regions are interrupted by Ctrl-C, pools are dropped with
work behind them, processes forked and bad arguments passed. Whatever was hit may report
it; what comes after must work::

    python benchmarks/accuracy/soak.py [--minutes 5] [--hours H] [--seed S]

A loss is a wrong result, an error where there was no fault, a fault that nobody reported,
or memory, threads or files that grew. Exit status: 0 without losses, 1 otherwise; after
two minutes without any progress it says where it hangs, and exits with 1.
"""

from __future__ import annotations

import argparse
import faulthandler
import gc
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import gilx
from gilx.errors import ArgumentError
from gilx.system.environment import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gilx.pools.pool import Pool

STUCK = 120  # seconds
GREW = 8_000_000  # bytes that caches and fragments may take
SIZES = (1, 7, 30)
FAULT_EVERY = 20  # operations, on average


@dataclass
class Soak:
    """The pools at work, what was done and what was lost."""

    draw: random.Random
    pools: dict[str, Pool] = field(default_factory=dict)
    right: dict[tuple[str, int], bytes] = field(default_factory=dict)
    done: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    losses: list[str] = field(default_factory=list)

    def pool(self) -> Pool:
        """Return an open pool of any kind."""
        while True:
            name = self.draw.choice(gilx.pools.names())
            try:
                if name not in self.pools:
                    self.pools[name] = gilx.pools.start(name, self.draw.randint(1, 3))
            except ArgumentError:  # not on this Python
                continue
            return self.pools[name]

    def forget(self, pool: Pool) -> None:
        """Close a pool; the next that is asked for is a new one."""
        pool.close()
        self.pools = {name: each for name, each in self.pools.items() if each != pool}

    def answer(self, kernel: str, size: int) -> bytes:
        """Return what a kernel's output has to be, from one plain call for each sweep."""
        if (kernel, size) not in self.right:
            problem = gilx.kernels.get(kernel).problem(size)
            out = problem.fresh_out()
            for arguments in problem.calls(out):
                problem.kernel.function("c-gil")(*arguments, 0, problem.items)
            self.right[kernel, size] = out.tobytes()
        return self.right[kernel, size]


def region(soak: Soak, pool: Pool) -> None:
    """Run a kernel on the pool and check every bit of its output."""
    draw = soak.draw
    kernel, size = draw.choice(gilx.kernels.names()), draw.choice(SIZES)
    variant = draw.choice(("c-gil", "c-nogil", "cython-gil", "cython-nogil"))
    if pool.name == "native":
        variant = "c-nogil"
    if pool.name == "interpreters":  # which can't load Cython's module
        variant = variant.replace("cython", "c")
    result = gilx.run(
        kernel,
        pool=pool,
        variant=variant,
        schedule=draw.choice(("static", "dynamic")),
        size=size,
    )
    soak.done[f"regions, {pool.name}"] += 1
    if result.problem.out.tobytes() != soak.answer(kernel, size):
        soak.losses.append(f"wrong: {kernel} of {size}, {variant}, {pool.name}")


# ---- faults ---------------------------------------------------------------------------


def kill_a_worker(soak: Soak) -> None:
    """Kill a process of a pool: it must say so, or have been done before."""
    pool = soak.pools.get("processes") or gilx.pools.start("processes", 2)
    soak.pools["processes"] = pool
    gilx.run("triad", pool=pool, size=7)
    tasks = Path("/proc/self/task").glob("*/children")
    victims = [int(pid) for task in tasks for pid in task.read_text().split()]
    if not victims:
        return
    victim = soak.draw.choice(victims)
    delay = soak.draw.random() * 0.01
    killer = threading.Timer(delay, os.kill, (victim, signal.SIGKILL))
    killer.start()
    try:
        for _ in range(200):
            region(soak, pool)
        killer.join()
        region(soak, pool)
        soak.losses.append("a killed worker was not reported")
    except BrokenExecutor:
        killer.join()
    soak.forget(pool)


def interrupt(soak: Soak) -> None:
    """Press Ctrl-C in a region; the pool goes on working.

    Amid the callback of a weak reference, Python prints it and goes on.
    """
    pool = soak.pool()
    until = time.monotonic() + 5
    timer = threading.Timer(
        soak.draw.random() * 0.01, os.kill, (os.getpid(), signal.SIGINT)
    )
    try:
        timer.start()
        while time.monotonic() < until:
            region(soak, pool)
    except KeyboardInterrupt:
        pass
    timer.join()
    region(soak, pool)


def drop(soak: Soak) -> None:
    """Drop a pool without closing it."""
    name = soak.pool().name
    del soak.pools[name]
    gc.collect()


def fork(soak: Soak) -> None:
    """Fork: the child computes on its own, and ends."""
    expected = soak.answer("heat", 7)
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        problem = gilx.kernels.get("heat").problem(7)
        out = problem.fresh_out()
        for arguments in problem.calls(out):
            problem.kernel.function("c-nogil")(*arguments, 0, problem.items)
        os._exit(0 if out.tobytes() == expected else 9)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != 0:
        soak.losses.append(f"a forked child ended with {status}")


def bad_arguments(soak: Soak) -> None:
    """Ask for what can't be had, on a pool that works."""
    pool = soak.pool()
    for bad in ({"size": 0}, {"variant": "x"}, {"seed": -1}, {"grain": 0}):
        try:
            gilx.run("triad", pool=pool, **bad)
            soak.losses.append(f"not refused: {bad}")
        except ArgumentError:
            pass


FAULTS: dict[str, Callable[[Soak], None]] = {
    "a worker killed": kill_a_worker,
    "Ctrl-C": interrupt,
    "a pool dropped": drop,
    "a fork": fork,
    "bad arguments": bad_arguments,
}


# ---- the whole ------------------------------------------------------------------------


def resources() -> tuple[int, int, int]:
    """Return bytes of memory, threads and open files."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    threads = len(os.listdir("/proc/self/task"))
    files = len(os.listdir("/proc/self/fd"))
    return pages * os.sysconf("SC_PAGE_SIZE"), threads, files


def operations(soak: Soak, until: float) -> Iterator[None]:
    """Do one thing after the other."""
    while time.monotonic() < until:
        faulthandler.dump_traceback_later(STUCK, exit=True)
        fault = None
        if soak.draw.random() < 1 / FAULT_EVERY:
            fault = soak.draw.choice([*FAULTS])
        try:
            if fault is None:
                region(soak, soak.pool())
            else:
                FAULTS[fault](soak)
                soak.faults[fault] += 1
        except Exception as error:
            soak.losses.append(f"{fault or 'a region'}: {type(error).__name__}: {error}")
            for pool in [*soak.pools.values()]:
                soak.forget(pool)
        yield
    faulthandler.cancel_dump_traceback_later()


def close_all(soak: Soak) -> None:
    """Close all pools, and wait until their threads are gone."""
    for pool in [*soak.pools.values()]:
        soak.forget(pool)
    gc.collect()
    time.sleep(0.5)


def main() -> int:
    """Soak, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--hours", type=float, default=0)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    seconds = options.minutes * 60 if not options.hours else options.hours * 3600

    # What a shell starts in the background ignores Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    soak = Soak(random.Random(options.seed))
    begin = time.monotonic()
    for _ in operations(soak, begin + seconds / 5):
        pass
    close_all(soak)
    before = resources()
    for _ in operations(soak, begin + seconds):
        pass
    close_all(soak)
    after = resources()

    print(describe())
    print(f"{(time.monotonic() - begin) / 60:.1f} minutes, seed {options.seed}")
    for title, counts in (("operations", soak.done), ("faults", soak.faults)):
        print(f"{title}: {counts.total()}")
        for name, count in sorted(counts.items()):
            print(f"  {name}: {count}")
    grown = [now - then for now, then in zip(after, before, strict=True)]
    print(
        f"since a fifth of the time: {grown[0] / 1024:+.0f} KiB, {grown[1]:+} threads,"
        f" {grown[2]:+} files"
    )
    if grown[0] > GREW or grown[1] > 0 or grown[2] > 0:
        soak.losses.append("it grew")
    print(f"losses: {len(soak.losses)}")
    for loss in soak.losses[:20]:
        print(f"  {loss}")
    return 1 if soak.losses else 0


if __name__ == "__main__":
    sys.exit(main())
