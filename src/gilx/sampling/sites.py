"""Lines of Python code that hold the GIL, as a watch reports them."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass, field, fields, replace
from functools import reduce
from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

from gilx.errors import ArgumentError, at_least, number_between
from gilx.estimate import Estimate
from gilx.formatting import escaped, printable, shortened, shortened_path
from gilx.sampling.hold_fraction import agree
from gilx.sampling.longest_hold import (
    NOTHING_KNOWN,
    WATCHED,
    Stretch,
    length_in_order,
    longer,
    stretch_length,
)
from gilx.sampling.ratio_interval import Ratio, interval
from gilx.sampling.source_files import short_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from gilx.sampling.hold_fraction import HoldSums
    from gilx.sampling.longest_hold import HoldBounds
    from gilx.sampling.source_text import SourceTexts

    # Function, file, first line of the function; line, last line, columns of both ends.
    Position = tuple[str, str, int, int, int, int, int]

Kind = Literal["line", "no Python code", "unknown", "other lines", "garbage collector"]


class FoundSite(NamedTuple):
    """A site as the sampler returns it, see `gilx.sampling._sampler.Sampler.sites`."""

    kind: int
    function: str
    file: str
    first_line: int
    line: int
    end_line: int
    column: int
    end_column: int
    place: int
    held: float
    squares: float
    steps: float
    below: float
    samples: int
    hold_low: int
    hold_high: int
    hold_samples: int
    waited: float
    waited_squares: float
    waited_steps: float

    @property
    def position(self) -> Position:
        """Where it is."""
        return self[1:8]


KINDS: tuple[Kind, ...] = get_args(Kind)  # in the sampler's order
_NAMES: dict[Kind, str] = {
    "no Python code": "a thread without Python code",
    "unknown": "unknown",
    "other lines": "other lines (the tables were full)",
    "garbage collector": "garbage collector",
}
_MOST = 0.5  # of what a line holds, by one of its sites
_LONGEST_NAME = 40  # characters
_LONGEST_PATH = 60
_LONGEST_TEXT = 80


@dataclass(frozen=True)
class SiteSums:
    """Sums over the samples of one site: they add up. Lengths are in nanoseconds.

    Attributes
    ----------
    held : float
        Length of the time slices whose samples found the GIL held there.
    squares : float
        Sum of the squares of these lengths.
    steps : float
        The part of `squares` that is of samples in which the site began or ended to be
        the one that holds.
    below : float
        The part of `held` in which a line that the site called may have held instead.
    waited, waited_squares, waited_steps : float
        As the first three, with each slice multiplied by the number of other threads that
        waited for the GIL.

    """

    held: float
    squares: float
    steps: float
    below: float
    waited: float = 0.0
    waited_squares: float = 0.0
    waited_steps: float = 0.0

    def __add__(self, other: SiteSums) -> SiteSums:
        return SiteSums(
            *(
                getattr(self, each.name) + getattr(other, each.name)
                for each in fields(self)
            )
        )

    def share(self, watch: HoldSums) -> Estimate:
        """Return the share of the time of a watch, with its interval at 95 %.

        The share in the time without good samples is taken to vary as that of any site
        with this share may: its variance is h (1 - h) / 3, which is that of a uniform
        distribution if h is one half.
        """
        ratio = _ratio_of(self, watch)
        h = ratio.value
        varies = 2 * math.sqrt(h * (1 - h)) if watch.prompt else 1.0
        unknown = watch.unknown_share * varies
        return Estimate(h, *interval(ratio, unknown, prompt=watch.prompt))

    def waiting(self, watch: HoldSums) -> Estimate:
        """Return the time for which others waited meanwhile, in thread-seconds."""
        waiters = Ratio(
            *(self.waited, watch.stacks, self.waited_squares, self.waited_squares),
            *(watch.stacks_squares, self.waited_steps, 0.0, 0.0),
        )
        return watch.waiting(waiters, watch.wall / 1e9)

    def valid(self, watch: HoldSums) -> bool:
        """Return whether they may be sums of a watch."""
        numbers = astuple(self)
        return (
            all(0 <= number < math.inf for number in numbers)
            and self.below <= self.held <= watch.stacks
            and self.waited <= self.held * watch.most_waiters * (1 + 1e-9)
        )


@dataclass(frozen=True)
class SiteCaller:
    """Line of the program's own code that called the library in which a site is.

    Of the garbage collector, it is the line below which a collection began.
    """

    function: str
    """Qualified name."""
    file: str
    """File name as the code has it."""
    line: int
    """Number of the line; 0 if it is not known."""
    text: str
    """Source text of the call, as that of a site."""
    held: float
    """Time for which the GIL was held at the site when this line had called, in
    nanoseconds as in `SiteSums`."""

    @property
    def place(self) -> str:
        """File and line, as those of a `Site`."""
        return place_of("line", self.file, self.line)

    @property
    def label(self) -> str:
        """File, line and source text."""
        return _label(self.place, self.text)

    def _check(self, where: str) -> None:
        at_least(f"{where}.line", self.line, 0)
        number_between(f"{where}.held", self.held, 0, math.inf)


@dataclass(frozen=True)
class Site:
    """One place in a Python program that held the GIL.

    A place is an expression or statement: one line has several if it makes several
    calls. Samples without such a place are sites, too; their `kind` says why.
    """

    function: str
    """Qualified name; empty if there is none."""
    file: str
    """File name as the code has it; empty if there is none."""
    line: int
    """Number of the line; 0 if it is not known."""
    text: str
    """Source text of the expression or statement, cut after 80 characters and, if it has
    several lines, after the first one; empty if the source was not there or was
    changed."""
    thread: str
    """Name of the only thread that held the GIL there; empty if several did."""
    held: Estimate
    """Share of the watched time."""
    waiting_caused: Estimate
    """Time for which other threads waited for the GIL while it was held there, all
    together, in thread-seconds; unknown if the number of waiting threads is."""
    longest_hold: Estimate
    """Seconds of the longest hold within one call there. The lower bound is 0 if no call
    was seen twice, or if samples of short holds would look the same by chance."""
    samples: int
    """Number of samples that found the GIL held there."""
    below: float
    """Share of the watched time, part of `held`, in which it was held there or in a line
    that was called from there: the stack changed while it was read."""
    library: str
    """File of the extension module whose function is called there; empty if it is not
    known or Python code is called."""
    kind: Kind
    """``line``; ``no Python code`` for threads without a Python frame, ``unknown`` if the
    stack could not be read, ``other lines`` if the sampler's tables were full, or
    ``garbage collector`` for collections, wherever they began: the line that allocates
    one object too many does not take that time. Finalizers are lines of their own. A
    collection counts for the line in which it began if it may be a finalizer, or another
    thread that runs while a finalizer waits."""
    first_line: int
    """Line at which the function begins."""
    end_line: int
    """Line at which the expression or statement ends."""
    column: int
    """Where it begins in its line, in bytes of UTF-8 from 0; -1 if that is not known, or
    if this is a line that joins sites with several texts."""
    end_column: int
    """Where it ends; -1 if `column` is."""
    sums: SiteSums = field(repr=False)
    """Sums over the samples, from which the shares follow."""
    callers: tuple[SiteCaller, ...] = ()
    """Lines of the program's own code that led to a site in a library or to the garbage
    collector, the one that led to most of what it holds first; empty if calls were not
    kept, or there is none."""
    changed: bool = False
    """True if the file was changed after it was loaded, so that it may have another text
    there now."""

    @property
    def place(self) -> str:
        """File and line, the file as short as people know it.

        Of a longer path, these are the last 60 characters.
        """
        return place_of(self.kind, self.file, self.line)

    @property
    def label(self) -> str:
        """File, line and source text; ``(changed)`` if the file was changed."""
        return (
            f"{self.place} (changed)" if self.changed else _label(self.place, self.text)
        )

    @property
    def name(self) -> str:
        """The function's name without what it is defined in."""
        return short_name(self.function)

    def of(self, watch: HoldSums) -> Site:
        """Return the site with the shares of a watch that has these sums."""
        held = self.sums.share(watch)
        below = self.sums.below / watch.stacks if watch.stacks > 0 else 0.0
        waiting_caused = self.sums.waiting(watch)
        return replace(self, held=held, waiting_caused=waiting_caused, below=below)

    def agrees(self, watch: HoldSums) -> bool:
        """Return whether the shares are those that follow from the sums."""
        if not self.sums.valid(watch):
            return False
        site = self.of(watch)
        return all(
            agree(getattr(self, name), getattr(site, name))
            for name in ("held", "waiting_caused", "below")
        )

    def _check(self, where: str) -> None:
        for name in ("samples", "line", "first_line", "end_line"):
            at_least(f"{where}.{name}", getattr(self, name), 0)
        for name in ("column", "end_column"):
            at_least(f"{where}.{name}", getattr(self, name), -1)
        length_in_order(f"{where}.longest_hold", self.longest_hold)
        called, held = sum(one.held for one in self.callers), self.sums.held
        if called > held and not agree(called, held):
            raise ArgumentError(
                f"{where}.callers: expected at most {held:.6g} ns together, as the sums"
                f" have it, got {called:.6g}"
            )


class HeldLine(NamedTuple):
    """One place in a Python program at which a span of a timeline held the GIL."""

    function: str
    """Qualified name; empty if there is none."""
    file: str
    """File name as the code has it; empty if there is none."""
    line: int
    """Number of the line; 0 if it is not known."""
    text: str
    """Source text, as that of a `Site`."""
    kind: Kind
    """Kind of place, as that of a `Site`."""

    @property
    def place(self) -> str:
        """File and line, as those of a `Site`."""
        return place_of(self.kind, self.file, self.line)

    @property
    def label(self) -> str:
        """File, line and source text."""
        return _label(self.place, self.text)


def short_name(function: str) -> str:
    """Return the name of a function without what it is defined in."""
    return shortened(function.rpartition("<locals>.")[2], _LONGEST_NAME)


def place_of(kind: Kind, file: str, line: int) -> str:
    """Return a file and a line, the file as short as people know it."""
    if kind != "line":
        return _NAMES[kind]
    path = shortened_path(short_path(file), _LONGEST_PATH)
    return f"{path}:{line}" if line else path


def _label(place: str, text: str) -> str:
    return f"{place} `{text}`" if text else place


def sites_of(
    found: Iterable[FoundSite],
    watch: HoldSums,
    holds: HoldBounds,
    name_of: Callable[[int], str],
    sources: SourceTexts,
    callers: Mapping[Position | None, tuple[SiteCaller, ...]],
) -> tuple[Site, ...]:
    """Return the sites of a watch, that of the largest share first.

    Parameters
    ----------
    found : iterable of FoundSite
        What the sampler found.
    watch : HoldSums
        The sums of the watch.
    holds : HoldBounds
        What the GIL's words show of the watched thread.
    name_of : callable
        Name of the thread at a place in `gilx.sampling._sampler.Sampler.threads`.
    sources : SourceTexts
        Source texts at the end of the watch.
    callers : mapping
        Callers of sites, by their positions; those of the garbage collector by None.

    """
    sites, callers = [], dict(callers)
    for one in found:
        kind = KINDS[one.kind]
        waited = one.waited, one.waited_squares, one.waited_steps
        sums = SiteSums(one.held, one.squares, one.steps, one.below, *waited)
        text = sources.text(one.position)
        library = sources.library(text, one.file, one.function, one.first_line)
        known = holds if one.place == WATCHED else NOTHING_KNOWN
        stretch = Stretch(one.hold_low, one.hold_high, one.hold_samples)
        if by_chance(sums, watch, stretch, known):
            stretch = stretch._replace(low=0)
        sites.append(
            Site(
                function=escaped(one.function),
                file=escaped(one.file),
                line=one.line,
                text=one_line(text),
                thread=name_of(one.place) if one.place >= 0 else "",
                held=Estimate.unknown(),
                waiting_caused=Estimate.unknown(),
                longest_hold=stretch_length([stretch]),
                samples=one.samples,
                below=0.0,
                library=escaped(library),
                kind=kind,
                first_line=one.first_line,
                end_line=one.end_line,
                column=one.column,
                end_column=one.end_column,
                sums=sums,
                # Functions that were defined twice are two sites at one position.
                callers=callers.pop(
                    None if kind == "garbage collector" else one.position, ()
                ),
                changed=sources.changed(one.position),
            ).of(watch)
        )
    return by_share(sites)


def held_lines(found: Iterable[FoundSite], sources: SourceTexts) -> tuple[HeldLine, ...]:
    """Return the sites of a watch as a timeline has them, in their order."""
    return tuple(
        HeldLine(
            escaped(one.function),
            escaped(one.file),
            one.line,
            one_line(sources.text(one.position)),
            KINDS[one.kind],
        )
        for one in found
    )


def _ratio_of(site: SiteSums, watch: HoldSums) -> Ratio:
    """Return a site's share of the time of a watch."""
    return Ratio(
        *(site.held, watch.stacks, site.squares, site.squares),
        *(watch.stacks_squares, site.steps, 0.0, 0.0),
    )


def by_chance(
    site: SiteSums, watch: HoldSums, longest: Stretch, holds: HoldBounds = NOTHING_KNOWN
) -> bool:
    """Return whether a site's longest stretch may well be several shorter holds.

    Parameters
    ----------
    site : SiteSums
        The sums of the site.
    watch : HoldSums
        The sums of the watch.
    longest : Stretch
        That stretch.
    holds : HoldBounds
        What the GIL's words show of the only thread that held it there, if they do.

    """
    ratio = _ratio_of(site, watch)
    here = replace(
        holds,
        samples=watch.samples,
        resolution=watch.wall / max(1, watch.samples) / 1e9,
        share=ratio.value,
        unordered=ratio.unordered,
    )
    return here.by_chance(longest.low / 1e9, longest.samples)


def believed_stretches(
    stretches: Iterable[tuple[int, int, int, float, float, float]], watch: HoldSums
) -> list[Stretch]:
    """Return stretches, those first that are not made by chance.

    If chance makes the longest stretch of a site, all that is known of those there is
    that they were not longer.

    Parameters
    ----------
    stretches : iterable of (int, int, int, float, float, float)
        Stretches, the longest first, and the first three of `SiteSums`.
    watch : HoldSums
        Sums of the watch.

    """
    sites: dict[SiteSums, list[Stretch]] = {}
    for low, high, samples, held, squares, steps in stretches:
        site = SiteSums(held, squares, steps, 0.0)
        sites.setdefault(site, []).append(Stretch(low, high, samples))
    believed = []
    for site, lengths in sites.items():
        if by_chance(site, watch, lengths[0]):
            believed.append(Stretch(0, max(one.high for one in lengths), 0))
        else:
            believed += lengths
    return sorted(believed, reverse=True)


def by_share(sites: Iterable[Site]) -> tuple[Site, ...]:
    """Return sites in the order of their shares, the largest first."""
    return tuple(sorted(sites, key=lambda site: (-site.sums.held, site_key(site))))


def site_key(site: Site) -> tuple[object, ...]:
    """Return what two sites at the same place have in common."""
    position = site.line, site.end_line, site.column, site.end_column
    return site.kind, site.file, site.function, site.first_line, *position


def line_key(site: Site) -> tuple[object, ...]:
    """Return what two sites in the same line have in common."""
    return site.kind, site.file, site.function, site.line


def sum_of_sites(sites: Iterable[Site], watch: HoldSums) -> tuple[Site, ...]:
    """Return the sites of several watches, whose sums together are those of `watch`.

    Sites at the same place are joined, also those of one watch: the code there may have
    been compiled twice.
    """
    places: dict[tuple[object, ...], Site] = {}
    for site in sites:
        key = site_key(site)
        places[key] = _joined(places[key], site) if key in places else site
    return by_share(site.of(watch) for site in places.values())


def _joined(one: Site, other: Site) -> Site:
    return replace(
        one,
        text=one.text or other.text,
        library=one.library or other.library,
        changed=one.changed and other.changed,
        thread=one.thread if one.thread == other.thread else "",
        longest_hold=longer(one.longest_hold, other.longest_hold),
        samples=one.samples + other.samples,
        sums=one.sums + other.sums,
        callers=joined_callers(one.callers + other.callers),
    )


def joined_callers(callers: Iterable[SiteCaller]) -> tuple[SiteCaller, ...]:
    """Return callers with what is held for each line of code together, by their size."""
    held: dict[tuple[str, str, int, str], float] = {}
    for one in callers:
        key = one.function, one.file, one.line, one.text
        held[key] = held.get(key, 0.0) + one.held
    order = sorted(held.items(), key=lambda item: (-item[1], item[0]))
    return tuple(SiteCaller(*key, length) for key, length in order)


def lines_of(sites: Iterable[Site], watch: HoldSums) -> tuple[Site, ...]:
    """Return sites joined line by line, the line of the largest share first.

    The text of a line is that of the site that holds most of its share, or the longest
    one if no site holds more than half. If its sites have several texts, it has no
    columns.
    """
    lines: dict[tuple[object, ...], list[Site]] = {}
    for site in sites:
        lines.setdefault(line_key(site), []).append(site)
    joined = []
    for each in lines.values():
        line = reduce(_joined, each)
        main = max(each, key=lambda site: site.sums.held)
        if main.sums.held <= _MOST * line.sums.held:
            main = max(each, key=lambda site: len(site.text))
        if len({site.text for site in each}) > 1:
            line = replace(line, column=-1, end_column=-1)
        joined.append(replace(line, text=main.text, library=main.library).of(watch))
    return by_share(joined)


def one_line(text: str) -> str:
    """Return source text as one line of at most 80 characters that can be printed."""
    return shortened(printable(text), _LONGEST_TEXT)
