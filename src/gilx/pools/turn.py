"""One at a time, also after a fork and where a signal handler comes in between."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Turn"]


class Turn:
    """A lock for what one thread uses at a time; a context manager.

    In a child after `os.fork` it is free, unless the thread that forked has it: whoever
    else had it is not there. A signal handler
    that wants it while the thread that it interrupted has it would wait for ever, and
    gets a `RuntimeError` instead.

    Parameters
    ----------
    what : str
        What is used, for the error.

    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._forget()
        _all.add(self)

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._owner: int | None = None

    def __enter__(self) -> None:
        if self._owner == threading.get_ident():
            raise RuntimeError(
                f"{self._what} is in use by the call that was interrupted to come here:"
                " use it after that has ended"
            )
        self._lock.acquire()
        self._owner = threading.get_ident()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._owner = None
        self._lock.release()


_all: weakref.WeakSet[Turn] = weakref.WeakSet()


def _forget_all() -> None:
    for turn in list(_all):
        if turn._owner != threading.get_ident():  # noqa: SLF001 - of this module
            turn._forget()  # noqa: SLF001


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_all)
