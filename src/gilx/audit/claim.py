"""Claims of a library's maintainers, and the verdicts that they are compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gilx.errors import at_least
from gilx.sampling.usage_advice import HOLDS, RELEASES

if TYPE_CHECKING:
    from gilx.estimate import Estimate

GilVerdict = Literal["holds", "in part", "releases", "undecided"]


@dataclass(frozen=True)
class Claim:
    """Statement of a library's maintainers about a call and the GIL."""

    releases: bool
    """True if they say that the call releases the GIL, False if it holds it."""
    words: str
    """The statement, in a few words."""
    link: str
    """Address of the page or the source that has it."""
    from_size: int = 0
    """Size from which the call releases the GIL; below, it holds it."""

    def contradicted(self, size: int | None, verdict: GilVerdict) -> bool | None:
        """Return whether a verdict contradicts the claim; None if it is undecided.

        A call that is said to release the GIL may hold it for a part of its time. A call
        that is said to hold the GIL must hold it all the time.

        Parameters
        ----------
        size : int, optional
            The call's size; None if it has none: `from_size` is then ignored.
        verdict : str
            As `gil_verdict` returns it.

        """
        if verdict == "undecided":
            return None
        releases = self.releases and (size is None or size >= self.from_size)
        return releases == (verdict == "holds")

    def _check(self, where: str) -> None:
        at_least(f"{where}.from_size", self.from_size, 0)


def gil_verdict(held: Estimate) -> GilVerdict:
    """Return what a hold fraction means: its whole interval has to say the same.

    ``holds``: at least 90 % of the time; ``releases``: at most 10 %; ``in part``: between
    both; ``undecided``: the interval has one of these limits in it, or is unknown.
    """
    if not held.bounded:
        return "undecided"
    low, high = held.interval
    if low >= HOLDS:
        return "holds"
    if high <= RELEASES:
        return "releases"
    return "in part" if low > RELEASES and high < HOLDS else "undecided"
