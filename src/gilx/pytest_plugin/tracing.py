"""Whether something traces Python code, which takes time and holds the GIL."""

from __future__ import annotations

import sys
import threading
from functools import partial

__all__ = ["is_python", "tracing"]


def tracing() -> str:
    """Return who traces Python code now, as part of a sentence; empty if nobody does.

    Tools of `sys.monitoring` (Python 3.12) count as soon as they are registered: for
    which code they want events can't be asked.
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
    """Return whether calling this runs Python code of its own, as far as can be seen."""
    while isinstance(fn, partial):
        fn = fn.func
    methods = (fn, getattr(fn, "__func__", None), vars(type(fn)).get("__call__"))
    return any(hasattr(method, "__code__") for method in methods)
