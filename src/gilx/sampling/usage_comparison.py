"""Two usages beside each other, line by line."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import PurePath
from typing import TYPE_CHECKING

from gilx.errors import ArgumentError
from gilx.estimate import Estimate  # noqa: TC001 - a field's type
from gilx.sampling.sites import SiteSums, lines_of
from gilx.sampling.usage import ran_without_gil

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gilx.sampling.hold_fraction import HoldSums
    from gilx.sampling.sites import Site
    from gilx.sampling.usage import GilUsage

    _Line = tuple[str | int, ...]

_SAME: Mapping[str, str] = {}  # all files are where they were


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
        """'less', 'more' or 'unclear'; 'unknown' if a share is not known.

        Two intervals at 95 % that do not overlap are more than a difference at 95 %.
        """
        if not (self.before.known and self.after.known):
            return "unknown"
        if self.before.overlaps(self.after):
            return "unclear"
        return "less" if self.after.value < self.before.value else "more"


def compare_usages(
    before: GilUsage, after: GilUsage, *, force: bool = False
) -> list[SiteChange]:
    """Return how the share of the time for which each line held the GIL changed.

    Lines move when a file is edited. So a line is found again by what it calls: two lines
    are the same if file, function and the source text of a site are. The number of the
    line counts only if the text is not known, or if several lines have that text. A file
    may be in another directory in the later usage: then the end of its path identifies it
    one it is.

    Parameters
    ----------
    before, after : GilUsage
        Usages of calls, or of programs.
    force : bool
        Compare them even if they are from different machines.

    Returns
    -------
    list of SiteChange
        First all lines together: the hold fraction of calls, the locked fraction of
        programs. Then each line, the one with the largest share in either usage first;
        none if one of the usages has no stacks.

    Raises
    ------
    ArgumentError
        They are from different machines, one is the usage of a program and the other is
        not, or one is of a Python without a GIL.

    """
    if bool(before.program) != bool(after.program):
        old, new = (
            "a program" if usage.program else "calls" for usage in (before, after)
        )
        raise ArgumentError(f"after: expected the usage of {old}, got that of {new}")
    for name, usage in (("before", before), ("after", after)):
        if ran_without_gil(usage):
            raise ArgumentError(
                f"{name}: expected a usage with a GIL, whose shares of lines can be"
                " compared, got one of a Python without a GIL"
            )
    same = before.environment.same_machine(after.environment, ("before", "after"))
    if not same and not force:
        raise ArgumentError(
            "after: expected a usage from the same machine, got one from another"
            f" ({'; '.join(same.machine)})"
        )
    shares = [usage.locked if usage.program else usage.held for usage in (before, after)]
    changes = [SiteChange("all", "", "", *shares)]
    if before.sums.stacks <= 0 or after.sums.stacks <= 0:
        return changes
    lines: dict[_Line, tuple[list[Site], list[Site]]] = {}
    files = _moved_files(before, after)
    moves = _moves(before, after, files)
    for site in before.sites:
        # A line that is gone is none of those that have its number now.
        here = _line(site, files)
        line = moves.get(here, (*here, "gone"))
        lines.setdefault(line, ([], []))[0].append(site)
    for site in after.sites:
        lines.setdefault(_line(site), ([], []))[1].append(site)
    found = [_change(sites, (before.sums, after.sums)) for sites in lines.values()]
    found.sort(key=lambda change: -max(change.before.value, change.after.value))
    return changes + found


def _moved_files(before: GilUsage, after: GilUsage) -> dict[str, str]:
    """Return files that only the later usage has by those that only the earlier one has.

    Two are the same if both end in the same parts, as many as can be, and no third does.
    """
    old, new = ({PurePath(site.file) for site in each.sites} for each in (before, after))
    old, new = old - new, new - old
    moved: dict[str, str] = {}
    for count in range(max((len(path.parts) for path in old), default=0), 0, -1):
        ends: dict[tuple[str, ...], tuple[list[PurePath], list[PurePath]]] = {}
        for number, paths in enumerate((old, new)):
            for path in paths:
                if len(path.parts) >= count:
                    ends.setdefault(path.parts[-count:], ([], []))[number].append(path)
        for here, there in ends.values():
            if len(here) == len(there) == 1:
                moved[str(here[0])] = str(there[0])
                old.remove(here[0])
                new.remove(there[0])
    return moved


def _line(site: Site, files: Mapping[str, str] = _SAME) -> _Line:
    return site.kind, files.get(site.file, site.file), site.function, site.line


def _moves(
    before: GilUsage, after: GilUsage, files: Mapping[str, str]
) -> dict[_Line, _Line]:
    """Return lines of the later usage by those of the earlier one.

    Of several sites on a line, the one that held most tells where it is now.
    """
    places: dict[_Line, list[_Line]] = {}
    for site in after.sites:
        places.setdefault(_text(site), []).append(_line(site))
    moves: dict[_Line, _Line] = {}
    for site in before.sites:
        line, here = _line(site, files), places.get(_text(site, files))
        if here is not None and line not in moves:
            moves[line] = line if line in here else here[0]
    return moves


def _text(site: Site, files: Mapping[str, str] = _SAME) -> _Line:
    kind, file, function, line = _line(site, files)
    return kind, file, function, site.text or f"line {line}"


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
