"""Files that are there completely, or as they were before."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give the name of a new file, which takes the place of `path` when the block ends.

    Where the block fails, what was at `path` stays. The new file is there, empty, in the
    same directory, ends alike, and has the mode of the old one: what is secret there is
    so from the first byte on. What is no file, as a pipe or
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
    mode = target.stat().st_mode & 0o7777 if target.exists() else None
    # By nobody else's making: a name that is there already is an error.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    os.close(os.open(fresh, flags, 0o666 if mode is None else mode & 0o777))
    try:
        yield fresh
        if mode is not None:
            fresh.chmod(mode)
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
    with replacing(path) as fresh, fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        if fresh != Path(path):  # and not a pipe
            os.fsync(file.fileno())
