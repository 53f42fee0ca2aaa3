"""One process that is watched from outside for as long as it runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gilx.errors import WatchUnavailableError
from gilx.sampling.process_access import (
    command_of,
    has_memory,
    program_of,
    start_of,
    status_of,
)
from gilx.sampling.process_watch import STEP, NoPythonError, ProcessWatch
from gilx.sampling.processes_usage import UnwatchedProcess

if TYPE_CHECKING:
    from gilx.sampling.usage import GilUsage

# Attaching takes about a millisecond, and most programs load their Python soon or never.
_SHORT, _LONG = 0.005, 2.0  # seconds between two tries, at least and at most;
_PART = 0.1  # in between, this part of the time since the program was started
_BETWEEN_LOOKS = 0.1  # seconds, at most, until it is found to run another program
# The child of a fork that executes another program is a copy of its parent before that.
_FEWEST_SAMPLES = 10


class FollowedProcess:
    """Watch of a process, begun anew when the process executes another program.

    Parameters
    ----------
    pid : int
        Number of the process.
    cost : float
        Share of one CPU that the sampler may take.
    stacks : bool
        Whether to keep the stacks that held the GIL.

    """

    def __init__(self, pid: int, cost: float, *, stacks: bool = False) -> None:
        self.pid = pid
        self._cost = cost
        self._stacks = stacks
        self._command = command_of(pid)
        self._start = start_of(pid)
        self._program = program_of(pid)
        self._watch: ProcessWatch | None = None
        self._finished: list[ProcessWatch] = []
        self._error: WatchUnavailableError | None = None
        self._stopped = False
        self._begin_to_try()

    def _begin_to_try(self) -> None:
        self._tried_since = time.monotonic()
        self._next = self._next_try = 0.0

    @property
    def pause(self) -> float:
        """Seconds until the next `step`."""
        if self._watch is not None or self._stopped:
            return STEP
        return min(STEP, max(_SHORT / 5, self._next - time.monotonic()))

    @property
    def watched(self) -> bool:
        """True if it is watched now."""
        return self._watch is not None

    @property
    def there(self) -> bool:
        """True if the process has not ended."""
        if self._stopped or self._start is None:  # of many, most have ended long ago
            return False
        return start_of(self.pid) == self._start

    def step(self) -> None:
        """Begin to watch the process if that is possible by now, or find its end."""
        if self._watch is not None and not self._watch.step():
            self._finish_watch()
            self._begin_to_try()
        now = time.monotonic()
        if self._watch is not None or self._stopped or now < self._next:
            return
        if not self.there:
            self._stopped = True
            return
        program = program_of(self.pid)
        if program != self._program:
            self._program = program
            self._begin_to_try()
        if now >= self._next_try:
            self._try()
        self._next = min(self._next_try, now + _BETWEEN_LOOKS)

    def _try(self) -> None:
        watch = ProcessWatch(self.pid, self._cost, stacks=self._stacks)
        try:
            watch.__enter__()
        except WatchUnavailableError as error:
            # That it ended says nothing about what was in it. When it has no memory any
            # more, it still runs for a moment.
            if self.there and has_memory(status_of(self.pid)):
                self._error = error
            now = time.monotonic()
            part = _PART * (now - self._tried_since)
            self._next_try = now + min(_LONG, max(_SHORT, part))
            return
        self._watch = watch
        self._command = watch.process.command

    def finish(self) -> None:
        """Stop watching; a second time does nothing."""
        self._stopped = True
        if self._watch is not None:
            self._finish_watch()

    def _finish_watch(self) -> None:
        watch, self._watch = self._watch, None
        assert watch is not None
        watch.finish()
        few = watch.samples < _FEWEST_SAMPLES
        if few and watch.process.end == "replaced":
            return
        if watch.samples > 0:
            self._finished.append(watch)
        else:
            self._error = WatchUnavailableError(self._words_of_end())

    @property
    def watches(self) -> list[ProcessWatch]:
        """The watches that have ended: one for each program that it executed."""
        return list(self._finished)

    def usages(self) -> list[GilUsage]:
        """Return the usage of each program that it executed."""
        return [watch.usage_of_process() for watch in self._finished]

    @property
    def without_python(self) -> bool:
        """True if there was no CPython in it whenever it was read."""
        return not self._finished and isinstance(self._error, NoPythonError)

    @property
    def unwatched(self) -> UnwatchedProcess | None:
        """The reason that it was never watched.

        It is None if it was, if there is no CPython in it, or if it ended before it was
        known whether there is.
        """
        if self._finished or isinstance(self._error, NoPythonError | None):
            return None
        return UnwatchedProcess(self.pid, self._command, self.reason)

    @property
    def reason(self) -> str:
        """The reason that it was never watched, in words."""
        return self._words_of_end() if self._error is None else str(self._error)

    def _words_of_end(self) -> str:
        return f"process {self.pid} ended before it could be watched"
