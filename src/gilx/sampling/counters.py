"""Counters of a monitor, which it reads while the program runs."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields

from gilx.errors import ArgumentError
from gilx.estimate import Estimate  # noqa: TC001 - JSON is read by it
from gilx.formatting import duration
from gilx.records import Record
from gilx.sampling.world import length_of_stop
from gilx.system.environment import Environment  # noqa: TC001 - JSON is read by it


@dataclass(frozen=True)
class StateSeconds:
    """Times that threads spent in each state, in a Python without a GIL.

    Times are thread-seconds since the monitor was started; the names are those of
    `ThreadUsage` and `World`. They are unknown if Linux does not say what threads do, or
    if stops of the world can't be read; so is `waiting_lock` when the GIL is on, for
    which threads may have waited.
    """

    attached: Estimate
    """Running while attached to the interpreter."""
    detached: Estimate
    """Running while not attached to it, as C code does that has released it."""
    waiting_lock: Estimate
    """Waiting for a lock, or spinning on it."""
    waiting_cpu: Estimate
    """Ready to run, but without a CPU."""
    stopped: Estimate
    """Waiting until all threads had stopped, or until the world went on."""
    system_call: Estimate
    """Waiting in another system call."""
    asking: Estimate
    """Time for which they had asked for stops of the world."""
    late: Estimate
    """Time for which stops of the world waited for them."""


@dataclass(frozen=True)
class WorldCounters:
    """Stops of the world since a monitor was started, in a Python without a GIL."""

    stopped_seconds: Estimate
    """Time in which a stop was asked for, or the world was stopped."""
    stopping_seconds: Estimate
    """Time in which a stop had been asked for and a thread had not stopped yet."""
    least_stops: int
    """Number of stops that samples distinguish: there were at least as many."""
    longest_stop: Estimate
    """The longest stop that went on at some time since the reader's last reading. As in
    `World`, its bounds are certain, and the value is the longest time in which each
    sample found a stop."""


@dataclass(frozen=True)
class ThreadCounters:
    """Time for which the threads of one name held the GIL, and waited for it.

    Times are thread-seconds since the monitor was started. Without a GIL, both are
    unknown, and `states` has what is known.
    """

    name: str
    """Name of the threads. Numbers that Python itself gives are ``*``, as in
    ``ThreadPoolExecutor-*``: a server that starts many threads has few names."""
    held_seconds: Estimate
    waited_seconds: Estimate
    """Unknown if it is not known which threads wait for the GIL."""
    states: StateSeconds | None = None
    """None with a GIL."""


@dataclass(frozen=True)
class Counters(Record, schema="gilx.counters", version=1):
    """Counters of the GIL's use since a monitor was started.

    In a Python without a GIL, those of the GIL are unknown, and `states` and `world` have
    what threads did and for what they waited; `stalls` and `blocked_loops` are known in
    both. The value of each but `longest_hold` and `world.longest_stop` never decreases
    from one reading to the next. Values follow from samples: each has an interval, at
    95 %, whose ends may decrease. Times are in seconds.
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
    """Number of times that the GIL was not released for as long as makes a stall; without
    a GIL, that a stop of the world went on, or waited for a thread, for so long. Blocked
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
    """Threads that used the GIL, by name, the one that held it for longest first; without
    a GIL, those that ran or waited for a lock or the world, the one that ran for longest
    first."""
    environment: Environment = field(repr=False)
    states: StateSeconds | None = None
    """States of all threads together; None with a GIL."""
    world: WorldCounters | None = None
    """Stops of the world; None with a GIL, or if they can't be read."""

    def _check(self, where: str) -> None:
        times = (self.wall, self.unknown_seconds, self.cost_seconds)
        if not all(0 <= time < math.inf for time in times):
            raise ArgumentError(f"{where}: expected times of at least 0 seconds")
        if min(self.stalls, self.blocked_loops, self.dropped_bytes) < 0:
            raise ArgumentError(f"{where}: expected counts of at least 0")
        figures = [self.held_seconds, self.waited_seconds, self.longest_hold]
        for thread in self.by_thread:
            figures += [thread.held_seconds, thread.waited_seconds]
        for states in (self.states, *(thread.states for thread in self.by_thread)):
            if states is not None:
                figures += [getattr(states, each.name) for each in fields(states)]
        if self.world is not None:
            world = self.world
            figures += [world.stopped_seconds, world.stopping_seconds, world.longest_stop]
            if world.least_stops < 0:
                raise ArgumentError(f"{where}.world: expected counts of at least 0")
        for one in figures:
            if one.known and not 0 <= one.low <= one.value <= one.high:
                raise ArgumentError(
                    f"{where}: expected figures within their intervals, from 0 on"
                )

    def __str__(self) -> str:
        if self.states is not None:
            return self._text_without_gil(self.states)
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

    def _text_without_gil(self, states: StateSeconds) -> str:
        parts = [
            f"{words} {figure.text(duration)}"
            for words, figure in (
                ("ran attached for", states.attached),
                ("detached for", states.detached),
                ("waited for locks for", states.waiting_lock),
                ("for the world for", states.stopped),
            )
            if figure.known
        ]
        did = ", ".join(parts) if parts else "did what can't be read here"
        if self.world is None:
            stops = "stops of the world can't be read here"
        else:
            stops = (
                f"the world was stopped or stopping for"
                f" {self.world.stopped_seconds.text(duration)}; since the last reading,"
                f" {length_of_stop(self.world.longest_stop)}"
            )
        return (
            f"process {self.process}, without a GIL: in {duration(self.wall)}, threads"
            f" {did}; {stops}; stalls: {self.stalls}; blocked event loops:"
            f" {self.blocked_loops}"
        )
