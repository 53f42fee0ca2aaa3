"""Imports that turn the GIL on while something is measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import gilx
from gilx.cli.top import last_words
from gilx.formatting import duration
from gilx.rendering.top_view import view_of
from gilx.sampling.process_readings import ProcessReadings
from gilx.sampling.process_watch import ProcessWatch
from tests.command import run_gilx, run_python
from tests.markers import needs_c_compiler
from tests.undeclared_extension import build, needs_undeclared_extension

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@needs_undeclared_extension
@needs_c_compiler
def test_report_says_that_the_measured_call_turned_the_gil_on(tmp_path: Path) -> None:
    file = build(tmp_path / "package", "_core")
    (tmp_path / "lazy.py").write_text(
        "def work():\n    import package._core\n    return sum(range(10_000))\n"
    )
    environment = {
        name: text for name, text in os.environ.items() if name != "PYTHON_GIL"
    }
    done = run_gilx(
        *("measure", "lazy:work", "--budget=0.3", "--workers=2", "--json=found.json"),
        cwd=tmp_path,
        env=environment,
        check=True,
    )
    words = " ".join(done.stdout.split())
    assert "free-threaded build, GIL on;" in words
    reason = f"loading package._core ({file}) turned it on"
    assert f"* a free-threaded build with the GIL on, as {reason}: look" in words
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["environment"]["gil"]
    assert found["conditions"]["gil"] == f"on: {reason}"


# Two threads compute, and an import turns the GIL on meanwhile.
_TURNS_ON = """
import sys, threading, time

def compute():
    while not over:
        sum(range(1000))

over = False
for number in range(2):
    threading.Thread(target=compute, name=f"computes {number}").start()
"""
_IN_WATCH = f"""{_TURNS_ON}
import gilx
with gilx.watch() as watching:
    time.sleep(0.2)
    import _core
    time.sleep(0.5)
over = True
assert sys._is_gil_enabled()
print(watching.usage.to_json())
"""


def _environment(package: Path) -> dict[str, str]:
    environment = {
        name: text for name, text in os.environ.items() if name != "PYTHON_GIL"
    }
    paths = (str(package), environment.get("PYTHONPATH", ""))
    return environment | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}


def _check(usage: gilx.GilUsage) -> None:
    """Check that nothing is said about waits that may have been for the GIL."""
    assert usage.inconclusive_reason == "the GIL was turned on during the watch"
    assert usage.sums.without_gil
    assert not usage.locks
    assert not usage.waiting_sites
    assert not any(thread.waiting_lock.known for thread in usage.by_thread)
    words = " ".join(str(usage).split())
    assert "waiting for a lock" not in words
    assert (
        "inconclusive: the GIL was turned on during the watch Keep the GIL off, or"
        in words
    )
    assert gilx.GilUsage.from_json(usage.to_json()) == usage
    assert (usage + usage).inconclusive_reason == usage.inconclusive_reason


@needs_undeclared_extension
@needs_c_compiler
def test_watch_in_which_the_gil_was_turned_on_is_inconclusive(tmp_path: Path) -> None:
    build(tmp_path, "_core")
    done = run_python("-c", _IN_WATCH, env=_environment(tmp_path), check=True)
    _check(gilx.GilUsage.from_json(done.stdout))


@needs_undeclared_extension
@needs_c_compiler
def test_probe_names_the_import_that_turned_the_gil_on(tmp_path: Path) -> None:
    file = build(tmp_path, "_core")
    (tmp_path / "lazy.py").write_text(
        "def work():\n    import _core\n    return sum(range(100_000))\n"
    )
    done = run_gilx("probe", "--no-warmup", "lazy:work", cwd=tmp_path, check=True,
                    env=_environment(tmp_path))  # fmt: skip
    reason = f"the GIL was turned on during the watch by the import of _core ({file})"
    assert reason.replace(" ", "") in "".join(done.stdout.split())


@contextmanager
def _computing(tmp_path: Path) -> Iterator[tuple[int, Callable[[], None]]]:
    """Run a process without a GIL; yield its number, and what turns the GIL on there."""

    def turn_on() -> None:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write("\n")
        child.stdin.flush()
        child.stdout.readline()

    build(tmp_path, "_core")
    program = f"{_TURNS_ON}\nprint(flush=True)\ninput()\nimport _core\nprint(flush=True)"
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=_environment(tmp_path),
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        child.stdout.readline()
        yield child.pid, turn_on
    finally:
        child.kill()
        child.communicate()


@needs_undeclared_extension
@needs_c_compiler
def test_other_process_in_which_the_gil_was_turned_on_is_inconclusive(
    tmp_path: Path,
) -> None:
    with _computing(tmp_path) as (pid, turn_on), ProcessWatch(pid, 0.05) as watching:
        turn_on()
        watching.wait(0.5)
    _check(watching.usage_of_process())


@needs_undeclared_extension
@needs_c_compiler
def test_readings_begin_anew_when_the_gil_was_turned_on(tmp_path: Path) -> None:
    def pause(seconds: float) -> bool:
        time.sleep(seconds)
        return False

    with _computing(tmp_path) as (pid, turn_on):
        readings = ProcessReadings(pid, 0.05)
        readings.start()
        readings.read(0.3, pause)
        assert readings.now.sums.without_gil
        turn_on()
        readings.read(0.3, pause)
        note = view_of(readings.now, readings.recent, readings.sums).note
        assert note == "inconclusive: the GIL was turned on during the watch"
        readings.read(0.3, pause)
        assert readings.recent.wall == readings.now.wall
        readings.read(0.3, pause)
    assert readings.without_gil_before > 0.5
    assert not readings.recent.sums.without_gil
    assert readings.recent.wall == readings.sums.wall / 1e9
    words = last_words(readings)
    assert words.startswith(f"process {pid} ")
    assert words.endswith(
        f", after {duration(readings.without_gil_before)} without a GIL"
    )


_WITH_MONITOR = f"""{_TURNS_ON}
import gilx
with gilx.Monitor() as monitor:
    time.sleep(0.2)
    before = monitor.read().states.waiting_lock
    import _core
    time.sleep(0.2)
    states = monitor.read().states
over = True
assert before.known
assert not states.waiting_lock.known
assert states.attached.known
"""


@needs_undeclared_extension
@needs_c_compiler
def test_monitor_calls_no_wait_for_the_gil_one_for_a_lock(tmp_path: Path) -> None:
    build(tmp_path, "_core")
    run_python("-c", _WITH_MONITOR, env=_environment(tmp_path), check=True)
