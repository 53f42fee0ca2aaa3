"""A deadline for calls on the main thread, kept by a signal."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

__all__ = ["TooLongError", "deadline"]


class TooLongError(BaseException):
    """The call was interrupted: it may take long, so this is not a finding."""


_armed: type[BaseException] | None = None


def _ring(_number: int, _frame: FrameType | None) -> None:
    if _armed is not None:
        raise _armed


@contextmanager
def deadline(seconds: float, error: type[BaseException] = TooLongError) -> Iterator[None]:
    """Raise an error in the block, by a signal, once it has taken so long."""
    global _armed  # noqa: PLW0603 - a handler has no other way to know
    before = signal.signal(signal.SIGALRM, _ring)
    _armed = error
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-6))
    try:
        yield
    finally:
        _armed = None
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
