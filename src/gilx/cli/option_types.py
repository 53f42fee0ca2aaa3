"""Options and their types, for argparse."""

from __future__ import annotations

from argparse import ArgumentTypeError
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable, Mapping


def number(given: str) -> float:
    """Return the number that a word stands for."""
    try:
        return float(given)
    except ValueError:
        raise ArgumentTypeError(f"expected a number, got {given!r}") from None


def whole_number(given: str) -> int:
    """Return the whole number that a word stands for."""
    try:
        return int(given)
    except ValueError:
        raise ArgumentTypeError(f"expected a whole number, got {given!r}") from None


def whole_numbers(given: str) -> list[int]:
    """Return the whole numbers in a comma-separated list."""
    try:
        return [int(word) for word in given.split(",")]
    except ValueError:
        raise ArgumentTypeError(
            f"expected whole numbers separated by commas, such as 1,2; got {given!r}"
        ) from None


def words(given: str) -> list[str]:
    """Return the words in a comma-separated list."""
    return given.split(",")


_TYPES: dict[str, Callable[[str], object]] = {
    **dict.fromkeys(("S", "SECONDS", "SHARE"), number),
    "N": whole_number,
    "M": whole_number,
    "N,N...": whole_numbers,
    **dict.fromkeys(("P,P...", "V,V..."), words),
}
"""Types of the options' values, by metavar; other values are text."""


def add_options(parser: ArgumentParser, options: Mapping[str, str]) -> None:
    """Declare options.

    Parameters
    ----------
    parser : ArgumentParser
        The command's parser.
    options : mapping
        Help text of each option. The key is the option's name, followed by the metavar
        and the default of its value, if it has them: ``--budget S 5``.

    """
    for declared, does in options.items():
        name, *rest = declared.split()
        if not rest:
            parser.add_argument(name, action="store_true", help=does)
            continue
        kind = _TYPES.get(rest[0], str)
        default = kind(rest[1]) if rest[1:] else None
        parser.add_argument(name, metavar=rest[0], type=kind, default=default, help=does)
