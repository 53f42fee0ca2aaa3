"""Watches of threads that run without a GIL, against the truth.

Each case prints tables and returns 1 if a goal is missed. Run it with a free-threaded
Python and with nothing else running::

    python benchmarks/accuracy/free_threaded.py CASE [--seconds S] [--runs N] [--cost C]

causes
    Two threads run a program whose loss is known. Does the watch name its cause in the
    first place, and none where the threads do not disturb each other? Goal: 95 % of all
    runs. The share of stops is that of the time in which the world was stopped or
    stopping; that of locks is what threads waited for locks, and, if at least 3 % of the
    samples found them waiting for the lock of an object, the system time of the process:
    threads that spin yield their CPUs. What shared memory costs is not seen by a watch:
    for these programs it has to name nothing. Beside another process that computes,
    threads that get one CPU between them hardly meet at a lock, and Linux tells system
    time from user time by ticks alone. So each program with a cause also runs without
    it, before and after the watch. A run counts if the cause takes at least 10 % of the
    throughput, and if it takes less than 5 %, where nothing has to be named. That is the
    throughput in the time in which threads did not wait for a CPU. The column "lost in
    all" has that of all time: threads that yield their CPUs to another process get less
    of them, which a watch shows as waiting for a CPU.
losses
    Does `gilx.measure` give the cause as the largest of stops, locks and shared memory,
    and none of them where calls scale? Goal: 95 % of all runs. Rows whose threads were
    not watched, since samples were late, do not count, nor do calls that should scale in
    runs in which they do not: threads may share memory by accident of its layout.
shares
    How far off are shares that are known by construction? Goal: 3 points. A thread is
    attached for half of the time; two threads hold a lock for 0.7 ms in turn, and measure
    how long they wait for it, but not for a CPU. Samples alone divide the first one's
    time: each finds all or nothing, so chance makes 850 of them in a second differ by 1.5
    points (one standard deviation). That thread is watched for four times as long as the
    others.
costs
    How much of a CPU does the watch itself take, and how much slower are the threads?
    Goal: no more than the cost that it may have. Turns with a watch and without one
    follow each other in alternating order; the interval is that of the median of their
    ratios.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import math
import queue
import resource
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, Any

import gilx
from gilx._compat import gil_enabled
from gilx.ckernels import spin
from gilx.formatting import format_table, percent
from gilx.speedup.statistics import log_ratios, median_interval
from gilx.system import conditions
from gilx.system.environment import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gilx import GilUsage

    Works = tuple[Callable[[], object], ...]

RIGHT = 0.95  # of all runs
POINTS = 0.03
LEAST = 0.05  # of the time, of a cause that is named
FOUND = 0.03  # of the samples, with a thread at the lock of an object: more than chance
LOST = 0.1  # of the throughput, by a cause that costs something
TURN = 0.3  # seconds, for one measurement of the throughput
APART = 16  # objects, that do not lie in one line of the cache
SCALES = 0.8  # of the number of workers
MS = 1_000_000  # nanoseconds


@dataclass(frozen=True)
class Options:
    """The command line."""

    seconds: float
    runs: int
    cost: float


@dataclass(frozen=True)
class Program:
    """Work that two threads repeat, and the cause that has to be named.

    ``without`` is the same work without the cause, ``counted`` has the numbers of the
    threads whose throughput it costs.
    """

    name: str
    cause: str
    works: Works
    without: Works | None = None
    counted: tuple[int, ...] = (0, 1)
    keep: object = None


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


def append_to(items: list[int]) -> Callable[[], None]:
    """Return work that appends to a list."""

    def append() -> None:
        for i in range(20_000):
            items.append(i)  # noqa: PERF402 - what it is for
        items.clear()

    return append


def write_to(table: dict[int, int]) -> Callable[[], None]:
    """Return work that writes to a dict."""

    def write() -> None:
        for i in range(20_000):
            table[i % 1000] = i

    return write


def take_shortly(lock: threading.Lock) -> Callable[[], None]:
    """Return work that takes a lock for a moment, often."""

    def take() -> None:
        for _ in range(5_000):
            with lock:
                pass

    return take


def take_for_long(lock: threading.Lock) -> Callable[[], None]:
    """Return work that holds a lock for 0.7 ms."""

    def take() -> None:
        with lock:
            spin(700_000, 0, 700_000)

    return take


def send_through(items: queue.Queue[int]) -> Callable[[], None]:
    """Return work that puts items into a queue and gets them."""

    def send() -> None:
        for i in range(2_000):
            items.put(i)
            items.get()

    return send


def make_cycles() -> None:
    """Make lists that contain themselves."""
    for _ in range(5_000):
        one: list[object] = []
        one.append(one)


def make_lists() -> None:
    """Make as many lists that nothing has to collect."""
    for _ in range(5_000):
        one: list[object] = []
        one.append(None)


def attached() -> None:
    """Compute for 20 ms, attached to the interpreter."""
    spin(20 * MS, 0, 20 * MS)


def detached() -> None:
    """Compute for 20 ms, detached from it."""
    spin(0, 20 * MS, 20 * MS)


def of_lock(
    name: str, work: Callable[[Any], Callable[[], None]], new: Callable[[], object]
) -> Program:
    """Return a program whose threads share something with a lock.

    Without that, each has its own, made by the same thread as the shared one, but not one
    after the other: locks of neighbours may share a line of the cache.
    """
    made = [new() for _ in range(3 * APART)]
    shared_one, one, other = (work(made[i * APART]) for i in range(3))
    works = shared_one, shared_one
    return Program(name, "lock", works, without=(one, other), keep=made)


def programs() -> list[Program]:
    """Return all programs, with what their threads share."""
    changing, read = _Plain(), _Plain()
    values = {"key": object()}
    write = write_to({})

    def change_class() -> None:
        for _ in range(200):
            changing.__class__ = _Other  # type: ignore[assignment]
            changing.__class__ = _Plain

    def fetch() -> None:
        get = values.get
        for _ in range(20_000):
            get("key")

    def attribute() -> None:
        for _ in range(20_000):
            read.value  # noqa: B018 - what it is for

    computing, making = (compute, compute), (make_lists, make_lists)
    return [
        Program("pure compute", "none", computing),
        Program("own lists", "none", (own_list, own_list)),
        Program("own dicts", "none", (own_dict, own_dict)),
        of_lock("one list, append", append_to, list),
        # A dict that another thread has made and filled is slower.
        Program("one dict, writes", "lock", (write, write), (own_dict, own_dict)),
        of_lock("one lock, short", take_shortly, threading.Lock),
        of_lock("one lock, 0.7 ms", take_for_long, threading.Lock),
        of_lock("one queue", send_through, queue.Queue),
        Program(
            name="gc.collect() beside compute",
            cause="stops",
            works=(gc.collect, compute),
            without=computing,
            counted=(1,),
        ),
        Program("cycles in both threads", "stops", (make_cycles, make_cycles), making),
        Program(
            name="gc.collect() beside 20 ms attached",
            cause="stops",
            works=(gc.collect, attached),
            without=(gc.collect, detached),
            counted=(0,),
        ),
        Program(
            name="__class__ = beside compute",
            cause="stops",
            works=(change_class, compute),
            without=computing,
            counted=(1,),
        ),
        Program("one shared value", "none", (fetch, fetch)),
        Program("one shared attribute", "none", (attribute, attribute)),
    ]


def _system_seconds() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_stime


@contextlib.contextmanager
def working(works: Works) -> Iterator[list[int]]:
    """Let threads work; the value has how many calls each of them has made."""
    over = threading.Event()
    calls = [0] * len(works)

    def repeat(number: int) -> None:
        while not over.is_set():
            works[number]()
            calls[number] += 1

    threads = [
        threading.Thread(target=repeat, args=(number,), name=f"worker {number}")
        for number in range(len(works))
    ]
    for thread in threads:
        thread.start()
    try:
        yield calls
    finally:
        over.set()
        for thread in threads:
            thread.join()


def watched(works: Works, options: Options) -> tuple[GilUsage, float]:
    """Return the usage while threads work, and the process's system time meanwhile."""
    with working(works):
        return watched_now(options)


def watched_now(options: Options) -> tuple[GilUsage, float]:
    """Return the usage of threads that run, and the process's system time meanwhile."""
    system = _system_seconds()
    with gilx.watch(cost=options.cost) as watching:
        time.sleep(options.seconds)
    return watching.usage, _system_seconds() - system


@dataclass
class Throughput:
    """Calls per second."""

    in_all: float = 0.0
    with_cpu: float = 0.0
    """Per second in which a thread did not wait for a CPU."""


def _cpu_waits(threads: list[int]) -> float:
    """Return for how many seconds threads have waited for a CPU, in all."""
    texts = [Path(f"/proc/self/task/{one}/schedstat").read_text() for one in threads]
    return sum(int(text.split()[1]) for text in texts) / 1e9


@contextlib.contextmanager
def measured(works: Works, counted: tuple[int, ...]) -> Iterator[Throughput]:
    """Let threads work, and measure the throughput of those with these numbers."""
    found = Throughput()
    with working(works) as calls:
        time.sleep(TURN / 10)  # until all of them have begun
        names = {f"worker {one}" for one in counted}
        threads = [
            one.native_id
            for one in threading.enumerate()
            if one.name in names and one.native_id is not None
        ]
        before, begin, waits = calls.copy(), time.perf_counter(), _cpu_waits(threads)
        yield found
        seconds, waits = time.perf_counter() - begin, _cpu_waits(threads) - waits
        made = sum(calls[one] - before[one] for one in counted)
    found.in_all = made / seconds
    found.with_cpu = made / max(1e-3, len(threads) * seconds - waits)


@dataclass(frozen=True)
class Lost:
    """Shares of the throughput that a cause takes."""

    in_all: float
    with_cpu: float
    """In the time in which threads did not wait for a CPU."""


def watched_with_loss(
    program: Program, options: Options
) -> tuple[GilUsage, float, Lost | None]:
    """Return what `watched` does, and what the cause takes meanwhile."""
    if program.without is None:
        return *watched(program.works, options), None
    free = []
    with measured(program.without, program.counted) as one:
        time.sleep(TURN)
    free.append(one)
    with measured(program.works, program.counted) as found:
        usage, system = watched_now(options)
    with measured(program.without, program.counted) as one:
        time.sleep(TURN)
    free.append(one)
    lost = Lost(
        1 - found.in_all / (sum(one.in_all for one in free) / len(free)),
        1 - found.with_cpu / (sum(one.with_cpu for one in free) / len(free)),
    )
    return usage, system, lost


def expected_cause(program: Program, lost: Lost | None) -> str | None:
    """Return the cause that has to be named in a run; None if that is not known."""
    if lost is None or lost.with_cpu >= LOST:
        return program.cause
    return "none" if lost.with_cpu < LEAST else None


def shares_of(usage: GilUsage, system: float) -> dict[str, float]:
    """Return the share of the time that each cause has."""
    workers = [one for one in usage.by_thread if one.name.startswith("worker")]
    waited = sum(
        one.waiting_lock.value for one in workers if one.waiting_lock.known
    ) / max(1, len(workers))
    found = sum(one.samples for one in usage.locks if one.kind in ("object", "spinning"))
    often = found >= FOUND * usage.samples
    locks = waited + (system / usage.wall / len(workers) if often else 0.0)
    world = usage.world
    stops = world.stopped.value if world is not None and world.stopped.known else 0.0
    return {"lock": locks, "stops": stops}


def cause_of(shares: dict[str, float]) -> str:
    """Return the cause with the largest share, ``none`` if all are small."""
    name = max(shares, key=lambda one: shares[one])
    return name if shares[name] >= LEAST else "none"


def causes(options: Options) -> int:
    """Print the causes; return 1 if too few are right."""
    head = (
        *("program", "cause", "named", "right", "it costs", "it does not"),
        *("lost", "lost in all", "locks", "stops", "first lock"),
    )
    rows: list[tuple[str, ...]] = []
    all_right = all_runs = 0
    for program in programs():
        runs: list[tuple[str | None, str]] = []
        all_lost: list[Lost] = []
        sums = {"lock": 0.0, "stops": 0.0}
        for _ in range(options.runs):
            usage, system, lost = watched_with_loss(program, options)
            shares = shares_of(usage, system)
            runs.append((expected_cause(program, lost), cause_of(shares)))
            all_lost += [lost] if lost is not None else []
            sums = {name: sums[name] + shares[name] for name in sums}
        parts = {
            expected: [named == expected for one, named in runs if one == expected]
            for expected in (program.cause, "none")
        }
        right = sum(sum(part) for part in parts.values())
        count = sum(len(part) for part in parts.values())
        all_right += right
        all_runs += count
        locks = [one.name for one in usage.locks if one.kind == "object"]
        means = [
            percent(sum(getattr(one, name) for one in all_lost) / len(all_lost))
            if all_lost
            else "-"
            for name in ("with_cpu", "in_all")
        ]
        rows.append(
            (
                *(program.name, program.cause),
                ", ".join(sorted({named for _, named in runs})),
                f"{right} of {count}",
                *(f"{sum(part)} of {len(part)}" for part in parts.values()),
                *means,
                *(percent(one / options.runs) for one in sums.values()),
                locks[0].partition(" at ")[0] if locks else "-",
            )
        )
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(format_table(head, rows, right=(), width=140))
    print(
        f"right: {all_right} of {all_runs} that count, of all"
        f" {len(rows) * options.runs} runs; goal: {percent(RIGHT)}"
    )
    return int(all_runs == 0 or all_right < RIGHT * all_runs)


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
    append_to(shared.items)()


def shared_write() -> None:
    """Write to one dict."""
    write_to(shared.table)()


def shared_lock() -> None:
    """Take one lock for a moment, often."""
    take_shortly(shared.lock)()


def shared_lock_long() -> None:
    """Hold one lock for 0.7 ms."""
    take_for_long(shared.lock)()


def shared_attribute() -> None:
    """Read one attribute."""
    for _ in range(20_000):
        shared.read.value  # noqa: B018 - what it is for


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
    make_cycles: "stops",
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
            if cause == "none" and row.speedup.value < SCALES * row.workers:
                continue
            main = max(names, key=amounts.__getitem__)
            named.append(main if amounts[main] >= LEAST * row.workers else "none")
        good = sum(name == cause for name in named)
        right += good
        runs += len(named)
        parts = (f"{amounts.get(name, 0):.2f}" for name in (*names, "unexplained"))
        rows.append(
            (
                *(work.__name__, cause, ", ".join(sorted(set(named))) or "none counts"),
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

        usage, _ = watched((half,), replace(options, seconds=4 * options.seconds))
        one = next(one for one in usage.by_thread if one.name == "worker 0")
        ran = one.running.value + one.detached.value
        truth = sum(released) / len(released)
        add("attached for half", "detached", truth * ran, one.detached)

        lock = threading.Lock()
        waits: list[float] = []

        def take(lock: threading.Lock = lock, waits: list[float] = waits) -> None:
            own = [threading.get_native_id()]
            for_cpu, begin = _cpu_waits(own), time.perf_counter()
            with lock:
                waited = time.perf_counter() - begin
                waits.append(waited - (_cpu_waits(own) - for_cpu))
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


def costs(options: Options) -> int:
    """Print what a watch costs; return 1 if it takes more of a CPU than it may."""
    rows = []
    worst = 0.0
    for program in programs():
        alone: list[float] = []
        beside: list[float] = []
        shares: list[float] = []
        for run in range(options.runs):
            for is_watched in (run % 2 == 0, run % 2 == 1):
                with measured(program.works, program.counted) as found:
                    if is_watched:
                        shares.append(watched_now(options)[0].cost)
                    else:
                        time.sleep(options.seconds)
                (beside if is_watched else alone).append(found.in_all)
        # On a busy machine, a turn may be too short for a call.
        pairs = [pair for pair in zip(alone, beside, strict=True) if all(pair)]
        ratios = log_ratios(*zip(*pairs, strict=True))
        low, high = (math.expm1(end) for end in median_interval(ratios))
        worst = max(worst, mean(shares))
        rows.append(
            (
                *(program.name, percent(mean(shares))),
                percent(math.expm1(median(ratios))),
                *(f"{percent(low)} to {percent(high)}", str(len(pairs))),
            )
        )
        print(".", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    head = ("program", "CPU time of the watch", "slower by", "95 % interval", "pairs")
    print(format_table(head, rows, right=(1, 2, 4)))
    print(f"worst: {percent(worst)} of one CPU; goal: {percent(options.cost)}")
    return int(worst > options.cost)


def main() -> int:
    """Run one case."""
    cases = {"causes": causes, "losses": losses, "shares": shares, "costs": costs}
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
