"""Cost of a callable for other threads: the convoy delay.

The delays are measured as CPython's ccbench did (Antoine Pitrou, Tools/ccbench in CPython
3.2 to 3.10: latency and bandwidth of a thread beside busy ones): a thread sleeps, wants
to run at a known time, and sees how late it is. Meanwhile the GIL is watched: samples
taken between the time at which the thread wanted to run and the time at which it ran show
the lines that held the GIL.
"""

from __future__ import annotations

import gc
import math
import random
import socket
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial, reduce
from operator import add
from pathlib import PurePath
from statistics import median
from typing import TYPE_CHECKING, Any

from gilx._compat import gil_enabled
from gilx.callable_lookup import check_call
from gilx.errors import (
    ArgumentError,
    WatchUnavailableError,
    above_zero,
    at_least,
    numbers_of_workers,
)
from gilx.formatting import duration, format_table, line_width, name_of, percent, wrapped
from gilx.records import Record
from gilx.sampling.background_calls import Load
from gilx.sampling.sites import Site, sum_of_sites
from gilx.sampling.usage import GilUsage
from gilx.sampling.watch import COST, Watch
from gilx.sampling.world import World  # noqa: TC001 - JSON is read by annotations
from gilx.system.child_python import local_server
from gilx.system.environment import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gilx.estimate import Estimate
    from gilx.sampling.held_during import HeldDuring
    from gilx.sampling.world import StopSite

# Enough that no thread count has the machine's good or bad moments to itself.
_ROUNDS = 5
_FEWEST = 10  # samples that lines are named by
_MOST_LINES = 5  # that are shown; the record has all of them
_LEAST_LATE = 0.005  # of the time: a stop that waits for less waits for nobody
_ROUNDING = 1e-9  # of sums of shares
# Calls of compiled code have no Python frame of their own; this file makes the calls.
_CALLS = ("gilx", "sampling", "background_calls.py")


@dataclass(frozen=True)
class LatencyRow:
    """Delays of one thread while a number of others called the callable."""

    workers: int
    """Number of threads that called it; 0 is the baseline."""
    wakes: int
    """Number of delays that were measured."""
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
    where the loopback does not work, on Windows, or if it was not asked for."""
    stop_p50: float | None
    """Median time that a stop of all threads took (a garbage collection), in seconds, on
    a free-threaded build with the GIL off; None with a GIL."""
    stop_max: float | None
    lines: tuple[Site, ...] = ()
    """Lines of other threads that held the GIL during the delays, the line of the largest
    share first. The share `held` of a line is one of all delays together, so that long
    delays count more. Longest holds are unknown."""
    samples: int = 0
    """Number of samples of the GIL behind these shares."""
    max_lines: tuple[Site, ...] = ()
    """The same for the longest delay alone."""
    max_samples: int = 0
    stops: World | None = None
    """Stops of all threads while they were timed, with the threads and lines that were
    late to stop; shares are of that time. None with a GIL, or if they were not read."""


@dataclass(frozen=True)
class Latency(Record, schema="gilx.latency", version=3):
    """The delays that a callable puts on a thread that wants to run now and then."""

    target: str
    period: float
    """Mean time between wakes, in seconds."""
    gil: bool
    environment: str
    rows: tuple[LatencyRow, ...]
    """The baseline first, then one for each number of threads, as given."""
    lines_missing: str = ""
    """Reason that no row has lines; empty if stacks were read."""

    def __str__(self) -> str:
        first, others = self.rows[0], self.rows[1:]
        what = "the GIL" if self.gil else "to run (there is no GIL here)"
        head = [
            "workers",
            "wakes",
            "p50",
            "p99",
            "max",
            "calls/s",
            "switches/s",
            "echoes/s",
        ]
        cells = [
            [
                *(str(row.workers or "none"), str(row.wakes)),
                *map(duration, (row.p50, row.p99, row.max)),
                *map(_number, (row.calls, row.switches, row.echoes)),
                *map(duration, (row.stop_p50, row.stop_max)),
            ]
            for row in self.rows
        ]
        if not self.gil:
            head += ["stop p50", "stop max"]
        places = range(len(head))
        table = format_table(head, [row[: len(head)] for row in cells], right=places)
        worst = max(others, key=lambda row: row.p99)
        said = (
            f"Delay of a thread that wants {what} every {duration(self.period)},"
            f" beside {self.target}"
        )
        added = (
            f"Convoy delay, {_counted(worst.workers, 'thread')}:"
            f" {_beyond(worst.p50, first.p50)} at the median,"
            f" {_beyond(worst.p99, first.p99)} at p99"
        )
        lines = self._lines_shown(worst) if self.gil else self._stops_shown(others)
        environment = wrapped(self.environment)
        return "\n".join([said, *environment, "", table, "", added, *lines])

    def _lines_shown(self, row: LatencyRow) -> list[str]:
        """Return the lines that made the thread wait, for people."""
        if self.lines_missing:
            unknown = f"The lines that made it wait are unknown: {self.lines_missing}."
            return wrapped(unknown, rest="  ")
        if row.samples < _FEWEST:
            return wrapped(
                f"The lines that made it wait are unknown: {row.samples} samples of the"
                f" GIL came during its delays, at least {_FEWEST} are needed."
            )
        beside = f"the delays beside {_counted(row.workers, 'thread')}"
        if not row.lines:
            return [f"During {beside}, no other thread held the GIL."]
        first, rest = row.lines[:_MOST_LINES], row.lines[_MOST_LINES:]
        rows = [(line.held.text(percent), self._label(line)) for line in first]
        if rest:
            share = math.fsum(line.held.value for line in rest)
            rows.append((percent(share), _counted(len(rest), "other line")))
        held = min(1.0, math.fsum(line.held.value for line in row.lines))
        rows.append((percent(1 - held), "no other thread held the GIL"))
        width = max(len(share) for share, _ in rows)
        return [
            f"Holders of the GIL during {beside}, by share of the time:",
            *(_cut(f"  {share:<{width}}  {label}") for share, label in rows),
            *wrapped(self._longest(row), rest="  "),
        ]

    def _stops_shown(self, rows: Sequence[LatencyRow]) -> list[str]:
        """Return the threads and lines that stops waited for, for people."""
        row = max(rows, key=lambda row: row.stop_max or 0.0)
        beside = f"beside {_counted(row.workers, 'thread')}"
        if row.stops is None:
            return [f"The threads that stops waited for {beside} are unknown."]
        late = math.fsum(one.share.value for one in row.stops.late)
        if late < _LEAST_LATE:
            return [f"Stops {beside} hardly waited for any thread."]

        def part(share: Estimate) -> str:
            return percent(min(1.0, share.value / late))

        first = row.stops.late[:_MOST_LINES]
        threads = ", ".join(f"{one.name} {part(one.share)}" for one in first)
        lines = sorted(row.stops.sites, key=lambda site: -site.late.value)
        shown = [
            (part(site.late), self._stop_label(site))
            for site in lines[:_MOST_LINES]
            if site.late.value > 0
        ]
        width = max((len(share) for share, _ in shown), default=0)
        return [
            *wrapped(
                f"For {percent(row.stops.stopping.value)} of the time in which stops were"
                f" timed {beside}, they waited for threads: {threads}",
                rest="  ",
            ),
            *(["Lines that these were in:"] if shown else []),
            *(_cut(f"  {share:<{width}}  {label}") for share, label in shown),
        ]

    def _stop_label(self, site: StopSite) -> str:
        """Return a place with its text; gilx's own call is that of the target."""
        if _is_call(site):
            return f"{self.target}, outside of its Python code"
        return site.label

    def _longest(self, row: LatencyRow) -> str:
        """Return the line that held the GIL for most of the longest delay, in words."""
        if row.max_samples == 0:
            return f"No sample came in the longest delay, {duration(row.max)}."
        first = next(iter(row.max_lines), None)
        samples = _counted(row.max_samples, "sample")
        if first is None or 2 * first.samples <= row.max_samples:
            return (
                f"No single line held the GIL in most of the {samples} in the longest"
                f" delay, {duration(row.max)}."
            )
        return (
            f"Of the {samples} in the longest delay, {duration(row.max)},"
            f" {first.samples} found the GIL held by {self._label(first)}."
        )

    def _label(self, line: Site) -> str:
        """Return a line with its text; gilx's own call is that of the target."""
        return (
            f"{self.target}, outside of its Python code" if _is_call(line) else line.label
        )

    def _check(self, where: str) -> None:
        if len(self.rows) < 2:
            raise ArgumentError(
                f"{where}.rows: expected the baseline and at least one more row, got"
                f" {len(self.rows)}"
            )
        for number, row in enumerate(self.rows):
            for name in ("lines", "max_lines"):
                held = math.fsum(line.held.value for line in getattr(row, name))
                if not held <= 1 + _ROUNDING:
                    raise ArgumentError(
                        f"{where}.rows[{number}].{name}: expected shares of 1 at most"
                        f" together, got {held:.6g}"
                    )


def latency(
    fn: Callable[..., object],
    *args: Any,  # noqa: ANN401 - whatever fn takes
    workers: int | Sequence[int] = (1,),
    period: float = 0.005,
    budget: float = 4.0,
    echo: bool = True,
    seed: int = 0,
) -> Latency:
    """Measure the delay that `fn` puts on a thread that wants the GIL every few ms.

    `fn` is called once, since a first call may compile, import or fill a cache, and then
    in a loop in other threads. Meanwhile the calling thread sleeps for a
    random time around `period`, sees how late it runs again, and starts over; then it
    sends datagrams to an echo server in another process and counts the round trips. The
    same is done with no thread calling `fn`. All of it is done in five rounds, each in
    random order. With the GIL off it also times stops of all threads, which wait until
    every thread that is attached to the interpreter has come to a safe point, and watches
    the threads that these waited for.

    The GIL is watched during the delays, at the cost of 3 % of a CPU, to find the lines
    that hold it meanwhile. The sampler takes samples at random times, about one a
    millisecond: a single short delay may have none, so shares are those of all delays
    together.

    Parameters
    ----------
    fn : callable
        What to call. It should return every now and then: threads end with the call that
        they are in.
    *args
        Arguments of the call; bind keywords with `functools.partial`.
    workers : int or sequence of int
        With how many threads calling it to measure, each 1 to 4096.
    period : float
        Mean time between wakes, in seconds, above 0. Wakes are spread evenly over half
        to one and a half of it, so that they can't fall into step with `fn`.
    budget : float
        Seconds that all of it may take, above 0, the first call left out. The baseline
        and each number of threads get the same share of it; round trips and stops each
        get half as much of that share as delays.
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
        Whatever `fn` raised, as itself, after all threads have stopped.

    """
    check_call(fn)
    counts = [0, *numbers_of_workers(workers)]
    period = above_zero("period", period)
    budget = above_zero("budget", budget)
    seed = at_least("seed", seed, 0)
    call = partial(fn, *args) if args else fn
    draw = random.Random(seed)
    measured = {count: _Samples() for count in counts}
    # Round trips and stops are each measured for half as long as delays are taken.
    parts = 1 + 0.5 * echo + 0.5 * (not gil_enabled())
    seconds = budget / len(measured) / parts / _ROUNDS
    if seconds < period:
        raise ArgumentError(
            f"budget: expected at least {period * budget / seconds:.2g} for wakes every"
            f" {period:g} seconds, got {budget:g}"
        )
    call()
    with _echo_peer(wanted=echo) as peer:
        for _ in range(_ROUNDS):
            for count in draw.sample(list(measured), len(measured)):
                measured[count].take(call, count, period, seconds, peer=peer, draw=draw)
    return Latency(
        target=name_of(call),
        period=period,
        gil=gil_enabled(),
        environment=describe(),
        rows=tuple(measured[count].row(count) for count in counts),
        lines_missing=next(
            (each.lines_missing for each in measured.values() if each.lines_missing), ""
        ),
    )


@dataclass
class _Samples:
    """Measurements for one number of threads, over all rounds."""

    delays: list[float] = field(default_factory=list)
    held: list[HeldDuring] = field(default_factory=list)
    longest: tuple[float, HeldDuring] | None = None
    lines_missing: str = ""
    stop_times: list[float] = field(default_factory=list)
    calls: int = 0
    seconds: float = 0.0
    switches: int | None = 0
    echoes: int | None = 0
    echo_seconds: float = 0.0
    stops: list[GilUsage] = field(default_factory=list)

    def take(
        self,
        fn: Callable[[], object],
        workers: int,
        period: float,
        seconds: float,
        *,
        peer: socket.socket | None,
        draw: random.Random,
    ) -> None:
        """Measure for one round."""
        with Load(fn, workers) as load:
            calls, switches, begin = load.calls(), _switches(), time.perf_counter()
            with _watching() as watch:
                waits = _waits(load, period, seconds, draw)
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
                with _watching(needs_gil=False) as stops:
                    self.stop_times += _stop_times(load, period, seconds / 2)
                if not isinstance(stops, str) and stops.usage.sums.without_gil:
                    self.stops.append(stops.usage)
        self.delays += [end - due for due, end in waits]
        self._add_lines(waits, watch)

    def _add_lines(self, waits: list[tuple[float, float]], watch: Watch | str) -> None:
        """Add the lines that held the GIL during delays, or the reason for none."""
        if isinstance(watch, str) or watch.usage.sites_missing:
            missing = watch if isinstance(watch, str) else watch.usage.sites_missing
            self.lines_missing = missing
            return
        self.held.append(_held_during(watch, waits))
        due, end = max(waits, key=lambda wait: wait[1] - wait[0])
        if self.longest is None or end - due > self.longest[0]:
            self.longest = end - due, _held_during(watch, [(due, end)])

    def row(self, workers: int) -> LatencyRow:
        """Return the figures."""
        delays = sorted(self.delays)
        held = reduce(add, self.held) if self.held and not self.lines_missing else None
        longest = self.longest[1] if held and self.longest else None
        return LatencyRow(
            workers=workers,
            wakes=len(delays),
            p50=median(delays),
            # The least delay that 99 % of all do not exceed.
            p99=delays[math.ceil(0.99 * len(delays)) - 1],
            max=delays[-1],
            calls=self.calls / self.seconds,
            switches=None if self.switches is None else self.switches / self.seconds,
            echoes=None if self.echoes is None else self.echoes / self.echo_seconds,
            stop_p50=median(self.stop_times) if self.stop_times else None,
            stop_max=max(self.stop_times) if self.stop_times else None,
            lines=held.lines if held else (),
            samples=held.samples if held else 0,
            max_lines=longest.lines if longest else (),
            max_samples=longest.samples if longest else 0,
            stops=self._stops(),
        )

    def _stops(self) -> World | None:
        """Return the stops of all rounds, whose threads have the same names."""
        if not self.stops:
            return None
        usage = GilUsage.total(self.stops)
        return None if usage.world is None else usage.world.by_name(usage.sums)


@contextmanager
def _watching(*, needs_gil: bool = True) -> Iterator[Watch | str]:
    """Watch the GIL, or threads without one; yield the watch, or why there is none."""
    watch = Watch(COST, held_samples=needs_gil, needs_gil=needs_gil)
    try:
        watch.__enter__()
    except WatchUnavailableError as error:
        yield str(error)
        return
    try:
        yield watch
    finally:
        watch.stop()


def _held_during(watch: Watch, waits: list[tuple[float, float]]) -> HeldDuring:
    """Return what held the GIL; all that gilx does to call the target is one line."""
    held = watch.held_during(waits)
    sites = tuple(
        replace(site, line=0, end_line=0, column=-1, end_column=-1, text="", library="")
        if _is_call(site)
        else site
        for site in held.sites
    )
    return replace(held, sites=sum_of_sites(sites, held.sums))


def _is_call(site: Site | StopSite) -> bool:
    """Return whether a site is in the threads that call the target, outside of it."""
    return PurePath(site.file).parts[-len(_CALLS) :] == _CALLS


def _waits(
    load: Load, period: float, seconds: float, draw: random.Random
) -> list[tuple[float, float]]:
    """Return when each wake was due and when the thread ran, one at least."""
    found: list[tuple[float, float]] = []
    now = time.perf_counter  # on Linux, the sampler's clock
    end = now() + seconds
    while not found or now() < end:
        load.check()
        due = now() + period * draw.uniform(0.5, 1.5)
        time.sleep(max(0.0, due - now()))
        found.append((due, max(due, now())))
    return found


def _stop_times(load: Load, period: float, seconds: float) -> list[float]:
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
    # On Windows the server can't wait for its standard input and a socket at once.
    if not wanted or not sys.executable or sys.platform == "win32":
        yield None
        return
    with (
        local_server(_ECHO_SERVER) as port,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        if port is None:
            yield None
        else:
            client.connect(("127.0.0.1", port))
            yield client


def _echoes(load: Load, peer: socket.socket, seconds: float) -> int:
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
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def _cut(row: str) -> str:
    """Return a row that fits into a line."""
    width = line_width()
    return row if len(row) <= width else f"{row[: width - 3]}..."
