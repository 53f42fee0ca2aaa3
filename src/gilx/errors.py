"""Exceptions of gilx, and checks of arguments that raise them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, SupportsFloat

from gilx.formatting import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "MOST_CALLS",
    "MOST_WORKERS",
    "ArgumentError",
    "MissingExtraError",
    "NoGilError",
    "NotCompiledError",
    "WatchUnavailableError",
    "WorkersUnavailableError",
    "WrongResultError",
    "above_zero",
    "at_least",
    "number_between",
    "number_of_workers",
    "numbers_of_workers",
    "one_of",
    "real_at_least",
    "shown",
    "whole_numbers",
]

MOST_WORKERS = 4096
"""No pool starts more; the native one's limit (csrc/python/team_type.c) is the same."""

MOST_CALLS = 2**31 - 1
"""More calls in a row would not end."""


_NOT_COMPILED = (
    "gilx's compiled parts, which this needs, are not installed here: its wheels for"
    " CPython on Linux have them"
)


class ArgumentError(ValueError):
    """Invalid argument of a gilx function.

    The message names the argument, what would be right and what was given; the command
    prints it on one line.
    """


class MissingExtraError(ImportError):
    """A package is not installed that an extra of gilx installs; the message names it."""


class WrongResultError(AssertionError):
    """A kernel's output differs from the reference."""


class WatchUnavailableError(RuntimeError):
    """The GIL can't be watched here; the message says why."""


class WorkersUnavailableError(RuntimeError):
    """The system cannot start the requested number of threads."""


class NoGilError(WatchUnavailableError):
    """The interpreter runs without a GIL, so that there is nothing to watch."""


class NotCompiledError(WatchUnavailableError, ImportError):
    """The compiled parts of gilx are needed but not installed.

    They are missing if gilx was installed from its pure-Python wheel.
    """

    def __init__(self, message: str = _NOT_COMPILED) -> None:
        super().__init__(message)


def shown(given: object) -> str:
    """Return a given value as text for a message: on one line, shortened if long."""
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
        `given` is not valid; the message names the argument and lists the valid words.

    """
    words = list(valid)
    if isinstance(given, str) and given in words:
        return given
    raise ArgumentError(f"{name}: expected one of {', '.join(words)}; got {shown(given)}")


def at_least(name: str, given: object, least: int, most: int | None = None) -> int:
    """Return the whole number `given` if it is `least` or more, and at most `most`.

    Raises
    ------
    ArgumentError
        The number is outside, or not a whole number.

    """
    if isinstance(given, bool) or not hasattr(given, "__index__"):
        raise ArgumentError(f"{name}: expected a whole number, got {shown(given)}")
    number = int(given.__index__())
    if number < least:
        raise ArgumentError(f"{name}: expected at least {least}, got {shown(number)}")
    if most is not None and number > most:
        raise ArgumentError(f"{name}: expected {least} to {most}, got {shown(number)}")
    return number


def whole_numbers(
    name: str, given: object, least: int, most: int | None = None
) -> list[int]:
    """Return one whole number, or a sequence of some, as a list; each as `at_least` does.

    Raises
    ------
    ArgumentError
        A number is outside, or not a whole number, or there is none.

    """
    if not isinstance(given, Sequence) or isinstance(given, (str, bytes)):
        return [at_least(name, given, least, most)]
    if not given:
        raise ArgumentError(f"{name}: expected at least one whole number, got none")
    return [at_least(name, each, least, most) for each in given]


def number_of_workers(given: object, least: int = 1) -> int:
    """Return the number `given` if a pool can have that many workers.

    Raises
    ------
    ArgumentError
        `given` is not a whole number from `least` to `MOST_WORKERS`.

    """
    return at_least("workers", given, least, MOST_WORKERS)


def numbers_of_workers(given: object, least: int = 1) -> list[int]:
    """Return one number of workers, or a sequence of some, as a list.

    Raises
    ------
    ArgumentError
        As `number_of_workers`, or there is none.

    """
    return whole_numbers("workers", given, least, MOST_WORKERS)


def _real(name: str, given: object) -> float:
    """Return a number as a float; an infinity if it is beyond the range of floats.

    Raises
    ------
    ArgumentError
        `given` is not a number.

    """
    if isinstance(given, (str, bytes, bool)) or not isinstance(given, SupportsFloat):
        raise ArgumentError(f"{name}: expected a number, got {shown(given)}")
    try:
        return float(given)
    except OverflowError:
        return math.inf
    except (TypeError, ValueError):  # as arrays and signaling NaNs raise them
        raise ArgumentError(f"{name}: expected a number, got {shown(given)}") from None


def real_at_least(name: str, given: object, least: float) -> float:
    """Return the finite number `given`, as a float, if it is `least` or more.

    Raises
    ------
    ArgumentError
        `given` is less, infinite, NaN, beyond all floats, or not a number.

    """
    number = _real(name, given)
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
        `given` is 0 or below, infinite, NaN, beyond all floats, or not a number.

    """
    number = real_at_least(name, given, 0)
    if number == 0:
        raise ArgumentError(f"{name}: expected above 0, got {shown(given)}")
    return number


def number_between(
    name: str,
    given: object,
    least: float,
    most: float,
    *,
    above: bool = False,
    unit: str = "",
) -> float:
    """Return the number `given`, as a float, if it is from `least` to `most`.

    The error has the unit after the limits.

    Raises
    ------
    ArgumentError
        `given` is outside (or equal to `least`, if it has to be above that), NaN,
        infinite, or not a number.

    """
    number = _real(name, given)
    inside = least <= number <= most and math.isfinite(number)
    if not inside or (above and number == least):
        words = (
            f"above {least:g} and at most {most:g}" if above else f"{least:g} to {most:g}"
        )
        said = shown(given) if math.isinf(number) else f"{number:g}"
        unit = unit and f" {unit}"
        raise ArgumentError(f"{name}: expected {words}{unit}, got {said}")
    return number
