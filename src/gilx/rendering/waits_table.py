"""Tables of the places in a program where threads waited for locks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.rendering.place_table import PlaceRow, page_table, plain_table, time_or_dash
from gilx.sampling.idle_waits import sites_in_order

if TYPE_CHECKING:
    from gilx.rendering.html_page import Table
    from gilx.sampling.usage import GilUsage

_TITLE = "Threads waited, all together, in"
_FIGURES = ("for the GIL", "for other locks", "samples")
_FIGURES_WITHOUT_GIL = ("for locks", "samples")


def waits_table(usage: GilUsage) -> Table:
    """Return the places where threads waited as a table of a page.

    That with the longest waits is first; without a GIL, those of idle threads are last.
    Times are of all threads together.
    """
    return page_table(_figures(usage), (), _rows(usage), _TITLE)


def waits_text(usage: GilUsage) -> str:
    """Return the places where threads waited as a plain table; empty if there are none.

    A title precedes it. The order is that of `waits_table`.
    """
    if not usage.waiting_sites:
        return ""
    return f"{_TITLE}:\n{plain_table(_figures(usage), (), _rows(usage))}"


def _figures(usage: GilUsage) -> tuple[str, ...]:
    return _FIGURES_WITHOUT_GIL if usage.sums.without_gil else _FIGURES


def _rows(usage: GilUsage) -> list[PlaceRow]:
    sites = list(usage.waiting_sites)
    if usage.sums.without_gil:
        sites = [site for _, site in sites_in_order(usage)]
    return [
        PlaceRow(
            site.place,
            site.name,
            site.text,
            (
                *([] if usage.sums.without_gil else [time_or_dash(site.waiting_gil)]),
                time_or_dash(site.waiting_lock),
                str(site.samples),
            ),
        )
        for site in sites
    ]
