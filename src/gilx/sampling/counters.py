"""Counters of the GIL's use, as a monitor reads them while the program runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from gilx.errors import ArgumentError
from gilx.estimate import Estimate  # noqa: TC001 - JSON is read by it
from gilx.formatting import duration
from gilx.records import Record
from gilx.system.environment import Environment  # noqa: TC001 - JSON is read by it


@dataclass(frozen=True)
class ThreadCounters:
    """Time for which the threads of one name held the GIL, and waited for it.

    Times are thread-seconds since the monitor was started.
    """

    name: str
    """Name of the threads. Numbers that Python itself gives are ``*``, as in
    ``ThreadPoolExecutor-*``: a server that starts many threads has few names."""
    held_seconds: Estimate
    waited_seconds: Estimate
    """Unknown if it is not known which threads wait for the GIL."""


@dataclass(frozen=True)
class Counters(Record, schema="gilx.counters", version=1):
    """Counters of the GIL's use since a monitor was started.

    The value of each but `longest_hold` never decreases from one reading to the next.
    Values follow from samples: each has an interval, at 95 %, whose ends may decrease.
    Times are in seconds.
    """

    process: int
    """Number of the process."""
    wall: float
    """Time from the start to the end of the last sample's part of time. What follows it,
    20 ms at most while the sampler has a CPU, counts in the next reading."""
    held_seconds: Estimate
    """Time for which any thread held the GIL."""
    waited_seconds: Estimate
    """Thread-seconds for which threads waited for the GIL, all together: three threads
    that wait for one second are 3. Unknown if the C library does not show how many
    threads wait."""
    unknown_seconds: float
    """Time for which there are late samples only. It widens the intervals."""
    cost_seconds: float
    """CPU time of the sampler's thread."""
    stalls: int
    """Number of times that the GIL was not released for as long as makes a stall. Blocked
    event loops are counted apart."""
    blocked_loops: int
    """Number of times that an event loop was blocked for as long as is reported; 0 if
    loops are not watched."""
    dropped_bytes: int
    """Bytes of reports that could not be written, since a pipe was full, for example."""
    longest_hold: Estimate
    """The longest hold of the GIL that went on at some time since the reader's last
    reading."""
    by_thread: tuple[ThreadCounters, ...]
    """Threads that used the GIL, by name, the one that held it for longest first."""
    environment: Environment = field(repr=False)

    def _check(self, where: str) -> None:
        times = (self.wall, self.unknown_seconds, self.cost_seconds)
        if not all(0 <= time < math.inf for time in times):
            raise ArgumentError(f"{where}: expected times of at least 0 seconds")
        if min(self.stalls, self.blocked_loops, self.dropped_bytes) < 0:
            raise ArgumentError(f"{where}: expected counts of at least 0")
        figures = [self.held_seconds, self.waited_seconds, self.longest_hold]
        for thread in self.by_thread:
            figures += [thread.held_seconds, thread.waited_seconds]
        for one in figures:
            if one.known and not 0 <= one.low <= one.value <= one.high:
                raise ArgumentError(
                    f"{where}: expected figures within their intervals, from 0 on"
                )

    def __str__(self) -> str:
        waited = (
            f"threads waited {duration(self.waited_seconds.value)} for it"
            if self.waited_seconds.known
            else "it is unknown how long threads waited for it"
        )
        return (
            f"process {self.process}: the GIL was held for"
            f" {self.held_seconds.text(duration)} of {duration(self.wall)}, {waited};"
            f" stalls: {self.stalls}; blocked event loops: {self.blocked_loops};"
            f" longest hold since the last reading: {self.longest_hold.text(duration)}"
        )
