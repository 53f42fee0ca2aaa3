"""Usage of the GIL, as a watch reports it."""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import chain
from operator import add
from typing import TYPE_CHECKING, Any

from gilx.errors import ArgumentError, above_zero, at_least, number_between, shown
from gilx.estimate import Estimate
from gilx.formatting import duration, line_width, percent, shortened, wrapped
from gilx.records import Record, render
from gilx.sampling.hold_fraction import HoldSums, agree
from gilx.sampling.idle_waits import lines_in_order, locks_in_order
from gilx.sampling.lock_waits import LockWait, locks_together
from gilx.sampling.longest_hold import is_resolved, length_in_order, longer
from gilx.sampling.site_words import called_from, main_line, place_in_words, where_held
from gilx.sampling.sites import Site, lines_of, sum_of_sites
from gilx.sampling.thread_usage import (
    ThreadUsage,
    others,
    rank_of,
    shares_in_words,
    threads_together,
)
from gilx.sampling.usage_advice import LEAST_WAITING, advice_of
from gilx.sampling.waiting_sites import WaitingSite, waits_together
from gilx.sampling.watched_process import WatchedProcess  # noqa: TC001 - JSON is read by it
from gilx.sampling.world import World, worlds_together
from gilx.system.environment import Environment  # noqa: TC001 - JSON is read by it

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gilx.rendering.picture import Picture
    from gilx.sampling.prediction_record import Prediction

_ALL = 0.995  # shares from here on are reported as all of the time
_LONGEST_NAME = 40  # characters of a thread's name in texts
_MOST_LINES = 5  # lines that are shown; the record has all of them
_MUCH_BELOW = 0.01  # share of the time
_MOST_SHOWN = 12  # threads that are shown one by one; the record has all of them
_MUCH_NOT_FOUND = 0.1  # of the CPU time: threads use some before they are found
_FEW_POLLS = 0.5  # share of the samples
_RESOLVED = 0.1  # below this share of the upper bound, a lower bound says too little
_NOT_RESOLVED = "not resolved"
_LOCKED = "held by any thread"
_HELD = "GIL held, share of the time when no other thread held it"
# Endings of the names of figures that only the details show.
_MINOR = (
    "mean hold",
    "mean release",
    "longest time held at every sample",
    "sampler",
    "first call, a warm-up, not counted",
    f"main thread, {_HELD}",
)
WITHOUT_GIL = "thread states"
"""Backend of a watch of a Python without a GIL."""
_SHORTEST_HOLD = 1e-6  # seconds: holds and releases shorter than about this are missed


@dataclass(frozen=True)
class FirstCall:
    """First call of a function, which may compile, import or fill a cache.

    `wall` is in seconds; `held` is like that of `GilUsage`.
    """

    wall: float
    held: Estimate

    @classmethod
    def of(cls, usage: GilUsage) -> FirstCall:
        """Return the first call from the usage of that call alone."""
        return cls(usage.wall, usage.held)

    def __str__(self) -> str:
        return f"{duration(self.wall)}, held {self.held.text(percent)}"


@dataclass(frozen=True)
class GilUsage(Record, schema="gilx.usage", version=5):
    """Usage of the GIL while something ran: which threads held it, and for how long.

    Times are in seconds. Shares are from 0 to 1, or unknown.

    Usages add up: ``a + b`` is the usage of both watches together, as if one watch had
    covered both. Figures and intervals follow from the samples of both; `longest_hold`,
    `held_stretch` and `lateness_max` are the larger ones; `first` and `environment` are
    those of `a`, `result` is that of `b`, and `where` is empty. `total` adds many of
    them. Adding usages from different machines or backends, or the usage of a program
    and that of anything else, raises an `ArgumentError`.

    Attributes
    ----------
    held : Estimate
        Share of time for which the calling thread held the GIL, out of the wall time less
        the time for which other threads held it.
    locked : Estimate
        Share of the wall time for which any thread held the GIL.
    longest_hold : Estimate
        The longest time for which a request for the GIL would have gone unanswered by the
        calling thread; of a program, by any thread. It is unknown if a watch could not
        identify the threads behind most holds. Python code answers within the switch
        interval, C code when it returns to Python or releases the GIL.
    hold_length, release_length : (float, float)
        Bounds, at 95 %, of the mean length of a hold of the calling thread, and of the
        mean time between two holds. They follow from the number of holds that ended while
        the sampler was reading. Reading slows a cycle of a hold and a release by up to a
        microsecond, for which the lower bound allows: it may be 0 if a cycle takes a few
        microseconds. The upper bound is the wall time if the length can't be resolved.
    held_stretch : float
        The longest time in which every sample found the calling thread holding the GIL.
        The thread may have released it between samples.
    waited : Estimate
        Time for which threads waited for the GIL, all together, in thread-seconds.
    by_thread : tuple of ThreadUsage
        Activities of each thread. The calling thread comes first; then come the other
        threads that used the GIL, waited for it or ran without it, the most active first;
        then at most a hundred threads that waited for other things. All threads that
        could not be identified are one entry, named ``unknown``.
    wall, cpu : float
        Wall time of all calls, and CPU time of the process without the sampler's.
    repeats : int
        Number of calls.
    switches_per_second : float
        How often the GIL went from one thread to another.
    samples, late : int
        Number of samples, and number of those that were too late to be used.
    unknown : float
        Share of the wall time without a usable sample; it widens the intervals.
    lateness, lateness_max : float
        How late the samples were, on average and at worst.
    cost : float
        CPU time of the sampler, as a share of the wall time.
    resolution : float
        Mean time between samples. Of anything shorter, only the share is known.
    backend : str
        Way in which the GIL was found.
    sums : HoldSums
        Sums over the samples, from which most other figures follow.
    environment : Environment
        The machine and the Python.
    where : str
        Part of the call in which the GIL was held, such as "at its start"; empty if it
        was held in several.
    inconclusive_reason : str
        Reason that the usage is inconclusive; empty if it is not.
    sites : tuple of Site
        Places in the program that held the GIL, of all threads, the one of the largest
        share first.
    states_missing : str
        Reason that some or all activities of threads are unknown; empty if they are not.
    waiting_sites : tuple of WaitingSite
        Places in the program where threads waited for the GIL, or for another lock, the
        one with the longest waits first. Without a GIL, the text has the waits of idle
        threads last: threads that waited for nearly all of the time.
    world : World, optional
        Stops of all threads, in a Python without a GIL; None with a GIL, or if the stops
        could not be read. Without a GIL, the figures about holding it are unknown.
    world_missing : str
        Reason that stops could not be read; empty if they were, or with a GIL.
    locks : tuple of LockWait
        Locks that threads waited for in a Python without a GIL, the one with the longest
        waits first.
    sites_missing : str
        Reason that no stacks were read, so that there are no sites; empty if they were.
    first : FirstCall, optional
        The first call, which warmed up and is in none of the other figures; None if there
        was no such call, or if `is_first` is true.
    is_first : bool
        Whether these figures are of the first call, since the budget had no time for
        another one.
    program : str
        Name of the program that was watched from its start to its end, whose main thread
        is the calling thread here; empty for a call or a watch. Also the name of another
        process that was watched for a while.
    process : WatchedProcess, optional
        The other process that `gilx.attach` watched, whose main thread is the calling
        thread here; None for everything else. The lengths of its holds and releases are
        not resolved, and `environment` is that of gilx itself.
    result : object
        What the call returned; None for a watch. It is not part of the JSON.

    """

    held: Estimate
    locked: Estimate
    longest_hold: Estimate
    hold_length: tuple[float, float]
    release_length: tuple[float, float]
    held_stretch: float
    waited: Estimate
    by_thread: tuple[ThreadUsage, ...]
    wall: float
    cpu: float
    repeats: int
    switches_per_second: float
    samples: int
    late: int
    unknown: float
    lateness: float
    lateness_max: float
    cost: float
    resolution: float
    backend: str
    sums: HoldSums = field(repr=False)
    environment: Environment = field(repr=False)
    where: str = ""
    inconclusive_reason: str = ""
    sites: tuple[Site, ...] = ()
    waiting_sites: tuple[WaitingSite, ...] = ()
    states_missing: str = ""
    world: World | None = None
    world_missing: str = ""
    locks: tuple[LockWait, ...] = ()
    sites_missing: str = ""
    first: FirstCall | None = None
    is_first: bool = False
    program: str = ""
    process: WatchedProcess | None = None
    result: Any = field(default=None, compare=False, repr=False)

    def to_json(self, *, indent: int | None = None) -> str:
        """Return everything but the result as JSON text, which `from_json` reads."""
        return Record.to_json(replace(self, result=None), indent=indent)

    def _check(self, where: str) -> None:
        if self.result is not None:
            raise ArgumentError(
                f"{where}.result: expected null, got {shown(self.result)}"
            )
        at_least(f"{where}.repeats", self.repeats, 1)
        length_in_order(f"{where}.longest_hold", self.longest_hold)
        if not self.sums.valid:
            raise ArgumentError(
                f"{where}.sums: expected finite numbers of at least 0, a wall time above"
                f" 0, and no part larger than its whole, got {shown(self.sums)}"
            )
        for name, figure in self.sums.figures().items():
            value = getattr(self, name)
            if not agree(value, figure):
                raise ArgumentError(
                    f"{where}.{name}: expected {shown(figure)}, which follows from the"
                    f" sums, got {shown(value)}"
                )
        for number, thread in enumerate(self.by_thread):
            if not thread.agrees(self.sums):
                raise ArgumentError(
                    f"{where}.by_thread[{number}]: expected shares that follow from the"
                    f" sums, got {shown(thread)}"
                )
        for number, site in enumerate(self.sites):
            if not site.agrees(self.sums):
                raise ArgumentError(
                    f"{where}.sites[{number}]: expected shares that follow from the sums,"
                    f" and none above 1, got {shown(site)}"
                )
        for number, wait in enumerate(self.waiting_sites):
            if not wait.agrees(self.sums):
                raise ArgumentError(
                    f"{where}.waiting_sites[{number}]: expected times that follow from"
                    f" the sums, got {shown(wait)}"
                )
        if self.world is not None:
            self.world.check(f"{where}.world", self.sums)
        held, stacks = sum(site.sums.held for site in self.sites), self.sums.stacks
        if held > stacks and not agree(held, stacks):
            raise ArgumentError(
                f"{where}.sites: expected shares whose sum is at most 1, got"
                f" {held / stacks:.6g}"
            )

    def __add__(self, other: GilUsage) -> GilUsage:
        if not isinstance(other, GilUsage):
            return NotImplemented
        return GilUsage.total((self, other))

    def __radd__(self, other: object) -> GilUsage:
        """Return this usage if the other is 0, with which `sum` begins."""
        return self if other == 0 else NotImplemented

    @classmethod
    def total(cls, usages: Iterable[GilUsage]) -> GilUsage:
        """Return the sum of usages, as `sum` does.

        This takes time in proportion to the number of usages, whereas `sum` goes through
        the threads and sites of all earlier usages at each addition.

        Raises
        ------
        ArgumentError
            There are no usages, or they can't be added.

        """
        parts = tuple(usages)
        if not parts:
            raise ArgumentError("usages: expected at least one, got none")
        first, last = parts[0], parts[-1]
        for other in parts[1:]:
            _check_addend(first, other)
        if len(parts) == 1:
            return first
        sums = reduce(add, (usage.sums for usage in parts))
        longest = [usage.longest_hold for usage in parts]
        missing = [usage.sites_missing for usage in parts]
        reasons = filter(None, map(_reason_beyond_samples, parts))
        return replace(
            first,
            **sums.figures(),
            longest_hold=reduce(longer, longest)
            if all(hold.known for hold in longest)
            else Estimate.unknown(),
            held_stretch=max(usage.held_stretch for usage in parts),
            by_thread=threads_together(
                chain.from_iterable(usage.by_thread for usage in parts), sums
            ),
            cpu=sum(usage.cpu for usage in parts),
            repeats=sum(usage.repeats for usage in parts),
            lateness_max=max(usage.lateness_max for usage in parts),
            sums=sums,
            where="",
            inconclusive_reason=next(
                reasons, sums.reason_of_program if first.program else sums.reason
            ),
            sites=sum_of_sites(chain.from_iterable(usage.sites for usage in parts), sums),
            waiting_sites=waits_together(
                chain.from_iterable(usage.waiting_sites for usage in parts), sums
            ),
            states_missing=next(
                filter(None, (usage.states_missing for usage in parts)), ""
            ),
            world=worlds_together([usage.world for usage in parts], sums),
            world_missing=next(
                filter(None, (usage.world_missing for usage in parts)), ""
            ),
            locks=locks_together(chain.from_iterable(usage.locks for usage in parts)),
            sites_missing=missing[-1] if all(missing) else "",
            is_first=False,
            result=last.result,
        )

    @property
    def attached(self) -> Estimate:
        """Share of the time in which the calling thread was attached, without a GIL.

        Time in which the thread waited for a stop of all threads, or for the end of one,
        does not count. For the rest, the thread is detached: it runs C code that detached
        it, or waits. Unknown with a GIL, for which `held` is the corresponding figure.
        """
        if not self.sums.without_gil:
            return Estimate.unknown()
        return Estimate(self.sums.own.value, *self.sums.interval())

    def bounds(self, level: float) -> Estimate:
        """Return the hold fraction with bounds, valid whatever late samples missed.

        Without a GIL, it is the share of the time in which the thread was attached.

        The bounds are wider than the interval of `held`, which takes everything that may
        have happened while samples were late to be equally likely.

        Parameters
        ----------
        level : float
            Probability that the hold fraction is within the bounds, above 0 and below 1.

        Raises
        ------
        ArgumentError
            The level is out of range.

        """
        number_between("level", level, 0, 1, above=True)
        if level == 1:
            raise ArgumentError("level: expected above 0 and below 1, got 1")
        return Estimate(self.sums.own.value, *self.sums.bounds(level))

    def lines(self) -> tuple[Site, ...]:
        """Return the sites joined line by line, the line of the largest share first."""
        return lines_of(self.sites, self.sums)

    def main_line(self) -> tuple[str, str]:
        """Return the part of the held time that one line has, and the line.

        For a call, holds of the calling thread count; for a program, those of all
        threads. The part is ``nearly all`` or ``most``. A line of a library, or the
        garbage collector, is followed by the program's own line that called it. If no
        line has half of the held time, a line of the program is returned that has it
        together with the code that it called. Part and line are empty if no line has half
        of the time in this way, or if there are too few samples.
        """
        return main_line(self.lines(), self._thread())

    def where_held(self) -> str:
        """Return where the GIL is held, in words, such as "most of it in a.py:3 `f(x)`".

        If no line has half of the held time, the text has the first three lines with
        their shares of it; it is empty if there are too few samples.
        """
        return where_held(self.lines(), self._thread())

    def _thread(self) -> str:
        """Return the name of the thread whose holds count; empty if all holds count."""
        return "" if self.program or not self.by_thread else self.by_thread[0].name

    def __str__(self) -> str:
        return "\n".join([headline(self), *self._figures_shown(verbose=False)])

    def details(self) -> str:
        """Return the usage as text with all figures, as ``gilx probe --verbose`` does."""
        return "\n".join([headline(self), *self._figures_shown(verbose=True)])

    def _figures_shown(self, *, verbose: bool) -> list[str]:
        """Return the lines of text below the sentence."""
        rows = [
            *(wrapped(advice, "  ", "  ") if (advice := advice_of(self)) else []),
            *self._lines_shown(),
            *self._waiting_shown(),
        ]
        for name, words in self._details():
            if verbose or not self._is_minor(name):
                rows += wrapped(f"{name}: {words}", "  ", "    ")
        return rows

    def _is_minor(self, name: str) -> bool:
        """Return whether a figure is shown among the details only."""
        return name.endswith(_MINOR) or (not self.program and name == _LOCKED)

    def _lines_shown(self) -> list[str]:
        lines = self.lines()
        # A late sample may stand for much time, so a line needs more than one sample.
        first = [line for line in lines if line.samples > 1][:_MOST_LINES] or lines[:1]
        rest = [line for line in lines if line not in first]
        shares = [percent(line.held.value) for line in first]
        column = max(map(len, shares), default=0)
        width = line_width()
        rows = []
        for share, line in zip(shares, first, strict=True):
            start, text = f"  {share:>{column}}  {line.place}", f"  {line.text}".rstrip()
            text = "  (changed)" if line.changed else text
            name = f" {line.name}".rstrip()
            if len(start + name + text) > width and text:
                name = ""  # the file and the line say where it is
            rows.append(shortened(start + name + text, width))
            if origin := called_from(line):
                rows.append(shortened(f"  {'':>{column}}    {origin}", width))
        if rest:
            held = sum(line.held.value for line in rest)
            lines_, hold = ("line", "holds") if len(rest) == 1 else ("lines", "hold")
            rows.append(f"  {len(rest)} more {lines_} {hold} {percent(held)}")
        below = sum(line.below for line in lines)
        if below > _MUCH_BELOW:
            rows.append(
                f"  for {percent(below)} of the time, a line called from these may have"
                " held the GIL"
            )
        return rows

    def _waiting_shown(self) -> list[str]:
        """Return a line on the waiting that the worst line of code caused, if any did."""
        waited = self.waited.value
        if not waited >= LEAST_WAITING * self.wall:
            return []
        whole = f"threads waited {duration(waited)} for the GIL, all together"
        worst = max(
            (
                line
                for line in self.lines()
                if line.waiting_caused.known and place_in_words(line)
            ),
            key=lambda line: line.waiting_caused.value,
            default=None,
        )
        if worst is None or worst.waiting_caused.value <= 0:
            return [f"  {whole}"]
        caused = duration(worst.waiting_caused.value)
        return wrapped(
            f"{whole}, {caused} of it while {place_in_words(worst)} held it", "  ", "    "
        )

    def sentence(self) -> str:
        """Return the finding in one sentence of plain words."""
        return self._finding() + ("; this was its first call" if self.is_first else "")

    def _finding(self) -> str:
        if self.inconclusive_reason:
            return self._inconclusive()
        if self.sums.without_gil:
            return self._sentence_without_gil()
        if self.program:
            return self._sentence_of_program()
        return f"{self._calling_thread()} {self._finding_of_thread()}"

    def _inconclusive(self) -> str:
        """Return the reason for no finding, with the known share of a program."""
        reason = f"inconclusive: {self.inconclusive_reason}{self._remedy()}"
        if not self.program:
            return reason
        if not self.locked.known:
            return f"{self.program}: {reason}"
        share = self.locked.text(percent)
        return (
            f"{self.program} holds the GIL for {share} of {self._time_of_program()};"
            f" {reason}"
        )

    def _remedy(self) -> str:
        """Return advice against too few or too late samples of another process."""
        if (
            self.process is None
            or self.inconclusive_reason != self.sums.reason_of_program
        ):
            return ""
        longer = "" if self.process.end else "longer, with a larger budget"
        idle = (
            "on a machine with a free CPU"
            if self.inconclusive_reason == self.sums.too_late
            else ""
        )
        ways = ", or ".join(filter(None, (longer, idle)))
        return f"; watch it {ways}" if ways else ""

    def _calling_thread(self) -> str:
        return _thread_words(self.by_thread[0]) if self.by_thread else "the thread"

    def _finding_of_thread(self) -> str:
        each = self.wall / self.repeats
        held = self.held.value
        if held >= _ALL:
            return f"holds the GIL for all of its {duration(each)}{self._place()}"
        if held <= 1 - _ALL:
            return f"releases the GIL for all of its {duration(each)}"
        if held > 0.5:
            return (
                f"holds the GIL for {percent(held)} of its"
                f" {duration(each)}{self._place()}"
            )
        where = f" {self.where}" if self.where else ""
        return (
            f"releases the GIL for {percent(1 - held)} of its time and holds it for the"
            f" rest, about {duration(held * each)}{where}{self._place()}"
        )

    def _sentence_without_gil(self) -> str:
        own = self.by_thread[0]
        subject = f"{self.program or self._calling_thread()} runs"
        time = duration(self.wall / self.repeats)
        if not own.running.known:
            return f"{subject} for {time} without a GIL"
        thread = "its main thread is" if self.program else "it is"
        return (
            f"{subject} for {time} without a GIL; {thread} attached and running for"
            f" {percent(own.running.value)} of the time{self._not_found()}"
        )

    def _not_found(self) -> str:
        """Return the words on threads that ended before they were found, if any ran."""
        # A thread's clock is first read some time after the thread was found.
        threads = [one.sums for one in self.by_thread]
        found = sum(
            one.ran * max(1.0, one.alive / one.clock_span)
            if one.clock_span
            else one.alive
            for one in threads
        )
        found /= 1e9
        share = 1 - found / self.cpu if self.cpu > 0 else 0.0
        if share < _MUCH_NOT_FOUND:
            return ""
        return (
            f"; threads that ended too soon to be found used {percent(share)} of the CPU"
            " time"
        )

    def _place(self) -> str:
        part, line = self.main_line()
        return f", {part} of it in {line}" if part else ""

    def _sentence_of_program(self) -> str:
        locked = self.locked.value
        time = self._time_of_program()
        if locked <= 1 - _ALL:
            return f"{self.program} releases the GIL for all of {time}"
        share = "all" if locked >= _ALL else percent(locked)
        most = _by_share(self)[0]
        held = percent(most.holding.value)
        thread = (
            f"the thread that holds it most is {_short(most.name)}, for {held}"
            if all(thread.holding.known for thread in self.by_thread)
            else "the threads that hold it could not be identified"
        )
        return (
            f"{self.program} holds the GIL for {share} of {time}{self._place()}; {thread}"
        )

    def _time_of_program(self) -> str:
        length = duration(self.wall)
        if self.process is None:
            return f"its {length}"
        return f"the {length} in which it was watched"

    def _length(self, bounds: tuple[float, float]) -> str:
        low, high = bounds
        if high >= self.wall and low < _RESOLVED * high:
            known = low >= _SHORTEST_HOLD
            return _NOT_RESOLVED + (f"; at least {duration(low)}" if known else "")
        return (
            f"{duration(low)} to {duration(high)}" if low else f"at most {duration(high)}"
        )

    def _details(self) -> list[tuple[str, str]]:
        held = self.held.text(percent)
        without_gil = ran_without_gil(self)
        threads = [
            (_thread_words(share), shares_in_words(share, without_gil=without_gil))
            for share in shares_shown(self)
        ]
        longest = self.longest_hold.text(duration)
        locked = (_LOCKED, self.locked.text(percent))
        if without_gil:
            return [
                *threads,
                *self._world_rows(),
                *self._lock_rows(),
                *(
                    [("first call, a warm-up, not counted", duration(self.first.wall))]
                    if self.first
                    else []
                ),
                *self._last_rows(),
            ]
        if self.program:
            return [
                locked,
                *threads,
                ("longest hold of any thread", longest),
                (f"main thread, {_HELD}", held),
                *(
                    (f"main thread, {name}", words)
                    for name, words in self._lengths()
                    if words != _NOT_RESOLVED
                ),
                *self._last_rows(),
            ]
        own = [
            (_HELD, held),
            ("longest hold", longest),
            *self._lengths(),
        ]
        return [
            *((f"{self._calling_thread()}, {name}", words) for name, words in own),
            locked,
            *threads,
            *(
                [("first call, a warm-up, not counted", str(self.first))]
                * bool(self.first)
            ),
            *self._last_rows(),
        ]

    def _world_rows(self) -> list[tuple[str, str]]:
        if self.world is None:
            missing = self.world_missing
            return [("world", f"unknown, since {missing}")] * bool(missing)
        return self.world.rows()

    def _lock_rows(self) -> list[tuple[str, str]]:
        """Return the locks that threads waited for, and the lines in which they did."""
        least = LEAST_WAITING * self.wall
        locks = [lock for lock in locks_in_order(self) if lock.waiting >= least]
        rows = [
            (f"lock, {lock.name}", f"threads waited {duration(lock.waiting)}")
            for lock in locks[:_MOST_LINES]
        ]
        waits = [
            f"{site.place} `{site.text}` {duration(site.waiting_lock.value)}"
            for _, site in lines_in_order(self)
            if site.waiting_lock.value >= least
        ]
        if waits:
            rows.append(("waiting for locks in", ", ".join(waits[:_MOST_LINES])))
        return rows

    def _lengths(self) -> list[tuple[str, str]]:
        return [
            ("mean hold", self._length(self.hold_length)),
            ("mean release", self._length(self.release_length)),
            ("longest time held at every sample", duration(self.held_stretch)),
        ]

    def _last_rows(self) -> list[tuple[str, str]]:
        calls = f" in {self.repeats:,} call{'s' if self.repeats != 1 else ''}"
        return [
            (
                "time",
                (
                    f"{duration(self.wall)}{'' if self.program else calls},"
                    f" {duration(self.cpu)} of CPU"
                    + (
                        ""
                        if ran_without_gil(self)
                        else f", {self.switches_per_second:.3g} switches a second"
                    )
                ),
            ),
            *([("process", str(self.process))] * (self.process is not None)),
            *self._activities_row(),
            (
                "sampler",
                (
                    f"{self.samples} samples ({self.late} late), one every"
                    f" {duration(self.resolution)}, {duration(self.lateness)} late on"
                    f" average, {percent(self.unknown)} of the time unknown,"
                    f" cost {percent(self.cost)} of a CPU ({self.backend})"
                ),
            ),
            *(
                [("lines", f"unknown, since {self.sites_missing}")]
                * bool(self.sites_missing)
            ),
        ]

    def _activities_row(self) -> list[tuple[str, str]]:
        """Return the row on unknown activities of threads, if there are many."""
        polls, most_polls = self.sums.asked, self.sums.askable
        if self.states_missing:
            words = f"unknown in part, since {self.states_missing}"
        elif polls < _FEW_POLLS * most_polls:
            words = (
                "the state of each thread was read in"
                f" {percent(polls / most_polls)} of the samples"
            )
        else:
            return []
        return [("activities", words)]

    def predict(
        self,
        workers: Sequence[int],
        *,
        cpus: int | None = None,
        cycles: float | None = None,
        hold_scv: float = 1.0,
        handover: float | None = None,
    ) -> Prediction:
        """Predict the throughput of many threads from this usage of one.

        The caller states what the sampler can't measure: how often a call takes the GIL,
        if holds are too long to be counted, and how much the holds vary.

        Parameters
        ----------
        workers : sequence of int
            Numbers of threads to predict for, each 1 to 10**7; this machine need not have
            as many CPUs.
        cpus : int, optional
            Number of CPUs that the threads have; by default those that this process may
            use.
        cycles : float, optional
            Number of times that a call takes the GIL, above 0. By default it follows from
            the mean length of a hold, if that is resolved to a factor of 4; otherwise it
            is 1, or less if a hold is known to last for several calls.
        hold_scv : float
            Squared coefficient of variation of the holds: 0 if all have the same length.
        handover : float, optional
            Time for which the GIL stays unused when it goes to a waiting thread, in
            seconds. By default it is measured, which takes at most about two seconds;
            after holds of more than 5 ms it is estimated from holds of 5 ms, and the
            prediction says so.

        Returns
        -------
        Prediction
            Calls per second for each number of threads.

        Raises
        ------
        ArgumentError
            An argument is not as described, or this usage is inconclusive.

        """
        from gilx.sampling.prediction import predict  # noqa: PLC0415 - loads NumPy
        from gilx.sampling.release_costs import release_costs  # noqa: PLC0415 - for this only

        if self.inconclusive_reason:
            raise ArgumentError(
                "usage: cannot predict from an inconclusive usage"
                f" ({self.inconclusive_reason})"
            )
        if not self.held.known:
            raise ArgumentError(
                "usage: cannot predict from a usage of a Python without a GIL, whose hold"
                " fraction is unknown"
            )
        call = self.wall / self.repeats
        hold = self.held.value * call
        if cycles is None:
            low, high = self.hold_length
            resolved = is_resolved(low, high)
            # Several short calls may fit into one hold, which lasts at least `low`.
            most = hold / low if low > 0 else math.inf
            cycles = hold / math.sqrt(low * high) if resolved else min(1.0, most)
        cycles = above_zero("cycles", cycles)
        release = min(max(0.0, self.cpu / self.repeats - hold), call - hold)
        handover_hold = None
        if handover is None:
            price = release_costs(hold=max(hold / cycles, 1e-6))
            # None if this Python has no GIL, although that of the usage had one.
            handover = 0.0 if price.handover is None else price.handover.value
            handover_hold = None if price.estimated_for is None else price.hold
        prediction = predict(
            workers,
            hold=hold / cycles,
            hold_scv=hold_scv,
            release=release / cycles,
            waiting=(call - hold - release) / cycles,
            handover=handover,
            cpus=cpus,
            cycles=cycles,
        )
        return replace(prediction, handover_hold=handover_hold)

    def plot(self) -> Picture:
        """Return a picture of each thread's share of the time.

        Raises
        ------
        MissingExtraError
            The extra ``plot`` is not installed.

        """
        picture: Picture = render(self, "plot")
        return picture

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{html.escape(a)}</th><td>{html.escape(b)}</td></tr>"
            for a, b in self._details()
        )
        lines = "".join(
            f'<tr><td style="white-space: pre-wrap">{html.escape(row.strip())}</td></tr>'
            for row in (*self._lines_shown(), *self._waiting_shown())
        )
        return (
            f"<p>{html.escape(self.sentence())}</p><table>{lines}</table>"
            f"<table>{rows}</table>"
        )


def ran_without_gil(usage: GilUsage) -> bool:
    """Return whether a usage is of a Python without a GIL, even if it has no samples."""
    return usage.sums.without_gil or (
        usage.sums.counted <= 0 and usage.backend == WITHOUT_GIL
    )


def _thread_words(thread: ThreadUsage) -> str:
    name = _short(thread.name)
    unnamed = thread.native_id is None or thread.name == f"thread {thread.native_id}"
    return name if unnamed else f"thread {name}"


def _check_addend(usage: GilUsage, other: GilUsage) -> None:
    if usage.program != other.program:
        raise ArgumentError(
            f"cannot add the usage of {_subject(other)} to that of {_subject(usage)}:"
            " only usages of calls, or of one program, add up"
        )
    if usage.backend != other.backend:
        raise ArgumentError(
            "cannot add usages from different backends:"
            f" {usage.backend!r} and {other.backend!r}"
        )
    difference = usage.environment.same_machine(other.environment)
    if not difference:
        raise ArgumentError(
            f"cannot add usages from different machines ({'; '.join(difference.machine)})"
        )


def _reason_beyond_samples(usage: GilUsage) -> str:
    """Return the reason that a usage is inconclusive, if it is not due to samples."""
    sums = usage.sums
    known = usage.inconclusive_reason in (sums.reason, sums.reason_of_program)
    return "" if known else usage.inconclusive_reason


def _subject(usage: GilUsage) -> str:
    return f"the program {usage.program}" if usage.program else "a call"


def _short(name: str) -> str:
    return shortened(name, _LONGEST_NAME)


def headline(usage: GilUsage) -> str:
    """Return the sentence of a usage as lines of text."""
    return "\n".join(wrapped(usage.sentence(), "", "  "))


def _by_share(usage: GilUsage) -> list[ThreadUsage]:
    return sorted(usage.by_thread, key=lambda thread: rank_of(thread.sums), reverse=True)


def shares_shown(usage: GilUsage) -> list[ThreadUsage]:
    """Return the first threads, and one entry for all others if there are any.

    Threads that neither used the GIL nor ran are left out, except the calling thread.
    """
    threads = _by_share(usage) if usage.program else list(usage.by_thread)
    threads = [
        thread
        for thread in threads
        if thread is usage.by_thread[0] or not thread.sums.idle
    ]
    first, rest = threads[:_MOST_SHOWN], threads[_MOST_SHOWN:]
    if not rest:
        return first
    return [*first, others(rest, usage.sums)]
