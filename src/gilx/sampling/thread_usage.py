"""Activities of threads, as a watch reports them."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, field, fields, replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, NamedTuple

from gilx.estimate import Estimate
from gilx.formatting import percent
from gilx.sampling.clock_shares import SPINNING_WITHOUT_CPU, clock_shares
from gilx.sampling.hold_fraction import agree
from gilx.sampling.ratio_interval import Ratio, interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gilx.sampling.hold_fraction import HoldSums
    from gilx.sampling.world import FoundClock

UNIDENTIFIED = "unknown"
"""Name of the threads that could not be identified."""
_LEAST_SHOWN = 0.005  # of the time, in one activity
_MOST_IDLE = 100  # threads that a usage has although they did nothing but wait


class FoundThread(NamedTuple):
    """A thread as `gilx.sampling._sampler.Sampler.threads` returns it."""

    native_id: int
    alive: float
    known: float
    squares: float
    held_off_cpu: float
    cpu_wait: int
    reads: int
    activities: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True)
class ActivitySums:
    """Sums over slices of time for the share of one activity: they add up.

    With `w` for the length of a slice in nanoseconds and `x` for the share of it that the
    activity has, `time` is the sum of w x, `squares` of w² x², `products` of w² x, and
    `steps` of w² times the squared difference of x to that of the slice before.
    """

    time: float = 0.0
    squares: float = 0.0
    products: float = 0.0
    steps: float = 0.0

    def __add__(self, other: ActivitySums) -> ActivitySums:
        return ActivitySums(
            *(a + b for a, b in zip(astuple(self), astuple(other), strict=True))
        )

    def share(
        self,
        whole: float,
        squares: float,
        watch: HoldSums,
        scale: float = 1.0,
        level: float = 0.95,
    ) -> Estimate:
        """Return the share of the activity, with its interval.

        Parameters
        ----------
        whole, squares : float
            Sum of the lengths of the slices, and of their squares.
        watch : HoldSums
            Sums of the watch.
        scale : float
            Factor that makes it a share of the time of the watch.
        level : float
            Probability that the share is in the interval, below 1.

        """
        if whole <= 0:
            return Estimate.unknown()
        if scale <= 0:
            return Estimate(0.0, 0.0, 0.0)
        ratio = Ratio(
            *(self.time, whole, self.squares, self.products),
            *(squares, self.steps, 0.0, 0.0),
        )
        h = ratio.value
        varies = 2 * math.sqrt(h * (1 - h)) if watch.prompt else 1.0
        unknown = watch.unknown_share * varies
        bounds = interval(ratio, unknown, prompt=watch.prompt, level=level)
        return Estimate(h, *bounds).times(scale)


_NOTHING = ActivitySums()


@dataclass(frozen=True)
class ThreadSums:
    """Sums over the samples of one thread: they add up.

    Lengths of time are in nanoseconds.

    Attributes
    ----------
    alive : float
        For how long the thread was there.
    known, squares : float
        For how much of that it is known what it did, and the sum of the squares of the
        slices that make it up.
    held_off_cpu : float
        For how long it held the GIL while its CPU clock stood.
    cpu_wait : float, optional
        For how long it waited for a CPU, by the scheduler's clock; None if that is not
        known.
    reads : int
        How often it was asked what it did.
    calls : bool
        Whether Linux says in which system call it is.
    gil_waits : bool
        Whether waits for the GIL can be distinguished from others.
    holding, waiting_gil, waiting_lock : ActivitySums
        Holding the GIL, waiting for it, or for another lock.
    sleeping, reading, polling, waiting_child, other_call : ActivitySums
        Kinds of system calls.
    on_cpu, off_cpu : ActivitySums
        Ready to run without the GIL, while its CPU clock advanced or stood.
    unknown : ActivitySums
        Anything else.
    detached, spinning, stopped : ActivitySums
        Without a GIL: ready to run and not attached to the interpreter, or attached and
        spinning on the lock of an object, and waiting until all threads have stopped or
        may go on. `on_cpu` is of other threads that are ready to run, then.
    clock_span, ran, ready : float
        Without a GIL: for how long its clocks were read, and its CPU time then, which is
        also the time that `cpu_wait` is about; and the part of `known` in which it could
        run, by samples. The sums of activities have the CPU time before each sample then,
        or the time before it in which the thread neither ran nor waited for a CPU.
    without_cpu, without_cpu_squares : float
        Without a GIL: the part of `ready` in which it had no CPU, and the sum of the
        squares of the slices that make it up.
    spun_without_cpu : ActivitySums
        The part of that in which it waited for the lock of an object: a thread that spins
        yields its CPU.

    """

    alive: float = 0.0
    known: float = 0.0
    squares: float = 0.0
    held_off_cpu: float = 0.0
    cpu_wait: float | None = None
    reads: int = 0
    calls: bool = False
    gil_waits: bool = False
    holding: ActivitySums = _NOTHING
    waiting_gil: ActivitySums = _NOTHING
    waiting_lock: ActivitySums = _NOTHING
    sleeping: ActivitySums = _NOTHING
    reading: ActivitySums = _NOTHING
    polling: ActivitySums = _NOTHING
    waiting_child: ActivitySums = _NOTHING
    other_call: ActivitySums = _NOTHING
    on_cpu: ActivitySums = _NOTHING
    off_cpu: ActivitySums = _NOTHING
    unknown: ActivitySums = _NOTHING
    detached: ActivitySums = _NOTHING
    spinning: ActivitySums = _NOTHING
    stopped: ActivitySums = _NOTHING
    clock_span: float = 0.0
    ran: float = 0.0
    ready: float = 0.0
    without_cpu: float = 0.0
    without_cpu_squares: float = 0.0
    spun_without_cpu: ActivitySums = _NOTHING

    @classmethod
    def of(
        cls,
        found: FoundThread,
        *,
        calls: bool,
        gil_waits: bool,
        clock: FoundClock | None = None,
    ) -> ThreadSums:
        """Return the sums of a thread as the sampler has them.

        `clock` is what it has of the thread's clocks without a GIL.
        """
        sums = (ActivitySums(*one) for one in found.activities)
        activities: dict[str, Any] = dict(zip(_ACTIVITIES, sums, strict=True))
        made = cls(
            found.alive,
            found.known,
            found.squares,
            found.held_off_cpu,
            found.cpu_wait if found.cpu_wait >= 0 else None,
            found.reads,
            calls,
            gil_waits,
            **activities,
        )
        if clock is None:
            return made
        return replace(
            made,
            clock_span=float(clock.span),
            ran=float(clock.ran),
            ready=clock.ready,
            without_cpu=clock.without_cpu,
            without_cpu_squares=clock.without_cpu_squares,
            spun_without_cpu=ActivitySums(*clock.spun_without_cpu),
        )

    def __add__(self, other: ThreadSums) -> ThreadSums:
        waits = [one.cpu_wait or 0.0 for one in (self, other)]
        known = all(
            one.cpu_wait is not None or not (one.off_time or one.clock_span)
            for one in (self, other)
        )
        return ThreadSums(
            **{
                each.name: getattr(self, each.name) + getattr(other, each.name)
                for each in fields(self)
                if each.name not in ("cpu_wait", "calls", "gil_waits")
            },
            cpu_wait=sum(waits) if known else None,
            calls=self.calls and other.calls,
            gil_waits=self.gil_waits and other.gil_waits,
        )

    @property
    def off_time(self) -> float:
        """Time in which its CPU clock stood although it could have run."""
        return self.off_cpu.time + self.held_off_cpu

    @property
    def idle(self) -> bool:
        """True if the thread neither used the GIL nor waited for it, nor ran."""
        used = (
            *(self.holding, self.waiting_gil, self.on_cpu, self.off_cpu),
            *(self.detached, self.spinning, self.stopped),
        )
        return not any(one.time > 0 for one in used)

    @property
    def valid(self) -> bool:
        """True if the sums may be those of a thread."""
        sums = [getattr(self, name) for name in (*_ACTIVITIES, "spun_without_cpu")]
        times = (
            *(self.alive, self.known, self.squares, self.held_off_cpu),
            *(self.clock_span, self.ran, self.ready),
            *(self.without_cpu, self.without_cpu_squares),
        )
        numbers = (*times, self.cpu_wait or 0.0, self.reads)
        return self.spun_without_cpu.time <= self.without_cpu and all(
            0 <= number < math.inf
            for number in (*numbers, *(n for one in sums for n in astuple(one)))
        )


# In the order of csrc/sampler/thread_activity.h.
_ACTIVITIES = tuple(
    each.name
    for each in fields(ThreadSums)
    if each.type == "ActivitySums" and each.name != "spun_without_cpu"
)


@dataclass(frozen=True)
class SystemCalls:
    """Shares of the wall time that a thread spent in system calls, by their kind."""

    sleeping: Estimate
    """Until some time has passed."""
    reading: Estimate
    """Reading or receiving, or accepting a connection."""
    polling: Estimate
    """Waiting for any of several files or connections."""
    waiting_child: Estimate
    """Waiting for the end of a process."""
    other: Estimate
    """In another call, or waiting in Linux for another reason."""


_CALLS = {
    "sleeping": ("sleeping", "sleeping"),
    "reading": ("reading", "reading"),
    "polling": ("polling", "polling"),
    "waiting_child": ("waiting_child", "waiting for a process"),
    "other": ("other_call", "in other system calls"),
}
_UNKNOWN = Estimate.unknown()
_OTHER_SHARES = "waiting_gil", "waiting_lock", "waiting_cpu", "system_call", "running"
_UNKNOWN_CALLS = SystemCalls(*[Estimate.unknown()] * len(_CALLS))


@dataclass(frozen=True)
class ThreadUsage:
    """Shares of the wall time that one thread spent in each activity.

    A thread that was there for a part of the time has less than 1 in all. Shares are
    unknown where Linux does not say what a thread does.
    """

    name: str
    native_id: int | None
    holding: Estimate
    """Holding the GIL."""
    waiting_gil: Estimate
    """Waiting for the GIL."""
    waiting_lock: Estimate
    """Waiting for another lock, a condition variable or a semaphore; in a Python without
    a GIL also spinning on the lock of an object, and waiting for the CPU that it yielded
    meanwhile."""
    waiting_cpu: Estimate
    """Ready to run without the GIL, but without a CPU, and not at the lock of an object.
    The time is the scheduler's: that the sampler itself takes a CPU from the thread is
    not in it."""
    system_call: Estimate
    """Waiting in a system call."""
    running: Estimate
    """Running without the GIL; in a Python without a GIL, running while attached to the
    interpreter."""
    system_calls: SystemCalls
    """Kinds of system calls, which make up `system_call`."""
    sums: ThreadSums = field(repr=False)
    """Sums over the samples, from which the shares follow."""
    detached: Estimate = _UNKNOWN
    """In a Python without a GIL: running while not attached to the interpreter, as C code
    does that has released it."""
    stopped: Estimate = _UNKNOWN
    """In a Python without a GIL: waiting until all threads had stopped, or until they
    could go on; see `World`."""

    @classmethod
    def of(
        cls, name: str, native_id: int | None, sums: ThreadSums, watch: HoldSums
    ) -> ThreadUsage:
        """Return the shares of a thread that has these sums in a watch."""
        unknown = Estimate.unknown()
        if watch.without_gil:
            return cls._without_gil(name, native_id, sums, watch)
        if not watch.identified and (name, native_id) != (UNIDENTIFIED, None):
            # Any thread may have made the holds.
            shares = dict.fromkeys(("holding", *_OTHER_SHARES), unknown)
            return cls(name, native_id, **shares, system_calls=_UNKNOWN_CALLS, sums=sums)
        holding = sums.holding.share(watch.locked.y, watch.locked.yy, watch)
        scale = _scale(sums) / watch.counted if watch.counted > 0 else 0.0

        def share(*names: str) -> Estimate:
            one = sum((getattr(sums, name) for name in names), _NOTHING)
            found = one.share(sums.known, sums.squares, watch, scale)
            if not found.known:
                return found
            # It may also have done that when nothing is known.
            more = scale * sums.unknown.time / sums.known if sums.calls else 0.0
            high = max(found.value, min(1.0, found.high + more))
            return Estimate(found.value, found.low, high)

        calls = _UNKNOWN_CALLS
        waiting_cpu = running = system_call = unknown
        if sums.calls:
            kinds = [share(name) for name, _ in _CALLS.values()]
            calls = SystemCalls(*kinds)
            system_call = share(*(name for name, _ in _CALLS.values()))
            running, waiting_cpu = _by_clocks(sums, share)
        known = sums.gil_waits
        return cls(
            name=name,
            native_id=native_id,
            holding=holding,
            waiting_gil=share("waiting_gil") if known else unknown,
            waiting_lock=share("waiting_lock") if known and sums.calls else unknown,
            waiting_cpu=waiting_cpu,
            system_call=system_call,
            running=running,
            system_calls=calls,
            sums=sums,
        )

    @classmethod
    def _without_gil(
        cls, name: str, native_id: int | None, sums: ThreadSums, watch: HoldSums
    ) -> ThreadUsage:
        shares = clock_shares(sums, watch)
        kinds = {kind: shares.sum(each) for kind, (each, _) in _CALLS.items()}
        return cls(
            name=name,
            native_id=native_id,
            holding=Estimate.unknown(),
            waiting_gil=Estimate.unknown(),
            waiting_lock=shares.sum("waiting_lock", "spinning", SPINNING_WITHOUT_CPU),
            waiting_cpu=shares.waiting_cpu,
            system_call=shares.sum(*(each for each, _ in _CALLS.values())),
            running=shares.sum("on_cpu"),
            system_calls=SystemCalls(**kinds),
            sums=sums,
            detached=shares.sum("detached"),
            stopped=shares.sum("stopped"),
        )

    def agrees(self, watch: HoldSums) -> bool:
        """Return whether the shares are those that follow from the sums."""
        if not self.sums.valid:
            return False
        other = ThreadUsage.of(self.name, self.native_id, self.sums, watch)
        return all(
            agree(a, b) for a, b in zip(_figures(self), _figures(other), strict=True)
        )

    def __str__(self) -> str:
        return shares_in_words(self, without_gil=self.sums.clock_span > 0)


def shares_in_words(thread: ThreadUsage, *, without_gil: bool) -> str:
    """Return the shares of a thread in words, of a watch with or without a GIL."""
    parts = (
        {
            "running attached": thread.running,
            "running detached": thread.detached,
            "waiting for the world": thread.stopped,
            "waiting for a CPU": thread.waiting_cpu,
            "waiting for a lock": thread.waiting_lock,
        }
        if without_gil
        else {
            "waiting for it": thread.waiting_gil,
            "running without it": thread.running,
            "waiting for a CPU": thread.waiting_cpu,
            "waiting for another lock": thread.waiting_lock,
        }
    )
    parts |= {
        **{
            words: getattr(thread.system_calls, name)
            for name, (_, words) in _CALLS.items()
        },
    }
    shown = [
        f"{percent(share.value)} {words}"
        for words, share in parts.items()
        if share.known and share.value >= _LEAST_SHOWN
    ]
    if without_gil:
        known = all(share.known for share in parts.values())
        rest = "the rest unknown" if shown else "unknown"
        return ", ".join(shown if known else [*shown, rest]) or "nothing"
    held = percent(thread.holding.value) if thread.holding.known else "unknown share"
    return ", ".join([f"{held} holding the GIL", *shown])


def _scale(sums: ThreadSums) -> float:
    """Return for how long a known share of another activity than holding stands, in ns.

    What a thread held is known from every sample, what else it did only up to the last
    time that it was asked. If shares of the known time stood for all time, what it held
    since then would count twice, as held and as a part of what it had done before: that
    is by what the shares of one thread exceeded the whole. So all other activities have
    together the time for which it did not hold.
    """
    other = sum(getattr(sums, name).time for name in _ACTIVITIES if name != "holding")
    rest = sums.alive - sums.holding.time
    if rest <= 0:
        return 0.0
    return rest * sums.known / other if other > 0 else rest


class Waits(NamedTuple):
    """Shares of the time for which a thread waited, but for waits for a CPU."""

    gil: Estimate
    lock: Estimate
    """For other locks."""
    other: Estimate
    """In system calls, or it is not known for what."""


def waits_of(sums: ThreadSums, watch: HoldSums, level: float) -> Waits:
    """Return the shares of the time for which a thread waited.

    They are unknown where waits for the GIL can't be distinguished from others.

    Parameters
    ----------
    sums : ThreadSums
        Those of the thread.
    watch : HoldSums
        Those of the watch, in a Python with a GIL.
    level : float
        Probability that a share is in its interval, below 1.

    """
    if not (sums.gil_waits and sums.calls and watch.counted > 0):
        return Waits(*[Estimate.unknown()] * 3)
    scale = _scale(sums) / watch.counted
    names = ("unknown", *(each for each, _ in _CALLS.values()))
    other = sum((getattr(sums, name) for name in names), _NOTHING)
    return Waits(
        *(
            one.share(sums.known, sums.squares, watch, scale, level)
            for one in (sums.waiting_gil, sums.waiting_lock, other)
        )
    )


def _figures(usage: ThreadUsage) -> list[Estimate]:
    return [
        getattr(record, each.name)
        for record in (usage, usage.system_calls)
        for each in fields(record)
        if each.type == "Estimate"
    ]


def _by_clocks(
    sums: ThreadSums, share: Callable[..., Estimate]
) -> tuple[Estimate, Estimate]:
    """Return the shares of running without the GIL and of waiting for a CPU.

    A thread whose CPU clock stood at a sample either waited for a CPU, or would have run
    if the sampler had not taken its CPU. The scheduler's clock says for how long it
    really waited: in that time and in holds, each by its part.
    """
    off = sums.off_time
    if off > 0 and sums.cpu_wait is None:
        return Estimate.unknown(), Estimate.unknown()
    ready, without = share("on_cpu", "off_cpu"), share("off_cpu")
    if not ready.known:
        return ready, without
    waited = min(1.0, (sums.cpu_wait or 0.0) / off) if off > 0 else 0.0
    part = waited * sums.off_cpu.time
    whole = sums.on_cpu.time + sums.off_cpu.time
    kept = 1 - part / whole if whole > 0 else 1.0
    if waited <= 0:
        return ready, Estimate(0.0, 0.0, without.high if without.value <= 0 else 0.0)
    running = ready.times(kept) if kept > 0 else Estimate(0.0, 0.0, ready.high)
    return running, without.times(waited)


def rank_of(sums: ThreadSums) -> tuple[float, float, float]:
    """Return the sort key of a thread: the more active it was, the larger the key."""
    return sums.holding.time, sums.waiting_gil.time, sums.ran


def in_order(
    threads: Iterable[tuple[str, int | None, ThreadSums]], watch: HoldSums
) -> tuple[ThreadUsage, ...]:
    """Return the first thread, then the others, the most active first.

    They come by how long they held the GIL and waited for it or, without a GIL, by their
    CPU time. Of threads that did nothing but wait for something else, there are a hundred
    at most, which were there the longest.

    Parameters
    ----------
    threads : iterable of (str, int or None, ThreadSums)
        Names, native ids and sums.
    watch : HoldSums
        Sums of the watch.

    """
    own, *others = threads
    busy = [one for one in others if not one[2].idle]
    busy.sort(key=lambda one: rank_of(one[2]), reverse=True)
    idle = [one for one in others if one[2].idle and one[2].known > 0]
    idle.sort(key=lambda one: one[2].alive, reverse=True)
    chosen = (own, *busy, *idle[:_MOST_IDLE])
    return tuple(ThreadUsage.of(*one, watch) for one in chosen)


def threads_together(
    usages: Iterable[ThreadUsage], watch: HoldSums
) -> tuple[ThreadUsage, ...]:
    """Return the threads of several watches, whose sums together are those of `watch`."""
    sums: dict[tuple[str, int | None], ThreadSums] = {}
    for one in usages:
        key = one.name, one.native_id
        sums[key] = sums[key] + one.sums if key in sums else one.sums
    return in_order([(*key, each) for key, each in sums.items()], watch) if sums else ()


def others(threads: Sequence[ThreadUsage], watch: HoldSums) -> ThreadUsage:
    """Return several threads as one.

    With a GIL, it is known how much they hold together. Without one, the shares are those
    of the threads on average.
    """
    count = len(threads)
    if watch.without_gil:
        sums = reduce(add, (one.sums for one in threads))
        # A thread was there for that long on average.
        sums = replace(sums, alive=sums.alive / count)
        name = f"{count} other threads, on average"
        return ThreadUsage.of(name, None, sums, watch)
    unknown = Estimate.unknown()
    holding = sum(one.holding.value for one in threads)  # unknown if one of them is
    return ThreadUsage(
        name=f"{count} other threads",
        native_id=None,
        holding=Estimate(holding, 0.0, 1.0),
        **dict.fromkeys(_OTHER_SHARES, unknown),
        system_calls=_UNKNOWN_CALLS,
        sums=ThreadSums(),
    )
