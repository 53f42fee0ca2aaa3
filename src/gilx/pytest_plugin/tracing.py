"""Detection of tracers of Python code, which take time and hold the GIL."""

from __future__ import annotations

import sys
import threading
from functools import lru_cache, partial
from types import FunctionType, MethodType

__all__ = ["is_python", "tracing"]

# Types of compiled wrappers, which do nothing but call the wrapped function.
_WRAPPERS: tuple[type, ...] = (partial, staticmethod, type(lru_cache(int)))


def tracing() -> str:
    """Return the tracer of Python code, as part of a sentence; empty if there is none.

    Tools of `sys.monitoring` (Python 3.12) count as soon as they are registered, since
    gilx can't ask which code they want events for.
    """
    for found in (
        sys.gettrace(),
        threading.gettrace(),
        sys.getprofile(),
        threading.getprofile(),
    ):
        if found is not None:
            kind = found if isinstance(found, type) else type(found)
            module = getattr(found, "__module__", None) or kind.__module__
            return f"{module.partition('.')[0]} traces Python code"
    if sys.version_info >= (3, 12):
        for number in range(6):
            tool = sys.monitoring.get_tool(number)
            if tool is not None:
                return f"{tool} traces Python code"
    return ""


def is_python(fn: object) -> bool:
    """Return whether calling this runs Python code of its own, as far as that is known.

    Only functions of the interpreter's own type are traced. Compiled ones may look alike:
    those of Cython and numba have a `__code__`, and numba's have the Python function that
    they were made from as `__wrapped__`.
    """
    while isinstance(fn, _WRAPPERS):
        fn = getattr(fn, "func", None) or getattr(fn, "__wrapped__", None)
    if isinstance(fn, MethodType):
        return is_python(fn.__func__)
    if isinstance(fn, FunctionType):
        return True
    called = [getattr(type(fn), "__call__", None)]  # noqa: B004 - not whether it has one
    if isinstance(fn, type):
        called += [fn.__new__, getattr(fn, "__init__", None)]
    return any(isinstance(each, FunctionType) for each in called)
