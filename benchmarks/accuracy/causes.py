"""Check that `gilx measure` names the known cause of a missing speedup.

Calls and kernels with a known bottleneck, each measured with two threads several times::

    python benchmarks/accuracy/causes.py [--runs N] [--budget S] [--only NAME[,NAME…]]

A run is right if the largest loss is one of the expected ones, or, where nothing should
be lost, if every loss is below 0.1 of a worker. A run counts only if the case reproduced:
a case with a loss misses at least 0.2 of a worker, and one without a loss misses less.
Goals: 95 % of the runs that count are right, and less than 0.1 of a worker is
unexplained; with ``--busy``, which adds one busy process, 85 %. Otherwise nothing else
may run. Uneven work is not a case: each sample of a callable has calls of its own. Cases
that need a package which is not installed (lxml, scikit-learn) are left out, and the
table says so.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
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
from typing import TYPE_CHECKING, Any

import numpy as np

import gilx
from gilx.ckernels import spin
from gilx.formatting import format_table
from gilx.system import conditions
from gilx.system.environment import describe

if TYPE_CHECKING:
    from collections.abc import Callable

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


def cold_file(folder: Path) -> Callable[[], object]:
    """Return a call that reads a file that is not in memory."""
    path = folder / "cold"
    path.write_bytes(random.randbytes(1 << 25))
    os.sync()

    def read() -> None:
        file = os.open(path, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        while os.read(file, 1 << 20):
            pass
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
    Case("file, not in memory", cold_file, ("input and output",)),
]


# ---- measuring -------------------------------------------------------------------------


def judged(row: gilx.ReportRow, expected: tuple[str, ...]) -> bool | None:
    """Return whether the largest loss is an expected one; None if the run can't count."""
    missing = WORKERS - row.speedup.value
    if not row.losses or (missing < CLEAR if expected else missing >= CLEAR):
        return None
    largest = max(row.losses, key=lambda loss: loss.amount)
    return largest.cause in expected if expected else largest.amount < LITTLE


@dataclass(frozen=True)
class Found:
    """Result of the runs of a case."""

    words: tuple[str, ...]
    """A row of the table."""
    counted: int = 0
    right: int = 0
    unexplained: float = 0.0
    """The most of all runs, in workers."""


def tried(case: Case, folder: Path, runs: int, budget: float) -> Found:
    """Measure a case several times."""
    if case.needs and importlib.util.find_spec(case.needs) is None:
        return Found((case.name, "", "", f"needs {case.needs}", "", ""))
    call = case.make(folder)
    options = {"workers": WORKERS, "budget": budget, **dict(case.options)}
    found = [gilx.measure(call, **options).rows[0] for _ in range(runs)]
    counted = [one for row in found if (one := judged(row, case.expected)) is not None]
    unexplained = max(
        (
            abs(loss.amount)
            for row in found
            for loss in row.losses
            if loss.cause == "unexplained"
        ),
        default=0.0,
    )
    losses = sorted(found[-1].losses, key=lambda loss: -loss.amount)
    words = (
        case.name,
        f"{found[-1].speedup.value:.2f}",
        f"{unexplained:.2f}",
        ", ".join(f"{loss.cause} {loss.amount:.2f}" for loss in losses[:2]),
        " or ".join(case.expected) or "none",
        f"{sum(counted)} of {len(counted)}",
    )
    return Found(words, len(counted), sum(counted), unexplained)


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
    head = ("call", "speedup", "unexplained", "largest losses", "expected", "right")
    print(format_table(head, [one.words for one in found], right=(1, 2), width=130))
    counted, right = sum(one.counted for one in found), sum(one.right for one in found)
    unexplained = max(one.unexplained for one in found)
    goal = GOAL_BUSY if given.busy else GOAL
    fine = right >= goal * counted > 0 and (given.busy or unexplained < LITTLE)
    print(
        f"\n{right} of {counted} right, at most {unexplained:.2f} unexplained:"
        f" {'as wanted' if fine else 'MISSED'}; other processes took"
        f" {during.others or 0:.2f} CPUs"
    )
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
