"""Handling of Ctrl-C, which ends a watch with a report."""

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
    """Record of whether Ctrl-C has been pressed."""

    def __init__(self) -> None:
        self._any = False

    def note(self, _number: int, _frame: FrameType | None) -> None:
        """Record a signal; this is its handler."""
        self._any = True

    def noted(self) -> bool:
        """Return whether Ctrl-C has been pressed."""
        return self._any

    @property
    def status(self) -> int:
        """Exit status of a command that may have been interrupted."""
        return _STATUS if self._any else 0


@contextmanager
def noted_interrupts() -> Iterator[Interrupts]:
    """Record Ctrl-C instead of raising an exception in the middle of something.

    If the signal is ignored, as in a background job of a shell, it stays ignored. Only
    the main thread can handle signals.
    """
    interrupts = Interrupts()
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupts
        return
    signal.signal(signal.SIGINT, interrupts.note)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
