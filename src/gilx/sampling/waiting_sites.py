"""Lines of Python code where threads wait, as a watch reports them."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, field, fields, replace
from typing import TYPE_CHECKING, NamedTuple

from gilx.errors import at_least
from gilx.estimate import Estimate
from gilx.formatting import escaped
from gilx.sampling.hold_fraction import agree
from gilx.sampling.ratio_interval import Ratio, interval
from gilx.sampling.sites import KINDS, Kind, one_line, place_of, short_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gilx.sampling.hold_fraction import HoldSums
    from gilx.sampling.sites import Position
    from gilx.sampling.source_text import SourceTexts


class FoundWait(NamedTuple):
    """A site as the sampler returns it, see `gilx.sampling._sampler.Sampler.waits`."""

    kind: int
    function: str
    file: str
    first_line: int
    line: int
    end_line: int
    column: int
    end_column: int
    gil: float
    gil_squares: float
    lock: float
    lock_squares: float
    samples: int

    @property
    def position(self) -> Position:
        """Where it is."""
        return self[1:8]


@dataclass(frozen=True)
class WaitSums:
    """Sums over the samples of one site where threads waited: they add up.

    Lengths are in nanoseconds, of all threads together.

    Attributes
    ----------
    gil, lock : float
        For how long threads waited there for the GIL, and for other locks.
    gil_squares, lock_squares : float
        Sums of the squares of the slices that make these up.

    """

    gil: float
    gil_squares: float
    lock: float
    lock_squares: float

    def __add__(self, other: WaitSums) -> WaitSums:
        return WaitSums(
            *(
                getattr(self, each.name) + getattr(other, each.name)
                for each in fields(self)
            )
        )

    def waiting(self, watch: HoldSums) -> tuple[Estimate, Estimate]:
        """Return the thread-seconds of waits for the GIL, and for other locks."""
        return (
            Estimate.unknown()
            if watch.without_gil
            else _thread_seconds(self.gil, self.gil_squares, watch),
            _thread_seconds(self.lock, self.lock_squares, watch),
        )

    def valid(self, watch: HoldSums) -> bool:
        """Return whether they may be sums of a watch."""
        whole = watch.threads * (1 + 1e-9)
        return (
            all(0 <= number < math.inf for number in astuple(self))
            and self.gil + self.lock <= whole
        )


@dataclass(frozen=True)
class WaitingSite:
    """One place in a Python program where threads waited for the GIL or another lock."""

    function: str
    """Qualified name; empty if there is none."""
    file: str
    """File name as the code has it; empty if there is none."""
    line: int
    """Number of the line; 0 if it is not known."""
    text: str
    """Source text of the expression or statement, as in `Site`."""
    waiting_gil: Estimate
    """Thread-seconds for which threads waited there for the GIL; unknown without one."""
    waiting_lock: Estimate
    """The same for other locks, condition variables and semaphores."""
    samples: int
    """Number of samples in which it was found where a thread waited, that found it
    there."""
    kind: Kind
    """``line``; ``unknown`` if the thread's stack could not be read, or ``other lines``
    if the sampler's tables were full."""
    first_line: int
    """Line at which the function begins."""
    end_line: int
    """Line at which the expression or statement ends."""
    column: int
    """Where it begins in its line, in bytes of UTF-8 from 0; -1 if that is not known."""
    end_column: int
    """Where it ends; -1 if that is not known."""
    sums: WaitSums = field(repr=False)
    """Sums over the samples, from which the times follow."""

    @property
    def place(self) -> str:
        """File and line, the file as short as people know it."""
        return place_of(self.kind, self.file, self.line)

    @property
    def name(self) -> str:
        """The function's name without what it is defined in."""
        return short_name(self.function)

    def of(self, watch: HoldSums) -> WaitingSite:
        """Return the site with the times of a watch that has these sums."""
        gil, lock = self.sums.waiting(watch)
        return replace(self, waiting_gil=gil, waiting_lock=lock)

    def agrees(self, watch: HoldSums) -> bool:
        """Return whether the times are those that follow from the sums."""
        if not self.sums.valid(watch):
            return False
        site = self.of(watch)
        # Usages that are older than this rule have 0 without a GIL.
        gil = watch.without_gil or agree(self.waiting_gil, site.waiting_gil)
        return gil and agree(self.waiting_lock, site.waiting_lock)

    def _check(self, where: str) -> None:
        for name in ("samples", "line", "first_line", "end_line"):
            at_least(f"{where}.{name}", getattr(self, name), 0)
        for name in ("column", "end_column"):
            at_least(f"{where}.{name}", getattr(self, name), -1)


def _thread_seconds(time: float, squares: float, watch: HoldSums) -> Estimate:
    """Return a part of the time of all threads, with its interval at 95 %.

    The interval is that of slices drawn at random: threads that wait at the same time do
    not do so in turn, of which steps from slice to slice would tell.
    """
    if watch.threads <= 0:
        return Estimate.unknown()
    h = time / watch.threads
    level = squares * (1 - 2 * h) + h * h * watch.threads_squares
    ratio = Ratio(
        *(time, watch.threads, squares, squares),
        *(watch.threads_squares, 2 * max(0.0, level), 0.0, 0.0),
    )
    varies = 2 * math.sqrt(max(0.0, h * (1 - h))) if watch.prompt else 1.0
    bounds = interval(ratio, watch.unknown_share * varies, prompt=watch.prompt)
    known = Estimate(ratio.value, *bounds).times(watch.threads / 1e9)
    # Threads may have waited there when it is not known what they did.
    return replace(known, high=known.high + watch.threads_missed / 1e9)


def waiting_sites_of(
    found: Iterable[FoundWait], watch: HoldSums, sources: SourceTexts
) -> tuple[WaitingSite, ...]:
    """Return the sites of a watch, that with the longest waits first.

    Parameters
    ----------
    found : iterable of FoundWait
        What the sampler found.
    watch : HoldSums
        The sums of the watch.
    sources : SourceTexts
        Source texts at the end of the watch.

    """
    return _by_time(
        WaitingSite(
            function=escaped(one.function),
            file=escaped(one.file),
            line=one.line,
            text=one_line(sources.text(one.position)),
            waiting_gil=Estimate.unknown(),
            waiting_lock=Estimate.unknown(),
            samples=one.samples,
            kind=KINDS[one.kind],
            first_line=one.first_line,
            end_line=one.end_line,
            column=one.column,
            end_column=one.end_column,
            sums=WaitSums(one.gil, one.gil_squares, one.lock, one.lock_squares),
        ).of(watch)
        for one in found
    )


def waits_together(
    waits: Iterable[WaitingSite], watch: HoldSums
) -> tuple[WaitingSite, ...]:
    """Return the sites of several watches, whose sums together are those of `watch`."""
    sites: dict[tuple[object, ...], WaitingSite] = {}
    for site in waits:
        key = _key(site)
        if key in sites:
            one = sites[key]
            sites[key] = replace(
                one,
                text=one.text or site.text,
                samples=one.samples + site.samples,
                sums=one.sums + site.sums,
            )
        else:
            sites[key] = site
    return _by_time(site.of(watch) for site in sites.values())


def _by_time(sites: Iterable[WaitingSite]) -> tuple[WaitingSite, ...]:
    return tuple(
        sorted(sites, key=lambda site: (-site.sums.gil - site.sums.lock, _key(site)))
    )


def _key(site: WaitingSite) -> tuple[object, ...]:
    position = site.line, site.end_line, site.column, site.end_column
    return site.kind, site.file, site.function, site.first_line, *position
