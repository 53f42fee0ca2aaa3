"""Stops of the world, as a watch of a Python without a GIL reports them.

A thread stops the world when it makes all other threads of its interpreter stop, as the
garbage collector of a free-threaded build does.
"""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, field, fields, replace
from typing import TYPE_CHECKING, NamedTuple

from gilx.errors import ArgumentError, at_least, shown
from gilx.estimate import Estimate
from gilx.formatting import duration, escaped, percent
from gilx.sampling.hold_fraction import agree
from gilx.sampling.longest_hold import is_resolved
from gilx.sampling.ratio_interval import Ratio, interval
from gilx.sampling.sites import KINDS, Kind, one_line, place_of, short_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gilx.sampling.hold_fraction import HoldSums
    from gilx.sampling.source_text import SourceTexts

_LEAST_SHOWN = 0.005  # of the time


class FoundClock(NamedTuple):
    """A thread as `gilx.sampling._sampler.Sampler.free_threads` returns it."""

    span: float
    ran: float
    asked: float
    asked_squares: float
    late: float
    late_squares: float
    ready: float = 0.0
    without_cpu: float = 0.0
    without_cpu_squares: float = 0.0
    spun_without_cpu: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


class FoundStops(NamedTuple):
    """Stops as it returns them."""

    stopped: tuple[float, ...]
    stopping: tuple[float, ...]
    least: int
    most: int
    stretch: int


class FoundStopSite(NamedTuple):
    """A place in the program as it returns it."""

    place: tuple[int, str, str, int, int, int, int, int]
    asked: float
    asked_squares: float
    late: float
    late_squares: float
    samples: int


@dataclass(frozen=True)
class StopSums:
    """Sums over the samples of a share of the time, which add up.

    `time` is the sum of the slices' lengths in nanoseconds, each times its share, and
    `squares` that of the squares of these products.
    """

    time: float = 0.0
    squares: float = 0.0

    def __add__(self, other: StopSums) -> StopSums:
        return StopSums(self.time + other.time, self.squares + other.squares)

    def share(self, whole: WorldSums, watch: HoldSums) -> Estimate:
        """Return the share of the time, with its interval at 95 %."""
        y, yy = whole.stopped.y, whole.stopped.yy
        if y <= 0:
            return Estimate.unknown()
        h = min(1.0, self.time / y)
        # Slices that are drawn at random.
        steps = 2 * max(0.0, self.squares * (1 - 2 * h) + h * h * yy)
        ratio = Ratio(self.time, y, self.squares, self.squares, yy, steps, 0.0, 0.0)
        bounds = interval(ratio, watch.unknown_share, prompt=watch.prompt)
        return Estimate(h, min(h, bounds[0]), max(h, bounds[1]))

    @property
    def valid(self) -> bool:
        """True if they may be such sums."""
        return all(0 <= number < math.inf for number in astuple(self))


@dataclass(frozen=True)
class WorldSums:
    """Sums over the samples of the world: they add up.

    `stopped` has the time in which a stop was asked for or went on, and `stopping` that
    in which some thread had not stopped yet (x), of all known time (y).
    """

    stopped: Ratio
    stopping: Ratio

    def __add__(self, other: WorldSums) -> WorldSums:
        return WorldSums(self.stopped + other.stopped, self.stopping + other.stopping)

    @property
    def valid(self) -> bool:
        """True if they may be sums of a watch."""
        both = (self.stopped, self.stopping)
        numbers = [(one.x, one.y, one.xx, one.yy, one.dxx, one.dyy) for one in both]
        return all(0 <= number < math.inf for each in numbers for number in each) and all(
            one.x <= one.y * (1 + 1e-9) for one in both
        )


@dataclass(frozen=True)
class ThreadStops:
    """Share of the time in which one thread had to do with stops of the world."""

    name: str
    native_id: int | None
    share: Estimate
    sums: StopSums = field(repr=False)

    def __str__(self) -> str:
        return f"{self.name} {percent(self.share.value)}"


@dataclass(frozen=True)
class StopSite:
    """One place in a Python program that has to do with stops of the world."""

    function: str
    """Qualified name; empty if there is none."""
    file: str
    """File name as the code has it; empty if there is none."""
    line: int
    """Number of the line; 0 if it is not known."""
    text: str
    """Source text of the expression or statement, as in `Site`."""
    asking: Estimate
    """Share of the time for which a stop was asked for there, until it ended."""
    late: Estimate
    """The same for stops that waited for a thread there; several threads add up."""
    samples: int
    """Number of samples."""
    kind: Kind
    """As that of a `WaitingSite`."""
    first_line: int
    """Line at which the function begins."""
    end_line: int
    """Line at which the expression or statement ends."""
    column: int
    """Where it begins in its line, in bytes of UTF-8 from 0; -1 if that is not known."""
    end_column: int
    """Where it ends; -1 if that is not known."""
    asking_sums: StopSums = field(repr=False)
    late_sums: StopSums = field(repr=False)

    @property
    def place(self) -> str:
        """File and line, the file as short as people know it."""
        return place_of(self.kind, self.file, self.line)

    @property
    def name(self) -> str:
        """The function's name without what it is defined in."""
        return short_name(self.function)

    @property
    def label(self) -> str:
        """The place with its source text."""
        return f"{self.place} `{self.text}`" if self.text else self.place

    def _check(self, where: str) -> None:
        for name in ("samples", "line", "first_line", "end_line"):
            at_least(f"{where}.{name}", getattr(self, name), 0)
        for name in ("column", "end_column"):
            at_least(f"{where}.{name}", getattr(self, name), -1)


@dataclass(frozen=True)
class World:
    """Stops of the world of one interpreter, which runs without a GIL.

    Stops of all interpreters at once, such as that of ``os.fork``, are not in it.
    """

    stopped: Estimate
    """Share of the time in which a stop was asked for, or the world was stopped."""
    stopping: Estimate
    """Share of the time in which a stop had been asked for and a thread had not stopped
    yet."""
    asked_by: tuple[ThreadStops, ...]
    """Threads that asked for stops, the one with the longest stops first."""
    late: tuple[ThreadStops, ...]
    """Threads for which stops waited, the one that they waited for longest first."""
    longest: Estimate
    """Longest stop in seconds. Its bounds are certain: some stop was at least as long as
    the lower one, and none longer than the upper one. The value is the longest time in
    which each read found a stop, which may have been several."""
    sites: tuple[StopSite, ...]
    """Places in the program where stops were asked for, or waited for a thread."""
    sums: WorldSums = field(repr=False)
    """Sums over the samples, from which the shares follow."""

    @classmethod
    def of(
        cls,
        found: FoundStops,
        clocks: Sequence[FoundClock],
        threads: Sequence[tuple[str, int | None]],
        watch: HoldSums,
    ) -> World:
        """Return the stops of a watch that has these sums, without their sites."""
        asked = [
            ThreadStops(*name, Estimate.unknown(), StopSums(one.asked, one.asked_squares))
            for name, one in zip(threads, clocks, strict=True)
        ]
        late = [
            ThreadStops(*name, Estimate.unknown(), StopSums(one.late, one.late_squares))
            for name, one in zip(threads, clocks, strict=True)
        ]
        low, high = found.least / 1e9, found.most / 1e9
        value = max(low, min(high, found.stretch / 1e9))
        return cls(
            *(Estimate.unknown(),) * 2,
            asked_by=tuple(asked),
            late=tuple(late),
            longest=Estimate(value, low, high),
            sites=(),
            sums=WorldSums(Ratio(*found.stopped), Ratio(*found.stopping)),
        ).with_shares(watch)

    def with_shares(self, watch: HoldSums) -> World:
        """Return it with the shares that follow from the sums."""

        def share(ratio: Ratio) -> Estimate:
            bounds = interval(ratio, watch.unknown_share, prompt=watch.prompt)
            return Estimate(ratio.value, *bounds)

        def shares(threads: tuple[ThreadStops, ...]) -> tuple[ThreadStops, ...]:
            some = [one for one in threads if one.sums.time > 0]
            some.sort(key=lambda one: -one.sums.time)
            return tuple(
                replace(one, share=one.sums.share(self.sums, watch)) for one in some
            )

        return replace(
            self,
            stopped=share(self.sums.stopped),
            stopping=share(self.sums.stopping),
            asked_by=shares(self.asked_by),
            late=shares(self.late),
            sites=tuple(
                replace(
                    one,
                    asking=one.asking_sums.share(self.sums, watch),
                    late=one.late_sums.share(self.sums, watch),
                )
                for one in sorted(
                    self.sites,
                    key=lambda one: -(one.asking_sums.time + one.late_sums.time),
                )
            ),
        )

    def with_sites(
        self, found: Iterable[FoundStopSite], watch: HoldSums, sources: SourceTexts
    ) -> World:
        """Return it with the places that the sampler found."""
        return replace(
            self, sites=tuple(_site(one, sources) for one in found)
        ).with_shares(watch)

    def by_name(self, watch: HoldSums) -> World:
        """Return it with threads of the same name as one, which has no native id."""

        def joined(threads: tuple[ThreadStops, ...]) -> tuple[ThreadStops, ...]:
            return _threads_together(replace(one, native_id=None) for one in threads)

        return replace(
            self, asked_by=joined(self.asked_by), late=joined(self.late)
        ).with_shares(watch)

    def check(self, where: str, watch: HoldSums) -> None:
        """Raise `ArgumentError` unless the shares are those that follow from the sums."""
        parts = (*self.asked_by, *self.late)
        sums = [one.sums for one in parts]
        sums += [one.asking_sums for one in self.sites]
        sums += [one.late_sums for one in self.sites]
        if not self.sums.valid or not all(one.valid for one in sums):
            raise ArgumentError(
                f"{where}.sums: expected finite numbers from 0, and no part larger than"
                " its whole"
            )
        other = self.with_shares(watch)
        if not (
            len(self.asked_by) == len(other.asked_by)
            and len(self.late) == len(other.late)
            and all(
                agree(*pair) for pair in zip(_figures(self), _figures(other), strict=True)
            )
        ):
            raise ArgumentError(
                f"{where}: expected shares that follow from its sums, the largest first,"
                f" got {shown(self)}"
            )

    def rows(self) -> list[tuple[str, str]]:
        """Return what it says in words, with a name for each part."""
        if not self.stopped.known:
            return []
        words = f"stopped or stopping for {self.stopped.text(percent)} of the time"
        if self.sums.stopped.x > 0:
            words += (
                f", stopping for {percent(self.stopping.value)};"
                f" {length_of_stop(self.longest)}"
            )
        rows = [("world", words)]
        for name, threads in (("asked by", self.asked_by), ("late", self.late)):
            shown_ = [str(one) for one in threads if one.share.value >= _LEAST_SHOWN]
            if shown_:
                rows.append((f"world, {name}", ", ".join(shown_)))
        for name, figure in (("asked for in", "asking"), ("late in", "late")):
            lines = sorted(self.sites, key=lambda one: -getattr(one, figure).value)
            shown_ = [
                f"{one.label} {percent(getattr(one, figure).value)}"
                for one in lines[:3]
                if one.kind == "line" and getattr(one, figure).value >= _LEAST_SHOWN
            ]
            if shown_:
                rows.append((f"world, {name}", ", ".join(shown_)))
        return rows


def length_of_stop(longest: Estimate) -> str:
    """Return the length of the longest stop in words: its bounds alone if they are wide.

    Then each sample of some time found a stop, which may have been one or many.
    """
    if longest.bounded and longest.value <= 0:
        return f"no stop above {duration(longest.high)}"
    if not longest.bounded or is_resolved(*longest.interval):
        return f"longest stop {longest.text(duration)}"
    bounds = f"{duration(longest.low)} to {duration(longest.high)}"
    return f"longest stop {bounds}, as several in a row look like one"


def worlds_together(worlds: Sequence[World | None], watch: HoldSums) -> World | None:
    """Return the stops of several watches, whose sums together are those of `watch`.

    None if they were not read in one of them.
    """
    known = [one for one in worlds if one is not None]
    if not known or len(known) < len(worlds):
        return None
    first, *rest = known
    sums = first.sums
    longest = first.longest
    for one in rest:
        sums += one.sums
        longest = Estimate(
            max(longest.value, one.longest.value),
            max(longest.low, one.longest.low),
            max(longest.high, one.longest.high),
        )
    sites: dict[tuple[object, ...], StopSite] = {}
    for site in (site for one in known for site in one.sites):
        position = site.line, site.end_line, site.column, site.end_column
        key = site.kind, site.file, site.function, site.first_line, *position
        before = sites.get(key)
        sites[key] = (
            site
            if before is None
            else replace(
                before,
                samples=before.samples + site.samples,
                asking_sums=before.asking_sums + site.asking_sums,
                late_sums=before.late_sums + site.late_sums,
            )
        )
    return World(
        *(Estimate.unknown(),) * 2,
        asked_by=_threads_together(thread for one in known for thread in one.asked_by),
        late=_threads_together(thread for one in known for thread in one.late),
        longest=longest,
        sites=tuple(sites.values()),
        sums=sums,
    ).with_shares(watch)


def _threads_together(threads: Iterable[ThreadStops]) -> tuple[ThreadStops, ...]:
    found: dict[tuple[str, int | None], ThreadStops] = {}
    for one in threads:
        key = one.name, one.native_id
        before = found.get(key)
        found[key] = one if before is None else replace(one, sums=before.sums + one.sums)
    return tuple(found.values())


def _site(one: FoundStopSite, sources: SourceTexts) -> StopSite:
    kind, function, file, first_line, line, end_line, column, end_column = one.place
    unknown = Estimate.unknown()
    return StopSite(
        function=escaped(function),
        file=escaped(file),
        line=line,
        text=one_line(sources.expression(file, line, end_line, column, end_column)),
        asking=unknown,
        late=unknown,
        samples=one.samples,
        kind=KINDS[kind],
        first_line=first_line,
        end_line=end_line,
        column=column,
        end_column=end_column,
        asking_sums=StopSums(one.asked, one.asked_squares),
        late_sums=StopSums(one.late, one.late_squares),
    )


def _figures(world: World) -> list[Estimate]:
    own = [
        getattr(world, each.name)
        for each in fields(world)
        if each.type == "Estimate" and each.name != "longest"
    ]
    threads = [one.share for one in (*world.asked_by, *world.late)]
    sites = [figure for one in world.sites for figure in (one.asking, one.late)]
    return [*own, *threads, *sites]
