"""Files that an option names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gilx.errors import ArgumentError
from gilx.files import replacing, save_text

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["save", "save_figure"]


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
