"""Targets of commands: ``module:callable``, and arguments as Python literals."""

from __future__ import annotations

import ast
from functools import partial
from typing import TYPE_CHECKING, Any

from gilx.callable_lookup import find_callable
from gilx.errors import ArgumentError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

_NO_LITERAL = ValueError, SyntaxError, TypeError, MemoryError, RecursionError


def add_target(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments ``target`` and ``arguments``, which `find_target` takes."""
    parser.add_argument(
        "target", metavar="MODULE:CALLABLE", help="what to call, such as json:loads"
    )
    parser.add_argument(
        "arguments",
        metavar="ARGUMENT",
        nargs="*",
        default=[],  # else argparse calls it required, too
        help="an argument of the call, as a Python literal, such as 10 or '\"text\"'",
    )


def find_target(target: str, arguments: Sequence[str]) -> Callable[[], Any]:
    """Return the call that a command line names, ready to be made without arguments.

    Parameters
    ----------
    target : str
        ``module:callable``; either may have dots. Modules are looked for in the current
        directory, too, as ``python -m`` does.
    arguments : sequence of str
        The arguments of the call, as Python literals.

    Returns
    -------
    callable
        The call, without arguments; its ``__qualname__`` is the call as it was written.

    Raises
    ------
    ArgumentError
        The module cannot be imported, the attribute is missing or not callable, or an
        argument is not a literal. The message says which.

    """
    # Literals are checked before any code of the module runs.
    values = [_literal(number, word) for number, word in enumerate(arguments, 1)]
    call = partial(find_callable(target), *values)
    vars(call)["__qualname__"] = f"{target}({', '.join(arguments)})"
    return call


def names_callable(word: str) -> bool:
    """Return whether a word has the form ``module:callable``."""
    parts = word.split(":")
    return len(parts) == 2 and all(
        name.isidentifier() for part in parts for name in part.split(".")
    )


def is_literal(word: str) -> bool:
    """Return whether a word is a Python literal."""
    try:
        ast.literal_eval(word)
    except _NO_LITERAL:
        return False
    return True


def _literal(number: int, word: str) -> object:
    try:
        return ast.literal_eval(word)
    except _NO_LITERAL:
        raise ArgumentError(
            f"argument {number}: expected a Python literal, such as 10, '\"text\"' or"
            f" '[1, 2]'; got {word!r}"
        ) from None
