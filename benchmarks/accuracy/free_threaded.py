"""Watches of threads that run without a GIL, against the truth.

Each case prints tables and returns 1 if a goal is missed. Run it with a free-threaded
Python and with nothing else running::

    python benchmarks/accuracy/free_threaded.py CASE [--seconds S] [--runs N] [--cost C]

causes
    Two threads run a program whose loss is known. Does the watch name its cause in the
    first place, and none where the threads do not disturb each other? Goal: 95 % of all
    runs. The share of stops is that of the time in which the world was stopped or
    stopping; that of locks is what threads waited for locks, and, if they were found
    waiting for the lock of an object, the system time of the process: threads that spin
    yield their CPUs. What shared memory costs is not seen by a watch: for these programs
    it has to name nothing.
losses
    Does `gilx.measure` give the cause as the largest of stops, locks and shared memory,
    and none of them where calls scale? Goal: 95 % of all runs. Rows whose threads were
    not watched, since samples were late, do not count.
shares
    How far off are shares that are known by construction? Goal: 3 points. A thread is
    attached for half of the time; two threads hold a lock for 0.7 ms in turn, and measure
    how long they wait for it.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import queue
import resource
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import gilx
from gilx._compat import gil_enabled
from gilx.ckernels import spin
from gilx.formatting import format_table, percent
from gilx.system import conditions
from gilx.system.environment import describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx import GilUsage

RIGHT = 0.95  # of all runs
POINTS = 0.03
LEAST = 0.05  # of the time, of a cause that is named
MS = 1_000_000  # nanoseconds


@dataclass(frozen=True)
class Options:
    """The command line."""

    seconds: float
    runs: int
    cost: float


@dataclass(frozen=True)
class Program:
    """Work that two threads repeat, and the cause that has to be named."""

    name: str
    cause: str
    works: tuple[Callable[[], object], Callable[[], object]]


class _Plain:
    value = 1


class _Other:
    value = 2


def compute() -> int:
    """Compute with numbers of its own."""
    total = 0
    for i in range(20_000):
        total += i * i
    return total


def own_list() -> None:
    """Append to a list of its own."""
    own: list[int] = []
    for i in range(20_000):
        own.append(i)  # noqa: PERF402 - what it is for


def own_dict() -> None:
    """Write to a dict of its own."""
    own = {}
    for i in range(20_000):
        own[i % 1000] = i


def programs() -> list[Program]:
    """Return all programs, with what their threads share."""
    shared_list: list[int] = []
    shared_dict: dict[int, int] = {}
    short, long = threading.Lock(), threading.Lock()
    items: queue.Queue[int] = queue.Queue()
    changing, read = _Plain(), _Plain()
    values = {"key": object()}

    def append() -> None:
        for i in range(20_000):
            shared_list.append(i)  # noqa: PERF402 - what it is for
        shared_list.clear()

    def write() -> None:
        for i in range(20_000):
            shared_dict[i % 1000] = i

    def lock_shortly() -> None:
        for _ in range(5_000):
            with short:
                pass

    def lock_long() -> None:
        with long:
            spin(700_000, 0, 700_000)

    def through_queue() -> None:
        for i in range(2_000):
            items.put(i)
            items.get()

    def cycles() -> None:
        for _ in range(5_000):
            one: list[object] = []
            one.append(one)

    def change_class() -> None:
        for _ in range(200):
            changing.__class__ = _Other  # type: ignore[assignment]
            changing.__class__ = _Plain

    def attached() -> None:
        spin(20 * MS, 0, 20 * MS)

    def fetch() -> None:
        get = values.get
        for _ in range(20_000):
            get("key")

    def attribute() -> None:
        for _ in range(20_000):
            read.value  # noqa: B018 - what it is for

    return [
        Program("pure compute", "none", (compute, compute)),
        Program("own lists", "none", (own_list, own_list)),
        Program("own dicts", "none", (own_dict, own_dict)),
        Program("one list, append", "lock", (append, append)),
        Program("one dict, writes", "lock", (write, write)),
        Program("one lock, short", "lock", (lock_shortly, lock_shortly)),
        Program("one lock, 0.7 ms", "lock", (lock_long, lock_long)),
        Program("one queue", "lock", (through_queue, through_queue)),
        Program("gc.collect() beside compute", "stops", (gc.collect, compute)),
        Program("cycles in both threads", "stops", (cycles, cycles)),
        Program("gc.collect() beside 20 ms attached", "stops", (gc.collect, attached)),
        Program("__class__ = beside compute", "stops", (change_class, compute)),
        Program("one shared value", "none", (fetch, fetch)),
        Program("one shared attribute", "none", (attribute, attribute)),
    ]


def _system_seconds() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_stime


def watched(
    works: tuple[Callable[[], object], ...], options: Options
) -> tuple[GilUsage, float]:
    """Return the usage while threads work, and the process's system time meanwhile."""
    over = threading.Event()

    def repeat(work: Callable[[], object]) -> None:
        while not over.is_set():
            work()

    threads = [
        threading.Thread(target=repeat, args=(work,), name=f"worker {number}")
        for number, work in enumerate(works)
    ]
    for thread in threads:
        thread.start()
    try:
        system = _system_seconds()
        with gilx.watch(cost=options.cost) as watching:
            time.sleep(options.seconds)
        system = _system_seconds() - system
    finally:
        over.set()
        for thread in threads:
            thread.join()
    return watching.usage, system


def shares_of(usage: GilUsage, system: float) -> dict[str, float]:
    """Return the share of the time that each cause has."""
    workers = [one for one in usage.by_thread if one.name.startswith("worker")]
    waited = sum(
        one.waiting_lock.value for one in workers if one.waiting_lock.known
    ) / max(1, len(workers))
    found = sum(one.samples for one in usage.locks if one.kind in ("object", "spinning"))
    locks = waited + (system / usage.wall / len(workers) if found > 2 else 0.0)
    world = usage.world
    stops = world.stopped.value if world is not None and world.stopped.known else 0.0
    return {"lock": locks, "stops": stops}


def cause_of(shares: dict[str, float]) -> str:
    """Return the cause with the largest share, ``none`` if all are small."""
    name = max(shares, key=lambda one: shares[one])
    return name if shares[name] >= LEAST else "none"


def causes(options: Options) -> int:
    """Print the causes; return 1 if too few are right."""
    head = ("program", "expected", "named", "right", "locks", "stops", "first lock")
    rows: list[tuple[str, ...]] = []
    right = runs = 0
    for program in programs():
        named: list[str] = []
        for _ in range(options.runs):
            usage, system = watched(program.works, options)
            shares = shares_of(usage, system)
            named.append(cause_of(shares))
        good = sum(one == program.cause for one in named)
        right += good
        runs += len(named)
        locks = [one.name for one in usage.locks if one.kind == "object"]
        rows.append(
            (
                *(program.name, program.cause, ", ".join(sorted(set(named)))),
                f"{good} of {len(named)}",
                *(percent(one) for one in shares.values()),
                locks[0].partition(" at ")[0] if locks else "-",
            )
        )
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(format_table(head, rows, right=(), width=120))
    print(f"right: {right} of {runs}; goal: {percent(RIGHT)}")
    return int(right < RIGHT * runs)


class _Shared:
    """State that calls share: each process has its own."""

    def __init__(self) -> None:
        self.items: list[int] = []
        self.table: dict[int, int] = {}
        self.lock = threading.Lock()
        self.read = _Plain()
        self.changing = _Plain()


shared = _Shared()


def shared_append() -> None:
    """Append to one list."""
    for i in range(20_000):
        shared.items.append(i)
    shared.items.clear()


def shared_write() -> None:
    """Write to one dict."""
    for i in range(20_000):
        shared.table[i % 1000] = i


def shared_lock() -> None:
    """Take one lock for a moment, often."""
    for _ in range(5_000):
        with shared.lock:
            pass


def shared_lock_long() -> None:
    """Hold one lock for 0.7 ms."""
    with shared.lock:
        spin(700_000, 0, 700_000)


def shared_attribute() -> None:
    """Read one attribute."""
    for _ in range(20_000):
        shared.read.value  # noqa: B018 - what it is for


def own_cycles() -> None:
    """Make cycles of its own."""
    for _ in range(5_000):
        one: list[object] = []
        one.append(one)


def shared_class() -> None:
    """Change the class of an object, beside some work."""
    for _ in range(100):
        shared.changing.__class__ = _Other  # type: ignore[assignment]
        shared.changing.__class__ = _Plain
    compute()


LOSSES = {
    compute: "none",
    own_list: "none",
    own_dict: "none",
    shared_append: "locks",
    shared_write: "locks",
    shared_lock: "locks",
    shared_lock_long: "locks",
    own_cycles: "stops",
    shared_class: "stops",
    shared_attribute: "shared memory",
}


def losses(options: Options) -> int:
    """Print the losses of calls; return 1 if too few have the right cause."""
    names = ("stops", "locks", "shared memory")
    head = ("calls", "expected", "named", "right", "speedup", *names, "unexplained")
    rows: list[tuple[str, ...]] = []
    right = runs = 0
    # Processes make calls of a module, and not those of the script that runs.
    module = importlib.import_module(Path(__file__).stem)
    for one, cause in LOSSES.items():
        work = getattr(module, one.__name__)
        named: list[str] = []
        for _ in range(options.runs):
            row = gilx.measure(work, workers=2, budget=3 * options.seconds).rows[0]
            amounts = {loss.cause: loss.amount for loss in row.losses}
            if "locks" not in amounts:
                continue
            main = max(names, key=amounts.__getitem__)
            named.append(main if amounts[main] >= LEAST * row.workers else "none")
        good = sum(name == cause for name in named)
        right += good
        runs += len(named)
        parts = (f"{amounts.get(name, 0):.2f}" for name in (*names, "unexplained"))
        rows.append(
            (
                *(work.__name__, cause, ", ".join(sorted(set(named))) or "not watched"),
                f"{good} of {len(named)}",
                *(f"{row.speedup.value:.2f}", *parts),
            )
        )
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(format_table(head, rows, right=(), width=120))
    print(f"right: {right} of {runs}; goal: {percent(RIGHT)}")
    return int(runs == 0 or right < RIGHT * runs)


def shares(options: Options) -> int:
    """Print how far off shares are; return 1 if one is too far."""
    head = ("case", "share", "truth", "watch", "difference")
    rows: list[tuple[str, ...]] = []
    worst = 0.0

    def add(case: str, share: str, truth: float, found: gilx.Estimate) -> None:
        nonlocal worst
        worst = max(worst, abs(found.value - truth)) if found.known else 1.0
        rows.append(
            (
                case,
                share,
                percent(truth),
                found.text(percent),
                f"{found.value - truth:+.3f}",
            )
        )

    for _ in range(options.runs):
        released: list[float] = []

        def half(released: list[float] = released) -> None:
            found = spin(MS, MS, 100 * MS)
            held = (found.held_min_ns + found.held_max_ns) / 2
            released.append(1 - held / found.wall_ns)

        usage, _ = watched((half,), options)
        one = next(one for one in usage.by_thread if one.name == "worker 0")
        ran = one.running.value + one.detached.value
        truth = sum(released) / len(released)
        add("attached for half", "detached", truth * ran, one.detached)

        lock = threading.Lock()
        waits: list[float] = []

        def take(lock: threading.Lock = lock, waits: list[float] = waits) -> None:
            begin = time.perf_counter()
            with lock:
                waits.append(time.perf_counter() - begin)
                spin(700_000, 0, 700_000)

        begin = time.perf_counter()
        usage, _ = watched((take, take), options)
        whole = 2 * (time.perf_counter() - begin)
        workers = [one for one in usage.by_thread if one.name.startswith("worker")]
        parts = [one.waiting_lock for one in workers]
        mean = gilx.Estimate(
            *(
                sum(getattr(one, end) for one in parts) / len(parts)
                for end in ("value", "low", "high")
            )
        )
        add("a lock, 0.7 ms", "waiting_lock", sum(waits) / whole, mean)
    print(format_table(head, rows, right=(), width=120))
    print(f"worst: {worst:.3f}; goal: {POINTS}")
    return int(worst > POINTS)


def main() -> int:
    """Run one case."""
    cases = {"causes": causes, "losses": losses, "shares": shares}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Raw)
    parser.add_argument("case", choices=cases)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--cost", type=float, default=0.03)
    given = parser.parse_args()
    if gil_enabled():
        print("This needs a Python that runs without a GIL.", file=sys.stderr)
        return 2
    with gilx.watch():
        pass  # imports all that is needed before there are threads
    print(describe())
    before = conditions.snapshot()
    status = cases[given.case](Options(given.seconds, given.runs, given.cost))
    during = conditions.between(before, conditions.snapshot())
    print(
        f"{given.case}: {'MISSED' if status else 'as wanted'}; other processes took"
        f" {during.others or 0:.2f} CPUs, other guests {during.steal or 0:.1%}"
    )
    return status


class _Raw(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the description."""


if __name__ == "__main__":
    sys.exit(main())
