"""What a callable costs other threads: convoy delay, and the price of letting the GIL go.

The delays are measured as CPython's ccbench did (Antoine Pitrou, Tools/ccbench in CPython
3.2 to 3.10: latency and bandwidth of a thread beside busy ones): a thread sleeps, wants
to run at a known time, and sees how late it is.
"""

from __future__ import annotations

import gc
import math
import random
import reprlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from statistics import fmean, median
from typing import TYPE_CHECKING

from gilx.ckernels import spin
from gilx.environment import describe, gil_enabled
from gilx.errors import ArgumentError, at_least, real_at_least
from gilx.records import from_json, to_json
from gilx.text import duration

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

__all__ = ["Costs", "Latency", "LatencyRow", "costs", "latency"]

_SCHEMA = "gilx.latency"
_VERSION = 1
# Enough that no thread count has the machine's good or bad moments to itself.
_ROUNDS = 5


@dataclass(frozen=True)
class LatencyRow:
    """What one thread met while so many others called the callable."""

    threads: int
    """How many threads called it; 0: none, the baseline."""
    wakes: int
    """How often the delay was taken."""
    p50: float
    """Median delay, in seconds: from when the thread wanted to run until it ran Python.
    What goes beyond the baseline's is the convoy delay."""
    p99: float
    max: float
    calls: float
    """Calls of the callable a second, all threads together."""
    switches: float | None
    """Context switches of the whole process a second, voluntary and not: an upper bound
    on how often the GIL changed hands. None where the system does not tell."""
    echoes: float | None
    """Datagrams sent to an echo server on the loopback and received back, a second. None
    where there is no loopback, or it was not asked for."""
    stall_p50: float | None
    """Median time that a stop of all threads took (a garbage collection), in seconds, on
    a free-threaded build with the GIL off; None with a GIL."""
    stall_max: float | None


@dataclass(frozen=True)
class Latency:
    """The delays that a callable puts on a thread that wants to run now and then."""

    target: str
    period: float
    """Mean time between wakes, in seconds."""
    gil: bool
    environment: str
    rows: tuple[LatencyRow, ...]
    """The baseline first, then one for each number of threads, as given."""

    def __str__(self) -> str:
        first, others = self.rows[0], self.rows[1:]
        what = "the GIL" if self.gil else "to run (there is no GIL here)"
        columns = [
            ("threads", [str(row.threads or "none") for row in self.rows]),
            ("wakes", [str(row.wakes) for row in self.rows]),
            ("p50", [duration(row.p50) for row in self.rows]),
            ("p99", [duration(row.p99) for row in self.rows]),
            ("max", [duration(row.max) for row in self.rows]),
            ("calls/s", [f"{row.calls:.4g}" for row in self.rows]),
            ("switches/s", [_number(row.switches) for row in self.rows]),
            ("echoes/s", [_number(row.echoes) for row in self.rows]),
        ]
        if not self.gil:
            columns.append(("stop p50", [duration(row.stall_p50) for row in self.rows]))
            columns.append(("stop max", [duration(row.stall_max) for row in self.rows]))
        widths = [max(map(len, [head, *cells])) for head, cells in columns]
        lines = [
            "  ".join(
                f"{cell:>{width}}" for cell, width in zip(line, widths, strict=True)
            )
            for line in zip(*([head, *cells] for head, cells in columns), strict=True)
        ]
        worst = max(others, key=lambda row: row.p99)
        said = (
            f"Delay of a thread that wants {what} every {duration(self.period)},"
            f" beside {self.target}"
        )
        added = (
            f"Convoy delay, {worst.threads} thread{'s' if worst.threads != 1 else ''}:"
            f" {_beyond(worst.p50, first.p50)} in the median,"
            f" {_beyond(worst.p99, first.p99)} at p99"
        )
        return "\n".join([said, self.environment, "", *lines, "", added])

    def to_json(self) -> str:
        """Return the figures as JSON text, which `from_json` reads."""
        return to_json(self, _SCHEMA, _VERSION)

    @classmethod
    def from_json(cls, text: str) -> Latency:
        """Return what `to_json` wrote.

        Raises
        ------
        ArgumentError
            The text is no such thing, or was written by a gilx too new for this one.

        """
        found = from_json(cls, text, _SCHEMA, _VERSION)
        if len(found.rows) < 2:
            raise ArgumentError(
                f"text.rows: expected the baseline and at least one more row, got"
                f" {len(found.rows)}"
            )
        return found


def latency(
    fn: Callable[[], object],
    *,
    threads: Sequence[int] = (1,),
    period: float = 0.005,
    duration: float = 2.0,
    echo: bool = True,
    seed: int = 0,
) -> Latency:
    """Measure the delay that `fn` puts on a thread that wants the GIL every few ms.

    `fn` is called in a loop in other threads. Meanwhile the calling thread sleeps for a
    random time around `period`, sees how late it runs again, and starts over; then it
    sends datagrams to an echo server in another process and counts the round trips. The
    same is done with no thread calling `fn`. All of it is done in five rounds, each in
    random order. With the GIL off it also times stops of all threads, which wait until
    every thread that is attached to the interpreter has come to a safe point.

    Parameters
    ----------
    fn : callable
        What to call, without arguments; bind them with `functools.partial`. It should
        return every now and then: threads end with the call that they are in.
    threads : sequence of int
        With how many threads calling it to measure, each at least 1.
    period : float
        Mean time between wakes, in seconds, above 0. Wakes are spread evenly over half
        to one and a half of it, so that they can't fall into step with `fn`.
    duration : float
        For how long to take delays for each number of threads, in seconds, above 0; the
        round trips, and the stops, take half of that each.
    echo : bool
        Whether to measure round trips.
    seed : int
        Seed of the order and of the wakes.

    Returns
    -------
    Latency
        A row for the baseline, then one for each number of threads.

    Raises
    ------
    ArgumentError
        An argument is not as described; the message names it.
    BaseException
        Whatever `fn` raised in a thread, as itself, after all threads have stopped.

    """
    if not callable(fn):
        raise ArgumentError(f"fn: expected a callable, got {fn!r}")
    if not isinstance(threads, Sequence) or not threads:
        raise ArgumentError(
            f"threads: expected a sequence of whole numbers, got {threads!r}"
        )
    counts = [0, *(at_least("threads", count, 1) for count in threads)]
    period = _above_zero("period", period)
    duration = _above_zero("duration", duration)
    draw = random.Random(seed)
    measured = {count: _Samples() for count in counts}
    with _echo_peer(wanted=echo) as peer:
        for _ in range(_ROUNDS):
            for count in draw.sample(list(measured), len(measured)):
                measured[count].take(
                    fn, count, period, duration / _ROUNDS, peer=peer, draw=draw
                )
    return Latency(
        target=_name_of(fn),
        period=period,
        gil=gil_enabled(),
        environment=describe(),
        rows=tuple(measured[count].row(count) for count in counts),
    )


def _name_of(fn: Callable[[], object]) -> str:
    """Return what to call a callable in a table."""
    name = getattr(fn, "__qualname__", None)
    if name is None and isinstance(fn, partial):
        words = [*map(reprlib.repr, fn.args)]
        words += [f"{key}={reprlib.repr(value)}" for key, value in fn.keywords.items()]
        return f"{_name_of(fn.func)}({', '.join(words)})"
    return name or reprlib.repr(fn)


def _above_zero(name: str, given: float) -> float:
    number = real_at_least(name, given, 0)
    if number == 0:
        raise ArgumentError(f"{name}: expected above 0, got {given!r}")
    return number


@dataclass
class _Samples:
    """What was measured for one number of threads, over all rounds."""

    delays: list[float] = field(default_factory=list)
    stalls: list[float] = field(default_factory=list)
    calls: int = 0
    seconds: float = 0.0
    switches: int | None = 0
    echoes: int | None = 0
    echo_seconds: float = 0.0

    def take(
        self,
        fn: Callable[[], object],
        threads: int,
        period: float,
        seconds: float,
        *,
        peer: socket.socket | None,
        draw: random.Random,
    ) -> None:
        """Measure for one round."""
        with _Load(fn, threads) as load:
            calls, switches, begin = load.calls(), _switches(), time.perf_counter()
            self.delays += _delays(load, period, seconds, draw)
            after = _switches()
            if self.switches is not None and switches is not None and after is not None:
                self.switches += after - switches
            else:
                self.switches = None
            self.calls += load.calls() - calls
            self.seconds += time.perf_counter() - begin
            if peer is None:
                self.echoes = None
            elif self.echoes is not None:
                begin = time.perf_counter()
                self.echoes += _echoes(load, peer, seconds / 2)
                self.echo_seconds += time.perf_counter() - begin
            if not gil_enabled():
                self.stalls += _stalls(load, period, seconds / 2)

    def row(self, threads: int) -> LatencyRow:
        """Return the figures."""
        delays = sorted(self.delays)
        return LatencyRow(
            threads=threads,
            wakes=len(delays),
            p50=median(delays),
            # The least delay that 99 % of all do not exceed.
            p99=delays[math.ceil(0.99 * len(delays)) - 1],
            max=delays[-1],
            calls=self.calls / self.seconds,
            switches=None if self.switches is None else self.switches / self.seconds,
            echoes=None if self.echoes is None else self.echoes / self.echo_seconds,
            stall_p50=median(self.stalls) if self.stalls else None,
            stall_max=max(self.stalls) if self.stalls else None,
        )


class _Load:
    """Threads that call a function in a loop, from entering the context to leaving it."""

    def __init__(self, fn: Callable[[], object], threads: int) -> None:
        self._fn = fn
        self._stop = False
        self._failures: list[BaseException] = []
        # One counter a thread: they are added up without a lock.
        self._calls = [0] * threads
        self._ready = threading.Barrier(threads + 1)
        self._threads = [
            threading.Thread(
                target=self._work, args=(number,), name=f"gilx-load-{number}"
            )
            for number in range(threads)
        ]

    def calls(self) -> int:
        """Return how many calls have ended so far."""
        return sum(self._calls)

    def check(self) -> None:
        """Raise what a call raised."""
        if self._failures:
            raise self._failures[0]

    def _work(self, number: int) -> None:
        try:
            self._ready.wait()
        except threading.BrokenBarrierError:
            return
        try:
            while not self._stop:
                self._fn()
                self._calls[number] += 1
        except BaseException as error:
            self._failures.append(error)
            self._stop = True

    def __enter__(self) -> _Load:
        try:
            for thread in self._threads:
                thread.start()
            self._ready.wait()
        except BaseException:
            # A thread that could not be started, or Ctrl-C: nobody is to be left behind.
            self._leave()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()
        if error is None:
            self.check()

    def _leave(self) -> None:
        self._stop = True
        self._ready.abort()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()


def _delays(
    load: _Load, period: float, seconds: float, draw: random.Random
) -> list[float]:
    """Return how late each wake was, one at least."""
    found: list[float] = []
    end = time.perf_counter() + seconds
    while not found or time.perf_counter() < end:
        load.check()
        due = time.perf_counter() + period * draw.uniform(0.5, 1.5)
        time.sleep(max(0.0, due - time.perf_counter()))
        found.append(max(0.0, time.perf_counter() - due))
    return found


def _stalls(load: _Load, period: float, seconds: float) -> list[float]:
    """Return how long each stop of all threads took, one at least.

    A collection of the youngest objects stops all attached threads (CPython:
    InternalDocs/garbage_collector.md, on the free-threaded build) and does little else.
    """
    found: list[float] = []
    end = time.perf_counter() + seconds
    while not found or time.perf_counter() < end:
        load.check()
        time.sleep(period)
        begin = time.perf_counter()
        gc.collect(0)
        found.append(time.perf_counter() - begin)
    return found


def _switches() -> int | None:
    try:
        import resource  # noqa: PLC0415 - not on every system
    except ImportError:
        return None
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_nvcsw + usage.ru_nivcsw


# The echo server is another process, so that it is not held up itself. It ends with this
# process: then its standard input does.
_ECHO_SERVER = """
import select, socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    ready, _, _ = select.select([server, sys.stdin], [], [])
    if sys.stdin in ready:
        break
    data, peer = server.recvfrom(64)
    server.sendto(data, peer)
"""


@contextmanager
def _echo_peer(*, wanted: bool) -> Iterator[socket.socket | None]:
    """Yield a socket whose datagrams come back; None where there can't be one."""
    if not wanted or not sys.executable:
        yield None
        return
    with subprocess.Popen(  # noqa: S603 - our own text, given to this interpreter
        [sys.executable, "-I", "-S", "-c", _ECHO_SERVER],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            port = process.stdout.readline()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                if port:
                    client.connect(("127.0.0.1", int(port)))
                    yield client
                else:
                    yield None
        finally:
            process.stdin.close()


def _echoes(load: _Load, peer: socket.socket, seconds: float) -> int:
    """Return how many datagrams came back."""
    # A lost datagram costs this long; the loopback hardly ever loses one.
    peer.settimeout(0.2)
    echoes = 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        load.check()
        number = echoes.to_bytes(8, "little")
        try:
            peer.send(number)
            while peer.recv(64) != number:
                pass  # one that was given up came back after all
        except TimeoutError:
            continue
        echoes += 1
    return echoes


def _beyond(delay: float, baseline: float) -> str:
    """Return how far a delay goes beyond the baseline's, for people."""
    return duration(delay - baseline) if delay > baseline else "none"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


# ---- what letting the GIL go costs -----------------------------------------------------


@dataclass(frozen=True)
class Costs:
    """What letting the GIL go costs on this machine; medians of rounds, in seconds.

    An interval holds all rounds; with seven, it holds the true median in 98 % of cases.
    """

    release: float
    """Giving the GIL back and taking it again while nobody else wants it (with the GIL
    off: detaching and attaching), two readings of the clock included."""
    release_interval: tuple[float, float]
    handover: float | None
    """How long the GIL stays unused when it goes to a thread that waits for it; None
    with the GIL off."""
    handover_interval: tuple[float, float] | None
    hold: float
    """How long the GIL was held before each hand-over: a CPU that has been waiting for
    longer takes longer to wake."""
    gil: bool

    def says_of(self, released: float) -> str:
        """Say in words whether a release that lasts this many seconds pays.

        Raises
        ------
        ArgumentError
            `released` is negative, infinite or no number.

        """
        released = real_at_least("released", released, 0)
        price = f"letting go and taking back costs {duration(self.release)}"
        if 0.001 * released <= self.release < released:
            price += f", {self.release / released:.1%} of it"
        length = f"a release of {duration(released)}"
        if released <= self.release:
            return f"{length} is too small to pay: {price}, which is more than it gives"
        if self.handover is None:
            return f"{length} blocks no other thread here, where there is no GIL: {price}"
        taking = f"a waiting thread takes over in {duration(self.handover)}"
        if released <= self.handover:
            return f"{length} is too small to pay: {taking}, and {price}"
        if released <= 10 * self.handover:
            return f"{length} pays only in part: {taking}, and {price}"
        return f"{length} pays: {taking}, and {price}"

    def __str__(self) -> str:
        what = "release and re-take" if self.gil else "detach and re-attach"
        lines = [f"{what}, nobody waiting: {_with(self.release, self.release_interval)}"]
        if self.handover is not None and self.handover_interval is not None:
            lines.append(
                f"hand-over to a waiting thread, after holds of {duration(self.hold)}:"
                f" {_with(self.handover, self.handover_interval)}"
            )
        return "\n".join(lines)


def _with(seconds: float, interval: tuple[float, float]) -> str:
    """Return a length of time with its interval."""
    return f"{duration(seconds)} ({duration(interval[0])} to {duration(interval[1])})"


def costs(*, hold: float = 200e-6, rounds: int = 7) -> Costs:
    """Measure what letting the GIL go costs on this machine.

    Uncontended: one thread lets it go and takes it back, over and over. Contended:
    threads hold it in turn and sleep in between, so many that it is always wanted; a
    hand-over lasts from when one lets go until the next one runs, on average without the
    longest 5 %. Other threads of the process that want the GIL meanwhile spoil both.
    Meanwhile the switch interval is at least four holds long.

    Parameters
    ----------
    hold : float
        How long to hold before a hand-over, in seconds, at least 1e-6. Hand-overs after
        short holds are quicker, since CPUs are still awake.
    rounds : int
        How many rounds, at least 1.

    Returns
    -------
    Costs
        Medians and intervals.

    Raises
    ------
    ArgumentError
        An argument is not as described; the message names it.

    """
    hold = real_at_least("hold", hold, 1e-6)
    rounds = at_least("rounds", rounds, 1)
    releases, handovers = [], []
    for _ in range(rounds):
        done = spin(1000, 1000, 3_000_000)
        releases.append((done.held_max_ns - done.held_min_ns) * 1e-9 / done.cycles)
        if gil_enabled():
            handovers.append(_handover(hold))
    return Costs(
        release=median(releases),
        release_interval=(min(releases), max(releases)),
        handover=median(handovers) if handovers else None,
        handover_interval=(min(handovers), max(handovers)) if handovers else None,
        hold=hold,
        gil=gil_enabled(),
    )


def _handover(hold: float) -> float:
    """Return how long the GIL stays unused between holds, on average."""
    # The shortest sleep lasts some 60 us, with a late wake 100: while one thread holds
    # and one waits, so many others may be asleep.
    threads = 2 + min(30, math.ceil(100e-6 / hold))
    length = int(hold * 1e9)
    given = time.perf_counter_ns()
    gaps: list[int] = []

    def take_a_turn() -> None:
        nonlocal given
        spin(length, 0, length)
        given = time.perf_counter_ns()
        time.sleep(1e-9)
        gaps.append(time.perf_counter_ns() - given)

    # A hold as long as the switch interval would let the GIL go as soon as it is over,
    # before the time is taken.
    interval = sys.getswitchinterval()
    sys.setswitchinterval(max(interval, 4 * hold))
    try:
        with _Load(take_a_turn, threads) as load:
            time.sleep(max(30e-3, 10 * threads * hold))
            load.check()
    finally:
        sys.setswitchinterval(interval)
    # The longest are those in which the system ran something else.
    return fmean(sorted(gaps)[: math.ceil(0.95 * len(gaps))]) * 1e-9
