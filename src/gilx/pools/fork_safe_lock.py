"""Turns of threads that survive a fork, and a signal handler that interrupts a thread."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING

from gilx._compat import owns

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


class Turn:
    """Right to use something that one thread uses at a time.

    In a child after `os.fork` it is free, unless the thread that forked has it: no other
    thread exists there.

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
        self._lock = threading.RLock()

    def _is_ours(self) -> bool:
        return owns(self._lock)

    def taken(self) -> AbstractContextManager[object]:
        """Return a context, for a ``with`` block, in which this thread has the turn.

        It is a lock implemented in C: one in Python could stay taken indefinitely after a
        Ctrl-C between two of its lines.

        Raises
        ------
        RuntimeError
            This thread has the turn: a signal handler that interrupted it wants the turn,
            too, and would wait indefinitely.

        """
        if self._is_ours():
            raise RuntimeError(
                f"{self._what} is in use by the call that was interrupted to come here:"
                " use it after that has ended"
            )
        return self._lock


_all: weakref.WeakSet[Turn] = weakref.WeakSet()


def _forget_all() -> None:
    for turn in list(_all):
        if not turn._is_ours():  # noqa: SLF001 - of this module
            turn._forget()  # noqa: SLF001


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_forget_all)
