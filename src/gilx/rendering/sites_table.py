"""Tables of the places in a program that held the GIL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.formatting import (
    duration,
    percent,
    shortened,
    shortened_path,
    table_with_remarks,
)
from gilx.rendering.html_page import Table
from gilx.sampling.site_words import called_from
from gilx.sampling.source_files import short_path

if TYPE_CHECKING:
    from gilx.estimate import Estimate
    from gilx.sampling.sites import Site
    from gilx.sampling.usage import GilUsage

_FIGURES = ("held", "95 %", "longest hold", "samples")
_WAITING = "waiting caused"  # a column if there was any
_WORDS = ("thread", "place", "function", "source text")
_LONGEST_THREAD = 24  # characters of a name
_LONGEST_PATH = 60


def sites_table(usage: GilUsage) -> Table:
    """Return the sites of a usage as a table of a page, the largest share first.

    The place is the header of each row, and the column that a phone shows.
    """
    head = _head(usage)
    place = head.index("place")
    first, *rows = (
        (row[place], *row[:place], *row[place + 1 :]) for row in (head, *_rows(usage))
    )
    right = tuple(range(1, head.index("thread") + 1))
    return Table(first, rows, right=right, caption="Of the time, the GIL was held in")


def sites_text(usage: GilUsage) -> str:
    """Return the sites of a usage as a plain table, the largest share first.

    The place of each is on a line below its figures.
    """
    if usage.sites_missing:
        return f"Where the GIL was held is unknown, since {usage.sites_missing}."
    if usage.sums.without_gil:
        return "There is no GIL that a place in the code could hold."
    if not usage.sites:
        return "No place in the code was found to hold the GIL."
    rows = [
        (*figures, shortened(thread, _LONGEST_THREAD))
        for *figures, thread, _, _, _ in _rows(usage)
    ]
    remarks = [
        [f"{place} {function}  {text}", *[called_from(site)] * bool(site.callers)]
        for site, (*_, place, function, text) in zip(
            usage.sites, _rows(usage), strict=True
        )
    ]
    head = _head(usage)[:-3]
    return table_with_remarks(head, rows, remarks, right=range(len(head) - 1))


def _head(usage: GilUsage) -> tuple[str, ...]:
    return (*_FIGURES, *[_WAITING] * _caused_waiting(usage), *_WORDS)


def _caused_waiting(usage: GilUsage) -> bool:
    return any(site.waiting_caused.value > 0 for site in usage.sites)


def _rows(usage: GilUsage) -> list[tuple[str, ...]]:
    waiting = _caused_waiting(usage)
    return [
        (
            percent(site.held.value),
            f"{percent(site.held.low)} to {percent(site.held.high)}",
            _longest_hold(site.longest_hold),
            str(site.samples),
            *[time_or_dash(site.waiting_caused)] * waiting,
            site.thread or "several",
            site.place,
            site.name or "-",
            _text(site),
        )
        for site in usage.sites
    ]


def _text(site: Site) -> str:
    if site.changed:
        return "(changed)"
    if not site.library:
        return site.text
    library = shortened_path(short_path(site.library), _LONGEST_PATH)
    return f"{site.text} [{library}]"


def time_or_dash(time: Estimate) -> str:
    """Return a time, or a dash if it is not known."""
    return duration(time.value) if time.known else "-"


def _longest_hold(length: Estimate) -> str:
    if not length.known:
        return "-"
    if length.low <= 0:
        return f"at most {duration(length.high)}"
    return duration(length.value)
