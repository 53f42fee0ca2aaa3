"""Resources that a worker used for its part of a region: CPU time, waits, switches."""

from __future__ import annotations

import os
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.platform == "linux":
    import resource

Number = TypeVar("Number", int, float)


@dataclass(frozen=True)
class Share:
    """Resources that a worker used for its part of a region. Times are in seconds."""

    begin: float
    """When it began, by `time.perf_counter`, which all processes have in common."""
    end: float
    cpu: float
    """CPU time of the thread (CLOCK_THREAD_CPUTIME_ID)."""
    wait: float | None
    """Time in which it was ready to run and had no CPU (proc_pid_schedstat: the second
    field); None if the system does not report it."""
    voluntary: int | None
    """Times that it gave its CPU up to wait for something (getrusage, RUSAGE_THREAD)."""
    involuntary: int | None
    """Times that its CPU was given to another thread."""
    system: float | None = None
    """CPU time in the system (getrusage, RUSAGE_THREAD)."""


@contextmanager
def accounting(account: list[Share]) -> Iterator[None]:
    """Add to an account what the calling thread uses inside."""
    switches, wait = _switches(), _own.wait()
    cpu, begin = time.thread_time(), time.perf_counter()
    yield
    end, cpu = time.perf_counter(), time.thread_time() - cpu
    after, wait_after = _switches(), _own.wait()
    account.append(
        Share(
            begin=begin,
            end=end,
            cpu=cpu,
            wait=difference(wait_after, wait),
            voluntary=difference(after[0], switches[0]),
            involuntary=difference(after[1], switches[1]),
            system=difference(after[2], switches[2]),
        )
    )


def difference(after: Number | None, before: Number | None) -> Number | None:
    """Return how much a figure has grown, None where it is not known."""
    return None if after is None or before is None else after - before


class _Schedstat:
    """A thread's own schedstat, kept open: opening it takes longer than reading it."""

    def __init__(self) -> None:
        self._file = os.open("/proc/thread-self/schedstat", os.O_RDONLY)

    def wait(self) -> float:
        """Return for how many seconds the thread has waited for a CPU so far."""
        return int(os.pread(self._file, 80, 0).split()[1]) * 1e-9

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            os.close(self._file)


class _Own(threading.local):
    """The schedstat of the thread that asks, None where there is none."""

    def __init__(self) -> None:
        self.pid = 0
        self.schedstat: _Schedstat | None = None

    def wait(self) -> float | None:
        if self.pid != os.getpid():  # after a fork it is the parent's
            self.pid = os.getpid()
            try:
                self.schedstat = _Schedstat()
            except OSError:
                self.schedstat = None
        return None if self.schedstat is None else self.schedstat.wait()


_own = _Own()


def _switches() -> tuple[int | None, int | None, float | None]:
    """Return voluntary and involuntary switches, and the system's part of CPU time."""
    if sys.platform != "linux":
        return None, None, None
    used = resource.getrusage(resource.RUSAGE_THREAD)
    return used.ru_nvcsw, used.ru_nivcsw, used.ru_stime
