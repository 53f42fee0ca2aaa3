"""Pictures of results: ratios with their intervals, one picture for each part."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goals import GOALS
from parts import PARTS

from gilx.cli.file_options import save_figure
from gilx.errors import ArgumentError
from gilx.rendering.matplotlib_figure import new_figure

if TYPE_CHECKING:
    from figures import Figure
    from results import Results

__all__ = ["can_draw", "draw"]

_COLOURS = {"kernels": "C0", "growth": "C1", "scaling": "C2", "startup": "C3"}


def can_draw() -> None:
    """Raise an `ArgumentError` if there is nothing to draw with: before any measuring."""
    try:
        new_figure(1, 1)
    except ImportError:
        raise ArgumentError(
            "--pictures: expected matplotlib to be installed (the extra plot has it)"
        ) from None


def draw(results: Results, folder: str) -> list[Path]:
    """Draw each part that was measured to a file in a folder, which is made.

    Raises
    ------
    ArgumentError
        matplotlib is not installed, or a file can't be written.

    """
    can_draw()
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ArgumentError(
            f"--pictures: can't make {folder!r}: {error.strerror}"
        ) from None
    drawn = []
    for name in PARTS:
        picture = _picture(results, name)
        if picture is not None:
            path = Path(folder, f"{name}.png")
            save_figure("--pictures", str(path), picture)
            drawn.append(path)
    return drawn


def _picture(results: Results, part: str) -> Any | None:  # noqa: ANN401 - matplotlib's
    """Return the picture of a part, one panel for each figure; None if it has none."""
    panels: dict[str, dict[str, Figure]] = {}
    for piece in results.pieces:
        if piece.part != part:
            continue
        for figure in piece.measured.figures:
            one_of_many = len(PARTS[part].subjects) > 1
            # What is measured once has its figures in one panel for each unit.
            unit = figure.unit or "ratio"
            panel, line = (
                (figure.name, piece.subject) if one_of_many else (unit, figure.name)
            )
            if one_of_many and figure.unit:
                continue  # rates, each in another unit
            panels.setdefault(panel, {})[line] = figure
    if not panels:
        return None
    heights = [len(lines) + 2 for lines in panels.values()]
    drawing = new_figure(8, 0.22 * sum(heights) + 0.6)
    all_axes = drawing.subplots(
        len(panels), squeeze=False, gridspec_kw={"height_ratios": heights}
    )[:, 0]
    for axes, (name, lines) in zip(all_axes, panels.items(), strict=True):
        _panel(axes, part, name, lines)
    drawing.suptitle(
        f"{PARTS[part].title}. {results.machine.environment.summary()}",
        fontsize="x-small",
        color="0.4",
    )
    return drawing


def _panel(
    axes: Any,  # noqa: ANN401 - matplotlib's
    part: str,
    name: str,
    lines: dict[str, Figure],
) -> None:
    """Draw figures below each other, with what is wanted of them."""
    for place, (line, figure) in enumerate(lines.items()):
        known = math.isfinite(figure.low) and math.isfinite(figure.high)
        sides = [[figure.value - figure.low], [figure.high - figure.value]]
        axes.errorbar(
            [figure.value],
            [place],
            xerr=sides if known else None,
            marker="o",
            markersize=4,
            capsize=3,
            color=_COLOURS.get(part, "C4"),
            markerfacecolor=None if known else "white",
        )
        for goal in GOALS:
            asked = goal.part == part and not goal.mean
            if (
                asked
                and goal.figure == figure.name
                and (line in goal.subjects or goal.subjects == ("",))
            ):
                axes.plot([goal.wanted], [place], marker="|", markersize=12, color="0.4")
    axes.set_yticks(range(len(lines)), list(lines), fontsize="x-small")
    axes.set_ylim(len(lines) - 0.5, -0.5)
    values = [figure.value for figure in lines.values()]
    if min(values) > 0 and max(values) / min(values) > 5:
        axes.set_xscale("log")
    if name in ("ratio", *(f.name for f in lines.values())):
        axes.axvline(1, color="0.8", linewidth=1, zorder=0)
    axes.set_title(name, fontsize="small", loc="left")
    axes.tick_params(axis="x", labelsize="x-small")
    axes.grid(visible=True, axis="x", color="0.92")
