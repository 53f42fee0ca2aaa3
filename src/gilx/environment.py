"""What machine, Python and conditions this is."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["cgroup_cpus", "cpu_model", "describe", "gil_enabled", "usable_cpus"]


def usable_cpus() -> int:
    """Return how many CPUs this process may use at once, at least 1.

    The least of: the CPUs of its affinity mask (or what ``-X cpu_count`` and
    ``PYTHON_CPU_COUNT`` say, on Python 3.13 and newer) and the CPU time that its control
    groups allow, rounded down.
    """
    if sys.version_info >= (3, 13):
        cpus = os.process_cpu_count() or 1
    elif hasattr(os, "sched_getaffinity"):
        cpus = len(os.sched_getaffinity(0))
    else:
        cpus = os.cpu_count() or 1
    quota = cgroup_cpus()
    return cpus if quota is None else max(1, min(cpus, int(quota)))


def gil_enabled() -> bool:
    """Return whether this interpreter runs with a GIL right now."""
    if sys.version_info >= (3, 13):
        return sys._is_gil_enabled()  # noqa: SLF001 - documented, despite its name
    return True


def cgroup_cpus(root: Path = Path("/")) -> float | None:
    """Return the CPUs' worth of time that the process's control groups allow.

    Parameters
    ----------
    root : Path
        Where to look for ``proc`` and for mounted control groups.

    Returns
    -------
    float or None
        The least of ``quota / period`` over its groups and all groups above them, in
        either hierarchy version (Linux: Documentation/admin-guide/cgroup-v2.rst,
        cpu.max; cgroup-v1: cpu.cfs_quota_us). None where nothing is limited.

    """
    try:
        mounts = (root / "proc/self/mountinfo").read_text()
        groups = (root / "proc/self/cgroup").read_text()
    except OSError:
        return None
    limits = [
        limit
        for directory, version in _cgroup_directories(mounts, groups, root)
        if (limit := _cpu_limit(directory, version)) is not None
    ]
    return min(limits, default=None)


class _Mount(NamedTuple):
    version: int
    root: PurePosixPath
    point: str


def _cgroup_mounts(mounts: str) -> Iterator[_Mount]:
    """Yield the mounted hierarchies that limit CPU time (see proc_pid_mountinfo(5))."""
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split()
        kind, *rest = after.split()
        options = rest[-1].split(",") if rest else []
        if kind == "cgroup2":
            yield _Mount(2, PurePosixPath(fields[3]), fields[4])
        elif kind == "cgroup" and "cpu" in options:
            yield _Mount(1, PurePosixPath(fields[3]), fields[4])


def _cgroup_directories(
    mounts: str, groups: str, root: Path
) -> Iterator[tuple[Path, int]]:
    """Yield the directory of each group that the process is in, and those above it."""
    for mount in _cgroup_mounts(mounts):
        for line in groups.splitlines():
            number, controllers, path = line.split(":", 2)
            ours = (
                number == "0" if mount.version == 2 else "cpu" in controllers.split(",")
            )
            if not ours:
                continue
            point = root / mount.point.lstrip("/")
            # In a container the path may be the host's: then the mount itself is ours.
            group = PurePosixPath(path)
            inside = group.is_relative_to(mount.root) and ".." not in group.parts
            relative = group.relative_to(mount.root) if inside else PurePosixPath()
            for part in (relative, *relative.parents):
                yield point / part, mount.version


def _cpu_limit(directory: Path, version: int) -> float | None:
    """Return quota / period of one group; None if unlimited or not to be read."""
    try:
        if version == 2:
            quota, period = (directory / "cpu.max").read_text().split()
        else:
            quota = (directory / "cpu.cfs_quota_us").read_text().strip()
            period = (directory / "cpu.cfs_period_us").read_text().strip()
    except (OSError, ValueError):
        return None
    if quota == "max" or int(quota) <= 0 or int(period) <= 0:
        return None
    return int(quota) / int(period)


def cpu_model() -> str:
    """Return the name of the processor, or of its architecture if it tells no more."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return " ".join(value.split())
    except OSError:
        pass
    return platform.processor() or platform.machine()


def describe() -> str:
    """Return one line: which Python on which machine, and how many CPUs it may use."""
    build = ""
    if sysconfig.get_config_var("Py_GIL_DISABLED"):
        build = " free-threaded build,"
    cpus = usable_cpus()
    return (
        f"{platform.python_implementation()} {platform.python_version()},{build}"
        f" GIL {'on' if gil_enabled() else 'off'};"
        f" {cpu_model()}, {cpus} usable CPU{'s' if cpus != 1 else ''};"
        f" {platform.system()} {platform.machine()}"
    )
