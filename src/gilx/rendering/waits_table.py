"""Tables of the places in a program where threads waited for locks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.rendering.place_table import PlaceRow, page_table, plain_table, time_or_dash

if TYPE_CHECKING:
    from gilx.rendering.html_page import Table
    from gilx.sampling.usage import GilUsage

_TITLE = "Threads waited, all together, in"
_FIGURES = ("for the GIL", "for other locks", "samples")


def waits_table(usage: GilUsage) -> Table:
    """Return the places where threads waited as a table of a page.

    That with the longest waits is first. Times are of all threads together.
    """
    return page_table(_FIGURES, (), _rows(usage), _TITLE)


def waits_text(usage: GilUsage) -> str:
    """Return the places where threads waited as a plain table; empty if there are none.

    A title precedes it. That with the longest waits is first.
    """
    if not usage.waiting_sites:
        return ""
    return f"{_TITLE}:\n{plain_table(_FIGURES, (), _rows(usage))}"


def _rows(usage: GilUsage) -> list[PlaceRow]:
    return [
        PlaceRow(
            site.place,
            site.name,
            site.text,
            (
                time_or_dash(site.waiting_gil),
                time_or_dash(site.waiting_lock),
                str(site.samples),
            ),
        )
        for site in usage.waiting_sites
    ]
