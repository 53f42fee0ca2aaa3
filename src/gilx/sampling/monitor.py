"""Monitor of the GIL, or of stops of the world, and of event loops."""

from __future__ import annotations

import atexit
import errno
import os
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from gilx._compat import gil_enabled
from gilx.errors import (
    ArgumentError,
    NoGilError,
    WatchUnavailableError,
    number_between,
    one_of,
    shown,
)
from gilx.estimate import Estimate
from gilx.formatting import escaped, printable
from gilx.native_threads import allocate_lock, native_id, start_thread
from gilx.owned_file import OwnedFile
from gilx.sampling.clocked_times import ClockedSums
from gilx.sampling.counters import Counters, ThreadCounters, WorldCounters
from gilx.sampling.known_stacks import reason_against_reports
from gilx.sampling.longest_by_reader import LongestByReader
from gilx.sampling.ratio_interval import Ratio, interval
from gilx.sampling.stalls import Stall, own_place
from gilx.sampling.thread_names import (
    join_thread_names,
    leave_thread_names,
    note_names,
    renew_lock_in_child,
)
from gilx.sampling.thread_totals import FoundThread, NameSums, ThreadTotals
from gilx.sampling.thread_usage import UNIDENTIFIED
from gilx.sampling.watch import (
    environment_now,
    names_of_ended_threads,
    names_of_threads,
    sums_of,
)

if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Hashable

    from gilx.sampling._sampler import FoundWorld, Sampler, Totals
    from gilx.sampling.event_loops import EventLoops
    from gilx.sampling.hold_fraction import HoldSums

_SHORTEST_STALL, _LONGEST_STALL = 0.01, 86400.0
_STANDARD_ERROR = 2
# As the sampler numbers them.
_KINDS: tuple[Literal["gil", "loop", "world"], ...] = "gil", "loop", "world"
_ASKS_PER_STALL = 8
_LONGEST_WAIT = 1.0  # seconds between two requests for the GIL
_END_TIMEOUT = 1.0  # seconds, for a thread that needs the GIL once more

# Those that run, for the end of the interpreter and for children of forks. A monitor runs
# until it is stopped, also if the program keeps no reference to it.
_running: set[Monitor] = set()


@atexit.register
def _stop_all() -> None:
    for one in list(_running):
        one.stop()


def _restart_in_child() -> None:
    renew_lock_in_child()
    event_loops = sys.modules.get("gilx.sampling.event_loops")
    # While another thread of the parent was loading it, it has no such function yet.
    if restart := getattr(event_loops, "restart_event_loops_in_child", None):
        restart()
    for one in list(_running):
        one._restart()  # noqa: SLF001 - of this module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_restart_in_child)


class Monitor:
    """Monitor of this process's GIL, or of its threads without one.

    It runs for as long as the program does. A thread that never takes the GIL samples it.
    `read` returns counters at any time, and when threads have waited for the GIL for
    `stall` seconds, the sampler writes a report with the Python stacks of the thread that
    holds it and of those that wait, while that lasts. It needs neither the GIL nor memory
    for that, so that a hold that never ends is reported as well. With `loop`, it does the
    same for event loops of asyncio that have not returned to their selector, whether
    their thread holds the GIL or not.

    In a Python that runs without a GIL, `read` returns what threads did and for what they
    waited. A stall is a stop of the world there, which the garbage collector needs, for
    example, and for which threads have waited for `stall` seconds: it does not begin,
    since a thread is late, or it does not end. The report names the thread that asked for
    it, those that are late and those that wait, with their stacks. A deadlock of threads
    that wait for one another's locks is not a stall: they have all released the
    interpreter.

    It is a context manager; `start` and `stop` do the same. In the child of a fork it
    starts anew: counters begin at 0 there, and reports name the process.

    Parameters
    ----------
    stall : float or None
        Seconds for which a thread has to wait for the GIL, or for a stop of the world to
        begin or to end, until that is reported, from 0.01 to 86400; None: stalls are
        neither counted nor reported.
    cost : float
        Share of one CPU that the monitor may cost the program, above 0 and at most 0.5.
        Its thread takes 0.4 of that; the rest is for the threads that each sample
        interrupts. Some 0.2 % is the least, and more if `stall` is below 0.05.
    lone : bool
        Report a stall also if no thread of the program waits. A thread of gilx's own then
        asks for the GIL several times in `stall` seconds, once a second at least. Without
        a GIL, it asks for a stop of the world as often, for which each thread that is
        attached stops for a moment: so a thread that never stops is found although no
        other one needs it to.
    loop : float or None
        Seconds for which an event loop of asyncio has not returned to its selector until
        that is reported, from 0.01 to 86400; None: loops are not watched. Each loop is
        judged by itself, whichever thread runs it. For loops of uvloop, which have no
        selector of Python's, one line in the log says that they are not watched.
    log : path, int or None
        File to which reports are appended, or a descriptor to which they are written;
        None: standard error. The descriptor is duplicated.
    on_stall : {'report', 'exit'}
        Whether a stall of the GIL or the world is reported only, or the process then ends
        at once, with status 70: without cleaning up, as by `os._exit`. A blocked event
        loop does not end the process: other threads can still stop it in good order.

    Raises
    ------
    ArgumentError
        An argument is not as described, or `log` can't be opened.

    """

    def __init__(
        self,
        stall: float | None = 0.1,
        cost: float = 0.01,
        *,
        lone: bool = False,
        loop: float | None = None,
        log: str | os.PathLike[str] | int | None = None,
        on_stall: str = "report",
    ) -> None:
        self._stall = _limit("stall", stall)
        self._loop = _limit("loop", loop)
        self._cost = number_between("cost", cost, 0, 0.5, above=True)
        self._exits = one_of("on_stall", on_stall, ("report", "exit")) == "exit"
        self._lone = bool(lone)
        if stall is None and (self._exits or self._lone):
            raise ArgumentError(
                "stall: expected a number of seconds beside lone or on_stall, got None"
            )
        if stall is None and loop is None and log is not None:
            raise ArgumentError(
                "stall: expected a number of seconds, here or as loop, beside log, got"
                " None"
            )
        self._given_log = log
        self._log: OwnedFile | None = None
        self._sampler: Sampler | None = None
        self._loops: EventLoops | None = None
        self._note = self._note_in_child = "", ""
        self._stopped = self._notes_names = self._without_gil = False
        self._reset()

    def _reset(self) -> None:
        self._process = os.getpid()
        self._threads: ThreadTotals[Any] = ThreadTotals(NameSums.of, NameSums())
        self._longest = LongestByReader()
        self._lock = threading.RLock()
        self._asker: _Asker | None = None

    def __enter__(self) -> Monitor:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the sampler.

        Raises
        ------
        WatchUnavailableError
            The GIL, or the threads without one, can't be watched here, or it is not known
            which threads wait; the message says why. `NotCompiledError`, one kind of it,
            if gilx was installed without its compiled parts.
        ArgumentError
            The log can't be opened.
        RuntimeError
            The monitor was started before.

        """
        # Before the lock, as in `read`.
        names = names_of_threads() if self._reports else {}
        with self._lock:
            if self._sampler is not None:
                raise RuntimeError("a monitor can be started once only")
            if self._reports:
                self._open_log()
            else:  # it is for the child of a fork only, to say that nothing runs there
                with suppress(ArgumentError):
                    self._open_log()
            try:
                self._start(names)
            except BaseException:
                self._leave_names()
                self._leave_loops()
                self._close_log()
                raise
            _running.add(self)

    def _start(self, names: dict[int, str]) -> None:
        from gilx.sampling import _sampler  # noqa: PLC0415 - not in every installation

        self._without_gil = not gil_enabled()
        world_missing = ""
        if not self._without_gil:
            try:
                _sampler.backend()
            except NoGilError:
                self._without_gil = True  # it is on for the moment of an import
        if self._without_gil:
            _, _, world_missing = _sampler.free_backend()
            self._threads = ThreadTotals(ClockedSums.of, ClockedSums())
        if self._reports and not self._notes_names:
            join_thread_names(names)
            self._notes_names = True
        if self._loop and self._loops is None:
            self._join_loops()
        sampler = _sampler.Sampler(
            self._cost,
            seed=int.from_bytes(os.urandom(7), "little"),
            stacks=not reason_against_reports(),
            monitor=True,
            stall=self._stall,
            exits=self._exits,
            log=_STANDARD_ERROR if self._log is None else self._log.descriptor,
            loop=self._loop,
            loops=None if self._loops is None else self._loops.table,
            free_threads=self._without_gil,
        )
        sampler.start()
        try:
            if self._stall and world_missing:
                raise WatchUnavailableError(
                    f"{world_missing}, so that no stalls are found: Monitor(stall=None)"
                    " counts without them"
                )
            if self._stall and not sampler.sees_waiters():
                raise WatchUnavailableError(
                    "this C library does not show which threads wait for the GIL, so"
                    " that no stalls are found: Monitor(stall=None) counts without them"
                )
            sampler.note(*self._note)
            if self._lone:
                self._asker = _Asker(sampler, self._stall)
        except BaseException:
            sampler.stop()
            raise
        self._sampler = sampler

    def stop(self) -> None:
        """Stop the sampler; a second time does nothing. Counters can still be read."""
        with self._lock:
            sampler = self._sampler
            if sampler is None or self._stopped:
                return
            self._stopped = True
            _running.discard(self)
            sampler.stop()
            self._leave_names()
            self._leave_loops()
            self._close_log()
        if self._asker is not None:
            self._asker.join()

    @property
    def _reports(self) -> bool:
        """True if it reports anything, and does not only count."""
        return bool(self._stall or self._loop)

    def _leave_names(self) -> None:
        if self._notes_names:
            self._notes_names = False
            leave_thread_names()

    def _join_loops(self) -> None:
        from gilx.sampling.event_loops import (  # noqa: PLC0415 - it loads asyncio
            join_event_loops,
        )

        self._loops = join_event_loops(self._report_unwatched)

    def _leave_loops(self) -> None:
        loops, self._loops = self._loops, None
        if loops is not None:
            from gilx.sampling.event_loops import (  # noqa: PLC0415 - loaded by then
                leave_event_loops,
            )

            leave_event_loops(loops, self._report_unwatched)

    def _report_unwatched(self, text: str) -> None:
        self._write(printable(text))

    def _write(self, text: str) -> None:
        """Write a line to the log from Python code, if the log takes it at once."""
        line = f"gilx: process {os.getpid()}: {text}\n".encode(errors="replace")
        if self._log is not None:
            with suppress(OSError):  # as the sampler does, it drops what can't be written
                self._log.write_at_once(line)

    def _open_log(self) -> None:
        if isinstance(self._given_log, str | os.PathLike):  # daemons change directory
            self._given_log = os.path.abspath(self._given_log)
        self._log = OwnedFile(log_descriptor(self._given_log))

    def _close_log(self) -> None:
        log, self._log = self._log, None
        if log is not None:
            log.close()

    def _restart(self) -> None:
        """Start anew in the child of a fork, or report that it does not run there."""
        self._reset()
        self._sampler = None
        self._note = self._note_in_child
        try:
            if self._log is not None and not self._log.is_own:
                self._log = None  # the program has closed it, as daemons do
                self._open_log()
            self._start(names_of_threads() if self._reports else {})
        except Exception as error:  # the child goes on in any case
            self._stopped = True
            _running.discard(self)
            self._leave_names()
            self._leave_loops()
            self._write(
                "the monitor does not run in this child of a fork:"
                f" {printable(str(error))}"
            )

    @property
    def running(self) -> bool:
        """True if the sampler was started, in this process, and not stopped since."""
        return self._sampler is not None and not self._stopped

    def read(self, reader: Hashable = None) -> Counters:
        """Return the counters since the start.

        It can be called from any thread, while the sampler runs and after the stop.

        Parameters
        ----------
        reader : hashable
            Whose reading this is. `Counters.longest_hold` is the longest hold since the
            last reading of the same reader, or since the start in its first one, so that
            parts of a program that read the same monitor do not disturb each other. The
            64 that read last are remembered.

        Raises
        ------
        RuntimeError
            The monitor was not started.

        """
        sampler = self._started()
        # Names need a lock of `threading`. The main thread may have it while a handler of
        # a signal reads, too, and waits for a thread that has ours.
        names_now, names_before = names_of_threads(), names_of_ended_threads()
        if self._notes_names:
            note_names(names_now)
        with self._lock:
            (
                totals, low, high, stalls, blocked, dropped, ended, _, threads, world
            ) = sampler.read()  # fmt: skip
            asker = 0 if self._asker is None else self._asker.native_id
            longest = self._longest.take(
                reader, (low, high) if world is None else world[3:]
            )
            found = [FoundThread(*one) for one in threads]
            names = self._threads.update(
                [one for one in found if one.native_id != asker],
                ended,
                names_now,
                names_before,
            )
        counts = _Counts(self._process, stalls, blocked, dropped)
        if self._without_gil:
            return _counters_without_gil(totals, names, counts, world, longest)
        low, high = longest
        return _counters(
            totals,
            names,
            counts,
            longest=Estimate((low + high) / 2e9, low / 1e9, high / 1e9),
            sees_waiters=sampler.sees_waiters(),
        )

    @property
    def stalls(self) -> tuple[Stall, ...]:
        """The stalls that were reported last, 16 at most, the oldest one first.

        Raises
        ------
        RuntimeError
            The monitor was not started.

        """
        names = names_of_ended_threads() | names_of_threads()
        # Between the clock of the stalls and that of the world.
        offset = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
        return tuple(
            _stall(one, self._process, names, offset) for one in self._started().stalls()
        )

    def note(self, text: str, *, deadlock: str = "", in_child: str | None = None) -> None:
        """Set a text that is written after each report.

        Parameters
        ----------
        text : str
            Of which the first 8191 bytes in UTF-8 are kept. What is not printable is
            escaped, but for ends of lines.
        deadlock : str
            Text that precedes it if the thread that holds the GIL waits for another lock,
            and others wait for the GIL; or if a thread that is late to stop waits for a
            lock, and others for the stop. 511 bytes are kept.
        in_child : str, optional
            Text in place of both in children that are forked from now on; by default they
            have the same.

        """
        with self._lock:
            self._note = _safe_lines(text), _safe_lines(deadlock)
            self._note_in_child = (
                self._note if in_child is None else (_safe_lines(in_child), "")
            )
            if self._sampler is not None and not self._stopped:
                self._sampler.note(*self._note)

    def _started(self) -> Sampler:
        if self._sampler is None:
            raise RuntimeError("the monitor was not started")
        return self._sampler


class _Asker:
    """Thread that asks for the GIL now and then, until the monitor is stopped."""

    def __init__(self, sampler: Sampler, stall: float) -> None:
        self.native_id = 0
        self._sampler = sampler
        self._wait = min(_LONGEST_WAIT, stall / _ASKS_PER_STALL)
        self._ended = allocate_lock()
        self._ended.acquire()
        started = allocate_lock()
        started.acquire()
        try:
            start_thread(self._run, started)
        except RuntimeError as error:
            raise WatchUnavailableError(f"lone: no thread asks: {error}") from None
        # Before that, it would be a thread of the program that waits for the GIL.
        started.acquire()

    def _run(self, started: LockType) -> None:
        self.native_id = native_id()
        try:
            self._sampler.ask(0.0)
            started.release()
            while self._sampler.ask(self._wait):
                pass
        finally:
            self._ended.release()

    def join(self) -> None:
        """Wait until the thread has ended, after the sampler was stopped."""
        self._ended.acquire(timeout=_END_TIMEOUT)


def _safe_lines(text: str) -> str:
    """Return lines of text with escapes in place of what is not printable."""
    return "\n".join(map(escaped, text.split("\n")))


def _limit(name: str, seconds: float | None) -> float:
    """Return the seconds after which something is reported, 0 if it never is."""
    if seconds is None:
        return 0.0
    limits = _SHORTEST_STALL, _LONGEST_STALL
    return number_between(name, seconds, *limits, unit="seconds")


def log_descriptor(log: str | os.PathLike[str] | int | None) -> int:
    """Return a descriptor of our own for the log.

    Raises
    ------
    ArgumentError
        It can't be opened.

    """
    try:
        if log is None:
            return os.dup(_STANDARD_ERROR)
        if isinstance(log, bool):
            raise TypeError("neither a path nor a descriptor")
        if isinstance(log, int):
            import fcntl  # noqa: PLC0415 - not on Windows

            if fcntl.fcntl(log, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
                raise OSError(errno.EBADF, "it is open for reading only")
            return os.dup(log)
        # A pipe with a name and without a reader is an error then, and does not block.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
        descriptor = os.open(log, flags, 0o666)
        os.set_blocking(descriptor, True)
        return descriptor
    except (OSError, ValueError, TypeError, OverflowError) as error:
        what = "standard error" if log is None else shown(log)
        why = getattr(error, "strerror", None) or error
        raise ArgumentError(
            f"log: expected a file that can be written, got {what}: {why}"
        ) from None


def _stall(
    found: tuple[int, int, int, int, int, bool, int, int, str, str, int, str],
    process: int,
    names: dict[int, str],
    offset: float,
) -> Stall:
    kind, number, begin, low, high, open_at_stop, waiters, native_id = found[:8]
    function, file, line, text = found[8:]
    report = tuple(text.removesuffix("\n").split("\n"))
    own = own_place(report)
    over = high >= 0
    seconds = (
        Estimate((low + high) / 2e9, low / 1e9, high / 1e9)
        if over
        else Estimate(low / 1e9, low / 1e9, float("inf"))
    )
    return Stall(
        kind=_KINDS[kind],
        process=process,
        number=number,
        time=begin / 1e9 + offset,
        seconds=seconds,
        open_at_stop=open_at_stop,
        waiters=waiters,
        thread=names.get(native_id, f"thread {native_id}"),
        native_id=native_id,
        function=escaped(function),
        file=escaped(file),
        line=line,
        own_function=own.function,
        own_file=own.file,
        own_line=own.line,
        report=report,
    )


# ---- counters -------------------------------------------------------------------------


class _Counts(NamedTuple):
    process: int
    stalls: int
    blocked_loops: int
    dropped: int


def _counters_without_gil(
    totals: Totals,
    names: dict[str, ClockedSums],
    counts: _Counts,
    world: FoundWorld | None,
    longest: tuple[int, ...],
) -> Counters:
    sums = sums_of(totals, [], stacks=False)
    stops = None if world is None else Ratio(*world[0])
    calls = bool(totals.calls)
    locks = not gil_enabled()  # once it is on, threads may have waited for it
    unknown = Estimate.unknown()
    threads = sorted(
        names.items(),
        key=lambda one: -(one[1].attached.time + one[1].detached.time),
    )
    whole = sum((one for _, one in threads), ClockedSums())
    return Counters(
        process=counts.process,
        wall=totals.counted / 1e9,
        held_seconds=unknown,
        waited_seconds=unknown,
        unknown_seconds=totals.unknown / 1e9,
        cost_seconds=totals.cost_ns / 1e9,
        stalls=counts.stalls,
        blocked_loops=counts.blocked_loops,
        dropped_bytes=counts.dropped,
        longest_hold=unknown,
        by_thread=tuple(
            ThreadCounters(
                name, unknown, unknown, one.seconds(sums, stops, calls=calls, locks=locks)
            )
            for name, one in threads
        ),
        environment=environment_now(),
        states=whole.seconds(sums, stops, calls=calls, locks=locks),
        world=None if world is None else _world(world, longest, sums),
    )


def _world(found: FoundWorld, longest: tuple[int, ...], sums: HoldSums) -> WorldCounters:
    def seconds(ratio: Ratio) -> Estimate:
        if ratio.y <= 0:
            return Estimate(0.0, 0.0, 0.0)
        share = interval(ratio, sums.unknown_share, prompt=sums.prompt)
        return _seconds(ratio.x, share, ratio.y)

    low, high, stretch = (one / 1e9 for one in longest)
    return WorldCounters(
        stopped_seconds=seconds(Ratio(*found[0])),
        stopping_seconds=seconds(Ratio(*found[1])),
        least_stops=found[2],
        longest_stop=Estimate(max(low, min(high, stretch)), low, max(low, high)),
    )


def _counters(
    totals: Totals,
    names: dict[str, NameSums],
    counts: _Counts,
    *,
    longest: Estimate,
    sees_waiters: bool,
) -> Counters:
    # Time that no sample stands for yet is left to the next reading, so the difference
    # of two has no more seconds of holds than of all time.
    wall = totals.counted
    sums = sums_of(totals, [], stacks=False)
    held = _seconds(
        totals.locked_x,
        interval(sums.locked, sums.unknown_share, prompt=sums.prompt),
        totals.counted,
    )
    gil_waits = bool(totals.addresses or totals.wishes)
    threads = [
        _thread_counters(name, one, sums, gil_waits=gil_waits)
        for name, one in names.items()
    ]
    if totals.unidentified > 0:
        seconds = totals.unidentified / 1e9
        threads.append(
            ThreadCounters(
                UNIDENTIFIED, Estimate(seconds, 0.0, wall / 1e9), Estimate.unknown()
            )
        )
    threads.sort(key=lambda one: one.held_seconds.value, reverse=True)
    return Counters(
        process=counts.process,
        wall=wall / 1e9,
        held_seconds=held,
        waited_seconds=_waited(totals, sums)
        if sees_waiters and totals.waiters_y > 0
        else Estimate.unknown(),
        unknown_seconds=totals.unknown / 1e9,
        cost_seconds=totals.cost_ns / 1e9,
        stalls=counts.stalls,
        blocked_loops=counts.blocked_loops,
        dropped_bytes=counts.dropped,
        longest_hold=longest,
        by_thread=tuple(threads),
        environment=environment_now(),
    )


def _seconds(value: float, share: tuple[float, float], whole: float) -> Estimate:
    """Return a sum of nanoseconds, with an interval that its share of a whole has."""
    low, high = share[0] * whole, share[1] * whole
    return Estimate(value / 1e9, min(value, low) / 1e9, max(value, high) / 1e9)


def _waited(totals: Totals, sums: HoldSums) -> Estimate:
    known = sums.waiting(sums.waiters, totals.counted / 1e9)
    value = totals.waiters_x / 1e9
    return Estimate(value, min(value, known.low), max(value, known.high))


def _thread_counters(
    name: str, one: NameSums, sums: HoldSums, *, gil_waits: bool
) -> ThreadCounters:
    whole = sums.locked.y
    held = one.held.share(whole, sums.locked.yy, sums)
    waited = one.waited.share(one.known, one.squares, sums)
    return ThreadCounters(
        name=name,
        held_seconds=_seconds(one.held.time, held.interval, whole)
        if held.known
        else Estimate(one.held.time / 1e9, 0.0, whole / 1e9),
        waited_seconds=_seconds(one.waited.time, waited.interval, one.known)
        if gil_waits and waited.known
        else Estimate.unknown(),
    )
