"""Keeping a story: its text, its figures and its pictures in a new directory."""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gilx.demo.chapter import IDEAL
from gilx.errors import ArgumentError
from gilx.rendering.matplotlib_figure import new_figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilx.demo.chapter import Picture
    from gilx.demo.demo_record import Story

__all__ = ["draw", "new_directory", "save_pictures"]


@contextmanager
def new_directory(name: str) -> Iterator[Path]:
    """Yield an empty directory that gets this name if all goes well.

    If not, nothing is left. It is made before the name is needed, so that one learns at
    once that nothing can be written there.

    Raises
    ------
    ArgumentError
        The name is taken, or nothing can be written there.

    """
    target = Path(name)
    if os.path.lexists(target):
        raise ArgumentError(f"save: expected a directory that is not there yet: {name!r}")
    try:
        around = Path(tempfile.mkdtemp(prefix=".gilx-", dir=target.absolute().parent))
    except OSError as error:
        raise _cannot(name, error) from None
    try:
        inside = around / "story"
        inside.mkdir()  # with the rights that directories usually get
        yield inside
        try:
            inside.rename(target)
        except OSError as error:
            raise _cannot(name, error) from None
    finally:
        shutil.rmtree(around)


def _cannot(name: str, error: OSError) -> ArgumentError:
    return ArgumentError(f"save: can't make the directory {name!r}: {error.strerror}")


def save_pictures(story: Story, directory: Path) -> list[Path]:
    """Draw a picture of each chapter that has one; return their files.

    Raises
    ------
    ImportError
        matplotlib is not installed; the extra ``plot`` has it.

    """
    found = []
    for number, name, chapter in story.chapters():
        picture = chapter.picture()
        if picture is not None:
            path = directory / f"{number}-{name}.png"
            draw(picture, f"{number}. {chapter.title}").savefig(path, dpi=150)
            found.append(path)
    return found


def draw(picture: Picture, title: str) -> Any:  # noqa: ANN401 - matplotlib may be missing
    """Return a figure of matplotlib's: bars with their intervals, and marks across them.

    Raises
    ------
    ImportError
        matplotlib is not installed; the extra ``plot`` has it.

    """
    bars = picture.bars
    figure = new_figure(8, 1.2 + 0.5 * len(bars))
    axes = figure.subplots()
    places = range(len(bars))
    lengths = [bar.value if math.isfinite(bar.value) else 0.0 for bar in bars]
    axes.barh(places, lengths, color="#4c78a8", height=0.6)
    for place, bar in zip(places, bars, strict=True):
        if bar.interval is not None:
            axes.plot(bar.interval, [place, place], color="black", linewidth=1.5)
        ends = [place - 0.4, place + 0.4]
        if bar.ideal is not None:
            axes.plot([bar.ideal] * 2, ends, color="0.5", linewidth=1)
        if bar.mark is not None:
            axes.plot([bar.mark] * 2, ends, color="#d65f00", linewidth=2.5)
    if picture.mark and any(bar.mark is not None for bar in bars):
        axes.plot([], [], color="#d65f00", linewidth=2.5, label=picture.mark)
    if any(bar.ideal is not None for bar in bars):
        axes.plot([], [], color="0.5", linewidth=1, label=IDEAL)
    if any(bar.interval is not None for bar in bars):
        axes.plot([], [], color="black", linewidth=1.5, label="interval at 95 %")
    axes.set_yticks(places, [bar.label for bar in bars])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel(picture.unit)
    axes.set_title(title)
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure
