"""Tables of the places in a program that held the GIL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.formatting import duration, percent, shortened, shortened_path
from gilx.rendering.place_table import PlaceRow, page_table, plain_table, time_or_dash
from gilx.sampling.site_words import called_from
from gilx.sampling.source_files import short_path
from gilx.sampling.usage import ran_without_gil

if TYPE_CHECKING:
    from gilx.estimate import Estimate
    from gilx.rendering.html_page import Table
    from gilx.sampling.sites import Site
    from gilx.sampling.usage import GilUsage

_FIGURES = ("held", "95 %", "longest hold", "samples")
_WAITING = "waiting caused"  # a column if there was any
_WORDS = ("thread",)
_LONGEST_THREAD = 24  # characters of a name
_LONGEST_PATH = 60


def sites_table(usage: GilUsage) -> Table:
    """Return the sites of a usage as a table of a page, the largest share first."""
    caption = "Of the time, the GIL was held in"
    return page_table(_figures(usage), _WORDS, _rows(usage), caption)


def sites_text(usage: GilUsage) -> str:
    """Return the sites of a usage as a plain table, the largest share first."""
    if ran_without_gil(usage):
        return "This Python runs without a GIL, so no place in the code holds one."
    if usage.sites_missing:
        return f"Where the GIL was held is unknown, since {usage.sites_missing}."
    if not usage.sites:
        return "No place in the code was found to hold the GIL."
    rows = [
        row._replace(words=tuple(shortened(one, _LONGEST_THREAD) for one in row.words))
        for row in _rows(usage)
    ]
    return plain_table(_figures(usage), _WORDS, rows)


def _figures(usage: GilUsage) -> tuple[str, ...]:
    return (*_FIGURES, *[_WAITING] * _caused_waiting(usage))


def _caused_waiting(usage: GilUsage) -> bool:
    return any(site.waiting_caused.value > 0 for site in usage.sites)


def _rows(usage: GilUsage) -> list[PlaceRow]:
    waiting = _caused_waiting(usage)
    return [
        PlaceRow(
            site.place,
            site.name,
            _text(site),
            (
                percent(site.held.value),
                f"{percent(site.held.low)} to {percent(site.held.high)}",
                _longest_hold(site.longest_hold),
                str(site.samples),
                *[time_or_dash(site.waiting_caused)] * waiting,
            ),
            words=(site.thread or "several",),
            remarks=(called_from(site),) * bool(site.callers),
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


def _longest_hold(length: Estimate) -> str:
    if not length.known:
        return "-"
    if length.low <= 0:
        return f"at most {duration(length.high)}"
    return duration(length.value)
