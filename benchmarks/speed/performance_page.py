"""The page of the docs that shows results: docs/performance.md, made of their file."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from goals import HEAD, ahead, rows
from parts import PARTS

from gilx.formatting import duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from figures import Figure
    from parts import Part
    from results import Results

__all__ = ["page"]

_WIDTH = 88
_TOP = """\
<!-- Made by `benchmarks/speed/suite.py --write-docs FILE`: change what makes it. -->
# Speed of gilx and of its peers

The limits of each kernel, and how it is written for them, are in [Speed of the kernels,
and what limits them](kernels-speed.md). This page has the measured figures and the
goals."""
_INTERVALS = """\
Ratios are medians over blocks that hold one sample of everything compared, in random
order, with an interval at 95 %. A goal is *met* if the whole interval is on its side,
*not met* if none of it is, and otherwise one *can't tell*. Of several kernels the one
farthest behind is shown. A geometric mean's interval is made of those of its ratios."""
_YOURS = """\
```sh
pip install '.[bench,plot,test]'
python benchmarks/speed/suite.py --json results.json --pictures pictures
python benchmarks/speed/suite.py --write-docs results.json --pictures docs/pictures
```

Run it with nothing else running: it notes what other processes took, but can't take it
out. It takes some 20 minutes. Each piece, one kernel of one part, is measured in a
process of its own and saved when it is done, so a run that was interrupted continues if
it is started again; `--only kernels`, `--only kernels:triad` select parts, and `--quick`
shows in a few minutes whether everything works. Peers that are not installed are
reported as missing. The exit status is 0 if all goals are met, otherwise a sum: 1 if a
goal is not met, 4 if one is inconclusive, 8 if something was not measured."""


def page(results: Results) -> str:
    """Return the page as Markdown."""
    parts = [_TOP]
    if results.quick:
        parts.append(
            _filled(
                "**These figures are of a quick run, which shows that all parts work. Its"
                " intervals are too wide to judge by.**"
            )
        )
    parts += [f"## The machine\n\n{_machine(results)}"]
    parts += [f"## Goals and results\n\n{_goals(results)}"]
    parts.append(_INTERVALS)
    parts += [f"## Peers that are ahead, and missed goals\n\n{_ahead(results)}"]
    for name, part in PARTS.items():
        parts.append(f"## {part.title}\n\n{_filled(part.what)}\n\n{_filled(part.fair)}")
        parts.append(_part(results, name, part))
    parts += [f"## On your machine\n\n{_YOURS}"]
    return "\n\n".join(parts) + "\n"


def _filled(text: str, indent: str = "") -> str:
    return textwrap.fill(
        *(text, _WIDTH),
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _bullets(texts: Iterable[str]) -> str:
    return "\n".join(_filled(f"* {text}", "  ") for text in texts)


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return a table as Markdown has it."""
    cells = [head, ["---"] * len(head), *lines]
    return "\n".join(
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |"
        for line in cells
    )


def _machine(results: Results) -> str:
    seconds = sum(piece.conditions.seconds for piece in results.pieces)
    lines = [
        *results.machine.lines(),
        ("date", results.date),
        (
            "measuring took",
            duration(seconds) if seconds < 120 else f"{seconds / 60:.0f} min",
        ),
    ]
    warnings = sorted({warning for piece in results.pieces for warning in piece.warnings})
    text = _table(("", ""), lines)
    if warnings:
        text += "\n\nWarnings about these figures:\n\n" + _bullets(
            f"{one} ({', '.join(p.name for p in results.pieces if one in p.warnings)})"
            for one in warnings
        )
    return text


def _goals(results: Results) -> str:
    return _table(HEAD, [row.cells() for row in rows(results, all_of_them=True)])


def _ahead(results: Results) -> str:
    found = ahead(results)
    if not found:
        return "Nowhere, as far as was measured."
    return _bullets(
        f"{one.what}, {one.figure.text()} ({one.figure.between()}). {one.reason}"
        for one in found
    )


def _part(results: Results, name: str, part: Part) -> str:
    """Return all figures of a part: a table with a line for each kernel or figure."""
    pieces = [piece for piece in results.pieces if piece.part == name]
    if not pieces:
        return "It was not run."
    missing = {
        f"{figure}: {why}"
        for piece in pieces
        for figure, why in piece.measured.missing.items()
    }
    absent = [f"Not measured: {'; '.join(sorted(missing))}."] if missing else []
    picture = f"![Each figure of the table with its interval](pictures/{name}.png)"
    if len(part.subjects) == 1:
        each = [
            (one.name, one.text(), one.between(), one.note)
            for one in pieces[0].measured.figures
        ]
        figures = _table(("figure", "median", "interval", ""), each)
        return "\n\n".join([picture, figures, *absent])
    # What most kernels have gets a column, anything else is named in the last one.
    counts: dict[str, int] = {}
    for piece in pieces:
        for figure in piece.measured.figures:
            if not figure.unit or figure.name == "c-nogil":
                counts[figure.name] = counts.get(figure.name, 0) + 1
    columns = [figure for figure, count in counts.items() if 2 * count > len(pieces)]
    lines: list[tuple[str, ...]] = []
    for piece in pieces:
        mine = {one.name: one for one in piece.measured.figures if one.name in counts}
        cells = [_cell(mine.pop(column, None)) for column in columns]
        rest = [f"{one.name}: {_cell(one)}" for one in mine.values()]
        notes = [one.note for one in piece.measured.figures if one.note]
        lines.append((f"`{piece.subject}`", *cells, "; ".join([*rest, *notes])))
    return "\n\n".join([picture, _table(("kernel", *columns, ""), lines), *absent])


def _cell(figure: Figure | None) -> str:
    return "-" if figure is None else f"{figure.text()} ({figure.between()})"
