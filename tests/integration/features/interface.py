"""The parts of gilx's interface that several of these tests use, each in one place.

A name or a signature that changes on purpose changes here, and the tests stay as they are.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gilx
from tests.command import CompletedProcess, run_program

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ROOT = Path(__file__).parents[3]

# ---- records -----------------------------------------------------------------------------


def figure(record: object, name: str) -> float:
    """Return the value of a figure of a record."""
    found = getattr(record, name)
    value: float = getattr(found, "value", found)
    return value


def bounds(record: object, name: str) -> tuple[float, float]:
    """Return the interval of a figure of a record."""
    low, high = getattr(record, name).interval
    return low, high


def share_of_thread(thread: object) -> float:
    """Return the share of the time for which a thread of a usage held the GIL."""
    share: float = getattr(thread, "holding").value  # noqa: B009 - the type is not public
    return share


# ---- calls -------------------------------------------------------------------------------


def measure(target: Any, *, a_a: bool = False, **options: Any) -> gilx.Report:
    """Measure two workers with few blocks; `a_a` compares the serial run with itself."""
    given = {"workers": 2, "blocks": 6, "budget": 0.3, **options}
    return gilx.measure(target, aa=a_a, **given)


def latency(
    fn: Callable[[], object], workers: Sequence[int], seconds: float
) -> gilx.Latency:
    """Measure the convoy delay of a callable, and round trips to an echo server."""
    return gilx.latency(fn, workers=workers, budget=seconds, echo=True)


def busy_threads(row: object) -> int:
    """Return how many threads called the callable in a row of a latency."""
    threads: int = getattr(row, "workers")  # noqa: B009 - the type is not public
    return threads


def release_costs() -> Any:
    """Return what a release costs on this machine."""
    return gilx.release_costs(rounds=2)


def predict(workers: Sequence[int], **options: Any) -> Any:
    """Predict the throughput of many workers from the figures of one."""
    return gilx.predict(workers, **options)


def prediction_from_json(text: str) -> Any:
    """Return the prediction that was written as JSON."""
    return gilx.Prediction.from_json(text)


def timeline_from_json(text: str) -> Any:
    """Return the timeline that was written as JSON."""
    return gilx.Timeline.from_json(text)


def demo_from_json(text: str) -> Any:
    """Return the demo that was written as JSON."""
    return importlib.import_module("gilx.demo.demo_record").Demo.from_json(text)


# ---- the command -------------------------------------------------------------------------

DEMO_TEXT, DEMO_JSON = "demo.txt", "demo.json"
SELFTEST_SECONDS = DOCTOR_SECONDS = "--seconds"
LATENCY_SECONDS = "--budget"
A_A = "--aa"


def command(
    *words: str | Path, cwd: Path, timeout: float = 100, one_cpu: bool = False
) -> CompletedProcess:
    """Run the command ``gilx`` of the Python that runs the tests."""
    script = Path(sys.executable).with_name("gilx")
    gilx_words = [script] if script.exists() else [sys.executable, "-m", "gilx"]
    first_cpu = str(min(os.sched_getaffinity(0))) if one_cpu else ""
    pinned = ["taskset", "-c", first_cpu] if one_cpu else []
    return run_program(
        *pinned,
        *gilx_words,
        *words,
        cwd=cwd,
        env={**os.environ, "COLUMNS": "100"},
        timeout=timeout,
    )
