"""Types of options, for argparse."""

from __future__ import annotations

from argparse import ArgumentTypeError


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
    """Return the whole numbers in a word that has commas between them."""
    try:
        return [int(word) for word in given.split(",")]
    except ValueError:
        raise ArgumentTypeError(
            f"expected whole numbers with commas between, such as 1,2; got {given!r}"
        ) from None


def words(given: str) -> list[str]:
    """Return the words in one that has commas between them."""
    return given.split(",")
