"""Sizes of free memory and of the caches."""

from __future__ import annotations

from pathlib import Path

__all__ = ["cache_sizes", "free_memory"]


def free_memory(root: Path = Path("/")) -> int | None:
    """Return how many bytes may be had, by the system and the process's control group."""
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        named = dict(line.split(":", 1) for line in lines)
        free = int(named["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    group = root / "sys/fs/cgroup"
    for most, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            room = int((group / most).read_text()) - int((group / used).read_text())
        except (OSError, ValueError):  # another version, or no limit
            continue
        free = min(free, max(0, room))
    return free


def cache_sizes(root: Path = Path("/")) -> dict[str, int]:
    """Return the bytes of the first CPU's data caches by their names, as ``L2``."""
    sizes = {}
    for cache in sorted((root / "sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            level, kind, size = (
                (cache / name).read_text().strip() for name in ("level", "type", "size")
            )
            if kind != "Instruction":
                sizes[f"L{level}"] = int(size.removesuffix("K")) * 1024
        except (OSError, ValueError):
            continue
    return sizes
