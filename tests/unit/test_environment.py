"""Descriptions of machine and Python, partly against made-up file trees."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gilx._compat import gil_enabled
from gilx.system import environment
from gilx.system.cgroups import Throttling, cgroup_cpus, throttling
from gilx.system.cpus import cpus_here
from tests.unit.test_conditions import tree

if TYPE_CHECKING:
    from pathlib import Path

V2 = "30 1 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
V1 = "31 1 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"


def machine(root: Path, mounts: str, groups: str, files: dict[str, str]) -> Path:
    tree(root / "proc/self", {"mountinfo": mounts, "cgroup": groups})
    tree(root / "sys/fs/cgroup", files)
    return root


@pytest.mark.parametrize(
    ("mounts", "groups", "files", "expected"),
    [
        (V2, "0::/\n", {}, None),
        (V2, "0::/\n", {"cpu.max": "max 100000\n"}, None),
        (V2, "0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        (V2, "0::/a/b\n", {"a/b/cpu.max": "max 100000", "a/cpu.max": "300000 100000"}, 3),
        (V2, "0::/a/b\n", {"a/b/cpu.max": "50000 100000", "a/cpu.max": "300000 100000"}, 0.5),
        (V2, "0::/../host\n", {"cpu.max": "250000 100000"}, 2.5),
        (V2, "0::/a\n", {"a/cpu.max": "broken"}, None),
        (V1, "4:cpu,cpuacct:/x\n", {"cpu/x/cpu.cfs_quota_us": "-1", "cpu/x/cpu.cfs_period_us": "100000"}, None),
        (V1, "4:cpu,cpuacct:/x\n", {"cpu/x/cpu.cfs_quota_us": "400000", "cpu/x/cpu.cfs_period_us": "100000"}, 4),
        (V2 + V1, "4:memory:/x\n0::/\n", {}, None),
    ],
)  # fmt: skip
def test_cgroup_quota(
    tmp_path: Path,
    mounts: str,
    groups: str,
    files: dict[str, str],
    expected: float | None,
) -> None:
    root = machine(tmp_path, mounts, groups, files)
    assert cgroup_cpus(root) == expected


def test_no_control_groups(tmp_path: Path) -> None:
    assert cgroup_cpus(tmp_path) is None


@pytest.mark.parametrize(("quota", "cpus"), [(None, None), (0.5, 1), (1.9, 1)])
def test_usable_cpus(
    monkeypatch: pytest.MonkeyPatch, quota: float | None, cpus: int | None
) -> None:
    monkeypatch.setattr(environment, "cgroup_cpus", lambda: quota)
    expected = len(os.sched_getaffinity(0)) if cpus is None else cpus
    assert environment.usable_cpus() == expected


def test_describe_is_one_line() -> None:
    text = environment.describe()
    assert "\n" not in text
    assert "CPython" in text
    assert "GIL o" in text


def test_an_environment_comes_back_from_json() -> None:
    here = environment.Environment.here()
    assert environment.Environment.from_json(here.to_json()) == here
    assert here.usable_cpus == environment.usable_cpus()
    assert here.gil == gil_enabled()
    assert here.numpy == importlib.metadata.version("numpy")
    assert f"{here.usable_cpus} (" in str(here)


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("numpy-2.4.6.dist-info", "2.4.6"),
        ("numpy-1.24.2.egg-info", "1.24.2"),
        ("numpy-1.24.2-py3.11.egg-info", "1.24.2"),
        ("numpy_financial-1.0.0.dist-info", None),
        ("numpy", None),
    ],
)
def test_version_of_numpy_is_that_of_its_files(
    name: str, version: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / name).mkdir()
    monkeypatch.setattr(sys, "path", ["/nowhere", __file__, str(tmp_path)])
    assert environment.Environment.here().numpy == version


def test_what_the_system_does_not_tell_is_unknown(tmp_path: Path) -> None:
    here = environment.Environment.here(tmp_path)
    assert here.cpus.cores is None
    assert here.cpus.performance is None
    assert here.cpus.virtual is None
    assert here.cpus.quota is None
    assert "usable CPUs" in str(here)
    assert environment.Environment.from_json(here.to_json()) == here


def test_same_machine() -> None:
    here = environment.Environment.here()
    assert here.same_machine(here)
    assert str(here.same_machine(here)) == "the same machine"
    other = replace(here, python="3.99.0")
    assert here.same_machine(other)
    assert here.same_machine(other).software == (
        f"Python: CPython {here.python} here, CPython 3.99.0 there",
    )
    other = replace(here, usable_cpus=99, cpus=replace(here.cpus, model="Z80", quota=1.5))
    compared = here.same_machine(other)
    assert not compared
    assert str(compared).startswith("different machines: processor: ")
    assert f"usable CPUs: {here.usable_cpus} here, 99 there" in compared.machine
    assert "CPU quota: none or unknown here, 1.5 there" in compared.machine


@pytest.mark.parametrize("name", ["core_cpus_list", "thread_siblings_list"])
def test_siblings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 5}, raising=False)
    cores = {0: "0,4\n", 1: "1,5\n", 2: "2,6\n", 5: "1,5\n"}
    root = tree(
        tmp_path,
        {
            f"sys/devices/system/cpu/cpu{n}/topology/{name}": text
            for n, text in cores.items()
        },
    )
    found = cpus_here(root)
    assert found.cores == ((0,), (1, 5), (2,))
    assert found.siblings == ((1, 5),)
    assert found.one_a_core() == (0, 1, 2)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, (None, None)),
        ({"cpu_core/cpus": "0-1", "cpu_atom/cpus": "2-5"}, ((0, 1), (2, 3))),
        ({"cpu_core/cpus": "0-3", "cpu_atom/cpus": "4-5"}, (None, None)),
        ({f"system/cpu/cpu{n}/cpu_capacity": "1024" for n in range(4)}, (None, None)),
        (
            {f"system/cpu/cpu{n}/cpu_capacity": str(400 + n // 2) for n in range(4)},
            ((2, 3), (0, 1)),
        ),
        ({"cpu_core/cpus": "?", "cpu_atom/cpus": "2-5"}, (None, None)),
    ],
)
def test_kinds_of_cpus(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    files: dict[str, str],
    expected: tuple[tuple[int, ...] | None, tuple[int, ...] | None],
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    found = cpus_here(tree(tmp_path, {f"sys/devices/{n}": t for n, t in files.items()}))
    assert (found.performance, found.efficiency) == expected


@pytest.mark.skipif(sys.version_info < (3, 13), reason="needs Python 3.13")
def test_the_number_of_cpus_that_python_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    present = cpus_here().present
    monkeypatch.setattr("sys._xoptions", {})
    monkeypatch.setenv("PYTHON_CPU_COUNT", "77")
    assert (cpus_here().override, cpus_here().present) == (77, present)
    monkeypatch.setattr("sys._xoptions", {"cpu_count": "78"})
    assert cpus_here().override == 78
    monkeypatch.setattr("sys._xoptions", {"cpu_count": "default"})
    assert cpus_here().override is None


def test_why() -> None:
    here = cpus_here()
    limited = replace(here, allowed=(0, 3), present=8, quota=1.5, override=6)
    assert limited.why() == (
        "2 of 8 by affinity, 6 by PYTHON_CPU_COUNT or -X cpu_count, 1.5 by control group"
        " quota"
    )


@pytest.mark.parametrize(
    ("mounts", "groups", "files", "expected"),
    [
        (V2, "0::/a\n", {"a/cpu.stat": "nr_throttled 3\nthrottled_usec 2500000\n", "cpu.stat": "usage_usec 1\n"}, (3, 2.5)),
        (V1, "4:cpu:/\n", {"cpu/cpu.stat": "nr_periods 9\nnr_throttled 3\nthrottled_time 500000000\n"}, (3, 0.5)),
        (V2, "0::/\n", {"cpu.stat": "broken"}, None),
        (V2, "0::/\n", {}, None),
    ],
)  # fmt: skip
def test_throttling(
    tmp_path: Path,
    mounts: str,
    groups: str,
    files: dict[str, str],
    expected: tuple[int, float] | None,
) -> None:
    found = throttling(machine(tmp_path, mounts, groups, files))
    assert found == (None if expected is None else Throttling(*expected))
