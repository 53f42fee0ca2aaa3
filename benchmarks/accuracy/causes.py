"""Check that `gilx measure` names the known cause of a missing speedup.

Calls and kernels with a known bottleneck, each measured with two threads several times::

    python benchmarks/accuracy/causes.py [--runs N] [--budget S] [--only NAME[,NAME…]]

A run is right if the largest loss is one of the expected ones, or, where nothing should
be lost, if every loss is below 0.1 of a worker. A run counts only if the case reproduced:
a case with a loss misses at least 0.2 of a worker, and one without a loss misses less.
Goals: 95 % of the runs that count are right, and less than 0.1 of a worker is
unexplained; with ``--busy``, which adds one busy process, 85 %. Otherwise nothing else
may run. A busy process may take so much that the machine is the largest loss of any call,
and rightly so. So the last column counts again, without the machine: whether the largest
of the other losses is an expected one, where it is at least 0.1 of a worker.

Uneven work is not a case: each sample of a callable has calls of its own. Cases that need
a package which is not installed (lxml, scikit-learn) are left out, and the table says so.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import mmap
import os
import queue
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

import gilx
from gilx.ckernels import spin
from gilx.formatting import format_table
from gilx.system import conditions
from gilx.system.environment import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WORKERS = 2
LITTLE = 0.1  # of a worker: no loss
CLEAR = 0.2  # of a worker: a loss that is there
GOAL, GOAL_BUSY = 0.95, 0.85
TABLES = 900


@dataclass(frozen=True)
class Case:
    """A call with a known bottleneck."""

    name: str
    make: Callable[[Path], Any]
    """Returns the call, or the name of a kernel; it may keep files in a folder."""
    expected: tuple[str, ...]
    """Causes of which each is right; none: nothing is lost."""
    options: tuple[tuple[str, Any], ...] = ()
    """Of `gilx.measure`."""
    needs: str = ""
    """Package."""


# ---- calls -----------------------------------------------------------------------------


def shared_generator(_: Path) -> Callable[[], object]:
    """Return a call that draws from one generator, which has a lock."""
    generator = np.random.default_rng(0)
    return partial(generator.standard_normal, 200_000)


def generator_of_thread(_: Path) -> Callable[[], object]:
    """Return a call that draws from a generator of its thread."""
    local = threading.local()

    def draw() -> None:
        if not hasattr(local, "generator"):
            local.generator = np.random.default_rng(0)
        local.generator.standard_normal(200_000)

    return draw


DOCUMENT = b"<a>" + b"<b c='1'>text</b>" * 5000 + b"</a>"


def shared_parser(_: Path) -> Callable[[], object]:
    """Return a call that parses with one parser, which has a lock."""
    etree = importlib.import_module("lxml.etree")
    return partial(etree.fromstring, DOCUMENT, etree.XMLParser())


def parser_of_call(_: Path) -> Callable[[], object]:
    """Return a call that parses with a parser of its own."""
    etree = importlib.import_module("lxml.etree")
    return lambda: etree.fromstring(DOCUMENT, etree.XMLParser())


def large_schema(folder: Path) -> Callable[[], object]:
    """Return a call that opens a database and reads its schema of many tables."""
    path = folder / "schema.sqlite"
    with sqlite3.connect(path) as database:
        for number in range(TABLES):
            database.execute(f"create table t{number} (a integer primary key, b text)")
    database.close()

    def connect() -> None:
        connection = sqlite3.connect(path)
        connection.execute("select count(*) from t1").fetchone()
        connection.close()

    return connect


def shared_tree(_: Path) -> Callable[[], object]:
    """Return a call that asks one tree for neighbours."""
    neighbors = importlib.import_module("sklearn.neighbors")
    points = np.random.default_rng(0).random((20_000, 3))
    return partial(neighbors.KDTree(points).query, points[:2000], k=5)


def threaded_product(_: Path) -> Callable[[], object]:
    """Return a product of matrices for which the library has threads of its own."""
    matrix = np.random.default_rng(0).random((500, 500))
    return partial(np.matmul, matrix, matrix)


def shared_queue(_: Path) -> Callable[[], object]:
    """Return a call that puts items into one queue and takes as many out of it."""
    items: queue.Queue[int] = queue.Queue()

    def pass_on() -> None:
        for number in range(5000):
            items.put(number)
            items.get()

    return pass_on


def unbuffered_file(folder: Path) -> Callable[[], object]:
    """Return a call that reads a file from its device.

    It goes past the page cache, since copying pages would cost the CPUs as much time as
    the device takes, and what is missing would be the machine's.
    """
    path = folder / "file"
    path.write_bytes(random.randbytes(1 << 25))
    os.sync()

    def read() -> None:
        file = os.open(path, os.O_RDONLY | os.O_DIRECT)
        with mmap.mmap(-1, 1 << 20) as buffer:  # at a page, as the device needs it
            at = 0
            while count := os.preadv(file, [buffer], at):
                at += count
        os.close(file)

    return read


def half_held(_: Path) -> Callable[[], object]:
    """Return a call that holds the GIL for more than half of its time."""

    def hold_and_release() -> None:
        for _ in range(100):
            # Apart, so that a wait for the GIL does not count as work done.
            spin(140_000, 0, 140_000)
            spin(0, 60_000, 60_000)

    return hold_and_release


CASES = [
    Case("generator, shared", shared_generator, ("locks",)),
    Case("generator, one a thread", generator_of_thread, ()),
    Case("XML parser, shared", shared_parser, ("locks",), needs="lxml"),
    Case("XML parser, one a call", parser_of_call, ("GIL", "locks"), needs="lxml"),
    Case("SQLite, large schema", large_schema, ("locks", "more CPU work")),
    Case("tree, shared", shared_tree, ("GIL", "more CPU work"), needs="sklearn"),
    Case("BLAS with threads", threaded_product, ("machine", "more CPU work")),
    Case("triad", lambda _: "triad", ("more CPU work",), (("variants", ["c-nogil"]),)),
    Case("held kernel", lambda _: "montecarlo", ("GIL",), (("variants", ["c-gil"]),)),
    Case("half-held call", half_held, ("GIL",)),
    Case("queue, shared", shared_queue, ("GIL", "locks")),
    Case("file, unbuffered", unbuffered_file, ("input and output",)),
]


# ---- measuring -------------------------------------------------------------------------


def judged(row: gilx.ReportRow, expected: tuple[str, ...]) -> bool | None:
    """Return whether the largest loss is an expected one; None if the run can't count."""
    missing = WORKERS - row.speedup.value
    if not row.losses or (missing < CLEAR if expected else missing >= CLEAR):
        return None
    largest = max(row.losses, key=lambda loss: loss.amount)
    return largest.cause in expected if expected else largest.amount < LITTLE


def judged_without_machine(row: gilx.ReportRow, expected: tuple[str, ...]) -> bool | None:
    """Return the same of the losses but for the machine; None if they are all small."""
    others = [loss for loss in row.losses if loss.cause != "machine"]
    largest = max(others, key=lambda loss: loss.amount, default=None)
    if largest is None or largest.amount < LITTLE:
        return None
    return largest.cause in expected


@dataclass(frozen=True)
class Found:
    """Result of the runs of a case."""

    words: tuple[str, ...]
    """A row of the table."""
    right: tuple[bool, ...] = ()
    """For each run that counts, true if it was right."""
    without_machine: tuple[bool, ...] = ()
    """The same without the machine."""
    unexplained: float = 0.0
    """The most of all runs, in workers."""


def of_all(right: Sequence[bool]) -> str:
    """Return how many of all are right, in words."""
    return f"{sum(right)} of {len(right)}"


def known(
    judge: Callable[[gilx.ReportRow, tuple[str, ...]], bool | None],
    rows: Sequence[gilx.ReportRow],
    case: Case,
) -> tuple[bool, ...]:
    """Return the answers for the runs that count."""
    answers = (judge(row, case.expected) for row in rows)
    return tuple(one for one in answers if one is not None)


def tried(case: Case, folder: Path, runs: int, budget: float) -> Found:
    """Measure a case several times."""
    if case.needs and importlib.util.find_spec(case.needs) is None:
        return Found((case.name, "", "", f"needs {case.needs}", "", "", ""))
    call = case.make(folder)
    options = {"workers": WORKERS, "budget": budget, **dict(case.options)}
    rows = [gilx.measure(call, **options).rows[0] for _ in range(runs)]
    unexplained = [
        abs(loss.amount)
        for row in rows
        for loss in row.losses
        if loss.cause == "unexplained"
    ]
    most = max(unexplained, default=0.0)
    losses = sorted(rows[-1].losses, key=lambda loss: -loss.amount)
    right = known(judged, rows, case)
    without_machine = known(judged_without_machine, rows, case)
    words = (
        case.name,
        f"{median(row.speedup.value for row in rows):.2f}",
        f"{median(unexplained):.2f}, {most:.2f}" if unexplained else "",
        ", ".join(f"{loss.cause} {loss.amount:.2f}" for loss in losses[:2]),
        " or ".join(case.expected) or "none",
        of_all(right),
        of_all(without_machine),
    )
    return Found(words, right, without_machine, most)


def main() -> int:
    """Measure, print, and return 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--budget", type=float, default=3.0, help="seconds for each run")
    parser.add_argument("--only", default="", help="parts of names")
    parser.add_argument("--busy", action="store_true", help="beside one busy process")
    given = parser.parse_args()
    wanted = given.only.split(",")
    print(describe(), "\n")
    before = conditions.snapshot()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if given.busy:
            busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(busy.wait)
            stack.callback(busy.kill)
        found = [
            tried(case, folder, given.runs, given.budget)
            for case in CASES
            if any(word in case.name for word in wanted)
        ]
    during = conditions.between(before, conditions.snapshot())
    head = (
        *("call", "speedup", "unexplained", "largest losses", "expected", "right"),
        "but for machine",
    )
    print(format_table(head, [one.words for one in found], right=(1,), width=150))
    right = [answer for one in found for answer in one.right]
    without_machine = [answer for one in found for answer in one.without_machine]
    unexplained = max(one.unexplained for one in found)
    goal = GOAL_BUSY if given.busy else GOAL
    fine = sum(right) >= goal * len(right) > 0
    fine = fine and (given.busy or unexplained < LITTLE)
    print(
        "\nspeedup: the median of the runs; unexplained: the median and the most;"
        " largest losses: of the last run"
    )
    print(
        f"{of_all(right)} right, at most {unexplained:.2f} unexplained:"
        f" {'as wanted' if fine else 'MISSED'}; but for the machine"
        f" {of_all(without_machine)}; other processes took {during.others or 0:.2f} CPUs"
    )
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
