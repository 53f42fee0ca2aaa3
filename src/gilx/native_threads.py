"""Threads of the operating system, also in a program whose threads gevent replaces."""

from __future__ import annotations

import _thread
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["allocate_lock", "native_id", "start_thread"]


def start_thread(run: Callable[..., object], *args: object) -> None:
    """Start a thread that is not one of `threading`, so that no program finds it there.

    Parameters
    ----------
    run : callable
        What the thread does.
    *args
        What it is called with.

    Raises
    ------
    RuntimeError
        The system starts no more threads.

    """
    _original("start_new_thread")(run, args)


def allocate_lock() -> _thread.LockType:
    """Return a lock that blocks a thread, not a greenlet."""
    lock: _thread.LockType = _original("allocate_lock")()
    return lock


def native_id() -> int:
    """Return the number that the system has for the calling thread."""
    number: int = _original("get_native_id")()
    return number


def _original(name: str) -> Any:  # noqa: ANN401 - functions of several kinds
    """Return a function of the module `_thread` as Python has it.

    ``gevent.monkey.patch_all()`` puts functions that make greenlets in their place. A
    greenlet that waits in compiled code blocks all others.
    """
    monkey: Any = sys.modules.get("gevent.monkey")
    if monkey is None:
        return getattr(_thread, name)
    return monkey.get_original("_thread", name)
