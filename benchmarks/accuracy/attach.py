"""The watch of a running process, against the truth, and what it costs the process.

Each case answers one question, prints a table, and returns 1 if a goal is missed. Run it
with nothing else running::

    python benchmarks/accuracy/attach.py CASE [--runs N] [--seconds S]

shares
    How far is the share for which another process holds the GIL off, for rhythms of 10,
    50 and 90 % at periods of 0.2, 2 and 20 ms? The truth is what `gilx.ckernels.spin`
    says of its own holds in that process. Goal: intervals at 95 % hold the truth in 90 %
    of the runs or more.
lines
    How far are the shares of three lines of another process off, two of which call `spin`
    and hold the GIL, and of one that releases it? Goal: 4 points or less.
cost
    How much longer does a call in a process take while that is watched? Goal: the
    interval ends at 2 % or below.

Where py-spy is installed, it watches the same processes, at other times: it stops them
for each of its samples. Its share is the number of samples with the GIL by that of all.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import gilx
from gilx.formatting import format_table
from gilx.speedup.statistics import median_interval
from gilx.system import conditions
from gilx.system.environment import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PERIODS = (200_000, 2_000_000, 20_000_000)  # nanoseconds
SHARES = (0.1, 0.5, 0.9)
SLICE = 100_000_000  # nanoseconds of one call, whose result is kept
COST = 0.03  # share of one CPU
LEAST_COVERED = 0.9  # of the runs
MOST_SLOWER = 1.02
RATE = 100  # samples that py-spy takes in a second
MILLISECOND, MICROSECOND = 1_000_000, 1_000  # nanoseconds

PROGRAM = """
import json, signal, sys, time
from functools import partial
from gilx.ckernels import spin

going = True

def stop(*_):
    global going
    going = False

signal.signal(signal.SIGTERM, stop)
work, calls = eval(sys.argv[1]), []
print(flush=True)
while going:
    begin = time.monotonic_ns()
    found = work()
    calls.append((begin, time.monotonic_ns(), found))
json.dump(calls, sys.stdout)
"""
FIXED_WORK = "partial(sum, range(30_000))"
# Takes the place of the work; the lines of the calls are looked up in it.
LINES = """
def work():
    begin = time.monotonic_ns()
    long = spin(3_000_000, 0, 3_000_000)
    short = spin(1_000_000, 0, 1_000_000)
    spin(0, 2_000_000, 2_000_000)
    middle = time.monotonic_ns()
    sum(range(30_000))
    end = time.monotonic_ns()
    return long[1], short[1], 0, end - middle, end - begin
"""
MARKS = ("long = spin", "short = spin", "    spin(0", "sum(range")
MOST_OFF = 4  # points
ENDS = ("value", "low", "high")


class Target:
    """A process that makes the same call over and over."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.pid = process.pid
        self._process = process
        self._calls: list[tuple[int, int, Any]] = []

    def stop(self) -> None:
        """End the process, and read the calls that it recorded."""
        self._process.terminate()
        text, _ = self._process.communicate()
        self._calls = [(begin, end, found) for begin, end, found in json.loads(text)]

    def calls(self, window: tuple[int, int]) -> list[tuple[int, int, Any]]:
        """Return begin, end and result of the calls that were made within a time."""
        first, last = window
        within = [one for one in self._calls if first <= one[0] and one[1] <= last]
        if not within:
            raise RuntimeError("no call was made in that time: give more --seconds")
        return within


@contextmanager
def target(work: str, program: str | Path = "") -> Iterator[Target]:
    """Run a process that calls the value of an expression, or another program."""
    words = [sys.executable, f"{program}"] if program else [sys.executable, "-c", PROGRAM]
    words.append(work)
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            yield Target(process)
        finally:
            process.kill()


def window_of(act: Callable[[], object]) -> tuple[int, int]:
    """Return when an act began and ended, in nanoseconds of the monotonic clock."""
    begin = time.monotonic_ns()
    act()
    return begin, time.monotonic_ns()


def py_spy() -> str | None:
    """Return the path of py-spy, None if it is not installed."""
    beside = Path(sys.executable).parent
    return shutil.which("py-spy", path=f"{beside}{os.pathsep}{os.environ['PATH']}")


def spied(program: str, pid: int, seconds: int) -> float:
    """Return the share of py-spy's samples in which a process held the GIL."""
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder) / "stacks"
        options = [
            "--gil",
            "--format",
            "raw",
            "--rate",
            f"{RATE}",
            "--output",
            f"{found}",
        ]
        words = [
            program,
            "record",
            *options,
            "--duration",
            f"{seconds}",
            "--pid",
            f"{pid}",
        ]
        subprocess.run(words, check=True, capture_output=True)
        # There is no file if no sample found the GIL held.
        lines = found.read_text().splitlines() if found.exists() else []
    return sum(int(line.rpartition(" ")[2]) for line in lines) / (RATE * seconds)


# ---- shares ----------------------------------------------------------------------------


def truth_of(calls: list[tuple[int, int, Any]]) -> tuple[float, float]:
    """Return the band in which the share lies for which `spin` held the GIL."""
    wall = least = most = 0
    for _, _, (length, held_min, held_max, *_) in calls:
        wall, least, most = wall + length, least + held_min, most + held_max
    return least / wall, most / wall


def watched(period: int, share: float, seconds: int) -> tuple[tuple[str, ...], bool]:
    """Watch one rhythm; return the row of the table, and whether the truth is covered."""
    hold = round(period * share)
    usages: list[gilx.GilUsage] = []
    other = py_spy()
    with target(f"partial(spin, {hold}, {period - hold}, {SLICE})") as process:
        window = window_of(
            lambda: usages.append(gilx.attach(process.pid, budget=seconds, cost=COST))
        )
        spy = None if other is None else spied(other, process.pid, seconds)
        process.stop()
    low, high = truth_of(process.calls(window))
    figure = usages[0].locked
    covered = figure.low <= high and low <= figure.high
    row = (
        *(f"{period / MILLISECOND:g}", f"{share:.0%}", f"{low:.2%} to {high:.2%}"),
        f"{figure.value:.2%} ({figure.low:.2%} to {figure.high:.2%})",
        "yes" if covered else "NO",
        "-" if spy is None else f"{spy:.2%}",
    )
    return row, covered


def shares(runs: int, seconds: int) -> bool:
    """Compare the share held with the truth, in runs of random order."""
    cases = [
        (period, share) for period in PERIODS for share in SHARES for _ in range(runs)
    ]
    random.shuffle(cases)
    found = [(case, *watched(*case, seconds)) for case in cases]
    found.sort(key=lambda one: one[0])
    head = ("period, ms", "held", "truth", "gilx, 95 %", "covered", "py-spy")
    rows = [row for _, row, _ in found]
    print(format_table(head, rows, right=(0, 1, 2, 3, 5), width=100))
    covered = sum(one for _, _, one in found)
    print(f"covered: {covered} of {len(found)}")
    return covered >= LEAST_COVERED * len(found)


# ---- lines -----------------------------------------------------------------------------


def shares_of_lines(path: Path, seconds: int) -> list[tuple[float, gilx.Estimate]]:
    """Return the true and the reported share of each line."""
    usages: list[gilx.GilUsage] = []
    with target("work", path) as process:
        window = window_of(
            lambda: usages.append(gilx.attach(process.pid, budget=seconds, cost=COST))
        )
        process.stop()
    calls = process.calls(window)
    wall = sum(found[-1] for _, _, found in calls)
    texts = path.read_text().splitlines()
    rows = []
    for number, mark in enumerate(MARKS):
        line = next(n for n, text in enumerate(texts, 1) if mark in text)
        sites = [one.held for one in usages[0].sites if one.line == line]
        reported = gilx.Estimate(
            *(sum(getattr(one, end) for one in sites) for end in ENDS)
        )
        rows.append((sum(found[number] for *_, found in calls) / wall, reported))
    return rows


def lines(runs: int, seconds: int) -> bool:
    """Compare the shares of lines with the truth."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lines.py"
        path.write_text(PROGRAM.replace("work, calls", f"{LINES}\nwork, calls", 1))
        found = [shares_of_lines(path, seconds) for _ in range(runs)]
    rows, most = [], 0.0
    for number, mark in enumerate(MARKS):
        truths, reported = zip(*(one[number] for one in found), strict=True)
        off = [100 * (b.value - a) for a, b in zip(truths, reported, strict=True)]
        covered = sum(b.low <= a <= b.high for a, b in zip(truths, reported, strict=True))
        most = max(most, *map(abs, off))
        rows.append(
            (
                *(mark.strip(), f"{median(truths):.2%}"),
                f"{median(one.value for one in reported):.2%}",
                *(f"{max(off, key=abs):+.2f}", f"{covered} of {runs}"),
            )
        )
    head = ("line", "truth", "gilx", "farthest, points", "covered")
    print(format_table(head, rows, right=(1, 2, 3, 4), width=100))
    return most <= MOST_OFF


# ---- cost ------------------------------------------------------------------------------


def cost(runs: int, seconds: int) -> bool:
    """Compare the wall time of calls while a process is watched and while it is not.

    Windows of time come in blocks, one of each kind in random order; ratios are taken
    within a block.
    """
    other = py_spy()
    with target(FIXED_WORK) as process:
        pid = process.pid
        acts: dict[str, Callable[[], object]] = {
            "alone": lambda: time.sleep(seconds),
            "gilx": lambda: gilx.attach(pid, budget=seconds, cost=COST),
        }
        if other is not None:
            acts["py-spy"] = lambda: spied(other, pid, seconds)
        blocks = [
            {name: window_of(acts[name]) for name in random.sample(list(acts), len(acts))}
            for _ in range(runs)
        ]
        process.stop()
    rows, fine = [], False
    for name in acts:
        means = [mean_of(process.calls(block[name])) for block in blocks]
        alone = [mean_of(process.calls(block["alone"])) for block in blocks]
        ratios = [one / base for one, base in zip(means, alone, strict=True)]
        low, high = median_interval(ratios)
        fine |= name == "gilx" and high <= MOST_SLOWER
        interval = "-" if name == "alone" else f"{low:.4f} to {high:.4f}"
        microseconds = median(means) / MICROSECOND
        rows.append(
            (name, f"{runs}", f"{microseconds:.1f}", f"{median(ratios):.4f}", interval)
        )
    head = ("watched by", "windows", "a call, µs", "to alone", "95 %")
    print(format_table(head, rows, right=(1, 2, 3, 4), width=100))
    return fine


def mean_of(calls: list[tuple[int, int, Any]]) -> float:
    """Return the wall time from call to call, in nanoseconds."""
    return (calls[-1][1] - calls[0][0]) / len(calls)


CASES: dict[str, tuple[Callable[[int, int], bool], int, int]] = {
    "shares": (shares, 3, 5),
    "lines": (lines, 5, 5),
    "cost": (cost, 20, 2),
}
"""Each case with the number of runs, and the seconds of one."""


def main() -> int:
    """Measure, print, and return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--runs", type=int)
    parser.add_argument("--seconds", type=int)
    given = parser.parse_args()
    case, runs, seconds = CASES[given.case]
    print(describe(), "\n")
    before = conditions.snapshot()
    fine = case(given.runs or runs, given.seconds or seconds)
    during = conditions.between(before, conditions.snapshot())
    print(
        f"{given.case}: {'as wanted' if fine else 'MISSED'}; other processes took"
        f" {during.others or 0:.2f} CPUs, other guests {during.steal or 0:.1%}"
    )
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
