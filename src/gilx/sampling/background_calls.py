"""Threads that call something over and over, for others to be measured beside them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from gilx.errors import WorkersUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable


class Load:
    """Threads that call a function in a loop, from entering the context to leaving it."""

    def __init__(self, fn: Callable[[], object], threads: int) -> None:
        self._fn = fn
        self._stop = False
        self._failures: list[BaseException] = []
        # One counter a thread: they are added up without a lock.
        self._calls = [0] * threads
        self._ready = threading.Barrier(threads + 1)
        self._threads = [
            threading.Thread(
                target=self._work, args=(number,), name=f"gilx-load-{number}"
            )
            for number in range(threads)
        ]

    def calls(self) -> int:
        """Return how many calls have ended so far."""
        return sum(self._calls)

    def check(self) -> None:
        """Raise what a call raised."""
        if self._failures:
            raise self._failures[0]

    def _work(self, number: int) -> None:
        try:
            self._ready.wait()
        except threading.BrokenBarrierError:
            return
        try:
            while not self._stop:
                self._fn()
                self._calls[number] += 1
        except BaseException as error:
            self._failures.append(error)
            self._stop = True

    def __enter__(self) -> Load:
        try:
            for number, thread in enumerate(self._threads, 1):
                try:
                    thread.start()
                except RuntimeError as error:
                    raise WorkersUnavailableError(
                        f"{len(self._threads)} workers: thread {number} could not be"
                        f" started: {error}"
                    ) from error
            self._ready.wait()
        except BaseException:
            # A thread that could not be started, or Ctrl-C: nobody is to be left behind.
            self._leave()
            raise
        return self

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._leave()
        if error is None:
            self.check()

    def _leave(self) -> None:
        self._stop = True
        self._ready.abort()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()
