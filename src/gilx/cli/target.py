"""What a command measures: ``module:callable``, and arguments as Python literals."""

from __future__ import annotations

import ast
import importlib
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from gilx.errors import ArgumentError, shown
from gilx.formatting import one_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

__all__ = ["add_target", "find_callable", "find_target"]


def add_target(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments ``target`` and ``arguments``, which `find_target` takes."""
    parser.add_argument(
        "target", metavar="MODULE:CALLABLE", help="what to call, such as json:loads"
    )
    parser.add_argument(
        "arguments",
        metavar="ARGUMENT",
        nargs="*",
        help="what to call it with, as Python literals, such as 10 or '\"text\"'",
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
        Its ``__qualname__`` says what is called.

    Raises
    ------
    ArgumentError
        The module can't be imported, has no such attribute, or it can't be called; or an
        argument is no literal. The message says which.

    """
    # The literals are looked at before a module's code runs.
    values = [_literal(number, word) for number, word in enumerate(arguments, 1)]
    call = partial(find_callable(target), *values)
    vars(call)["__qualname__"] = f"{target}({', '.join(arguments)})"
    return call


def find_callable(target: str) -> Callable[..., Any]:
    """Return what ``module:callable`` names.

    Parameters
    ----------
    target : str
        Either part may have dots. Modules are looked for in the current directory, too,
        as ``python -m`` does.

    Raises
    ------
    ArgumentError
        The module can't be imported, has no such attribute, or it can't be called. The
        message says which.

    """
    module_name, colon, path = target.partition(":")
    if not (module_name and colon and path):
        raise ArgumentError(f"target: expected module:callable, got {shown(target)}")
    if module_name.endswith(".py") or "/" in module_name:
        raise ArgumentError(
            "target: expected the name of a module before the colon, as in json:loads,"
            f" got the file {shown(module_name)}"
        )
    # A script on PATH is started with its own directory in the place of the current one.
    if "" not in sys.path:
        sys.path.insert(0, "")
    found: Any
    try:
        found = importlib.import_module(module_name)
    except (Exception, SystemExit) as error:
        raise ArgumentError(
            f"target: can't import {shown(module_name)}: {one_line(error)}"
        ) from error
    walked = f"module {module_name}"
    for name in path.split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            raise ArgumentError(
                f"target: {walked} has no attribute {shown(name)}"
            ) from None
        walked = repr(name)
    if not callable(found):
        raise ArgumentError(
            f"target: expected a callable, but {target} is of type {type(found).__name__}"
        )
    callable_: Callable[..., Any] = found
    return callable_


def _literal(number: int, word: str) -> object:
    try:
        return ast.literal_eval(word)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ArgumentError(
            f"argument {number}: expected a Python literal, such as 10, '\"text\"' or"
            f" '[1, 2]'; got {word!r}"
        ) from None
