"""Limits on the threads that libraries such as BLAS start."""

from __future__ import annotations

import importlib
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from gilx.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable


def limits(threads: int | None) -> AbstractContextManager[object]:
    """Return a context in which libraries start no more than so many threads each.

    Parameters
    ----------
    threads : int, optional
        How many; None changes nothing.

    Raises
    ------
    ArgumentError
        threadpoolctl, which does that, is not installed.

    """
    if threads is None:
        return nullcontext()
    try:
        threadpoolctl = importlib.import_module("threadpoolctl")
    except ImportError:
        raise ArgumentError(
            "limit_threads: expected None, since threadpoolctl is not installed"
        ) from None
    found: AbstractContextManager[object] = threadpoolctl.threadpool_limits(threads)
    return found


class Limited:
    """A call that, once it was sent to another process, limits libraries' threads there.

    They stay limited: the process does nothing else.
    """

    def __init__(self, make: Callable[[], object], threads: int) -> None:
        self._make, self._threads = make, threads

    def __call__(self) -> object:
        """Make the call."""
        return self._make()

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        limits(self._threads).__enter__()
