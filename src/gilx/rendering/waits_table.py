"""Tables of the places in a program where threads waited for locks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.formatting import table_with_remarks
from gilx.rendering.html_page import Table
from gilx.rendering.sites_table import time_or_dash

if TYPE_CHECKING:
    from gilx.sampling.usage import GilUsage

_HEAD = ("for the GIL", "for other locks", "samples", "place", "function", "source text")
_RIGHT = (0, 1, 2)


def waits_table(usage: GilUsage) -> Table:
    """Return the places where threads waited as a table of a page.

    That with the longest waits for the GIL is first. Times are of all threads together.
    """
    place = _HEAD.index("place")
    first, *rows = (
        (row[place], *row[:place], *row[place + 1 :]) for row in (_HEAD, *_rows(usage))
    )
    right = tuple(column + 1 for column in _RIGHT)
    return Table(first, rows, right=right, caption="Threads waited, all together, in")


def waits_text(usage: GilUsage) -> str:
    """Return the places where threads waited as a plain table; empty if there are none.

    That with the longest waits for the GIL is first, and the place of each is on a line
    below its times.
    """
    if not usage.waiting_sites:
        return ""
    rows = _rows(usage)
    remarks = [
        [f"{place} {function}  {text}".rstrip()] for *_, place, function, text in rows
    ]
    return table_with_remarks(_HEAD[:3], [row[:3] for row in rows], remarks, right=_RIGHT)


def _rows(usage: GilUsage) -> list[tuple[str, ...]]:
    return [
        (
            time_or_dash(site.waiting_gil),
            time_or_dash(site.waiting_lock),
            str(site.samples),
            site.place,
            site.name or "-",
            site.text,
        )
        for site in usage.waiting_sites
    ]
