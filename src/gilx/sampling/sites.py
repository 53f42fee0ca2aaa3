"""Lines of Python code that hold the GIL, as a watch reports them."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Literal, NamedTuple

from gilx.errors import at_least
from gilx.estimate import Estimate
from gilx.formatting import escaped, printable
from gilx.sampling.hold_fraction import agree
from gilx.sampling.longest_hold import (
    is_run_of_chance,
    length_in_order,
    longer,
    stretch_length,
)
from gilx.sampling.ratio_interval import Ratio, interval

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gilx.sampling.hold_fraction import HoldSums
    from gilx.sampling.longest_hold import HoldBounds
    from gilx.sampling.source_text import SourceTexts

Kind = Literal["line", "no Python code", "unknown", "other lines"]


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


_KINDS: tuple[Kind, ...] = ("line", "no Python code", "unknown", "other lines")
_NAMES: dict[Kind, str] = {
    "no Python code": "a thread without Python code",
    "unknown": "unknown",
    "other lines": "other lines (the tables were full)",
}
_PACKAGES = "site-packages", "dist-packages"  # directories of installed packages
_STANDARD_LIBRARY = Path(os.__file__).parent
_GILX = f"{Path(__file__).parents[1]}{os.sep}"
_NEARLY_ALL, _MOST = 0.8, 0.5  # of what is held, by one line
_FEWEST = 10  # samples of a line that is named as the main one
_LONGEST_NAME = 40  # characters
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

    """

    held: float
    squares: float
    steps: float
    below: float

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

    def valid(self, watch: HoldSums) -> bool:
        """Return whether they may be sums of a watch."""
        numbers = (self.held, self.squares, self.steps, self.below)
        return (
            all(0 <= number < math.inf for number in numbers)
            and self.below <= self.held <= watch.stacks
        )


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
    changed while the program was watched."""
    thread: str
    """Name of the only thread that held the GIL there; empty if several did."""
    held: Estimate
    """Share of the watched time."""
    longest_hold: Estimate
    """Seconds of the longest hold within one call there; unknown if no call was seen
    twice, or if samples of short holds would look the same by chance."""
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
    stack could not be read, or ``other lines`` if the sampler's tables were full."""
    first_line: int
    """Line at which the function begins."""
    end_line: int
    """Line at which the expression or statement ends."""
    column: int
    """Where it begins in its line, in bytes of UTF-8 from 0; -1 if that is not known."""
    end_column: int
    """Where it ends; -1 if that is not known."""
    sums: SiteSums = field(repr=False)
    """Sums over the samples, from which the shares follow."""

    @property
    def place(self) -> str:
        """File and line, the file as short as people know it."""
        if self.kind != "line":
            return _NAMES[self.kind]
        return f"{short_path(self.file)}:{self.line}" if self.line else self.file

    @property
    def label(self) -> str:
        """File, line and source text."""
        return f"{self.place} `{self.text}`" if self.text else self.place

    @property
    def name(self) -> str:
        """The function's name without what it is defined in."""
        name = self.function.rpartition("<locals>.")[2]
        return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 3]}..."

    def of(self, watch: HoldSums) -> Site:
        """Return the site with the shares of a watch that has these sums."""
        held = self.sums.share(watch)
        below = self.sums.below / watch.stacks if watch.stacks > 0 else 0.0
        return replace(self, held=held, below=below)

    def agrees(self, watch: HoldSums) -> bool:
        """Return whether the shares are those that follow from the sums."""
        if not self.sums.valid(watch):
            return False
        site = self.of(watch)
        return agree(self.held, site.held) and agree(self.below, site.below)

    def _check(self, where: str) -> None:
        for name in ("samples", "line", "first_line", "end_line"):
            at_least(f"{where}.{name}", getattr(self, name), 0)
        for name in ("column", "end_column"):
            at_least(f"{where}.{name}", getattr(self, name), -1)
        length_in_order(f"{where}.longest_hold", self.longest_hold)


def short_path(file: str) -> str:
    """Return a file's name as short as people know it.

    The name is relative to the directory with installed packages or the standard library,
    or else to the working directory. Of other files it is the last two parts.
    """
    path = PurePath(file)
    if not path.is_absolute():
        return file
    installed = [n for n, part in enumerate(path.parts[:-1], 1) if part in _PACKAGES]
    if installed:
        return str(PurePath(*path.parts[installed[-1] :]))
    if path.is_relative_to(_STANDARD_LIBRARY):
        return str(path.relative_to(_STANDARD_LIBRARY))
    try:
        return str(path.relative_to(os.getcwd()))
    except (ValueError, OSError):  # it is elsewhere, or the directory was removed
        return str(PurePath(*path.parts[-2:]))


def sites_of(
    found: Iterable[FoundSite],
    watch: HoldSums,
    name_of: Callable[[int], str],
    sources: SourceTexts,
) -> tuple[Site, ...]:
    """Return the sites of a watch, that of the largest share first.

    Parameters
    ----------
    found : iterable of FoundSite
        What the sampler found.
    watch : HoldSums
        The sums of the watch.
    name_of : callable
        Name of the thread at a place in `gilx.sampling._sampler.Sampler.threads`.
    sources : SourceTexts
        Source texts at the end of the watch.

    """
    sites = []
    for one in found:
        sums = SiteSums(one.held, one.squares, one.steps, one.below)
        position = one.line, one.end_line, one.column, one.end_column
        text = sources.expression(one.file, *position)
        library = sources.library(text, one.file, one.function, one.first_line)
        sites.append(
            Site(
                function=escaped(one.function),
                file=escaped(one.file),
                line=one.line,
                text=one_line(text),
                thread=name_of(one.place) if one.place >= 0 else "",
                held=Estimate.unknown(),
                longest_hold=_longest_hold(sums, watch, one.hold_low, one.hold_high),
                samples=one.samples,
                below=0.0,
                library=escaped(library),
                kind=_KINDS[one.kind],
                first_line=one.first_line,
                end_line=one.end_line,
                column=one.column,
                end_column=one.end_column,
                sums=sums,
            ).of(watch)
        )
    return by_share(sites)


def _ratio_of(site: SiteSums, watch: HoldSums) -> Ratio:
    """Return a site's share of the time of a watch."""
    return Ratio(
        *(site.held, watch.stacks, site.squares, site.squares),
        *(watch.stacks_squares, site.steps, 0.0, 0.0),
    )


def _longest_hold(site: SiteSums, watch: HoldSums, low: int, high: int) -> Estimate:
    """Return the length, in seconds, of the longest hold of a site.

    Its longest stretch is between `low` and `high`, in nanoseconds. The length is unknown
    if samples that met the site by chance, one after another, make such a stretch.
    """
    if _made_by_chance(site, watch, low):
        return Estimate.unknown()
    return stretch_length([(low, high)])


def _made_by_chance(site: SiteSums, watch: HoldSums, low: int) -> bool:
    """Return whether chance makes a longest stretch of `low` nanoseconds at a site."""
    ratio, slices = _ratio_of(site, watch), low * watch.samples / watch.wall
    return ratio.unordered and is_run_of_chance(watch.samples, ratio.value, slices + 1)


def found_by_chance(
    one: FoundSite, holds: HoldBounds, watch: HoldSums, resolution: float
) -> bool:
    """Return whether the longest hold of a site may well be several shorter ones.

    Parameters
    ----------
    one : FoundSite
        A site of the watched thread.
    holds : HoldBounds
        What the GIL's words show of that thread.
    watch : HoldSums
        The sums of the watch.
    resolution : float
        Mean time between samples, in seconds.

    """
    if one.hold_low <= 0 or watch.stacks <= 0:
        return False
    here = replace(holds, share=one.held / watch.stacks)
    # The samples that found it are one more than the times between them.
    low = one.hold_low / 1e9
    return here.by_chance(low, low + resolution, resolution)


def believed_stretches(
    stretches: Iterable[tuple[int, int, float, float, float]], watch: HoldSums
) -> list[tuple[int, int]]:
    """Return bounds of stretches, those first that are not made by chance.

    If chance makes the longest stretch of a site, all that is known of those there is
    that they were not longer.

    Parameters
    ----------
    stretches : iterable of (int, int, float, float, float)
        Bounds in nanoseconds, the longest first, and the first three of `SiteSums`.
    watch : HoldSums
        Sums of the watch.

    """
    sites: dict[SiteSums, list[tuple[int, int]]] = {}
    for low, high, held, squares, steps in stretches:
        site = SiteSums(held, squares, steps, 0.0)
        sites.setdefault(site, []).append((low, high))
    bounds = []
    for site, lengths in sites.items():
        if _made_by_chance(site, watch, lengths[0][0]):
            bounds.append((0, max(high for _, high in lengths)))
        else:
            bounds += lengths
    return sorted(bounds, reverse=True)


def by_share(sites: Iterable[Site]) -> tuple[Site, ...]:
    """Return sites in the order of their shares, the largest first."""
    return tuple(sorted(sites, key=lambda site: (-site.sums.held, _key(site))))


def _key(site: Site) -> tuple[object, ...]:
    position = site.line, site.end_line, site.column, site.end_column
    return site.kind, site.file, site.function, site.first_line, *position


def sum_of_sites(sites: Iterable[Site], watch: HoldSums) -> tuple[Site, ...]:
    """Return the sites of several watches, whose sums together are those of `watch`.

    Sites at the same place are joined, also those of one watch: the code there may have
    been compiled twice.
    """
    places: dict[tuple[object, ...], Site] = {}
    for site in sites:
        key = _key(site)
        places[key] = _joined(places[key], site) if key in places else site
    return by_share(site.of(watch) for site in places.values())


def _joined(one: Site, other: Site) -> Site:
    return replace(
        one,
        text=one.text or other.text,
        library=one.library or other.library,
        thread=one.thread if one.thread == other.thread else "",
        longest_hold=longer(one.longest_hold, other.longest_hold),
        samples=one.samples + other.samples,
        sums=one.sums + other.sums,
    )


def lines_of(sites: Iterable[Site], watch: HoldSums) -> tuple[Site, ...]:
    """Return sites joined line by line, the line of the largest share first.

    The text of a line is that of the site that holds most of its share, or the longest
    one if no site holds more than half.
    """
    lines: dict[tuple[object, ...], list[Site]] = {}
    for site in sites:
        key = site.kind, site.file, site.function, site.line
        lines.setdefault(key, []).append(site)
    joined = []
    for each in lines.values():
        line = reduce(_joined, each)
        main = max(each, key=lambda site: site.sums.held)
        if main.sums.held <= _MOST * line.sums.held:
            main = max(each, key=lambda site: len(site.text))
        joined.append(replace(line, text=main.text, library=main.library).of(watch))
    return by_share(joined)


def main_line(
    lines: Sequence[Site], thread: str = "", held: float | None = None
) -> tuple[str, str]:
    """Return what part of the held time one line has, in words, and that line.

    Parameters
    ----------
    lines : sequence of Site
        Lines, as `lines_of` returns them.
    thread : str
        Name of the thread whose holds count; all threads' if it is empty.
    held : float, optional
        Share of the time that the GIL is held; by default the sum of the lines' shares.

    Returns
    -------
    (str, str)
        ``nearly all`` or ``most``, and the line with its text; both empty if no line has
        that much, if the samples are few, or if the line is gilx's own call of compiled
        code.

    """
    if thread:
        lines = [line for line in lines if line.thread in (thread, "")]
    first = next(iter(lines), None)
    if first is None or first.kind != "line" or first.samples < _FEWEST:
        return "", ""
    if first.file.startswith(_GILX) or first.thread != (thread or first.thread):
        return "", ""
    whole = sum(line.held.value for line in lines) if held is None else held
    share = first.held.value / whole if whole > 0 else 0.0
    part = "nearly all" if share >= _NEARLY_ALL else "most" if share >= _MOST else ""
    return (part, first.label) if part else ("", "")


def one_line(text: str) -> str:
    """Return source text as one line of at most 80 characters that can be printed."""
    text = printable(text)
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 3]}..."
