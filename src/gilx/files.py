"""Files that are there completely, or as they were before."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["replacing", "save_text"]


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give the name of a new file, which takes the place of `path` when the block ends.

    Where the block fails, what was at `path` stays. The new file lies in the same
    directory, ends alike, and gets the mode of the old one. What is no file, as a pipe or
    ``/dev/stdout``, is written to as it is; a link stays one.

    Raises
    ------
    OSError
        It can't be written.

    """
    target = Path(path)
    if target.exists() and not target.is_file():
        yield target
        return
    target = target.resolve()
    fresh = target.with_name(f".gilx-{secrets.token_hex(8)}{target.suffix}")
    try:
        yield fresh
        if target.exists():
            fresh.chmod(target.stat().st_mode & 0o7777)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)


def save_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a text to a file, all of it or nothing, in UTF-8.

    Raises
    ------
    OSError
        It can't be written.

    """
    with replacing(path) as fresh:
        # What is there by that name is not ours, unless it is what was asked for.
        mode = "x" if fresh != Path(path) else "w"
        with fresh.open(mode, encoding="utf-8") as file:
            file.write(text)
            file.flush()
            if mode == "x":
                os.fsync(file.fileno())
