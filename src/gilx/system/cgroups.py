"""Limits of the process's control groups, and times in which they held it back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator


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
        cpu.max; cgroup-v1: cpu.cfs_quota_us). None if nothing is limited.

    """
    limits = [
        limit
        for directory, version in _own_directories(root)
        if (limit := _cpu_limit(directory, version)) is not None
    ]
    return min(limits, default=None)


@dataclass(frozen=True)
class Throttling:
    """Times in which groups were out of CPU time, since they were made."""

    periods: int
    """Periods in which a quota was used up."""
    seconds: float
    """Seconds for which their tasks then had to wait, summed over CPUs."""


def throttling(root: Path = Path("/")) -> Throttling | None:
    """Return how far the process's control groups have been throttled.

    Parameters
    ----------
    root : Path
        Where to look for ``proc`` and for mounted control groups.

    Returns
    -------
    Throttling or None
        The throttling of the group that waited longest, among its groups and all groups
        above them (Linux: cpu.stat in Documentation/admin-guide/cgroup-v2.rst and
        scheduler/sched-bwc.rst). None if that can't be read.

    """
    found = [
        one
        for directory, version in _own_directories(root)
        if (one := _throttling_of(directory, version)) is not None
    ]
    return max(found, key=lambda one: one.seconds, default=None)


def _own_directories(root: Path) -> list[tuple[Path, int]]:
    """Return the directories of the process's groups; none if they are not known."""
    try:
        mounts = (root / "proc/self/mountinfo").read_text()
        groups = (root / "proc/self/cgroup").read_text()
    except OSError:
        return []
    return list(_cgroup_directories(mounts, groups, root))


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
    """Return quota / period of one group; None if unlimited or unreadable."""
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


def _throttling_of(directory: Path, version: int) -> Throttling | None:
    """Return the throttling of one group; None if it can't be read."""
    try:
        lines = (directory / "cpu.stat").read_text().splitlines()
        figures = {key: int(value) for key, value in map(str.split, lines)}
        waited = (
            figures["throttled_usec"] * 1e-6
            if version == 2
            else figures["throttled_time"] * 1e-9
        )
        return Throttling(figures["nr_throttled"], waited)
    except (OSError, ValueError, KeyError):
        return None
