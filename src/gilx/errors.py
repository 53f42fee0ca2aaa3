"""What gilx raises of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, SupportsFloat

from gilx.formatting import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ArgumentError",
    "MissingExtraError",
    "NoGilError",
    "WatchUnavailableError",
    "WorkersUnavailableError",
    "WrongResultError",
    "above_zero",
    "at_least",
    "number_between",
    "one_of",
    "real_at_least",
    "shown",
    "whole_numbers",
]


class ArgumentError(ValueError):
    """An argument of a gilx function is not one that it can use.

    The message names the argument, what would be right and what was given; the command
    prints it on one line.
    """


class MissingExtraError(ImportError):
    """A package is missing that one of gilx's extras has; the message says which."""


class WrongResultError(AssertionError):
    """A kernel's output differs from the reference."""


class WatchUnavailableError(RuntimeError):
    """The GIL can't be watched here; the message says why."""


class WorkersUnavailableError(RuntimeError):
    """The system does not start as many threads as were asked for."""


class NoGilError(WatchUnavailableError):
    """The interpreter runs without a GIL, so that there is nothing to watch."""


def shown(given: object) -> str:
    """Return what was given as a message has it: on one line, cut where it is long."""
    try:
        text = printable(repr(given))
    except ValueError:  # a whole number of more digits than Python writes
        return "a number of very many digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def one_of(name: str, given: object, valid: Iterable[str]) -> str:
    """Return `given` if it is one of the words `valid`.

    Raises
    ------
    ArgumentError
        It is not; the message names the argument and lists what is valid.

    """
    words = list(valid)
    if isinstance(given, str) and given in words:
        return given
    raise ArgumentError(f"{name}: expected one of {', '.join(words)}; got {shown(given)}")


def at_least(name: str, given: object, least: int) -> int:
    """Return the whole number `given` if it is `least` or more.

    Raises
    ------
    ArgumentError
        It is less, or no whole number.

    """
    if isinstance(given, bool) or not hasattr(given, "__index__"):
        raise ArgumentError(f"{name}: expected a whole number, got {shown(given)}")
    number = int(given.__index__())
    if number < least:
        raise ArgumentError(f"{name}: expected at least {least}, got {number}")
    return number


def whole_numbers(name: str, given: object, least: int) -> list[int]:
    """Return one whole number, or a sequence of some, as a list; each `least` or more.

    Raises
    ------
    ArgumentError
        One is less, or no whole number, or there is none.

    """
    if not isinstance(given, Sequence) or isinstance(given, (str, bytes)):
        return [at_least(name, given, least)]
    if not given:
        raise ArgumentError(f"{name}: expected at least one whole number, got none")
    return [at_least(name, each, least) for each in given]


def real_at_least(name: str, given: object, least: float) -> float:
    """Return the finite number `given`, as a float, if it is `least` or more.

    Raises
    ------
    ArgumentError
        It is less, infinite, NaN, or no number.

    """
    if isinstance(given, (str, bytes, bool)) or not isinstance(given, SupportsFloat):
        raise ArgumentError(f"{name}: expected a number, got {shown(given)}")
    number = float(given)
    if not math.isfinite(number) or number < least:
        raise ArgumentError(
            f"{name}: expected a finite number, at least {least:g}; got {shown(given)}"
        )
    return number


def above_zero(name: str, given: object) -> float:
    """Return the finite number `given`, as a float, if it is above 0.

    Raises
    ------
    ArgumentError
        It is not, or infinite, NaN, or no number.

    """
    number = real_at_least(name, given, 0)
    if number == 0:
        raise ArgumentError(f"{name}: expected above 0, got {shown(given)}")
    return number


def number_between(
    name: str, given: object, least: float, most: float, *, above: bool = False
) -> float:
    """Return the number `given` if it is from `least` to `most`.

    Raises
    ------
    ArgumentError
        It is outside (or equal to `least`, if it has to be above that), or no number.

    """
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        raise ArgumentError(f"{name}: expected a number, got {shown(given)}")
    if not least <= given <= most or (above and given == least):
        words = (
            f"above {least:g} and at most {most:g}" if above else f"{least:g} to {most:g}"
        )
        raise ArgumentError(f"{name}: expected {words}, got {given:g}")
    return float(given)
