"""Files that are there completely, or as they were before."""

from __future__ import annotations

import codecs
import os
import secrets
import tempfile
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
    so from the first byte on. A pipe or a device, such as ``/dev/stdout``, is written to
    directly; a link stays a link.

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


def check_writable(path: str | os.PathLike[str]) -> None:
    """Do nothing if `replacing` can write a file at that path, and leave nothing there.

    Raises
    ------
    OSError, ValueError
        It can't.

    """
    target = Path(path)
    if not target.exists() or target.is_file():
        with tempfile.TemporaryFile(dir=target.resolve().parent):
            pass


def decoded(data: bytes) -> str:
    """Return the text in a file, which is UTF-8, without a byte order mark.

    Raises
    ------
    ValueError
        The bytes are something else; the message says what is right.

    """
    # Text in the formats that are read begins with ASCII characters.
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or b"\0" in data[:4]:
        raise ValueError(
            "expected text in UTF-8, got UTF-16 or UTF-32, as a redirection in Windows"
            " PowerShell writes it; save the file as UTF-8"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"expected text in UTF-8, got other bytes from byte {error.start} on"
        ) from None


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
