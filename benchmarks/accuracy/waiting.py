"""Activities of threads and their waits for the GIL, against the truth.

Each case answers one question, prints a table, and returns 1 if a goal is missed. Run it
with nothing else running::

    python benchmarks/accuracy/waiting.py CASE [--seconds S] [--runs N] [--cost C]

waiting
    How far off is the time for which one to six threads wait for the GIL, from their own
    clocks? Goal: within 5 % or 0.1 threads.
known
    How often is a thread that does one known thing found to do that? Goal: 99 %.
flag
    How often does what Linux says of waiting for the GIL agree with Python's own flag
    (3.15)? Goal: 97 %.
many
    What do 10, 100 and 1,000 threads cost, and how often is each of them asked?
"""

from __future__ import annotations

import argparse
import os
import select
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import mean
from typing import TYPE_CHECKING

import gilx
from gilx.ckernels import SpinResult, spin
from gilx.formatting import format_table
from gilx.system import conditions
from gilx.system.environment import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MS = 1_000_000  # nanoseconds
RELATIVE, ABSOLUTE = 0.05, 0.1
RIGHT = 0.99
SAME = 0.97
WAITERS = range(1, 7)


@dataclass(frozen=True)
class Options:
    """The command line."""

    seconds: float
    runs: int
    cost: float

    def watch(self) -> gilx.sampling.watch.Watch:
        """Return a watch."""
        return gilx.watch(cost=self.cost)


def rhythms(waiters: int) -> dict[str, Callable[[float, int], SpinResult]]:
    """Return what threads do that wait for each other, by its name.

    Each calls `spin` for so many seconds, with a seed.
    """

    def rhythm(hold: int, released: int, how: str) -> Callable[[float, int], SpinResult]:
        return lambda seconds, seed: spin(
            hold,
            released,
            round(seconds * 1e9),
            rhythm="exponential",
            released="sleep" if how == "sleep" else "spin",
            seed=seed,
        )

    return {
        "holds of 5 ms, sleeps of 5 ms": rhythm(5 * MS, 5 * MS, "sleep"),
        "holds of 1 ms, sleeps as long as all holds": rhythm(MS, waiters * MS, "sleep"),
        "holds of 0.2 ms, sleeps of 1 ms": rhythm(MS // 5, MS, "sleep"),
        "holds of 5 ms, works for 5 ms": rhythm(5 * MS, 5 * MS, "spin"),
    }


def waiting(options: Options) -> bool:
    """Watch threads that wait for each other, and know for how long."""
    rows: list[tuple[str, ...]] = []
    fine = True
    for waiters in WAITERS:
        for name in rhythms(waiters):
            act = rhythms(waiters)[name]
            for run in range(options.runs):
                fine &= wait_once(options, waiters, name, act, run, rows)
    head = ("threads beside", "each", "waited, threads", "watch", "by lines", "by thread")
    print(format_table((*head, "unknown"), rows, right=(0, 2, 3, 4, 5, 6), width=140))
    return fine


def wait_once(
    options: Options,
    waiters: int,
    name: str,
    act: Callable[[float, int], SpinResult],
    run: int,
    rows: list[tuple[str, ...]],
) -> bool:
    """Run one case once; add a row, and return whether it is as wanted."""
    results: list[SpinResult] = []

    def work(seed: int) -> None:
        results.append(act(options.seconds, seed))

    threads = [
        threading.Thread(target=work, args=(100 * run + number,), name=f"spin {number}")
        for number in range(waiters + 1)
    ]
    with options.watch() as watch:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    usage = watch.usage
    true = sum(one.waited_ns for one in results) / 1e9 / usage.wall
    found = usage.waited.value / usage.wall
    lines = sum(site.waiting_caused.value for site in usage.sites) / usage.wall
    states = sum(
        one.waiting_gil.value for one in usage.by_thread if one.name.startswith("spin ")
    )
    most = max(RELATIVE * true, ABSOLUTE)
    # Of a thread that got the GIL and waits for a CPU, by_thread says that it does that.
    right = all(abs(one - true) <= most for one in (found, lines))
    rows.append(
        (
            f"{waiters}",
            name,
            f"{true:.3f}",
            *(f"{one:.3f} ({one - true:+.3f})" for one in (found, lines, states)),
            f"{usage.unknown:.1%}{'' if right else ' MISSED'}",
        )
    )
    return right


# ---- known -----------------------------------------------------------------------------


@contextmanager
def blocked_threads(seconds: float) -> Iterator[dict[str, str]]:
    """Have threads that do one thing; return the activity of each by its name."""
    lock = threading.Lock()
    lock.acquire()
    with ExitStack() as stack:
        reader, writer = os.pipe()
        ours, theirs = socket.socketpair()
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        for file in (reader, writer):
            stack.callback(os.close, file)
        for one in (ours, theirs):
            stack.callback(one.close)
        acts: dict[str, tuple[str, Callable[[], object]]] = {
            "lock": ("waiting_lock", lock.acquire),
            "condition": ("waiting_lock", threading.Event().wait),
            "sleep": ("sleeping", lambda: time.sleep(seconds + 1)),
            "read": ("reading", lambda: os.read(reader, 1)),
            "receive": ("reading", lambda: ours.recv(1)),
            "poll": ("polling", lambda: select.select([theirs], [], [], seconds + 1)),
            "child": ("waiting_child", child.wait),
        }
        threads = [
            threading.Thread(target=act, name=name, daemon=True)
            for name, (_, act) in acts.items()
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        yield {name: activity for name, (activity, _) in acts.items()}
        lock.release()
        os.write(writer, b"x")
        theirs.send(b"x")
        child.communicate(b"\n")
        for thread in threads:
            if thread.name != "condition":
                thread.join()


def known(options: Options) -> bool:
    """Watch threads that do one thing, beside one that holds the GIL half of the time."""
    right: dict[str, list[float]] = {}
    reads: dict[str, int] = {}
    for _ in range(options.runs):
        with blocked_threads(options.seconds) as activities:
            with options.watch() as watch:
                spin(5 * MS, 5 * MS, round(options.seconds * 1e9))
            for thread in watch.usage.by_thread:
                if thread.name in activities:
                    sums = thread.sums
                    share = getattr(sums, activities[thread.name]).time / sums.known
                    right.setdefault(thread.name, []).append(share)
                    reads[thread.name] = reads.get(thread.name, 0) + sums.reads
    rows = [
        (name, f"{reads[name]}", f"{mean(shares):.2%}", f"{min(shares):.2%}")
        for name, shares in right.items()
    ]
    head = ("thread", "asked", "right, of the time", "worst run")
    print(format_table(head, rows, right=(1, 2, 3), width=100))
    return all(mean(shares) >= RIGHT for shares in right.values())


# ---- flag ------------------------------------------------------------------------------


def flag(options: Options) -> bool:
    """Watch threads that wait for each other, and compare two ways to know that."""
    rows, compared, agreed = [], 0, 0
    for waiters in WAITERS:
        for name, act in rhythms(waiters).items():
            threads = [
                threading.Thread(target=act, args=(options.seconds, seed))
                for seed in range(waiters + 1)
            ]
            with options.watch() as watch:
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
            totals = watch._totals  # noqa: SLF001 - of no use to others
            if totals.compared == 0:
                print("Python has no such flag.")
                return True
            compared += totals.compared
            agreed += totals.agreed
            same = totals.agreed / totals.compared
            rows.append((f"{waiters}", name, f"{totals.compared}", f"{same:.1%}"))
    rows.append(("all", "", f"{compared}", f"{agreed / compared:.1%}"))
    head = ("threads beside", "each", "compared", "same")
    print(format_table(head, rows, right=(0, 2, 3), width=100))
    return agreed >= SAME * compared


# ---- many ------------------------------------------------------------------------------


def many(options: Options) -> bool:
    """Watch a thread that holds half of the time, beside many that wait for a lock."""
    rows, fine = [], True
    for count in (10, 100, 1000):
        over = threading.Event()
        threads = [threading.Thread(target=over.wait) for _ in range(count)]
        for thread in threads:
            thread.start()
        with options.watch() as watch:
            truth = spin(5 * MS, 5 * MS, round(options.seconds * 1e9))
        over.set()
        for thread in threads:
            thread.join()
        usage = watch.usage
        true = (truth.held_min_ns + truth.held_max_ns) / 2 / truth.wall_ns
        error = usage.held.value - true
        asked = usage.sums.asked / max(1, usage.sums.askable)
        locked = [one for one in usage.by_thread if one.sums.waiting_lock.time > 0]
        # Of the threads that were asked.
        right = mean(
            one.sums.waiting_lock.time / one.sums.known for one in locked[:count]
        )
        fine &= usage.cost < 1.2 * options.cost and right >= RIGHT
        rows.append(
            (
                f"{count}",
                f"{usage.samples / usage.wall:.0f}",
                f"{usage.cost:.1%}",
                f"{asked:.2%}",
                f"{right:.1%}",
                f"{100 * error:+.2f}",
            )
        )
    head = ("threads beside", "samples a second", "of a CPU", "asked, of all samples")
    print(
        format_table(
            (*head, "right", "error of `held`, points"), rows, right=range(6), width=120
        )
    )
    return fine


CASES: dict[str, tuple[Callable[[Options], bool], float, int]] = {
    "waiting": (waiting, 2.0, 1),
    "known": (known, 5.0, 3),
    "flag": (flag, 1.0, 1),
    "many": (many, 3.0, 1),
}
"""Each case with the seconds of a run and the number of runs."""


def main() -> int:
    """Measure, print, and return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--seconds", type=float, help="length of a run")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--cost", type=float, default=0.03)
    given = parser.parse_args()
    case, seconds, runs = CASES[given.case]
    options = Options(given.seconds or seconds, given.runs or runs, given.cost)
    print(describe(), "\n")
    before = conditions.snapshot()
    fine = case(options)
    during = conditions.between(before, conditions.snapshot())
    print(
        f"{given.case}: {'as wanted' if fine else 'MISSED'}; other processes took"
        f" {during.others or 0:.2f} CPUs, other guests {during.steal or 0:.1%}"
    )
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
