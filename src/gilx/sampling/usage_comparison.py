"""Two usages beside each other, line by line."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

from gilx.errors import ArgumentError
from gilx.estimate import Estimate  # noqa: TC001 - a field's type
from gilx.sampling.sites import SiteSums, lines_of

if TYPE_CHECKING:
    from gilx.sampling.hold_fraction import HoldSums
    from gilx.sampling.sites import Site
    from gilx.sampling.usage import GilUsage

    _Line = tuple[str | int, ...]


@dataclass(frozen=True)
class SiteChange:
    """One line of a program in two usages."""

    place: str
    """File and line, in the later usage that has it; ``all`` for all lines."""
    function: str
    """Qualified name of the function; empty if there is none."""
    text: str
    """Source text of what holds most there; empty if it is not known."""
    before: Estimate
    """Share of the time in the earlier usage."""
    after: Estimate
    """Share of the time in the later one."""

    @property
    def verdict(self) -> str:
        """'less', 'more' or 'no difference'; 'unknown' if a share is not known.

        Two intervals at 95 % that do not overlap are more than a difference at 95 %.
        """
        if not (self.before.known and self.after.known):
            return "unknown"
        if self.before.overlaps(self.after):
            return "no difference"
        return "less" if self.after.value < self.before.value else "more"


def compare_usages(before: GilUsage, after: GilUsage) -> list[SiteChange]:
    """Return how the share of the time for which each line held the GIL changed.

    Lines move when a file is edited. So a line is found again by what it calls: two lines
    are the same if file, function and the source text of a site are. The number of the
    line counts only if the text is not known, or if several lines have that text.

    Parameters
    ----------
    before, after : GilUsage
        Usages of calls, or of programs.

    Returns
    -------
    list of SiteChange
        First all lines together: the hold fraction of calls, the locked fraction of
        programs. Then each line, the one with the largest share in either usage first;
        none if one of the usages has no stacks.

    Raises
    ------
    ArgumentError
        One is the usage of a program, and the other is not.

    """
    if bool(before.program) != bool(after.program):
        old, new = (
            "a program" if usage.program else "calls" for usage in (before, after)
        )
        raise ArgumentError(f"after: expected the usage of {old}, got that of {new}")
    shares = [usage.locked if usage.program else usage.held for usage in (before, after)]
    changes = [SiteChange("all", "", "", *shares)]
    if before.sums.stacks <= 0 or after.sums.stacks <= 0:
        return changes
    lines: dict[_Line, tuple[list[Site], list[Site]]] = {}
    moves = _moves(before, after)
    for site in before.sites:
        # A line that is gone is none of those that have its number now.
        line = moves.get(_line(site), (*_line(site), "gone"))
        lines.setdefault(line, ([], []))[0].append(site)
    for site in after.sites:
        lines.setdefault(_line(site), ([], []))[1].append(site)
    found = [_change(sites, (before.sums, after.sums)) for sites in lines.values()]
    found.sort(key=lambda change: -max(change.before.value, change.after.value))
    return changes + found


def _line(site: Site) -> _Line:
    return site.kind, site.file, site.function, site.line


def _moves(before: GilUsage, after: GilUsage) -> dict[_Line, _Line]:
    """Return lines of the later usage by those of the earlier one.

    Of several sites on a line, the one that held most tells where it is now.
    """
    places: dict[tuple[str, ...], list[_Line]] = {}
    for site in after.sites:
        places.setdefault(_text(site), []).append(_line(site))
    moves: dict[_Line, _Line] = {}
    for site in before.sites:
        here = places.get(_text(site))
        if here is not None and _line(site) not in moves:
            moves[_line(site)] = _line(site) if _line(site) in here else here[0]
    return moves


def _text(site: Site) -> tuple[str, ...]:
    return site.kind, site.file, site.function, site.text or f"line {site.line}"


def _change(
    sites: tuple[list[Site], list[Site]], sums: tuple[HoldSums, HoldSums]
) -> SiteChange:
    """Return the change of the line that has these sites in either usage."""
    line = lines_of(sites[1] or sites[0], sums[bool(sites[1])])[0]
    none = SiteSums(0.0, 0.0, 0.0, 0.0)
    before, after = (
        reduce(add, (site.sums for site in each), none).share(watch)
        for each, watch in zip(sites, sums, strict=True)
    )
    return SiteChange(line.place, line.function, line.text, before, after)
