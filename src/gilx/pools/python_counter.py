"""Counter in Python, for installations without the compiled one."""

from __future__ import annotations

from threading import Lock

__all__ = ["PythonCounter"]


class PythonCounter:
    """Range of items from which threads of one process claim grains.

    Parameters
    ----------
    start, stop : int
        The range.
    grain : int
        Items in one claim, at least 1.
    memory : None
        Memory that processes share, which needs the compiled counter.

    """

    def __init__(
        self, start: int, stop: int, grain: int = 1, *, memory: None = None
    ) -> None:
        del memory
        self._next, self._stop, self._grain = start, stop, grain
        self._lock = Lock()

    def take(self) -> tuple[int, int] | None:
        """Return the next items that nobody has claimed, None if there are no more."""
        with self._lock:
            begin = self._next
            if begin >= self._stop:
                return None
            self._next = min(begin + self._grain, self._stop)
            return begin, self._next

    def cancel(self) -> None:
        """Give out no more items."""
        with self._lock:
            self._next = self._stop
