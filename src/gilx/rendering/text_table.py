"""Plain tables for the terminal."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_NARROWEST = 24


def format_table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    right: Sequence[int] = (),
    width: int | None = None,
) -> str:
    """Return a table as lines of text, two spaces between columns.

    Parameters
    ----------
    head : sequence of str
        The columns' titles.
    rows : sequence of sequences of str
        The cells. Those of the last column are wrapped to the width.
    right : sequence of int
        Which columns are aligned to the right.
    width : int, optional
        Width in characters; by default the terminal's (80 where there is none).

    """
    width = shutil.get_terminal_size().columns if width is None else width
    columns = len(head) - 1
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(columns)]
    room = max(_NARROWEST, width - sum(widths) - 2 * columns)
    lines = []
    for row in [head, *rows]:
        start = "".join(
            f"{cell:>{widths[i]}}  " if i in right else f"{cell:<{widths[i]}}  "
            for i, cell in enumerate(row[:columns])
        )
        for number, part in enumerate(textwrap.wrap(row[columns], room) or [""]):
            lines.append(((start if number == 0 else " " * len(start)) + part).rstrip())
    return "\n".join(lines)
