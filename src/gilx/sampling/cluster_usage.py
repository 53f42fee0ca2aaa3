"""Usage of the GILs of several processes, as one record."""

from __future__ import annotations

import html
from collections.abc import Mapping  # noqa: TC003 - JSON is read by it
from dataclasses import dataclass, replace
from functools import reduce
from itertools import chain
from operator import add
from typing import TYPE_CHECKING

from gilx.errors import ArgumentError, shown
from gilx.estimate import Estimate, independent_sum
from gilx.formatting import duration, line_width, percent, printable, shortened, wrapped
from gilx.records import Record, render
from gilx.sampling.hold_fraction import agree
from gilx.sampling.site_words import called_from, main_line
from gilx.sampling.sites import (
    Site,
    SiteSums,
    line_key,
    lines_of,
    site_key,
    sum_of_sites,
)
from gilx.sampling.usage import GilUsage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gilx.rendering.picture import Picture
    from gilx.sampling.hold_fraction import HoldSums

_MOST_LINES = 5  # that are shown; the record has all of them
_MOST_WORKERS = 12  # likewise
_LEAST_WAITING = 0.005  # threads on average, that are worth a word
_FIGURES = "locked", "held_seconds", "waited", "wall"
_SITE_FIGURES = "held", "waiting_caused", "below"
_NOTHING = SiteSums(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class ClusterUsage(Record, schema="gilx.cluster_usage", version=2):
    """Usage of the GILs of several worker processes while something ran.

    Each process has a GIL of its own, so that several can be held at the same time.
    Thread-seconds add up over the workers; a share is one of all workers' time together,
    which is the mean over the workers, weighted by the time for which each was watched,
    and never above 1. Workers whose Python has no GIL count for none of the shares.

    The errors of different workers are taken to be independent: the distances of the
    workers' intervals from their figures add up as the roots of sums of squares (Zou and
    Donner, Construction of confidence limits about effect measures, Stat. Med. 2008).
    """

    locked: Estimate
    """Share of the workers' time during which a thread held the GIL of its process;
    unknown if no worker with a GIL was watched."""
    held_seconds: Estimate
    """Time during which threads held the GILs, all together, in thread-seconds."""
    waited: Estimate
    """Time for which threads waited for the GIL of their process, all together, in
    thread-seconds; unknown if that of a worker is."""
    wall: float
    """Time for which workers with a GIL were watched, all together, in seconds."""
    sites: tuple[Site, ...]
    """Places in the program that held a GIL, of all workers, the one of the largest share
    first. `Site.held` is the share of the time of those workers whose stacks could be
    read, `Site.waiting_caused` is a sum."""
    by_worker: Mapping[str, GilUsage]
    """Usage of each worker by its address, as that of a program. Of several workers in
    one process, which have one GIL, only the first is here."""
    notes: tuple[str, ...] = ()
    """Sentences on workers without figures, and on those whose figures need a word."""

    @classmethod
    def of(cls, by_worker: Mapping[str, GilUsage], notes: Iterable[str]) -> ClusterUsage:
        """Return the usage of these workers together."""
        usages = _with_gil(by_worker)
        held = independent_sum([usage.locked.times(usage.wall) for usage in usages])
        wall = sum(usage.wall for usage in usages)
        return cls(
            locked=held.times(1 / wall) if usages else Estimate.unknown(),
            held_seconds=held,
            waited=independent_sum([usage.waited for usage in usages]),
            wall=wall,
            sites=_sites_together(usages),
            by_worker=dict(by_worker),
            notes=tuple(map(printable, notes)),
        )

    def lines(self) -> tuple[Site, ...]:
        """Return the sites joined line by line, the line of the largest share first."""
        usages = _with_stacks(_with_gil(self.by_worker))
        if not usages:
            return ()
        joined = lines_of(self.sites, _sums(usages))
        return _with_shares(joined, usages, GilUsage.lines, line_key)

    def sentence(self) -> str:
        """Return the finding in one sentence of plain words."""
        usages = _with_gil(self.by_worker)
        if not usages:
            return "no worker with a GIL was watched"
        if all(usage.inconclusive_reason for usage in usages):
            return f"inconclusive: {usages[0].inconclusive_reason}"
        part, line = main_line(self.lines(), "")
        place = f", {part} of it in {line}" if part else ""
        if len(usages) == 1:
            return (
                f"{usages[0].program} holds its GIL for {percent(self.locked.value)} of"
                f" {duration(self.wall)}{place}"
            )
        most = max(usages, key=lambda usage: usage.locked.value)
        return (
            f"{len(usages)} workers hold their GILs for {percent(self.locked.value)} of"
            f" {duration(self.wall)} all together{place}; the one that holds it most is"
            f" {most.program}, for {percent(most.locked.value)}"
        )

    def __str__(self) -> str:
        rows = [self.sentence(), *self._lines_shown()]
        for words in self._details():
            rows += wrapped(words, "  ", "    ")
        return "\n".join(rows)

    def _lines_shown(self) -> list[str]:
        lines = self.lines()
        first, rest = lines[:_MOST_LINES], lines[_MOST_LINES:]
        shares = [percent(line.held.value) for line in first]
        column = max(map(len, shares), default=0)
        rows = []
        for share, line in zip(shares, first, strict=True):
            words = f"  {share:>{column}}  {line.place} {line.name}  {line.text}"
            rows.append(shortened(words.rstrip(), line_width()))
            if origin := called_from(line):
                words = f"  {'':>{column}}    {origin}"
                rows.append(shortened(words, line_width()))
        if rest:
            words = "line holds" if len(rest) == 1 else "lines hold"
            held = percent(sum(line.held.value for line in rest))
            rows.append(f"  {len(rest)} more {words} {held}")
        return rows

    def _details(self) -> list[str]:
        rows = []
        if self.locked.known:
            rows.append(f"held by any thread, mean: {self.locked.text(percent)}")
        if self.waited.value >= _LEAST_WAITING * self.wall:
            rows.append(
                f"threads waited {duration(self.waited.value)} for the GIL of their"
                " process, all together"
            )
        workers = sorted(
            self.by_worker.values(),
            key=lambda usage: usage.locked.value if usage.locked.known else -1.0,
            reverse=True,
        )
        rows += [_worker_words(usage) for usage in workers[:_MOST_WORKERS]]
        more = len(workers) - _MOST_WORKERS
        if more > 0:
            rows.append(f"{more} more worker{'s' if more > 1 else ''}")
        return [*rows, *self.notes]

    def plot(self) -> Picture:
        """Return a picture of each worker's share of the time.

        Raises
        ------
        MissingExtraError
            The extra ``plot`` is not installed.

        """
        picture: Picture = render(self, "plot")
        return picture

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><td style="white-space: pre-wrap">{html.escape(row.strip())}</td></tr>'
            for row in (*self._lines_shown(), *self._details())
        )
        return f"<p>{html.escape(self.sentence())}</p><table>{rows}</table>"

    def _check(self, where: str) -> None:
        whole = ClusterUsage.of(self.by_worker, self.notes)
        for name in _FIGURES:
            given, figure = getattr(self, name), getattr(whole, name)
            if not agree(given, figure):
                raise ArgumentError(
                    f"{where}.{name}: expected {shown(figure)}, as the workers have it,"
                    f" got {shown(given)}"
                )
        if len(self.sites) != len(whole.sites):
            raise ArgumentError(
                f"{where}.sites: expected {len(whole.sites)}, as the workers have them,"
                f" got {len(self.sites)}"
            )
        for number, (site, expected) in enumerate(
            zip(self.sites, whole.sites, strict=True)
        ):
            if site_key(site) != site_key(expected) or not all(
                agree(getattr(site, name), getattr(expected, name))
                for name in _SITE_FIGURES
            ):
                raise ArgumentError(
                    f"{where}.sites[{number}]: expected figures as the workers have them,"
                    f" got {shown(site)}"
                )


def _with_gil(by_worker: Mapping[str, GilUsage]) -> list[GilUsage]:
    return [usage for usage in by_worker.values() if usage.locked.known]


def _with_stacks(usages: Iterable[GilUsage]) -> list[GilUsage]:
    return [
        usage for usage in usages if not usage.sites_missing and usage.sums.stacks > 0
    ]


def _sums(usages: Iterable[GilUsage]) -> HoldSums:
    return reduce(add, (usage.sums for usage in usages))


def _sites_together(usages: Sequence[GilUsage]) -> tuple[Site, ...]:
    usages = _with_stacks(usages)
    if not usages:
        return ()
    joined = sum_of_sites(
        chain.from_iterable(usage.sites for usage in usages), _sums(usages)
    )
    return _with_shares(joined, usages, lambda usage: usage.sites, site_key)


def _with_shares(
    joined: Iterable[Site],
    usages: Sequence[GilUsage],
    sites_of: Callable[[GilUsage], Iterable[Site]],
    key_of: Callable[[Site], tuple[object, ...]],
) -> tuple[Site, ...]:
    """Return joined sites with shares of all workers' time, the largest first.

    The sums over all samples would weight workers by their good samples, and have an
    interval as if all workers had been alike.

    Parameters
    ----------
    joined : iterable of Site
        Sites of all workers, each place once.
    usages : sequence of GilUsage
        Usages of the workers.
    sites_of : callable
        Returns the sites of one worker.
    key_of : callable
        Returns what sites at the same place have in common.

    """
    found = [_sums_by(key_of, sites_of(usage)) for usage in usages]
    shared = [
        _shared(site, usages, [sums.get(key_of(site), _NOTHING) for sums in found])
        for site in joined
    ]
    return tuple(sorted(shared, key=lambda site: (-site.held.value, site_key(site))))


def _sums_by(
    key_of: Callable[[Site], tuple[object, ...]], sites: Iterable[Site]
) -> dict[tuple[object, ...], SiteSums]:
    """Return the sums of sites by place; functions defined twice have several sites."""
    sums: dict[tuple[object, ...], SiteSums] = {}
    for site in sites:
        key = key_of(site)
        sums[key] = sums[key] + site.sums if key in sums else site.sums
    return sums


def _shared(site: Site, usages: Sequence[GilUsage], sums: Sequence[SiteSums]) -> Site:
    """Return a site of which each worker has these sums."""
    pairs = list(zip(usages, sums, strict=True))
    wall = sum(usage.wall for usage in usages)
    held = independent_sum(
        [one.share(usage.sums).times(usage.wall) for usage, one in pairs]
    )
    below = sum(
        one.below / usage.sums.stacks * usage.wall
        for usage, one in pairs
        if usage.sums.stacks > 0
    )
    return replace(
        site,
        held=held.times(1 / wall),
        waiting_caused=independent_sum([one.waiting(usage.sums) for usage, one in pairs]),
        below=below / wall,
    )


def _worker_words(usage: GilUsage) -> str:
    if usage.inconclusive_reason:
        return f"{usage.program}: inconclusive: {usage.inconclusive_reason}"
    if not usage.locked.known:
        return f"{usage.program}: runs for {duration(usage.wall)} without a GIL"
    words = f"{usage.program}: {usage.locked.text(percent)} of {duration(usage.wall)}"
    waited = usage.waited.value
    if not waited >= _LEAST_WAITING * usage.wall:
        return words
    return f"{words}, threads waited {duration(waited)}"
