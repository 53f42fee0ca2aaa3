"""A monitor of programs that run without a GIL: states, stops of the world, forks.

Nothing here asserts how long something takes, but that a stop that goes on until a test
ends it is found.
"""

from __future__ import annotations

import ctypes
import gc
import os
import re
import sys
import threading
import time
from dataclasses import fields
from typing import TYPE_CHECKING

import pytest

import gilx
from gilx import Counters, Monitor, StateSeconds
from gilx.sampling.known_stacks import reason_against_reports
from tests.command import run_python
from tests.markers import needs_fork, needs_linux, needs_no_gil
from tests.waiting import TIMEOUT, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gilx import Stall

pytestmark = [needs_linux, needs_no_gil]

C = ctypes.PyDLL(None)  # whose functions are called while attached
PYTHON = ctypes.PyDLL(None)
NAMES = tuple(each.name for each in fields(StateSeconds))


def states_of(counters: Counters, name: str) -> StateSeconds:
    """Return the states of the threads of a name, which are all 0 if there are none."""
    for one in counters.by_thread:
        if one.name == name:
            assert one.states is not None
            return one.states
    return StateSeconds(*[gilx.Estimate(0.0, 0.0, 0.0)] * len(NAMES))


class Worker:
    """Thread that does the same again and again until the end."""

    def __init__(self, name: str, work: Callable[[], object]) -> None:
        self._over = threading.Event()
        self._work = work
        self._thread = threading.Thread(target=self._run, name=name)

    def _run(self) -> None:
        while not self._over.is_set():
            self._work()

    def __enter__(self) -> Worker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


# ---- counters -------------------------------------------------------------------------


def test_states_are_counted_by_thread() -> None:
    lock = threading.Lock()

    def acquire() -> None:
        if lock.acquire(timeout=0.5):
            lock.release()

    with (
        Monitor(stall=None, cost=0.1) as monitor,
        Worker("computes", lambda: sum(range(10_000))),
        Worker("spins", lambda: gilx.ckernels.spin(0, 5_000_000, 5_000_000)),
        lock,
        Worker("waits", acquire),
    ):

        def is_complete() -> bool:
            counters = monitor.read()
            return (
                states_of(counters, "computes").attached.value > 0.2
                and states_of(counters, "spins").detached.value > 0.2
                and states_of(counters, "waits").waiting_lock.value > 0.2
            )

        wait_until(is_complete)
        lock.release()
        counters = monitor.read()
        lock.acquire()
    computes = states_of(counters, "computes")
    assert computes.detached.value < computes.attached.value
    for name in ("computes", "spins", "waits"):
        states = states_of(counters, name)
        parts = NAMES[: NAMES.index("asking")]
        # Its time since the start, or less: it was started later. That it waited for a
        # CPU is known when it has one.
        whole = sum(getattr(states, part).value for part in parts)
        assert whole <= counters.wall + states.waiting_cpu.value + 0.2
    assert not counters.held_seconds.known
    assert not counters.waited_seconds.known
    assert not counters.longest_hold.known
    assert counters.states is not None
    assert counters.world is not None
    assert Counters.from_json(counters.to_json()) == counters
    assert "without a GIL" in str(counters)


def test_no_state_decreases_whatever_threads_read() -> None:
    stop = threading.Event()
    problems: list[str] = []

    def read_on(monitor: Monitor) -> None:
        before = monitor.read()
        while not stop.is_set():
            now = monitor.read()
            assert now.states is not None
            assert before.states is not None
            problems.extend(
                name
                for name in NAMES
                if getattr(now.states, name).value < getattr(before.states, name).value
            )
            before = now
            time.sleep(0.001)

    with Monitor(stall=None, cost=0.1) as monitor:
        threads = [threading.Thread(target=read_on, args=(monitor,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for _ in range(100):
            thread = threading.Thread(target=sum, args=(range(20_000),))
            thread.start()
            thread.join()
            gc.collect()
        stop.set()
        for thread in threads:
            thread.join()
    assert not problems


def test_stops_are_counted_with_the_thread_that_asks() -> None:
    with Monitor(stall=None, cost=0.1) as monitor, Worker("collects", gc.collect):

        def is_complete() -> bool:
            counters = monitor.read()
            world = counters.world
            return (
                world is not None
                and world.least_stops > 1
                and world.stopped_seconds.value > 0.1
                and states_of(counters, "collects").asking.value > 0.1
            )

        wait_until(is_complete)
        world = monitor.read().world
    assert world is not None
    assert world.stopping_seconds.value <= world.stopped_seconds.value
    assert world.longest_stop.high > 0


def test_counters_stay_after_the_stop() -> None:
    monitor = Monitor(stall=None)
    monitor.start()
    monitor.stop()
    first = monitor.read()
    time.sleep(0.05)
    assert monitor.read().wall == first.wall
    with pytest.raises(RuntimeError, match="once only"):
        monitor.start()


# ---- stalls ---------------------------------------------------------------------------


def only_stall(monitor: Monitor) -> Stall:
    wait_until(lambda: monitor.stalls and monitor.stalls[0].over)
    return monitor.stalls[0]


def test_thread_that_is_late_to_stop_is_reported_with_its_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    attached, collecting = threading.Event(), threading.Event()

    def late() -> None:
        attached.set()
        for _ in range(int(TIMEOUT / 0.2)):  # until it was reported
            C.usleep(200_000)
            if collecting.is_set() and monitor.read().stalls:
                return

    def collect() -> None:
        attached.wait()
        collecting.set()
        gc.collect()

    with Monitor(stall=0.05, log=log) as monitor:
        threads = [
            threading.Thread(target=late, name="sleeper"),
            threading.Thread(target=collect, name="collector"),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stall = only_stall(monitor)
        assert monitor.read().stalls >= 1
    text = log.read_text()
    assert stall.kind == "world"
    assert stall.native_id == threads[0].native_id
    assert stall.waiters >= 1
    assert "asked for has not begun, since a thread is late, after" in stall.report[0]
    assert re.search(r"Thread \d+ \(sleeper\) is late to stop and sleeps", text)
    assert re.search(r"Thread \d+ \(collector\) asked for the stop", text)
    assert "all threads had stopped after" in text or "was over after" in text
    if not reason_against_reports():
        assert stall.function.endswith("late")
        assert (stall.file, stall.own_function) == (__file__, stall.function)


VISIT = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


def test_stop_that_does_not_end_is_reported_with_who_asked(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def stand(_: int, __: int) -> int:  # in a stop of the world
        C.usleep(600_000)
        return 0

    wait = VISIT(stand)

    with Monitor(stall=0.05, log=log) as monitor, Worker("works", lambda: sum(range(9))):
        thread = threading.Thread(
            target=PYTHON.PyUnstable_GC_VisitObjects, args=(wait, None), name="stopper"
        )
        thread.start()
        thread.join()
        stall = only_stall(monitor)
    assert stall.kind == "world"
    assert stall.native_id == thread.native_id
    assert stall.waiters >= 1
    assert re.search("asked for has (still )?not ended after", stall.report[0])
    text = log.read_text()
    assert re.search(r"Thread \d+ \(works\) waits until the world goes on", text)
    assert "the stop of the world was over after" in text
    assert "kept other threads stopped or waiting for" in str(stall)


def test_stops_that_follow_one_another_are_no_stall() -> None:
    with (
        Monitor(stall=0.5) as monitor,
        Worker("works", lambda: sum(range(9))),
        Worker("collects", gc.collect),
    ):
        wait_until(lambda: monitor.read().wall > 2)
        world = monitor.read().world
        assert monitor.read().stalls == 0
    assert world is not None
    assert world.stopped_seconds.value > 0


def test_lone_monitor_finds_a_thread_that_never_stops(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Monitor(stall=0.05, lone=True, log=log) as monitor:
        C.usleep(600_000)
        stall = only_stall(monitor)
    assert stall.native_id == threading.get_native_id()
    assert stall.waiters == 0
    assert "gilx asked for has " in stall.report[0]  # not begun, or still not
    assert "(no thread waits)" in stall.report[0]


def test_deadlock_of_locks_is_not_a_stall_and_stops_no_thread() -> None:
    first, second = threading.Lock(), threading.Lock()
    ready = threading.Barrier(2)

    def take(one: threading.Lock, other: threading.Lock) -> None:
        with one:
            ready.wait()
            other.acquire(timeout=0.6)

    with Monitor(stall=0.05, lone=True) as monitor:
        threads = [
            threading.Thread(target=take, args=pair)
            for pair in ((first, second), (second, first))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not monitor.stalls


# ---- other parts ----------------------------------------------------------------------


@needs_fork
def test_child_of_a_fork_counts_anew(tmp_path: Path) -> None:
    script = tmp_path / "forks.py"
    script.write_text(
        """\
import ctypes, os, sys, time
from gilx import Monitor

monitor = Monitor(stall=0.05, lone=True, log=sys.argv[1])
monitor.start()
time.sleep(0.3)
child = os.fork()
if child == 0:
    assert monitor.running
    assert monitor.read().process == os.getpid()
    ctypes.PyDLL(None).usleep(500_000)
    while not (monitor.stalls and monitor.stalls[0].over):
        time.sleep(0.01)
    assert monitor.stalls[0].process == os.getpid()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    )
    log = tmp_path / "log"
    run_python(script, log, check=True)
    assert "the monitor does not run" not in log.read_text()
    assert "gilx asked for has not begun" in log.read_text()


def test_monitors_are_started_and_stopped_without_leaks() -> None:
    def files() -> int:
        return len(os.listdir("/proc/self/fd"))

    with Monitor(lone=True):
        pass
    before, threads = files(), len(os.listdir("/proc/self/task"))
    for _ in range(30):
        with Monitor(lone=True) as monitor:
            monitor.read()
        del monitor
    wait_until(lambda: len(os.listdir("/proc/self/task")) <= threads)
    assert files() == before


def test_gil_that_is_forced_is_monitored_as_with_one(tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text(
        """\
from gilx import Monitor
with Monitor(stall=None) as monitor:
    sum(range(1_000_000))
    counters = monitor.read()
assert counters.held_seconds.known
assert counters.states is None
"""
    )
    environment = dict(os.environ, PYTHON_GIL="1")
    done = run_python(script, env=environment)
    assert done.returncode == 0, done.stderr
    assert sys.version_info >= (3, 14)
