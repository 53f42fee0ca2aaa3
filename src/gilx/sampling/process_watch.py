"""Watching the GIL of another process, which is neither stopped nor changed."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gilx._compat import gil_enabled
from gilx.errors import (
    NoGilError,
    WatchUnavailableError,
    above_zero,
    number_between,
)
from gilx.sampling.process_access import (
    checked_pid,
    command_of,
    has_memory,
    names_of_threads,
    reason_against_reading,
    start_of,
    status_of,
)
from gilx.sampling.source_text import SourceTexts, process_start
from gilx.sampling.watch import COST, Watch
from gilx.sampling.watched_process import WAYS_TO_END, WatchedProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.sampling._sampler import Sampler, Totals
    from gilx.sampling.sites import Position
    from gilx.sampling.source_text import Source
    from gilx.sampling.usage import GilUsage

STEP = 0.05
"""Seconds between two looks at whether a process is still there."""
_CAPACITY = 1 << 13  # samples kept
_SERVED = "gilx.watch in the program itself may report what its threads wait for"
_BETWEEN_NAMES = 0.5  # seconds between two readings of the names of threads
_LAST_SAMPLE = 0.1  # seconds in which the sampler finds that the process is gone
# Of the messages of csrc/sampler/process_gil.c.
_NO_PYTHON = "no CPython is in it"


class NoPythonError(WatchUnavailableError):
    """There is no CPython in a process, at least for now."""


def attach(pid: int, *, budget: float = 5.0, cost: float = COST) -> GilUsage:
    """Watch the GIL of another process for a while.

    The process is not stopped and loads nothing: its memory is read from outside. It may
    run any CPython from 3.11 to 3.15, whatever this one is. Reading it needs the rights
    of a debugger: the user of the process, or root.

    Parameters
    ----------
    pid : int
        Number of the process.
    budget : float
        Seconds for which it is watched.
    cost : float
        The share of one CPU that the sampler may take, above 0 and at most 0.5.

    Returns
    -------
    GilUsage
        Usage of the GIL by all threads, or what its threads did without one; ``process``
        says which process that was. If the process ends or executes another program
        meanwhile, this is the usage until then, and ``process.end`` says so.

    Raises
    ------
    ArgumentError
        An argument is not as described, or `pid` is that of this process or of a thread.
    WatchUnavailableError
        The process does not exist, cannot be read, or has no CPython that can be
        watched; the message says why and what helps. NoGilError, one kind of it, if its
        Python runs without a GIL and it is not known how to read its threads.

    """
    budget = above_zero("budget", budget)
    cost = number_between("cost", cost, 0, 0.5, above=True)
    from gilx.sampling import _sampler  # noqa: F401, PLC0415 - not in every installation

    watching = ProcessWatch(checked_pid(pid), cost)
    with watching:
        watching.wait(budget)
    return watching.usage_of_process()


class ProcessWatch(Watch):
    """Watch of another process's GIL."""

    def __init__(self, pid: int, cost: float, *, stacks: bool = False) -> None:
        super().__init__(cost, stacks=stacks, callers=True)
        self._pid = pid
        self._started = start_of(pid)

    def __enter__(self) -> ProcessWatch:
        from gilx.sampling import _sampler  # noqa: PLC0415 - not in every installation

        if not gil_enabled():
            # The place of the words on stops in this release, if it can be found here.
            with suppress(WatchUnavailableError):
                _sampler.free_backend()
        sampler = _sampler.Sampler(
            self._cost,
            seed=int.from_bytes(os.urandom(7), "little"),
            capacity=_CAPACITY,
            stacks=True,
            calls=self._keeps_calls,
            pid=self._pid,
        )
        self._clock = _Clock(self._pid)
        self._names: _ProcessNames = _ProcessNames(self._pid)
        self._files = _Files(self._pid)
        self._began = time.time()
        self._process_start = process_start(self._pid)
        self._start(sampler)
        self._adopt(sampler)
        return self

    def _start(self, sampler: Sampler) -> None:
        name = f"process {self._pid}"
        try:
            sampler.start()
        except NoGilError as error:
            raise NoGilError(f"{name}: {error}; {_SERVED}") from None
        except WatchUnavailableError as error:
            kind = NoPythonError if f"{error}".startswith(_NO_PYTHON) else type(error)
            raise kind(f"{name} cannot be watched: {error}") from None
        except OSError as error:
            raise WatchUnavailableError(
                reason_against_reading(self._pid, error)
            ) from None
        found = sampler.process()
        version, interval, self._backend, reader, stacks, without_gil, missing = found
        self._switch_interval = interval * 1e-6
        self._without_gil, self._world_missing = without_gil, missing
        if without_gil and self._keeps_stacks:
            sampler.stop()
            raise NoGilError(f"{name}: no stacks can be kept: it runs without a GIL")
        if not stacks:
            self._sites_missing = "stacks are not read in this build of Python"
            self._keeps_stacks = False
        self._found_process = WatchedProcess(
            self._pid, command_of(self._pid), _version(version), reader
        )

    @property
    def process(self) -> WatchedProcess:
        """The process that is watched."""
        return self._found_process

    @property
    def samples(self) -> int:
        """Number of samples, after the stop."""
        return self._totals.wakes

    def wait(self, seconds: float, ends: Callable[[], bool] = bool) -> None:
        """Watch for so many seconds, or until the process goes away, and stop.

        Parameters
        ----------
        seconds : float
            For how long.
        ends : callable
            Returns whether to stop now; it is asked every `STEP`.

        """
        until = time.monotonic() + seconds
        while self.step() and not ends() and (left := until - time.monotonic()) > 0:
            time.sleep(min(STEP, left))
        self.finish()

    def step(self) -> bool:
        """Return whether the process is still there. To be called every `STEP`."""
        assert self._sampler is not None
        self._clock.read()
        self._names.step()
        return not self._sampler.lost()

    def finish(self) -> None:
        """Stop, and find out whether the process has gone away."""
        sampler = self._sampler
        assert sampler is not None
        gone = not self._is_there()
        until = time.monotonic() + _LAST_SAMPLE
        while gone and not sampler.lost() and time.monotonic() < until:
            time.sleep(_LAST_SAMPLE / 50)
        self.stop()
        if gone or sampler.lost():
            self._found_process = replace(self._found_process, end=self._end())

    def _is_there(self) -> bool:
        return self._started is not None and start_of(self._pid) == self._started

    def _end(self) -> Literal["ended", "replaced"]:
        """Return what became of the process; one that is just ending has no memory."""
        there = self._is_there() and has_memory(status_of(self._pid))
        return "replaced" if there else "ended"

    def usage_of_process(self) -> GilUsage:
        """Return the usage of all threads.

        Raises
        ------
        WatchUnavailableError
            The process ended before there was a sample.

        """
        process = self._found_process
        if process.end and not self._totals.wakes:
            raise WatchUnavailableError(
                f"{process.name} {WAYS_TO_END[process.end]} before it could be watched"
            )
        return replace(self.usage_of_program(process.name), process=process)

    def _cause_of_gil(self) -> str:
        return ""

    def _pid_of_lanes(self) -> int:
        return self._pid

    def _cpu_used(self, totals: Totals) -> float:  # noqa: ARG002 - the sampler runs here
        return self._clock.used

    def _sources(self) -> SourceTexts:
        return _ProcessSources(self._began, self._process_start, self._files)


def _version(number: int) -> str:
    """Return a version in words, such as 3.12.1 or 3.15.0b2."""
    major, minor, micro = number >> 24, number >> 16 & 0xFF, number >> 8 & 0xFF
    level, serial = number >> 4 & 0xF, number & 0xF
    words = {0xA: f"a{serial}", 0xB: f"b{serial}", 0xC: f"rc{serial}"}
    return f"{major}.{minor}.{micro}{words.get(level, '')}"


class _Clock:
    """CPU clock of a process."""

    def __init__(self, pid: int) -> None:
        # Linux makes the number of a process's clock of that of the process: see
        # include/linux/posix-timers.h.
        self._number = ~pid << 3 | 2
        self._begin = self._last = 0.0
        self.read()
        self._begin = self._last

    def read(self) -> None:
        """Read it, if the process is still there."""
        with suppress(OSError):
            self._last = time.clock_gettime(self._number)

    @property
    def used(self) -> float:
        """Seconds between the first and the last time that it was read."""
        return max(0.0, self._last - self._begin)


class _ProcessNames:
    """Names of a process's threads, of all that were there when they were read."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._names: dict[int, str] = {}
        self.update()

    def step(self) -> None:
        """Add the threads that there are now, if the last time is a while ago.

        Those of a process that has ended are not known any more.
        """
        if time.monotonic() >= self._next:
            self.update()

    def update(self) -> None:
        """Add the threads that there are now."""
        self._names |= {**names_of_threads(self._pid), self._pid: "main"}
        self._next = time.monotonic() + _BETWEEN_NAMES

    def of(self, native_ids: list[int]) -> list[str]:
        """Return the names of threads."""
        return [self._names.get(one, f"thread {one}") for one in native_ids]


class _Files:
    """Files of a process, which may see others by the same names than gilx does."""

    def __init__(self, pid: int) -> None:
        self._root = "" if _same_files(pid) else f"/proc/{pid}/root"
        try:
            self._directory = os.readlink(f"/proc/{pid}/cwd")
        except OSError:
            self._directory = ""

    def path(self, file: str) -> str:
        """Return the path by which gilx finds a file of the process; '' if unknown."""
        if not file.startswith("/"):
            file = f"{self._directory}/{file}" if self._directory else ""
        return f"{self._root}{file}" if file else ""


def _same_files(pid: int) -> bool:
    try:
        return all(
            os.path.samestat(os.stat(f"/proc/{pid}/{one}"), os.stat(f"/proc/self/{one}"))
            for one in ("ns/mnt", "root")
        )
    except OSError:
        return False


class _ProcessSources(SourceTexts):
    """Source texts of what ran in another process.

    Which modules it has loaded, and what they were compiled from, is not known: a file
    that was changed since the process began counts as changed.
    """

    def __init__(self, since: float, started: float, files: _Files) -> None:
        super().__init__(since, started)
        self._files = files

    def _read(self, file: str) -> Source:
        path = self._files.path(file)
        if not Path(path).is_file():
            return super()._read("<string>")
        return super()._read(path)

    def _names_in(self, file: str) -> None:  # noqa: ARG002 - not of this process
        return None

    def _has(self, position: Position) -> bool:  # noqa: ARG002 - likewise
        return False
