"""Parts of a program that a monitor did not watch, reported when it ends."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from gilx.formatting import duration, percent
from gilx.owned_file import OwnedFile

if sys.platform == "linux":
    import resource

if TYPE_CHECKING:
    from gilx.sampling.counters import Counters
    from gilx.sampling.monitor import Monitor

_LEAST_SECONDS, _LEAST_SHARE = 1.0, 0.01  # of unknown time: less is normal
_EVENT_LOOPS = "gilx.sampling.event_loops"  # loaded if loops are watched


class UnwatchedReport:
    """Line of the log about what was not watched, if there was anything.

    Parameters
    ----------
    monitor : Monitor
        The monitor, which runs until this has been written.
    log : int
        Descriptor of the log, which is gilx's own.

    """

    def __init__(self, monitor: Monitor, log: int) -> None:
        self._monitor, self._log = monitor, OwnedFile(log)
        self._forks = 0
        self._children = resource.getrusage(resource.RUSAGE_CHILDREN)
        os.register_at_fork(
            after_in_parent=self._count_fork, after_in_child=self._begin_in_child
        )

    def _count_fork(self) -> None:
        self._forks += 1

    def _begin_in_child(self) -> None:
        self._forks = 0
        self._children = resource.getrusage(resource.RUSAGE_CHILDREN)

    def write(self) -> None:
        """Write the line, if there is anything to say and the log takes it at once."""
        if self._monitor.running:
            other = self._forks == 0 and self._had_children()
            text = unwatched(self._monitor.read(), _types_of_loops(), children=other)
            if text:
                line = f"gilx: process {os.getpid()}: {text}\n"
                with suppress(OSError):  # the sampler ignores errors of the log, too
                    self._log.write_at_once(line.encode(errors="replace"))

    def _had_children(self) -> bool:
        """Return whether there were children that the program has waited for."""
        return resource.getrusage(resource.RUSAGE_CHILDREN) != self._children


def _types_of_loops() -> list[str]:
    if event_loops := sys.modules.get(_EVENT_LOOPS):
        types: list[str] = event_loops.unwatched_types()
        return types
    return []


def unwatched(counters: Counters, loops: list[str], *, children: bool) -> str:
    """Return a sentence on what was not watched, empty if all was.

    Parameters
    ----------
    counters : Counters
        Last reading of the monitor.
    loops : list of str
        Types of event loops that could not be watched.
    children : bool
        Whether there were child processes with other programs.

    """
    parts = []
    share = counters.unknown_seconds / counters.wall if counters.wall > 0 else 0.0
    if counters.unknown_seconds >= _LEAST_SECONDS and share >= _LEAST_SHARE:
        parts.append(
            f"{duration(counters.unknown_seconds)} ({percent(share)} of the time), in"
            " which the sampler had no CPU"
        )
    if loops:
        parts.append(f"event loops of type {' and '.join(loops)}")
    if children:
        parts.append("child processes, which ran other programs")
    return f"not watched: {'; '.join(parts)}" if parts else ""
