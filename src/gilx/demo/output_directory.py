"""New directory with the text, the figures and the pictures of a demo."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gilx.errors import ArgumentError
from gilx.rendering.bar_chart import bars_picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilx.demo.demo_record import Demo


@contextmanager
def new_directory(name: str) -> Iterator[Path]:
    """Yield an empty directory that gets this name if all goes well.

    If not, nothing is left. The directory is made at the start, so that the user learns
    at once if nothing can be written there.

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
        inside = around / "demo"
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


def save_pictures(demo: Demo, directory: Path) -> list[Path]:
    """Draw a picture of each chapter that has one; return their files.

    Raises
    ------
    MissingExtraError
        The extra ``plot`` is not installed.

    """
    paths = []
    for number, name, chapter in demo.chapters():
        chart = chapter.picture()
        if chart is not None:
            paths.append(directory / f"{number}-{name}.png")
            bars_picture(chart, f"{number}. {chapter.title}").save(paths[-1])
    return paths
