"""Made-up records of the demo, on which its words and pages are tested."""

from __future__ import annotations

import dataclasses
from typing import Any

from gilx.demo.chapter import Chapter, outcome_of
from gilx.demo.chapter_1_pure_python import PurePython
from gilx.demo.chapter_2_lock import Additions, Lock
from gilx.demo.chapter_3_waiting import Beside, Waiting
from gilx.demo.chapter_4_processes import Moving, Processes
from gilx.demo.chapter_5_libraries import Held, Libraries
from gilx.demo.chapter_6_extension import Extension, Proof
from gilx.demo.chapter_7_interpreters import Interpreters
from gilx.demo.chapter_8_free_threading import FreeThreaded
from gilx.demo.demo_record import Demo
from gilx.estimate import Estimate
from gilx.speedup.losses import Loss
from gilx.speedup.report import ReportRow
from gilx.system.environment import Environment
from tests.made_up_rows import ROW, changed


def row(name: str = "a", **changes: Any) -> ReportRow:
    """A speedup of two threads that take turns, but for the changes."""
    given: dict[str, Any] = {
        "speedup": 1.0,
        "interval": (0.98, 1.02),
        "ceiling": 1.95,
        "ceiling_interval": (1.9, 1.98),
        "ceiling_fraction": 0.51,
        "losses": (Loss("GIL", 0.96, "seen"), Loss("dispatch", 0.04, "seen")),
        "serial_seconds": 0.02,
        "seconds": 0.02,
        "repeat": 1,
        "notes": (),
        **changes,
    }
    given["speedup"] = Estimate(given["speedup"], *given.pop("interval"))
    given["ceiling"] = Estimate(given["ceiling"], *given.pop("ceiling_interval"))
    return changed(ROW, **given, target=name)


def scaling(name: str = "b") -> ReportRow:
    return row(name, speedup=1.9, interval=(1.85, 1.94), ceiling_fraction=0.97, held=0.0)


OUTCOMES = {
    "no faster": row(),
    "scales": scaling(),
    "partly": row(speedup=1.5, interval=(1.4, 1.6)),
    "no capacity": row(speedup=1.0, interval=(0.9, 1.1), ceiling=1.1),
    "unclear": row(speedup=1.4, interval=(0.9, 1.9)),
}


def demo_record(**changes: Any) -> Demo:
    """Every chapter, with figures of an idle machine with two CPUs and a GIL."""
    chapters: dict[str, Any] = {
        "pure": PurePython(missing=(), gil=True, threads=row("mandelbrot")),
        "lock": Lock(
            missing=(),
            gil=True,
            additions=(
                Additions("unprotected", 100, 51, 1e-9, 2e-9),
                Additions("GIL held", 100, 100, 1e-9, 1e-9),
                Additions("atomic", 100, 100, 5e-9, 9e-9),
            ),
            price=Estimate(9.0, 8.5, 9.5),
        ),
        "waiting": Waiting(
            missing=(),
            gil=True,
            switch_interval=0.005,
            cpus=2,
            waits=(scaling("sleep"), row("read a file")),
            beside=(
                Beside("released C", 1e-4, 2e-4, 39_000.0),
                Beside("pure Python", 5e-3, 9e-3, 190.0),
                Beside("held C", 1e-2, 2e-2, None),
            ),
        ),
        "processes": Processes(
            missing=(),
            gil=True,
            processes=(scaling("pure Python"), scaling("C, held")),
            sizes=(2_700, 220_000),
            moving=Moving(start=0.1, message=1e-4, data=0.03, megabytes=8),
        ),
        "libraries": Libraries(
            missing=("pandas is not installed: pip install pandas.",),
            calls=(
                Held("NumPy", "sort", 0.01, Estimate(0.001, 0.0, 0.01), 1.0, ""),
                Held("NumPy", "tolist", 0.01, Estimate(1.0, 0.99, 1.0), 1.0, ""),
                Held("NumPy", "x", 0.01, Estimate.unknown(), 1.9, "too busy"),
            ),
            blas="kept to one thread",
        ),
        "extension": Extension(
            missing=(),
            gil=True,
            variants=(row("C, held"), scaling("C, released")),
            proofs=(Proof("C, held", False), Proof("C, released", True)),
            met_held=1,
            met_released=2,
        ),
        "interpreters": Interpreters(
            missing=("needs 3.14",), gil=True, held=None, start_seconds=None
        ),
        "free": FreeThreaded(missing=("a GIL",), free_threaded=False, calls=()),
    }
    return Demo(
        environment=Environment.here(),
        quick=True,
        workers=2,
        seconds=12.5,
        **chapters | changes,
    )


def is_open(chapter: Chapter) -> bool:
    """Return whether any row of a chapter is inconclusive."""
    for field in dataclasses.fields(chapter):
        value = getattr(chapter, field.name)
        for row in value if isinstance(value, tuple) else (value,):
            outcome = (
                outcome_of(row)
                if isinstance(row, ReportRow)
                else getattr(row, "outcome", "")
            )
            if outcome in ("unclear", "no capacity"):
                return True
            if getattr(row, "restless", False):
                return True
    return False
