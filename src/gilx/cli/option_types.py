"""Numbers in options."""

from __future__ import annotations

from gilx.errors import ArgumentError

__all__ = ["number", "whole_number", "whole_numbers"]


def whole_number(name: str, given: str | None) -> int | None:
    """Return the whole number that an option gives, or None where it was not given.

    Raises
    ------
    ArgumentError
        It is no whole number.

    """
    if given is None:
        return None
    try:
        return int(given)
    except ValueError:
        raise ArgumentError(f"{name}: expected a whole number, got {given!r}") from None


def whole_numbers(name: str, given: str | None) -> list[int] | None:
    """Return the whole numbers, with commas between, that an option gives; or None.

    Raises
    ------
    ArgumentError
        One of them is no whole number.

    """
    if given is None:
        return None
    try:
        return [int(word) for word in given.split(",")]
    except ValueError:
        raise ArgumentError(
            f"{name}: expected whole numbers with commas between, such as 1,2;"
            f" got {given!r}"
        ) from None


def number(name: str, given: str) -> float:
    """Return the number that an option gives.

    Raises
    ------
    ArgumentError
        It is none.

    """
    try:
        return float(given)
    except ValueError:
        raise ArgumentError(f"{name}: expected a number, got {given!r}") from None
