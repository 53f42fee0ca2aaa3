"""Files that commands read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from gilx.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["read_record"]

_MOST_BYTES = 64_000_000

Record = TypeVar("Record")


def read_record(path: str, from_json: Callable[[str], Record]) -> Record:
    """Return the record in a file.

    Parameters
    ----------
    path : str
        The file.
    from_json : callable
        Makes the record of text.

    Raises
    ------
    ArgumentError
        The file can't be read, or `from_json` refuses what is in it; the message begins
        with the file's name.

    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        text = data.decode()
    except OSError as error:
        raise ArgumentError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ArgumentError(f"{path}: expected JSON of a report, got no text") from None
    try:
        return from_json(text)
    except ArgumentError as error:
        # The file is what the library calls the text.
        raise ArgumentError(f"{path}{str(error).removeprefix('text')}") from None
