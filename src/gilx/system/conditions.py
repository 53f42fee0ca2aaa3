"""Conditions of the machine and of Python while something is measured.

A snapshot before and one after give the conditions in between. Facts that can't be
determined here (no ``/proc``, another system) are None.
"""

from __future__ import annotations

import importlib
import os
import re
import sysconfig
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from gilx._compat import gil_enabled
from gilx.records import Record
from gilx.system.cgroups import Throttling, throttling
from gilx.system.gil_imports import forced_gil, noted_imports

_ROOT = Path("/")
# Variables by which libraries choose how many threads of their own to start.
_THREAD_SETTINGS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


@dataclass(frozen=True)
class Ticks:
    """Times of CPUs since the system started, in ticks (proc_stat(5))."""

    busy: int
    steal: int
    """Time in which the hypervisor ran another guest."""
    total: int


@dataclass(frozen=True)
class Snapshot:
    """Values of the system's counters at one moment."""

    seconds: float
    """Of `time.perf_counter`."""
    ticks: Ticks | None
    """Of all CPUs that the process may use."""
    own_ticks: int | None
    """CPU time of the process, its children and theirs."""
    throttling: Throttling | None


@dataclass(frozen=True)
class NativeThreads:
    """A library with threads of its own."""

    library: str
    threads: int


@dataclass(frozen=True)
class Conditions(Record, schema="gilx.conditions"):
    """Conditions over an interval, and settings of Python and the clock."""

    seconds: float
    """Length of the interval."""
    load: float | None
    """The system's load average of the last minute, at its end."""
    others: float | None
    """CPU time that other processes took on the CPUs that this one may use, in CPUs."""
    steal: float | None
    """Share of the time of these CPUs that the hypervisor gave to other guests."""
    throttled: float | None
    """Seconds for which control groups held tasks back, summed over CPUs."""
    governors: tuple[str, ...] | None
    """The frequency governors of these CPUs, each once."""
    clock_source: str | None
    """Device from which Linux reads the time."""
    clock_step: float
    """The smallest observed step of the clock, in seconds."""
    gil: str
    """State of the GIL, with the reason."""
    native_threads: tuple[NativeThreads, ...] | None
    """Loaded libraries with threads of their own; None without ``threadpoolctl``."""
    thread_settings: tuple[str, ...]
    """Environment variables that such libraries respect, as NAME=VALUE."""


def snapshot(root: Path = _ROOT) -> Snapshot:
    """Return the present values of the system's counters.

    This takes some milliseconds, and more if more processes run.

    Parameters
    ----------
    root : Path
        Where to look for ``proc`` and control groups.

    """
    return Snapshot(
        seconds=time.perf_counter(),
        ticks=_ticks(root),
        own_ticks=_own_ticks(root),
        throttling=throttling(root),
    )


def between(before: Snapshot, after: Snapshot, root: Path = _ROOT) -> Conditions:
    """Return the conditions between two snapshots.

    Counters move in ticks of some 10 ms: over less than half a second they are too
    coarse.

    Parameters
    ----------
    before, after : Snapshot
        Snapshots at the ends of the interval.
    root : Path
        Where to look for ``proc`` and ``sys``.

    """
    others = steal = throttled = None
    seconds = after.seconds - before.seconds
    if before.ticks is not None and after.ticks is not None:
        total = after.ticks.total - before.ticks.total
        if total > 0:
            steal = max(0.0, (after.ticks.steal - before.ticks.steal) / total)
        if before.own_ticks is not None and after.own_ticks is not None and seconds > 0:
            # The counters of CPUs and processes are not read at the same moment, and a
            # process may end in between.
            busy = after.ticks.busy - before.ticks.busy
            rest = busy - (after.own_ticks - before.own_ticks)
            others = max(0.0, rest / os.sysconf("SC_CLK_TCK") / seconds)
    if before.throttling is not None and after.throttling is not None:
        throttled = max(0.0, after.throttling.seconds - before.throttling.seconds)
    return Conditions(
        seconds=seconds,
        load=_load(),
        others=others,
        steal=steal,
        throttled=throttled,
        governors=_governors(root),
        clock_source=_text(
            root / "sys/devices/system/clocksource/clocksource0/current_clocksource"
        ),
        clock_step=_clock_step(),
        gil=_why_gil(),
        native_threads=_native_threads(),
        thread_settings=tuple(
            f"{name}={os.environ[name]}"
            for name in _THREAD_SETTINGS
            if name in os.environ
        ),
    )


def _text(path: Path) -> str | None:
    try:
        return path.read_text().strip() or None
    except (OSError, ValueError):
        return None


def _cpus() -> set[int] | None:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None


def _ticks(root: Path) -> Ticks | None:
    text = _text(root / "proc/stat")
    if text is None:
        return None
    ours = _cpus()
    busy = steal = total = 0
    for line in text.splitlines():
        match = re.fullmatch(r"cpu(\d+)((?: +\d+)+)", line.rstrip())
        if match is None or (ours is not None and int(match[1]) not in ours):
            continue
        # The time of guests, in the last fields, is part of that of users.
        figures = [int(word) for word in match[2].split()[:8]]
        user, nice, system, idle, iowait, irq, softirq, stolen = (
            *figures,
            *[0] * (8 - len(figures)),
        )
        busy += user + nice + system + irq + softirq
        steal += stolen
        total += user + nice + system + idle + iowait + irq + softirq + stolen
    return Ticks(busy, steal, total) if total else None


def _own_ticks(root: Path) -> int | None:
    """Return the CPU time of this process and all its descendants.

    Children that were waited for are in their parent's figures (proc_pid_stat(5)).
    """
    own = os.getpid()
    parents: dict[int, int] = {}
    ticks: dict[int, int] = {}
    try:
        for entry in os.scandir(root / "proc"):
            if not entry.name.isdecimal():
                continue
            text = _text(Path(entry.path) / "stat")
            if text is None:
                continue
            # The name, in parentheses, may hold anything.
            fields = text.rpartition(")")[2].split()
            pid = int(entry.name)
            parents[pid] = int(fields[1])
            ticks[pid] = sum(int(field) for field in fields[11:15])
    except (OSError, ValueError, IndexError):
        return None
    if own not in ticks:
        return None
    family = {own}
    # A child's number may be below its parent's: one round for each generation.
    while True:
        more = {pid for pid, parent in parents.items() if parent in family} - family
        if not more:
            return sum(ticks[pid] for pid in family)
        family |= more


def _load() -> float | None:
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return None


def _governors(root: Path) -> tuple[str, ...] | None:
    """Return the governors (Linux: Documentation/admin-guide/pm/cpufreq.rst)."""
    cpus = root / "sys/devices/system/cpu"
    ours = _cpus()
    numbers = range(os.cpu_count() or 1) if ours is None else ours
    governors = {_text(cpus / f"cpu{cpu}/cpufreq/scaling_governor") for cpu in numbers}
    return (
        tuple(sorted(governor for governor in governors if governor is not None)) or None
    )


def _clock_step() -> float:
    """Return the smallest observed step of `time.perf_counter`, in seconds."""
    reads = [time.perf_counter_ns() for _ in range(2000)]
    steps = [b - a for a, b in pairwise(reads) if b > a]
    if steps:
        return min(steps) * 1e-9
    return time.get_clock_info("perf_counter").resolution


# ---- why there is a GIL ----------------------------------------------------------------


def _why_gil() -> str:
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        return "on: this build of Python always has it"
    forced = forced_gil()
    if not gil_enabled():
        return f"off: {forced} says so" if forced.endswith("0") else "off"
    if forced.endswith("1"):
        return f"on: {forced} says so"
    if noted_imports:
        return f"on: loading {noted_imports[0]} turned it on"
    return "on: an extension module turned it on, which one is unknown"


# ---- threads of libraries --------------------------------------------------------------


def _native_threads() -> tuple[NativeThreads, ...] | None:
    try:
        threadpoolctl = importlib.import_module("threadpoolctl")
    except ImportError:
        return None
    return tuple(
        NativeThreads(f"{pool['internal_api']} ({pool['prefix']})", pool["num_threads"])
        for pool in threadpoolctl.threadpool_info()
    )
