"""Places where other threads held the GIL during some parts of a watch."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from gilx.sampling.ratio_interval import Ratio
from gilx.sampling.sites import Site, lines_of, sum_of_sites

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gilx.sampling.hold_fraction import HoldSums
    from gilx.sampling.sites import FoundSite

_NOWHERE = -1


class HeldSample(NamedTuple):
    """One sample of a watch that read stacks."""

    at: int
    """Time, in nanoseconds of the monotonic clock."""
    late: bool
    """True if the sample came too late to be used."""
    site: int
    """Number of the place where the GIL was held; -1 if it was not held."""
    thread: int
    """Place of the thread that held it, see `gilx.sampling._sampler.Sampler.threads`."""
    below: bool
    """True if a line that was called from there may have held it."""
    weight: float
    """Length of the time that it stands for, in nanoseconds."""


@dataclass(frozen=True)
class HeldDuring:
    """Places where threads other than the watched one held the GIL during some spans.

    Those of several watches add up.

    Attributes
    ----------
    sites : tuple of Site
        The places. Their shares are those of the length of all spans.
    sums : HoldSums
        Sums over the samples in the spans, as far as shares of sites follow from them.
    samples : int
        Number of samples in the spans that were not late.

    """

    sites: tuple[Site, ...]
    sums: HoldSums
    samples: int

    def __add__(self, other: HeldDuring) -> HeldDuring:
        sums = self.sums + other.sums
        sites = sum_of_sites(self.sites + other.sites, sums)
        return HeldDuring(sites, sums, self.samples + other.samples)

    @property
    def lines(self) -> tuple[Site, ...]:
        """The places joined line by line, the line of the largest share first."""
        return lines_of(self.sites, self.sums)


def sums_during(
    spans: Iterable[tuple[int, int]],
    samples: Sequence[HeldSample],
    found: Sequence[FoundSite],
    watch: HoldSums,
    *,
    watched: int,
    begin: int,
) -> tuple[list[FoundSite], HoldSums, int]:
    """Return sites of other threads, with sums over the samples in some spans alone.

    Parameters
    ----------
    spans : iterable of (int, int)
        Begin and end of each span, in order, as the samples have times.
    samples : sequence of HeldSample
        The samples, in order.
    found : sequence of FoundSite
        Sites of the watch, by the numbers that the samples have.
    watch : HoldSums
        Sums of the watch.
    watched : int
        The thread whose sites do not count, as the samples have it.
    begin : int
        Time from which all samples of the watch are there.

    Returns
    -------
    (list of FoundSite, HoldSums, int)
        The sites, the sums from which their shares follow, and the number of samples that
        were not late. Lengths of holds are left out, since holds may go beyond a span.

    """
    lengths = _Lengths(spans)
    late = [(int(one.at - one.weight), one.at) for one in samples if one.late]
    unknown = float(sum(lengths.within(*each) for each in [(0, begin), *late]))
    inside = [one for one in samples if not one.late and lengths.has(one.at)]
    sites: dict[int, FoundSite] = {}
    last = _NOWHERE
    for number, one in enumerate(inside):
        site = _NOWHERE if one.thread == watched else one.site
        if site != _NOWHERE:
            sites[site] = _added(sites.get(site), found[site], one)
        if site != last and number > 0:
            for changed in {site, last} - {_NOWHERE}:
                steps = sites[changed].steps + one.weight**2
                sites[changed] = sites[changed]._replace(steps=steps)
        last = site
    good = sum(one.weight for one in inside)
    sums = replace(
        watch,
        wall=max(1, lengths.whole),
        counted=good + unknown,
        unknown=unknown,
        missed=0.0,
        unidentified=0.0,
        waiters=Ratio(*[0.0] * 8),
        most_waiters=0.0,
        samples=len(inside),
        late=0,
        stacks=good,
        stacks_squares=sum(one.weight**2 for one in inside),
    )
    return list(sites.values()), sums, len(inside)


def _added(sums: FoundSite | None, site: FoundSite, sample: HeldSample) -> FoundSite:
    """Return a site with one more sample added to its sums, None if it has none yet."""
    if sums is None:
        sums = site._replace(
            place=sample.thread,
            held=0.0,
            squares=0.0,
            steps=0.0,
            below=0.0,
            samples=0,
            hold_low=0,
            hold_high=0,
            waited=0.0,
            waited_squares=0.0,
            waited_steps=0.0,
        )
    return sums._replace(
        held=sums.held + sample.weight,
        squares=sums.squares + sample.weight**2,
        below=sums.below + sample.below * sample.weight,
        samples=sums.samples + 1,
        place=sums.place if sums.place == sample.thread else -1,
    )


class _Lengths:
    """Spans of time that are in order and have nothing in common."""

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        self._spans = list(spans)
        self._starts = [start for start, _ in self._spans]
        self._sums = [0, *accumulate(end - start for start, end in self._spans)]

    @property
    def whole(self) -> int:
        """Length of all spans together."""
        return self._sums[-1]

    def has(self, time: int) -> bool:
        """Return whether a time is within a span."""
        number = bisect_right(self._starts, time)
        return number > 0 and time <= self._spans[number - 1][1]

    def within(self, first: int, last: int) -> int:
        """Return the length of what the spans have between two times."""
        return self._before(last) - self._before(first)

    def _before(self, time: int) -> int:
        number = bisect_right(self._starts, time)
        if number == 0:
            return 0
        start, end = self._spans[number - 1]
        return self._sums[number - 1] + min(time, end) - start
