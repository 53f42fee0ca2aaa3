"""Watching the GIL while something runs."""

from __future__ import annotations

import atexit
import errno
import os
import sys
import threading
import time
import weakref
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol, TypedDict

from gilx._compat import all_threads, gil_enabled
from gilx.errors import (
    ArgumentError,
    NoGilError,
    WatchUnavailableError,
    number_between,
)
from gilx.estimate import Estimate
from gilx.formatting import printable
from gilx.records import render
from gilx.sampling.callers import callers_of
from gilx.sampling.held_during import HeldDuring, HeldSample, sums_during
from gilx.sampling.hold_fraction import HoldSums
from gilx.sampling.known_stacks import reason_against_frames, reason_against_stacks
from gilx.sampling.lock_waits import FoundLock, lock_waits_of
from gilx.sampling.longest_hold import (
    NOTHING_KNOWN,
    WATCHED,
    HoldBounds,
    longer,
    longest_hold,
)
from gilx.sampling.ratio_interval import Ratio
from gilx.sampling.sites import (
    FoundSite,
    believed_stretches,
    held_lines,
    sites_of,
)
from gilx.sampling.source_text import SourceTexts
from gilx.sampling.stacks import FoundCall, Stacks, stacks_of
from gilx.sampling.thread_usage import (
    UNIDENTIFIED,
    ActivitySums,
    FoundThread,
    ThreadSums,
    ThreadUsage,
    in_order,
)
from gilx.sampling.timeline import MOST_SHARE, Timeline, lanes_of
from gilx.sampling.usage import WITHOUT_GIL, GilUsage
from gilx.sampling.usage_advice import GIL_TURNED_ON
from gilx.sampling.waiting_sites import FoundWait, waiting_sites_of
from gilx.sampling.world import FoundClock, FoundStops, FoundStopSite, World
from gilx.system.environment import Environment, usable_cpus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gilx.sampling._sampler import FreeThreads, Sampler, Totals
    from gilx.sampling.lock_waits import LockWait
    from gilx.sampling.sites import Site
    from gilx.sampling.timeline import TimelineSample
    from gilx.sampling.waiting_sites import WaitingSite

# Default share of one CPU that the sampler may take.
COST = 0.03
_CAPACITY = 1 << 13  # samples kept: some ten seconds at that cost
_FEW = 1 << 9  # samples that take far less memory than their sampler
# Number of slices that may lack a sample although no sample was late: part of a slice at
# the start and at the end of a watch, and the excess of slices over the last one.
_EDGES = 3
_ALIKE = "waits for the GIL can't be distinguished from those for locks"
# Errors of a Linux that has the answer, but no capacity for it.
_NO_CAPACITY = errno.EMFILE, errno.ENFILE, errno.ENOMEM

# Watches that run, so that none goes on when the interpreter ends.
_running: weakref.WeakSet[Watch] = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    for watching in list(_running):
        watching.stop()


def backend() -> tuple[str, str]:
    """Return how this interpreter's GIL is found, and how memory is read.

    Environment variables choose other ways, for tests: ``GILX_FIND_GIL=search`` ignores
    the places that CPython's headers or its table of offsets give, and ``GILX_MEMORY``
    names the way of reading: ``memory file``, ``pipe``, ``process_vm_readv`` or
    ``/proc/self/mem``.

    Raises
    ------
    WatchUnavailableError
        The GIL can't be watched here; the message says why.
    NoGilError
        There is no GIL.

    """
    from gilx.sampling import _sampler  # noqa: PLC0415 - not in every installation

    return _sampler.backend()


def free_backend() -> tuple[str, str]:
    """Return how memory is read in a Python without a GIL, and what is not read.

    The second is the reason that stops of all threads are not read; empty if they are.
    The first call in a process stops all threads for a moment.

    Raises
    ------
    WatchUnavailableError
        Threads can't be watched here, or there is a GIL.

    """
    from gilx.sampling import _sampler  # noqa: PLC0415 - not in every installation

    reader, _, world_missing = _sampler.free_backend()
    return reader, world_missing


def watch(*, cost: float = COST, reference: bool = False, stacks: bool = False) -> Watch:
    """Watch the GIL while the body of a ``with`` statement runs.

    The watched thread is the one that enters the body. Watches may be nested; each
    samples by itself.

    In a Python that runs without a GIL, the usage says what each thread did, which locks
    threads waited for, and how long the world was stopped. The first watch in such a
    process stops all threads of the interpreter three times, for some microseconds, or
    for longer if a thread is in a long call of C code that stays attached.

    Parameters
    ----------
    cost : float
        The share of one CPU that the sampler may take, above 0 and at most 0.5. Four
        times the cost halves the error. It takes some 0.2 % at least, since it takes a
        sample every 20 ms. The first samples cost more than later ones, so that a watch
        of less than half a second may take a little more than that share.
    reference : bool
        Read all the time instead, which takes a whole CPU that must be spare.
    stacks : bool
        Keep the whole Python stacks that held the GIL, for `Watch.stacks`. Deep stacks
        take more of the cost for each sample.

    Returns
    -------
    Watch
        A context manager; afterwards its ``usage`` has the figures.

    Raises
    ------
    ArgumentError
        An argument is not as described.
    WatchUnavailableError
        On entry: the GIL, or a Python without one, can't be watched here; the message
        says why. NotCompiledError, one kind of it, if gilx was installed without its
        compiled parts. Also if `stacks` is true and the stacks of this Python can't be
        read, and if `reference` is true and there is no GIL.

    """
    if reference and usable_cpus() < 2:
        raise ArgumentError(
            "reference: expected False where only one CPU may be used, got True"
        )
    if reference and stacks:
        raise ArgumentError(
            "stacks: expected False for a reference watch, which reads none, got True"
        )
    return Watch(cost, reference=bool(reference), stacks=bool(stacks), needs_gil=False)


def watch_with_callers(
    *, cost: float = COST, stacks: bool = False, needs_gil: bool = True
) -> Watch:
    """Watch as `watch` does, and find lines that call libraries that hold the GIL.

    Without `stacks`, there are such lines only if the stacks of this Python can be read.
    With `needs_gil`, NoGilError is raised on entry if there is no GIL.
    """
    return Watch(cost, stacks=stacks, callers=True, needs_gil=needs_gil)


class _Places(TypedDict):
    """Fields of a usage."""

    sites: tuple[Site, ...]
    waiting_sites: tuple[WaitingSite, ...]
    world: World | None
    locks: tuple[LockWait, ...]


class Watch:
    """Watch of this process's GIL, or of its threads without one, see `gilx.watch`."""

    def __init__(
        self,
        cost: float,
        *,
        reference: bool = False,
        stacks: bool = False,
        callers: bool = False,
        held_samples: bool = False,
        needs_gil: bool = True,
    ) -> None:
        self._cost = number_between("cost", cost, 0, 0.5, above=True)
        self._reference = reference
        self._keeps_stacks = stacks
        self._keeps_calls = stacks or callers
        self._keeps_held_samples = held_samples
        self._held_samples: list[HeldSample] = []
        self._needs_gil = needs_gil
        self._without_gil = False
        self._free: FreeThreads | None = None
        self._clocks: list[FoundClock] = []
        self._world_missing = self._spins_missing = ""
        self._reason_of_gil = ""  # if it came on, the reason that figures are unknown
        self._sampler: Sampler | None = None
        self._figures: GilUsage | None = None  # the usage without a place
        self._usage: GilUsage | None = None
        self._timeline: Timeline | None = None
        self._stopped: Sampler | None = None  # until its samples are read
        self._samples: list[TimelineSample] = []
        self._sample_sites: list[tuple[int, int, bool, float]] = []
        self._sites_missing = ""  # reason that no stacks are read
        self._site_records: list[FoundSite] = []
        self._waits: list[FoundWait] = []
        self._stretches: list[tuple[int, int, int, int, float, float, float]] = []
        self._calls: list[FoundCall] = []
        self._stacks: Stacks | None = None
        self._process = os.getpid()
        self._stopping = threading.RLock()

    def __enter__(self) -> Watch:
        if self._sampler is not None or self._figures is not None:
            raise RuntimeError("a watch can be entered once only")
        from gilx.sampling import _sampler  # noqa: PLC0415 - not in every installation

        self._without_gil = not self._needs_gil and not gil_enabled()
        if not self._without_gil:
            try:
                self._backend, _ = _sampler.backend()
            except NoGilError:
                if self._needs_gil:
                    raise
                self._without_gil = True  # it is on for the moment of an import
        if self._without_gil:
            if self._reference:
                raise WatchUnavailableError(
                    "a reference watch needs a GIL, and this Python runs without one"
                )
            _, self._spins_missing, self._world_missing = _sampler.free_backend()
            self._backend = WITHOUT_GIL
        self._sites_missing = (
            "a reference watch reads no stacks"
            if self._reference
            else reason_against_frames()
            if self._without_gil and not self._keeps_stacks
            else reason_against_stacks()
        )
        if self._keeps_stacks and self._sites_missing:
            raise WatchUnavailableError(f"no stacks can be kept: {self._sites_missing}")
        sampler = _sampler.Sampler(
            self._cost,
            reference=self._reference,
            seed=int.from_bytes(os.urandom(7), "little"),
            capacity=_CAPACITY,
            stacks=not self._sites_missing,
            calls=self._keeps_calls and not self._without_gil,
            free_threads=self._without_gil,
        )
        self._names: ThreadNames = _Names()
        self._process = os.getpid()
        self._cpu = time.process_time()
        self._switch_interval = sys.getswitchinterval()
        self._began = time.time()
        sampler.start()
        self._adopt(sampler)
        return self

    def _adopt(self, sampler: Sampler) -> None:
        """Adopt a sampler that was started; it is stopped when Python ends."""
        self._sampler = sampler
        _running.add(self)

    def _cpu_used(self, totals: Totals) -> float:
        """Return the CPU time of the process since the start, without the sampler's."""
        return time.process_time() - self._cpu - totals.cost_ns / 1e9

    def _pid_of_lanes(self) -> int:
        """Return the number of the process whose threads were watched."""
        return self._process

    def _sources(self) -> SourceTexts:
        return SourceTexts(self._began)

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop watching, as the end of the body does. Stopping twice does nothing.

        If several threads stop the watch, each returns when there is a usage.
        """
        if os.getpid() != self._process:
            self._stop()  # a thread of the parent may have the lock, which stays locked
            return
        with self._stopping:
            self._stop()

    def _stop(self) -> None:
        # First, since a signal handler may stop it, too.
        sampler, self._sampler = self._sampler, None
        if sampler is None:
            return
        totals = sampler.stop()
        _running.discard(self)
        if totals is None:
            return
        self._names.update()
        self._stopped = sampler
        if totals.wakes <= _FEW:
            self._kept_samples()
        self._activities = [FoundThread(*record) for record in sampler.threads()]
        ids = [thread.native_id for thread in self._activities]
        self._threads = list(zip(self._names.of(ids), ids, strict=True))
        self._free = sampler.free_threads() if self._without_gil else None
        if self._free is not None:
            self._clocks = [FoundClock(*record) for record in self._free[0]]
        if not self._sites_missing:
            self._site_records = [FoundSite(*record) for record in sampler.sites()]
            self._stretches = sampler.longest_holds()
            self._waits = [FoundWait(*record) for record in sampler.waits()]
        if self._keeps_held_samples:
            pairs = zip(self._kept_samples(), sampler.held_sites(), strict=True)
            self._held_samples = [
                HeldSample(at, late, *held) for (at, late, *_), held in pairs
            ]
        if self._keeps_calls and self._free is None:
            self._calls = [FoundCall(*record) for record in sampler.calls()]
        if self._free is not None and self._free[-1]:  # the GIL came on
            cause = self._cause_of_gil()
            by = f" by the import of {cause}" if cause else ""
            self._reason_of_gil = f"{GIL_TURNED_ON}{by}"
            self._waits = []
        self._totals = totals
        self._figures = self._summary(totals)

    def _cause_of_gil(self) -> str:
        """Return the module that turned it on, if it is known."""
        from gilx.system.gil_imports import noted_imports  # noqa: PLC0415 - hardly ever

        return str(noted_imports[0]) if noted_imports else ""

    @property
    def ended(self) -> bool:
        """True if there is a usage."""
        return self._figures is not None

    @property
    def usage(self) -> GilUsage:
        """Usage of the GIL while the body ran.

        Raises
        ------
        RuntimeError
            The watch has not ended, or this is the child of a fork, which is not watched.

        """
        if self._figures is None:
            raise self._nothing_yet("usage")
        if self._usage is None:
            where = place_of_hold(self._kept_samples(), self._totals)
            self._usage = replace(self._figures, where=where, **self._places())
        return self._usage

    def usage_of_calls(self, count: int, result: object = None) -> GilUsage:
        """Return the usage as that of so many calls, the last with that result.

        Only the usage of a single call says where in it the GIL was held.

        Raises
        ------
        RuntimeError
            As for the usage.

        """
        if self._figures is None:
            raise self._nothing_yet("usage")
        if count == 1:
            return replace(self.usage, result=result)
        return replace(self._figures, repeats=count, result=result, **self._places())

    def usage_of_program(self, name: str) -> GilUsage:
        """Return the usage as that of a program that began and ended with the watch.

        Its text begins with all threads, and its longest hold is that of any thread. It
        is not inconclusive if the main thread's share cannot be determined because other
        threads held the GIL all the time.

        Raises
        ------
        RuntimeError
            As for the usage.

        """
        usage = self.usage
        longest = usage.longest_hold
        for place in range(1, len(self._threads) if usage.sums.identified else 1):
            longest = longer(longest, self._longest_hold_of(place))
        return replace(
            usage,
            program=printable(name),
            inconclusive_reason=self._reason_of_gil or usage.sums.reason_of_program,
            where="",
            longest_hold=longest,
        )

    @property
    def timeline(self) -> Timeline:
        """Lanes of the threads; for a long watch, those of its last part.

        Raises
        ------
        RuntimeError
            As for the usage.

        """
        if self._figures is None:
            raise self._nothing_yet("timeline")
        if self._timeline is None:
            samples, totals = self._kept_samples(), self._totals
            begin, end = totals.begin_ns, totals.end_ns
            cut = len(samples) < totals.wakes
            self._timeline = lanes_of(
                *(samples, self._threads, begin, end),
                cut=cut,
                sites=self._sample_sites,
                lines=held_lines(self._site_records, self._sources()),
                pid=self._pid_of_lanes(),
            )
        return self._timeline

    @property
    def stacks(self) -> Stacks:
        """Python stacks that held the GIL, of all threads.

        Raises
        ------
        RuntimeError
            As for the usage; or the watch keeps no stacks, since `gilx.watch` was not
            asked for them.

        """
        if not self._keeps_stacks:
            raise RuntimeError("the watch keeps no stacks: gilx.watch(stacks=True) does")
        if self._figures is None:
            raise self._nothing_yet("stack")
        if self._stacks is None:
            wall = self._figures.wall
            self._stacks = stacks_of(self._calls, self._threads, wall)
        return self._stacks

    @property
    def keeps_stacks(self) -> bool:
        """True if it keeps the stacks that held the GIL."""
        return self._keeps_stacks

    def to_html(self) -> str:
        """Return a page with all figures.

        It has the lanes of the threads, the places in the code that held the GIL and, if
        the watch keeps stacks, a flame graph of them. It is one HTML file that loads
        nothing from the network.

        Raises
        ------
        MissingExtraError
            The library that draws in the page is not installed; the extra ``html`` has
            it.
        RuntimeError
            As for the usage.

        """
        page: str = render(self, "page")
        return page

    def held_during(self, spans: Iterable[tuple[float, float]]) -> HeldDuring:
        """Return where threads other than the watched one held the GIL during some spans.

        The watch must keep samples for this, and read stacks.

        Parameters
        ----------
        spans : iterable of (float, float)
            Start and end of each span, in order, in seconds of `time.perf_counter`.

        Raises
        ------
        RuntimeError
            As for the usage.

        """
        if self._figures is None:
            raise self._nothing_yet("usage")
        samples, totals = self._held_samples, self._totals
        cut = len(samples) < totals.wakes
        during, sums, count = sums_during(
            [(round(start * 1e9), round(end * 1e9)) for start, end in spans],
            samples,
            self._site_records,
            self._figures.sums,
            watched=WATCHED,
            begin=samples[0].at if samples and cut else totals.begin_ns,
        )
        names = [name for name, _ in self._threads]
        sources = self._sources()
        listed = sites_of(during, sums, NOTHING_KNOWN, names.__getitem__, sources, {})
        return HeldDuring(listed, sums, count)

    def _kept_samples(self) -> list[TimelineSample]:
        """Return the samples that were kept. Several threads may call this at once."""
        sampler = self._stopped
        if sampler is not None:
            self._samples = sampler.samples()
            self._sample_sites = sampler.held_sites()
            self._stopped = None  # after the samples are set
        return self._samples

    def _nothing_yet(self, what: str) -> RuntimeError:
        if os.getpid() != self._process:
            return RuntimeError("the watch is off in the child of a fork")
        return RuntimeError(f"the watch has not ended: there is no {what} yet")

    def _summary(self, totals: Totals) -> GilUsage:
        cpu = self._cpu_used(totals)
        sums = sums_of(totals, self._activities, stacks=not self._sites_missing)
        figures = sums.figures()
        self._holds = holds = HoldBounds(
            least=totals.hold_min_ns / 1e9,
            most=totals.hold_max_ns / 1e9,
            stretch=totals.stretch_ns / 1e9,
            run=totals.stretch_run,
            mean=figures["hold_length"],
            samples=totals.wakes,
            resolution=sums.wall / 1e9 / max(1, totals.wakes),
            share=sums.own.x / max(1.0, sums.counted),
            unordered=sums.own.unordered,
        )
        return GilUsage(
            **figures,
            longest_hold=self._longest_hold(WATCHED, holds, sums)
            if sums.identified and not self._without_gil
            else Estimate.unknown(),
            held_stretch=totals.stretch_ns / 1e9,
            by_thread=self._by_thread(totals, sums),
            cpu=max(0.0, cpu),
            repeats=1,
            lateness_max=totals.lateness_max_ns / 1e9,
            backend=self._backend,
            sums=sums,
            environment=environment_now(),
            inconclusive_reason=self._reason_of_gil or sums.reason,
            states_missing=self._reason_against_states(totals),
            sites_missing=self._sites_missing,
            world_missing=self._world_missing,
        )

    def _places(self) -> _Places:
        """Return the places in the program with their source texts."""
        assert self._figures is not None
        sources = self._sources()
        sums = self._figures.sums
        scale = self._scale_of_waits()
        waits = [
            wait._replace(
                lock=scale * wait.lock, lock_squares=scale**2 * wait.lock_squares
            )
            for wait in self._waits
        ]
        return {
            "sites": self._sites(sources),
            "waiting_sites": waiting_sites_of(waits, sums, sources),
            "world": self._world(sources),
            "locks": ()
            if self._free is None or self._reason_of_gil
            else lock_waits_of((FoundLock(*record) for record in self._free[3]), scale),
        }

    def _scale_of_waits(self) -> float:
        """Return the true time of waits for locks over that by samples.

        It is 1 with a GIL, and if the clocks do not show the true time.
        """
        assert self._figures is not None
        if self._free is None:
            return 1.0
        usage = self._figures
        sampled = sum(
            one.waiting_lock.time + one.spinning.time + one.spun_without_cpu.time
            for one in (thread.sums for thread in usage.by_thread)
        )
        shares = [thread.waiting_lock for thread in usage.by_thread]
        waited = usage.sums.counted * sum(share.value for share in shares if share.known)
        if sampled <= 0 or waited <= 0:
            return 1.0
        return min(waited, usage.sums.threads) / sampled

    def _world(self, sources: SourceTexts) -> World | None:
        """Return the stops of all threads, None if they were not read."""
        if self._free is None or self._free[1] is None:
            return None
        assert self._figures is not None
        sums = self._figures.sums
        world = World.of(FoundStops(*self._free[1]), self._clocks, self._threads, sums)
        sites = [FoundStopSite(*record) for record in self._free[2]]
        return world.with_sites(sites, sums, sources)

    def _sites(self, sources: SourceTexts) -> tuple[Site, ...]:
        assert self._figures is not None
        names = [name for name, _ in self._threads]
        sums = self._figures.sums
        callers = callers_of(self._calls, sources)
        return sites_of(
            self._site_records, sums, self._holds, names.__getitem__, sources, callers
        )

    def _longest_hold(self, place: int, holds: HoldBounds, sums: HoldSums) -> Estimate:
        stretches = None
        if not self._sites_missing:
            stretches = believed_stretches(
                [stretch[1:] for stretch in self._stretches if stretch[0] == place], sums
            )
        return longest_hold(holds, stretches, self._switch_interval)

    def _longest_hold_of(self, place: int) -> Estimate:
        """Return the longest hold of a thread without bounds from the GIL's words.

        It is unknown if no sample found the thread holding the GIL.
        """
        assert self._figures is not None
        if self._activities[place].activities[0][0] <= 0:
            return Estimate.unknown()
        stretch, wall = (0, 0), self._totals.end_ns - self._totals.begin_ns
        begin, run = 0, 0
        for at, late, held, *_ in self._kept_samples():
            run = 0 if late or (place, MOST_SHARE) not in held else run + 1
            begin = at if run == 1 else begin
            stretch = max(stretch, (at - begin, run)) if run else stretch
        holds = HoldBounds(
            least=0.0,
            most=wall / 1e9,
            stretch=stretch[0] / 1e9,
            run=stretch[1],
            mean=(0.0, wall / 1e9),
            samples=self._totals.wakes,
            resolution=wall / 1e9 / max(1, self._totals.wakes),
            share=0.0,
        )
        return self._longest_hold(place, holds, self._figures.sums)

    def _by_thread(self, totals: Totals, sums: HoldSums) -> tuple[ThreadUsage, ...]:
        """Return what each thread did.

        Threads that could not be identified are one entry.
        """
        calls = bool(totals.calls) and not self._reason_of_gil
        clocks: Sequence[FoundClock | None] = self._clocks or [None] * len(self._threads)
        gil_waits = bool(totals.addresses or totals.wishes)
        threads: list[tuple[str, int | None, ThreadSums]] = [
            (
                name,
                native_id,
                ThreadSums.of(record, calls=calls, gil_waits=gil_waits, clock=clock),
            )
            for (name, native_id), record, clock in zip(
                self._threads, self._activities, clocks, strict=True
            )
        ]
        if totals.unidentified > 0:
            held = ActivitySums(totals.unidentified)
            threads.append((UNIDENTIFIED, None, ThreadSums(holding=held)))
        return in_order(threads, sums)

    def _reason_against_states(self, totals: Totals) -> str:
        """Return the reason that some activities of threads are unknown, or ''."""
        if self._reference:
            return "a reference watch does not ask what threads do"
        error = totals.unread_errno
        if error and (totals.calls or error in _NO_CAPACITY):
            return f"some threads could not be listed or read: {os.strerror(error)}"
        if not totals.calls:
            return "Linux does not say here in which system calls threads are"
        if self._without_gil:
            return _ALIKE if self._reason_of_gil else self._spins_missing
        if not totals.addresses and not totals.wishes:
            return "this C library does not show which threads wait for the GIL"
        return ""


@lru_cache(maxsize=8)
def _environment(
    _cpus: frozenset[int], _switch_interval: float, _gil: bool
) -> Environment:
    """Return this environment, which takes milliseconds to determine."""
    return Environment.here()


def environment_now() -> Environment:
    """Return this environment, which is determined anew if it has changed."""
    return _environment(
        frozenset(os.sched_getaffinity(0)), sys.getswitchinterval(), gil_enabled()
    )


def sums_of(totals: Totals, threads: list[FoundThread], *, stacks: bool) -> HoldSums:
    """Return the sums of one watch, which read stacks or not."""
    own = Ratio(
        *(totals.own_x, totals.own_y, totals.own_xx, totals.own_xy),
        *(totals.own_yy, totals.own_dxx, totals.own_dxy, totals.own_dyy),
    )
    locked = Ratio(
        *(totals.locked_x, totals.locked_y, totals.locked_xx, totals.locked_xy),
        *(totals.locked_yy, totals.locked_dxx, totals.locked_dxy, totals.locked_dyy),
    )
    waiters = Ratio(
        *(totals.waiters_x, totals.waiters_y, totals.waiters_xx, totals.waiters_xy),
        *(totals.waiters_yy, totals.waiters_dxx, 0.0, 0.0),
    )
    return HoldSums(
        own=own,
        locked=locked,
        waiters=waiters,
        wall=max(1, totals.end_ns - totals.begin_ns),
        counted=totals.counted,
        unknown=totals.unknown,
        missed=_missed(totals),
        unidentified=totals.unidentified,
        read=totals.burst_ns,
        released=totals.releases,
        switches=totals.switches,
        samples=totals.wakes,
        late=totals.late,
        lateness=totals.lateness,
        cost=totals.cost_ns,
        prompt=bool(totals.short_turns),
        stacks=totals.stacks_counted if stacks else 0.0,
        stacks_squares=totals.stacks_squares if stacks else 0.0,
        most_waiters=totals.most_waiters,
        threads=sum(thread.known for thread in threads),
        threads_squares=sum(thread.squares for thread in threads),
        threads_missed=sum(max(0.0, thread.alive - thread.known) for thread in threads),
        asked=totals.asked,
        askable=totals.askable,
    )


def _missed(totals: Totals) -> float:
    """Return the time of the watch without any sample, in nanoseconds.

    If the sampler had no CPU at the end, its next sample comes too late to be counted.
    Part of a slice has no sample at the start of any watch, and another part at its end.
    """
    gap = totals.end_ns - totals.begin_ns - totals.counted
    return max(0.0, gap - _EDGES * totals.slice_ns)


def place_of_hold(samples: Sequence[TimelineSample], totals: Totals) -> str:
    """Return where the watched thread held the GIL, if it was in one place.

    This needs no timeline, which takes longer to make.
    """
    holding = [
        number
        for number, (_, _, held, *_) in enumerate(samples)
        if any(place == WATCHED and share > MOST_SHARE / 2 for place, share in held)
    ]
    if not holding or len(holding) == len(samples) or len(samples) < totals.wakes:
        return ""
    first, last = holding[0], holding[-1]
    if last - first >= len(holding):
        return ""
    if first == 0:
        return "at the start"
    if last == len(samples) - 1:
        return "at the end"
    begin = (samples[first - 1][0] + samples[first][0]) // 2 - totals.begin_ns
    return (
        f"in one go after {begin / (totals.end_ns - totals.begin_ns) * 100:.0f} % of it"
    )


class ThreadNames(Protocol):
    """Names of threads, for the end of a watch."""

    def update(self) -> None:
        """Add the threads that exist now."""

    def of(self, native_ids: list[int]) -> list[str]:
        """Return the names of threads, which come in the order of their first samples."""


class _Names:
    """Names, by native id, of the threads that existed at either end of a watch.

    A thread that started and ended in between has its name here as long as its ``Thread``
    object lives. Native ids are reused after threads end.
    """

    def __init__(self) -> None:
        # Threads that ended before the watch do not belong to it.
        self._ended = {weakref.ref(thread) for thread in _ended_threads()}
        self._before = names_of_threads()
        self._after = self._before

    def update(self) -> None:
        """Add the threads that exist now, or that have ended since the start."""
        ended = [
            thread
            for thread in _ended_threads()
            if weakref.ref(thread) not in self._ended
        ]
        self._after = {
            **self._before,
            **_names_of(ended),
            **names_of_threads(),
        }

    def of(self, native_ids: list[int]) -> list[str]:
        """Return the names of threads, which come in the order of their first samples.

        If several threads had the same native id, the last one gets the name that the id
        had at the end, the others the one that it had at the start.
        """
        last = {native_id: place for place, native_id in enumerate(native_ids)}
        return [
            (self._after if last[native_id] == place else self._before).get(
                native_id, f"thread {native_id}"
            )
            for place, native_id in enumerate(native_ids)
        ]


def names_of_threads() -> dict[int, str]:
    """Return the names of the threads that there are, by native id."""
    return _names_of(threading.enumerate())


def names_of_ended_threads() -> dict[int, str]:
    """Return the names of threads that have ended, by native id, if they are known."""
    return _names_of(_ended_threads())


def _names_of(threads: Iterable[threading.Thread]) -> dict[int, str]:
    main = threading.main_thread()
    return {
        _main_native_id(main) if thread is main else thread.native_id: printable(
            thread.name
        )
        for thread in threads
        if thread.native_id is not None
    }


def _main_native_id(main: threading.Thread) -> int:
    """Return the native id of the main thread.

    In the child of a fork, the object of the main thread still has the id from the
    parent. The main thread is the child's first thread, whose id is that of the process.
    """
    number = main.native_id or 0
    return number if os.path.exists(f"/proc/self/task/{number}") else os.getpid()


def _ended_threads() -> list[threading.Thread]:
    return [thread for thread in all_threads() if thread.ident and not thread.is_alive()]
