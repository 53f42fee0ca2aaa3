"""Two usages beside each other, place by place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import TYPE_CHECKING

from gilx.errors import ArgumentError
from gilx.estimate import Estimate  # noqa: TC001 - a field's type
from gilx.sampling.sites import SiteSums

if TYPE_CHECKING:
    from gilx.sampling.sites import Site
    from gilx.sampling.usage import GilUsage


@dataclass(frozen=True)
class SiteChange:
    """One place of a program in two usages."""

    place: str
    """File and line, in the later usage that has it; ``all`` for all places."""
    function: str
    """Qualified name of the function; empty if there is none."""
    text: str
    """Source text; empty if it is not known."""
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
    """Return how the share of the time that each place held the GIL changed.

    Lines move when a file is edited. So two places are the same if file, function and
    source text are; the number of the line counts only if the text is not known.

    Parameters
    ----------
    before, after : GilUsage
        Usages of calls, or of programs.

    Returns
    -------
    list of SiteChange
        First all places together: the hold fraction of calls, the locked fraction of
        programs. Then each place, the one with the largest share in either usage first;
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
    then, now = _places(before), _places(after)
    found = []
    for key in {**then, **now}:
        earlier, later = then.get(key, []), now.get(key, [])
        site = (earlier + later)[-1]
        names = site.place, site.function, site.text
        held = _share(earlier, before), _share(later, after)
        found.append(SiteChange(*names, *held))
    found.sort(key=lambda change: -max(change.before.value, change.after.value))
    return changes + found


def _places(usage: GilUsage) -> dict[tuple[str, str, str, str], list[Site]]:
    places: dict[tuple[str, str, str, str], list[Site]] = {}
    for site in usage.sites:
        key = site.kind, site.file, site.function, site.text or f"line {site.line}"
        places.setdefault(key, []).append(site)
    return places


def _share(sites: list[Site], usage: GilUsage) -> Estimate:
    none = SiteSums(0.0, 0.0, 0.0, 0.0)
    return reduce(add, (site.sums for site in sites), none).share(usage.sums)
