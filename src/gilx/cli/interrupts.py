"""Ctrl-C that ends a watch, of which there is a report then."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_STATUS = 130  # as of shells


class Interrupts:
    """True if Ctrl-C has been pressed."""

    def __init__(self) -> None:
        self._any = False

    def note(self, _number: int, _frame: FrameType | None) -> None:
        """Note a signal, as its handler."""
        self._any = True

    def noted(self) -> bool:
        """Return whether there was one."""
        return self._any

    @property
    def status(self) -> int:
        """Exit status of a command that may have been interrupted."""
        return _STATUS if self._any else 0


@contextmanager
def noted_interrupts() -> Iterator[Interrupts]:
    """Have Ctrl-C noted instead of raised, so that it breaks nothing off half way.

    A signal that is ignored, as in the background of a shell, remains so. Only the main
    thread can handle signals.
    """
    found = Interrupts()
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield found
        return
    signal.signal(signal.SIGINT, found.note)
    try:
        yield found
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
