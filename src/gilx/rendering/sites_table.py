"""Tables of the places in a program that held the GIL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.formatting import duration, format_table, percent
from gilx.rendering.html_page import Table

if TYPE_CHECKING:
    from gilx.sampling.usage import GilUsage

_HEAD = (
    *("held", "95 %", "longest hold", "samples", "thread", "place", "function"),
    "source text",
)
_RIGHT = (0, 1, 2, 3)


def sites_table(usage: GilUsage) -> Table:
    """Return the sites of a usage as a table of a page, the largest share first.

    The place is the header of each row, and the column that a phone shows.
    """
    head, *rows = (_place_first(row) for row in (_HEAD, *_rows(usage)))
    right = tuple(column + 1 for column in _RIGHT)
    return Table(head, rows, right=right, caption="Of the time, the GIL was held in")


def _place_first(row: tuple[str, ...]) -> tuple[str, ...]:
    place = _HEAD.index("place")
    return (row[place], *row[:place], *row[place + 1 :])


def sites_text(usage: GilUsage) -> str:
    """Return the sites of a usage as a plain table, the largest share first."""
    if usage.sites_missing:
        return f"Where the GIL was held is unknown, since {usage.sites_missing}."
    if not usage.sites:
        return "No place in the code was found to hold the GIL."
    return format_table(_HEAD, _rows(usage), right=_RIGHT)


def _rows(usage: GilUsage) -> list[tuple[str, ...]]:
    return [
        (
            percent(site.held.value),
            f"{percent(site.held.low)} to {percent(site.held.high)}",
            duration(site.longest_hold.value) if site.longest_hold.known else "-",
            str(site.samples),
            site.thread or "several",
            site.place,
            site.name or "-",
            f"{site.text} [{site.library}]" if site.library else site.text,
        )
        for site in usage.sites
    ]
