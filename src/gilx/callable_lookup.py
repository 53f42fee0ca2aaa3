"""Callables: by their names, ``module:callable``, and whether gilx can watch them."""

from __future__ import annotations

import importlib
import inspect
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from gilx.errors import ArgumentError, shown
from gilx.formatting import name_of, one_line

if TYPE_CHECKING:
    from collections.abc import Callable


def check_call(fn: Any, name: str = "fn") -> None:  # noqa: ANN401 - what is checked
    """Check that a call of `fn` does its work before it returns.

    Errors call the argument `name`.

    Raises
    ------
    ArgumentError
        It can't be called, or it is a coroutine function or a generator function, whose
        body does not run when it is called.

    """
    if not callable(fn):
        raise ArgumentError(f"{name}: expected something to call, got {fn!r}")
    function: Any = fn
    while isinstance(function, partial):
        function = function.func
    # A class is called by its metaclass, and an object by the method of its class.
    for one in (function, getattr(type(function), "__call__", None)):  # noqa: B004
        if inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one):
            raise ArgumentError(
                f"{name}: expected a plain function, but {name_of(fn)} is defined with"
                " async def: pass a function that runs it, such as"
                " lambda: asyncio.run(f())"
            )
        if inspect.isgeneratorfunction(one):
            raise ArgumentError(
                f"{name}: expected a plain function, but {name_of(fn)} is a generator:"
                " pass a function that uses its values, such as lambda: list(f())"
            )


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
    walked = f"module {shown(module_name)}"
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
