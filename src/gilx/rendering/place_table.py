"""Tables of places in a program: a row has a line of code, its text and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gilx.formatting import duration, table_with_remarks
from gilx.rendering.html_page import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilx.estimate import Estimate


class PlaceRow(NamedTuple):
    """One place in a program."""

    place: str
    function: str
    text: str
    figures: tuple[str, ...]
    words: tuple[str, ...] = ()
    """Columns that follow the figures."""
    remarks: tuple[str, ...] = ()
    """Lines that follow the row in plain text."""


def page_table(
    figures: Sequence[str],
    words: Sequence[str],
    rows: Sequence[PlaceRow],
    caption: str,
) -> Table:
    """Return places as a table of a page.

    The place is the header of each row, and the column that a phone shows.

    Parameters
    ----------
    figures, words : sequence of str
        Titles of these columns.
    rows : sequence of PlaceRow
        Places, in their order.
    caption : str
        Title of the table.

    """
    return Table(
        ("place", "source text", *figures, *words, "function"),
        [
            (row.place, row.text, *row.figures, *row.words, row.function or "-")
            for row in rows
        ],
        right=tuple(range(2, 2 + len(figures))),
        caption=caption,
    )


def plain_table(
    figures: Sequence[str], words: Sequence[str], rows: Sequence[PlaceRow]
) -> str:
    """Return places as a plain table, the place of each on a line below its figures.

    Parameters
    ----------
    figures, words, rows
        As those of `page_table`.

    """
    remarks = [
        [f"{row.place} {row.function or '-'}  {row.text}".rstrip(), *row.remarks]
        for row in rows
    ]
    cells = [(*row.figures, *row.words) for row in rows]
    return table_with_remarks(
        (*figures, *words), cells, remarks, right=range(len(figures))
    )


def time_or_dash(time: Estimate) -> str:
    """Return a time, or a dash if it is not known."""
    return duration(time.value) if time.known else "-"
