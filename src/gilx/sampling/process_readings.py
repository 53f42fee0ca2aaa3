"""Usage of another process's GIL, again and again for as long as the process runs."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Literal

from gilx.errors import WatchUnavailableError
from gilx.sampling.process_access import start_of
from gilx.sampling.process_watch import STEP, ProcessWatch
from gilx.sampling.processes_usage import together
from gilx.sampling.usage import ran_without_gil

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.sampling.hold_fraction import HoldSums
    from gilx.sampling.usage import GilUsage
    from gilx.sampling.watched_process import WatchedProcess

_RECENT = 4  # readings that make up the recent usage


class ProcessReadings:
    """Watches of a process that follow one another; `end` is as that of the process.

    Between two of them some milliseconds pass in which it is not watched.

    Parameters
    ----------
    pid : int
        Number of the process.
    cost : float
        Share of one CPU that the sampler may take.

    """

    def __init__(self, pid: int, cost: float) -> None:
        self._pid = pid
        self._cost = cost
        self._watch: ProcessWatch | None = None
        self._last: deque[GilUsage] = deque(maxlen=_RECENT)
        self._sums: HoldSums | None = None
        self.without_gil_before: float = 0.0
        """Seconds without a GIL before the readings of a process that has got one."""
        self.end: Literal["", "ended", "replaced"] = ""

    def start(self) -> None:
        """Begin to watch.

        Raises
        ------
        WatchUnavailableError
            The process cannot be watched; the message says why.

        """
        watch = ProcessWatch(self._pid, self._cost)
        watch.__enter__()
        self._watch, self._process = watch, watch.process

    @property
    def process(self) -> WatchedProcess:
        """The process that is watched."""
        return self._process

    def read(self, seconds: float, pause: Callable[[float], bool]) -> bool:
        """Watch for so many seconds; return whether the process is still there.

        Parameters
        ----------
        seconds : float
            Until the next reading.
        pause : callable
            Waits for at most so many seconds; what it returns says whether to end the
            reading now.

        """
        watch = self._watch
        assert watch is not None
        until = time.monotonic() + seconds
        ends = False
        while watch.step() and not ends and (left := until - time.monotonic()) > 0:
            ends = pause(min(STEP, left))
        watch.finish()
        self._process, self.end = watch.process, watch.process.end
        self._watch = None
        there = not self.end and (ends or self._goes_on())
        if watch.samples:  # which takes some milliseconds, while the next one runs
            self._add(watch.usage_of_process())
        return there

    def _add(self, usage: GilUsage) -> None:
        """Add a reading; those with a GIL and those without one do not add up."""
        sums = self._sums
        if sums is not None and sums.without_gil != ran_without_gil(usage):
            if sums.without_gil:
                self.without_gil_before += sums.wall / 1e9
            self._last.clear()
            sums = None
        self._last.append(usage)
        self._sums = usage.sums if sums is None else sums + usage.sums

    def _goes_on(self) -> bool:
        """Begin the next watch; return whether the process is still there."""
        try:
            self.start()
        except WatchUnavailableError:
            if start_of(self._pid) is not None:
                raise
            self.end = "ended"
        return not self.end

    @property
    def any(self) -> bool:
        """True if there was a sample by now."""
        return self._sums is not None

    @property
    def now(self) -> GilUsage:
        """Usage in the last reading."""
        return self._last[-1]

    @property
    def recent(self) -> GilUsage:
        """Usage in the last readings together, which are all with or without a GIL."""
        last = self._last[-1]
        return together(tuple(self._last), last.program, last.process)

    @property
    def sums(self) -> HoldSums:
        """Sums of all readings, of a process that has got a GIL of those with one.

        They take no more memory the longer that goes on.
        """
        assert self._sums is not None
        return self._sums
