"""Children of processes, as Linux lists them."""

from __future__ import annotations

import os
from pathlib import Path

from gilx.sampling.process_access import status_of


def children_of(pids: set[int]) -> set[int]:
    """Return the processes whose parent is one of some processes.

    A process whose parent has ended has another parent then, and is not among them.
    """
    if _lists_children():
        return {child for pid in pids for child in _listed(pid)}
    return {
        number
        for number in map(int, filter(str.isdigit, os.listdir("/proc")))
        if int(status_of(number).get("PPid", "0")) in pids
    }


def _lists_children() -> bool:
    """Return whether this Linux lists children, which is an option of its build."""
    return os.path.exists(f"/proc/self/task/{os.getpid()}/children")


def _listed(pid: int) -> set[int]:
    """Return the children of one process: each of its threads may have started some."""
    found: set[int] = set()
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:  # it has ended
        return found
    for thread in threads:
        try:
            text = Path(f"/proc/{pid}/task/{thread}/children").read_text()
        except OSError:  # likewise
            continue
        found |= set(map(int, text.split()))
    return found
