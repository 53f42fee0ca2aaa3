"""Conditions: what two snapshots of made-up counters say, and those of this machine."""

from __future__ import annotations

import os
import sysconfig
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from gilx._compat import gil_enabled
from gilx.system import conditions
from gilx.system.cgroups import Throttling
from gilx.system.conditions import Conditions, Snapshot, Ticks, between, snapshot
from gilx.system.gil_imports import GilImport

if TYPE_CHECKING:
    from pathlib import Path

HZ = os.sysconf("SC_CLK_TCK")
BEFORE = Snapshot(100.0, Ticks(1000, 50, 9000), 500, Throttling(7, 1.5))


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_between(tmp_path: Path) -> None:
    after = Snapshot(
        102.0, Ticks(1000 + 3 * HZ, 50 + HZ, 9000 + 4 * HZ), 500 + HZ, Throttling(9, 1.75)
    )
    found = between(BEFORE, after, tmp_path)
    assert found.seconds == 2
    assert found.others == 1.0
    assert found.steal == 0.25
    assert found.throttled == 0.25
    assert found.governors is None
    assert found.clock_source is None


@pytest.mark.parametrize("lost", ["ticks", "own_ticks", "throttling"])
def test_what_is_not_told_is_unknown(tmp_path: Path, lost: str) -> None:
    nothing: dict[str, Any] = {lost: None}
    found = between(BEFORE, replace(BEFORE, seconds=101, **nothing), tmp_path)
    assert found.others is None or lost == "throttling"
    assert (found.throttled is None) == (lost == "throttling")


def test_counters_that_run_backwards(tmp_path: Path) -> None:
    found = between(
        BEFORE, Snapshot(101, Ticks(900, 40, 9001), 900, Throttling(0, 0)), tmp_path
    )
    assert (found.others, found.steal, found.throttled) == (0, 0, 0)


def test_counters_are_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2}, raising=False)
    own = os.getpid()
    # A process: its number, the name in parentheses, its state and parent, the times.
    line = "{} (a) b) R {} 0 0 0 0 0 0 0 0 0 {} 0 0 0 0"
    root = tree(
        tmp_path,
        {
            "proc/stat": "cpu 9 9\ncpu0 1 2 3 4 5 6 7 8 1 1\ncpu1 9 9 9 9\n"
            "cpu2 10 0 0 10\nintr 5 5\n",
            f"proc/{own}/stat": line.format(own, 1, "1 2 3 4"),
            f"proc/{own + 5}/stat": line.format(own + 5, own + 9, "100 0 0 0"),
            f"proc/{own + 9}/stat": line.format(own + 9, own, "1000 0 0 0"),
            "proc/1/stat": line.format(1, 0, "7 7 7 7"),
            "proc/self/x": "",
        },
    )
    found = snapshot(root)
    assert found.ticks == Ticks(busy=1 + 2 + 3 + 6 + 7 + 10, steal=8, total=56)
    assert found.own_ticks == 1110
    assert found.throttling is None


def test_without_proc(tmp_path: Path) -> None:
    assert snapshot(tmp_path).ticks is None
    found = between(snapshot(tmp_path), snapshot(tmp_path), tmp_path)
    assert (found.others, found.steal, found.throttled) == (None, None, None)
    assert Conditions.from_json(found.to_json()) == found


def test_governors_and_clock(tmp_path: Path) -> None:
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    name = "sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor"
    clock = "sys/devices/system/clocksource/clocksource0/current_clocksource"
    files = dict.fromkeys((name.format(cpu) for cpu in cpus), "powersave\n")
    root = tree(tmp_path, {**files, clock: "hpet\n"})
    found = between(BEFORE, BEFORE, root)
    assert found.governors == ("powersave",)
    assert found.clock_source == "hpet"
    assert (found.others, found.steal) == (None, None)


def test_own_work_is_not_others() -> None:
    before = snapshot()
    begin = time.process_time()
    while time.process_time() < begin + 0.3:
        pass
    found = between(before, snapshot())
    if found.others is not None:
        # All there was, less our own third of a second and what ticks hide.
        cpus = len(os.sched_getaffinity(0))
        assert found.others * found.seconds <= cpus * found.seconds - 0.2
    assert 0 < found.clock_step < 1e-3


def test_settings_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    found = between(snapshot(), snapshot())
    assert "OMP_NUM_THREADS=3" in found.thread_settings
    assert Conditions.from_json(found.to_json()) == found


def test_why_there_is_a_gil(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[GilImport] = []
    monkeypatch.setattr(conditions, "noted_imports", noted)
    monkeypatch.delenv("PYTHON_GIL", raising=False)
    words = between(BEFORE, BEFORE).gil
    free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    assert words.startswith("on") == gil_enabled()
    assert ("always" in words) == (not free_threaded)
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _: 1)
    monkeypatch.setattr(conditions, "gil_enabled", lambda: True)
    monkeypatch.setattr("sys._xoptions", {})
    assert between(BEFORE, BEFORE).gil.endswith("which one is unknown")
    noted.append(GilImport("a.b", "/a/b.so"))
    assert between(BEFORE, BEFORE).gil == "on: loading a.b (/a/b.so) turned it on"
    monkeypatch.setenv("PYTHON_GIL", "1")
    assert between(BEFORE, BEFORE).gil == "on: PYTHON_GIL=1 says so"
    monkeypatch.setattr("sys._xoptions", {"gil": "1"})
    assert between(BEFORE, BEFORE).gil == "on: -X gil=1 says so"
    monkeypatch.setattr(conditions, "gil_enabled", lambda: False)
    assert between(BEFORE, BEFORE).gil == "off"
    monkeypatch.setattr("sys._xoptions", {"gil": "0"})
    assert between(BEFORE, BEFORE).gil == "off: -X gil=0 says so"
    monkeypatch.setattr("sys._xoptions", {})
    monkeypatch.setenv("PYTHON_GIL", "0")
    assert between(BEFORE, BEFORE).gil == "off: PYTHON_GIL=0 says so"
