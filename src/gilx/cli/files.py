"""Files that options and arguments name: how they are read and written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from gilx.errors import ArgumentError
from gilx.files import replacing, save_text

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["read_record", "save", "save_figure"]

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


def save(name: str, path: str, text: str) -> None:
    """Write a text to the file that the option `name` gives.

    Raises
    ------
    ArgumentError
        It can't be written; what was there before still is.

    """
    _save(name, path, lambda: save_text(path, text))


def save_figure(
    name: str,
    path: str,
    figure: Any,  # noqa: ANN401 - matplotlib is not there for everyone
) -> None:
    """Write a picture to the file that the option `name` gives; its ending says how.

    Raises
    ------
    ArgumentError
        It can't be written; what was there before still is.

    """

    def write() -> None:
        with replacing(path) as fresh:
            figure.savefig(fresh, dpi=150)

    _save(name, path, write)


def _save(name: str, path: str, write: Callable[[], None]) -> None:
    try:
        write()
    except (OSError, ValueError) as error:  # ValueError: a kind of picture, a zero byte
        why = getattr(error, "strerror", None) or error
        raise ArgumentError(f"{name}: can't write {path!r}: {why}") from None
