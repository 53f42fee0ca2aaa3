"""Usable CPUs: affinity and control groups, against made-up file trees."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from gilx import environment

if TYPE_CHECKING:
    from pathlib import Path

V2 = "30 1 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n"
V1 = "31 1 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"


def machine(root: Path, mounts: str, groups: str, files: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mountinfo").write_text(mounts)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
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
    assert environment.cgroup_cpus(root) == expected


def test_no_control_groups(tmp_path: Path) -> None:
    assert environment.cgroup_cpus(tmp_path) is None


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
