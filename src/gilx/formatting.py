"""Numbers with their units, text that fits the terminal, and tables."""

from __future__ import annotations

import math
import re
import shutil
import textwrap
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

_WIDEST = 100  # characters: longer lines are hard to read
_BEFORE_UNIT = re.compile(r"(?<=\d) (?=%|[mµn]?s\b)")
_LONGEST_NAME = 40
_NARROWEST = 24  # characters of the last column of a table,
_NARROWEST_WORDS = 8  # and of another one


def duration(seconds: float | None) -> str:
    """Return a length of time for people, ``-`` where there is none."""
    if seconds is None:
        return "-"
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("\u00b5s", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def rounded(number: float) -> str:
    """Return a number with three digits and without an exponent: ``5,090,000``."""
    return f"{float(f'{number:.3g}'):,.15g}"


def percent(share: float) -> str:
    """Return a share in words: ``12.3 %``."""
    if math.isnan(share):
        return "unknown"
    digits = 0 if share in (0, 1) or 0.1 <= share <= 0.9 else 1
    return f"{share * 100:.{digits}f} %"


def times(ratio: float) -> str:
    """Return a ratio in words: ``1.96x``; ``-`` if it is not known."""
    return "-" if math.isnan(ratio) else f"{ratio:.2f}x"


def between(low: float, high: float) -> str:
    """Return an interval in words: ``1.90 to 1.99``; ``unknown`` if it has no end."""
    return f"{low:.2f} to {high:.2f}" if math.isfinite(high) else "unknown"


def printable(text: str) -> str:
    """Return text on one line; what could make a terminal do things is escaped.

    Lines are joined by a space, and a tab becomes one. Other spaces stay: they may be in
    a string of a source text, or in the name of a file.
    """
    lines = (line.strip() for line in text.splitlines())
    return escaped(" ".join(filter(None, lines)).replace("\t", " "))


def escaped(text: str) -> str:
    """Return text with escapes in place of what is not printable."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def one_line(error: BaseException) -> str:
    """Return an exception's type and message as one line that can be printed."""
    text = printable(str(error))
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def name_of(fn: Callable[..., object]) -> str:
    """Return what to call a callable in a table."""
    name = getattr(fn, "__qualname__", None) or getattr(fn, "__name__", None)
    if name is None and isinstance(fn, partial):
        name = f"{name_of(fn.func)}(...)"
    text = name if isinstance(name, str) else type(fn).__qualname__
    text = text.rpartition("<locals>.")[2]  # what it is within tells little
    return shortened(printable(text), _LONGEST_NAME)


def shortened(text: str, width: int) -> str:
    """Return text of at most that many characters, with an ellipsis for what is cut."""
    return text if len(text) <= width else f"{text[: width - 3]}..."


def shortened_path(path: str, width: int) -> str:
    """Return the end of a path, as `shortened` returns the start."""
    return path if len(path) <= width else f"...{path[3 - width :]}"


def line_width() -> int:
    """Return the width of a line of text: the terminal's, but at most 100 characters."""
    return min(_WIDEST, _terminal_width())


def _terminal_width() -> int:
    return shutil.get_terminal_size().columns


def wrapped(
    text: str, first: str = "", rest: str = "", *, whole_words: bool = False
) -> list[str]:
    """Return text as lines that fit the terminal (80 characters where there is none).

    A number stays on the line of its unit.

    Parameters
    ----------
    text : str
        The text, without line breaks.
    first, rest : str
        What the first line begins with, and what all others do.
    whole_words : bool
        Whether a word that is longer than a line, such as the name of a file, has a line
        of its own that does not fit, instead of being broken.

    """
    lines = textwrap.wrap(
        _BEFORE_UNIT.sub("\0", text),
        max(line_width(), len(first) + 40),
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=not whole_words,
        break_on_hyphens=False,
    )
    return [line.replace("\0", " ") for line in lines]


def format_table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Collection[int] = (),
    width: int | None = None,
) -> str:
    """Return a table as lines of text, two spaces between columns.

    Parameters
    ----------
    head : sequence of str
        The columns' titles.
    rows : sequence of sequences of str
        The cells. Those of the last column are wrapped to the width, unless they are
        aligned to the right.
    right : collection of int
        Which columns are aligned to the right.
    width : int, optional
        Width in characters; by default the terminal's (80 where there is none).

    """
    width = _terminal_width() if width is None else width
    columns = len(head) - ((len(head) - 1) not in right)
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(columns)]
    rest_width = max(_NARROWEST, width - sum(widths) - 2 * columns)
    lines = []
    for row in [head, *rows]:
        start = "".join(
            f"{cell:>{widths[i]}}  " if i in right else f"{cell:<{widths[i]}}  "
            for i, cell in enumerate(row[:columns])
        )
        for number, part in enumerate(
            textwrap.wrap("".join(row[columns:]), rest_width) or [""]
        ):
            lines.append(((start if number == 0 else " " * len(start)) + part).rstrip())
    return "\n".join(lines)


def table_with_remarks(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    remarks: Sequence[Sequence[str]] = (),
    *,
    right: Collection[int] = (),
) -> str:
    """Return a table as lines that fit the terminal, each row followed by remarks.

    The first column is a name. If the table is too wide for the terminal, names have
    lines of their own; if it still is, other words are cut before figures are.

    Parameters
    ----------
    head, rows, right
        As those of `format_table`. A row without a name goes on with the one before it.
    remarks : sequence of sequences of str
        The remarks on each row, if there are any.

    """
    remarks = remarks or [()] * len(rows)
    width = _terminal_width()
    table = _in_columns((head, *rows), right)
    apart = max(map(len, table)) > width
    if apart:
        unnamed = [("", *row[1:]) for row in (head, *rows)]
        table = _in_columns(_narrowed(unnamed, width, right), right)
    lines = [shortened(table[0], width)]
    for row, line, texts in zip(rows, table[1:], remarks, strict=True):
        if apart and row[0]:
            lines.append(shortened(row[0], width))
        lines.append(shortened(line, width))
        for text in texts:
            lines += wrapped(text, "  ", "    ")
    return "\n".join(lines)


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _narrowed(
    rows: Sequence[Sequence[str]], width: int, right: Collection[int]
) -> Sequence[Sequence[str]]:
    """Return rows whose widest column of words is cut so that all columns fit a width."""
    widths = _widths(rows)
    excess = sum(widths) + 2 * (len(widths) - 1) - width
    words = [i for i in range(len(widths)) if i not in right]
    widest = max(words, key=widths.__getitem__)
    most = max(_NARROWEST_WORDS, widths[widest] - max(0, excess))
    return [
        [shortened(cell, most) if i == widest else cell for i, cell in enumerate(row)]
        for row in rows
    ]


def _in_columns(rows: Sequence[Sequence[str]], right: Collection[int]) -> list[str]:
    """Return the lines of a table, however wide."""
    widths = _widths(rows)
    return [
        "  ".join(
            f"{cell:>{widths[i]}}" if i in right else f"{cell:<{widths[i]}}"
            for i, cell in enumerate(row)
        ).rstrip()
        for row in rows
    ]
