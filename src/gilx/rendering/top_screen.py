"""Screen of ``gilx top``, drawn with rich."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from gilx.errors import MissingExtraError
from gilx.formatting import shortened_path
from gilx.rendering.top_view import average, figures_of, share

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from gilx.rendering.top_view import TopView

_FRAME = 6  # rows apart from the two tables: title, figures, note, keys, an empty one
_LEAST_ROWS = 2  # of a table
_BAR_FROM = 60  # columns from which bars fit,
_TEXT_FROM = 50  # and for the text of lines
_BAR = 20  # characters


def check_rich() -> None:
    """Check that rich is installed.

    Raises
    ------
    MissingExtraError
        rich is not installed.

    """
    if importlib.util.find_spec("rich") is None:
        raise MissingExtraError("the screen needs rich: pip install 'gilx[top]'")


def screen_of(view: TopView, width: int, height: int, keys: str) -> RenderableType:
    """Return what rich draws on a screen of a size.

    Parameters
    ----------
    view : TopView
        The content.
    width, height : int
        Size of the screen, in characters.
    keys : str
        Words on how to quit.

    """
    from rich.console import Group  # noqa: PLC0415 - an extra

    rows = max(0, height - _FRAME)
    threads = min(len(view.threads) + 1, max(_LEAST_ROWS, rows // 3))
    lines = max(_LEAST_ROWS, rows - threads)
    parts: list[RenderableType] = [
        _row(view.title, "bold"),
        *(_row(text) for text in figures_of(view)),
        _row(""),
        _threads(view, threads - 1, width),
        _lines(view, lines - 1, width),
        *([_row(view.note, "yellow")] * bool(view.note)),
        _row(keys, "dim"),
    ]
    return Group(*parts)


def _row(text: str, style: str = "") -> Text:
    """Return one row, cut at its end. The text is not markup, whatever it has in it."""
    from rich.text import Text  # noqa: PLC0415 - an extra

    return Text(text, style, no_wrap=True, overflow="ellipsis", end="\n")


def _table(*figures: str) -> Table:
    """Return a table without lines, with columns of figures."""
    from rich.table import Table  # noqa: PLC0415 - an extra

    table = Table(box=None, expand=True, pad_edge=False, header_style="reverse")
    for name in figures:
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _add_words(table: Table, name: str) -> None:
    """Add the last column, which has all the width that is left."""
    table.add_column(name, ratio=1, no_wrap=True, overflow="ellipsis")


def _threads(view: TopView, count: int, width: int) -> Table:
    bars = width >= _BAR_FROM
    table = _table(*view.thread_columns)
    if bars:
        table.add_column(no_wrap=True)
    _add_words(table, "thread")
    for one in view.threads[:count]:
        bar = [_row(_bar(one.held))] if bars else []
        table.add_row(share(one.held), share(one.waited), *bar, _row(one.name))
    return table


def _bar(held: float) -> str:
    """Return a bar in characters that every terminal has."""
    full = round(_BAR * min(1.0, held)) if held > 0 else 0
    return f"[{'|' * full}{' ' * (_BAR - full)}]"


def _lines(view: TopView, count: int, width: int) -> Table:
    table = _table(*view.line_columns)
    _add_words(table, "line")
    place_width = width - 18
    for one in view.lines[:count]:
        place = (
            one.place if width >= _TEXT_FROM else shortened_path(one.place, place_width)
        )
        text = f"{place}  {one.text}".rstrip() if width >= _TEXT_FROM else place
        table.add_row(share(one.held), average(one.caused), _row(text))
    return table
