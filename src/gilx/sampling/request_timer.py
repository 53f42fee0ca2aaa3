"""Thread that asks for the GIL again and again, and times how long it waits.

Samples may take two holds for one, or miss one. A thread that asks for the GIL bounds the
longest hold without them: the GIL was not held by another thread for longer than the time
between two moments at which this thread had it.
"""

from __future__ import annotations

import math
import os
import sys
from time import perf_counter
from typing import Self

from gilx.errors import WatchUnavailableError
from gilx.native_threads import allocate_lock, native_id, start_thread

if sys.platform == "linux":
    import resource

__all__ = ["RequestTimer"]

_OTHER_SLEEPS = 2  # of a request: the one on purpose, and one for the lock of the GIL


class RequestTimer:
    """Requests for the GIL while the body of a ``with`` statement runs.

    Parameters
    ----------
    period : float
        Seconds between the answer to one request and the next request.

    Attributes
    ----------
    longest : float
        Longest time in seconds between two moments at which the requesting thread had the
        GIL: no hold of another thread was longer. It is infinite until the body has
        ended.
    unanswered : float
        Longest time in seconds for which a request certainly went unanswered since the
        GIL was not released: the waits of the caller and of the requesting thread for a
        CPU are left out. It is 0 if these are not known.
    knows_cpu_waits : bool
        Whether Linux says how long these two threads waited for a CPU.

    """

    def __init__(self, period: float) -> None:
        self.longest: float = math.inf
        self.unanswered: float = 0.0
        self.knows_cpu_waits: bool = False
        self._period = period
        self._process = os.getpid()
        self._started = allocate_lock()
        self._stopping = allocate_lock()
        self._ended = allocate_lock()

    def __enter__(self) -> Self:
        """Start the thread.

        Raises
        ------
        WatchUnavailableError
            No thread can be started.

        """
        for lock in (self._started, self._stopping, self._ended):
            lock.acquire()
        caller = native_id()
        try:
            start_thread(self._run, caller)
            self._started.acquire()
        except RuntimeError as error:
            raise WatchUnavailableError(
                f"no thread can be started that asks for the GIL: {error}"
            ) from None
        except BaseException:  # Ctrl-C: the thread is not to stay
            self._stopping.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop the thread. In the child of a fork there is none."""
        if os.getpid() == self._process:
            self._stopping.release()
            self._ended.acquire()

    def _run(self, caller: int) -> None:
        clocks = _CpuWait(caller), _CpuWait(native_id())
        try:
            self._ask(*clocks)
        finally:
            for clock in clocks:
                clock.close()
            if self._started.locked():
                self._started.release()
            self._ended.release()

    def _ask(self, caller: _CpuWait, own: _CpuWait) -> None:
        interval = sys.getswitchinterval()
        longest = unanswered = wait = 0.0
        # What both threads have waited for a CPU so far, as of the last two rounds.
        before = last = caller.seconds() + own.seconds()
        step = _Step()
        self._started.release()
        going = True
        while True:
            # Each step is one request at most: reading a file and waiting for a lock give
            # the GIL up, and this thread may be made to do so at any moment.
            steps = [step := step.next()]
            waited = caller.seconds()
            steps.append(step := step.next())
            waited += own.seconds()
            steps.append(step := step.next())
            # The waits for a CPU are those of a time that includes the last round.
            unanswered = max(unanswered, wait - (waited - before))
            before, last = last, waited
            if not going:
                break
            going = not self._stopping.acquire(timeout=self._period)
            slept = step = step.next()
            longest = max(longest, slept.seconds, *(one.seconds for one in steps))
            wait = max(
                slept.wait(interval, self._period),
                *(one.wait(interval) for one in steps),
            )
        self.knows_cpu_waits = caller.intact and own.intact and not math.isnan(waited)
        if self.knows_cpu_waits:
            # A release in the first switch interval of a request may go unnoticed.
            self.unanswered = max(0.0, unanswered - interval)
        self.longest = longest


class _Step:
    """Times of the requesting thread from one moment with the GIL to the next."""

    def __init__(self, before: _Step | None = None) -> None:
        self.end = perf_counter()
        self.sleeps = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
        self.seconds = 0.0 if before is None else self.end - before.end
        self._slept = 0 if before is None else self.sleeps - before.sleeps

    def next(self) -> _Step:
        """Return the step that ends now and began with the end of this one."""
        return _Step(self)

    def wait(self, interval: float, period: float = 0.0) -> float:
        """Return the seconds for which it waited for a GIL that was not released.

        A thread that waits for the GIL wakes up once in a switch interval. It also wakes
        up when the GIL is released, even if that is too short for it to take the GIL. If
        it woke up more often than once in an interval, no length is certain.

        Parameters
        ----------
        interval : float
            The switch interval, in seconds.
        period : float
            Seconds for which it slept on purpose.

        """
        wait = self.seconds - period
        return wait if self._slept <= _OTHER_SLEEPS + wait / interval else 0.0


class _CpuWait:
    """Time for which a thread has waited for a CPU, by Linux's scheduler."""

    def __init__(self, native_id: int) -> None:
        try:
            self._file = os.open(f"/proc/self/task/{native_id}/schedstat", os.O_RDONLY)
            self._is: os.stat_result | None = os.fstat(self._file)
        except OSError:
            self._file, self._is = -1, None

    def seconds(self) -> float:
        """Return that time in seconds; NaN if it is not known."""
        if self._is is None:
            return math.nan
        try:
            return int(os.pread(self._file, 80, 0).split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return math.nan

    @property
    def intact(self) -> bool:
        """True if the program has not closed the file, as programs close any."""
        if self._is is None:
            return False
        try:
            return os.path.samestat(self._is, os.fstat(self._file))
        except OSError:
            return False

    def close(self) -> None:
        """Close the file, unless the program has, and its number is that of another."""
        if self.intact:
            os.close(self._file)
