"""Watch of a process, and of the processes that it starts."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from gilx.errors import WatchUnavailableError
from gilx.sampling.followed_process import FollowedProcess
from gilx.sampling.process_access import command_of
from gilx.sampling.process_children import children_of
from gilx.sampling.process_watch import STEP
from gilx.sampling.processes_usage import (
    ProcessesUsage,
    UnwatchedProcess,
    those_that_add_up,
    time_without_gil,
    together,
)
from gilx.sampling.usage_advice import PART_WITHOUT_GIL

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.sampling.process_watch import ProcessWatch
    from gilx.sampling.usage import GilUsage

_MOST = 64  # processes that are watched at the same time: each has a sampler
_SHARE = 0.02  # share of the time that listing children may take


class ProcessesWatch:
    """Watch of a process that may still have to load its Python, and of its descendants.

    Parameters
    ----------
    pid : int
        Number of the process.
    cost : float
        Share of one CPU that the sampler of each process may take.
    subprocesses : bool
        Whether descendants are watched, too.
    stacks : bool
        Whether to keep the stacks that held the GIL.

    """

    def __init__(
        self, pid: int, cost: float, *, subprocesses: bool, stacks: bool = False
    ) -> None:
        self._cost = cost
        self._stacks = stacks
        self._subprocesses = subprocesses
        self._first = FollowedProcess(pid, cost, stacks=stacks)
        self._all = [self._first]
        self._refused: dict[int, UnwatchedProcess] = {}
        self._next = 0.0

    @property
    def pause(self) -> float:
        """Seconds until the next `step`."""
        return min(one.pause for one in self._all)

    @property
    def there(self) -> bool:
        """True if one of the processes has not ended."""
        return any(one.there for one in self._all)

    @property
    def refused(self) -> list[UnwatchedProcess]:
        """Processes for which there was no sampler left."""
        return list(self._refused.values())

    def wait(self, seconds: float, ends: Callable[[], bool] = bool) -> None:
        """Watch for so many seconds, or until all processes ended, and stop.

        Parameters
        ----------
        seconds : float
            For how long.
        ends : callable
            Returns whether to stop now; called every `STEP`.

        """
        until = time.monotonic() + seconds
        while True:
            self.step()
            left = until - time.monotonic()
            if left <= 0 or not self.there or ends():
                break
            time.sleep(min(self.pause, left))
        self.finish()

    def step(self) -> None:
        """Watch what can be watched by now. Call it again in `pause` seconds."""
        for one in self._all:
            one.step()
        if self._subprocesses and time.monotonic() >= self._next:
            self._add_children()

    def _add_children(self) -> None:
        began = time.monotonic()
        there = {one.pid: one for one in self._all if one.there}
        for pid in sorted(children_of(set(there)) - {*there, *self._refused}):
            if sum(one.watched for one in self._all) < _MOST:
                self._all.append(FollowedProcess(pid, self._cost, stacks=self._stacks))
                self._all[-1].step()
            else:
                reason = f"{_MOST} processes were watched already"
                command = command_of(pid)
                self._refused[pid] = UnwatchedProcess(pid, command, reason)
        now = time.monotonic()
        self._next = now + max(STEP, (now - began) / _SHARE)

    def finish(self) -> None:
        """Stop watching; a second time does nothing."""
        for one in self._all:
            one.finish()

    @property
    def without_python(self) -> bool:
        """True if there was no CPython in the first process."""
        return self._first.without_python

    @property
    def watches(self) -> list[ProcessWatch]:
        """The watches of the first process: one for each program that it executed."""
        return self._first.watches

    def usage(self) -> GilUsage:
        """Return the usage of the first process, of all programs that it executed.

        If some of these had a GIL and others ran without one, it is the usage of those
        that had one, and inconclusive.

        Raises
        ------
        WatchUnavailableError
            It could not be watched; the message says why.

        """
        usages = self._first.usages()
        if not usages:
            raise WatchUnavailableError(self._first.reason)
        counted = those_that_add_up(usages)
        last = counted[-1]
        total = together(counted, last.program, last.process)
        if len(counted) == len(usages):
            return total
        reason = (
            f"{PART_WITHOUT_GIL} for {time_without_gil(usages)}, which are not counted;"
            " --subprocesses shows each program"
        )
        return replace(total, inconclusive_reason=reason)

    def usage_of_processes(self) -> ProcessesUsage:
        """Return the usage of each process, and of all of them.

        Raises
        ------
        WatchUnavailableError
            None could be watched; the message says why the first one could not.

        """
        usages = [usage for one in self._all for usage in one.usages()]
        if not usages:
            raise WatchUnavailableError(
                f"{self._first.reason}; no process that it started can be watched either"
            )
        unwatched = [one.unwatched for one in self._all]
        return ProcessesUsage.of(usages, [*filter(None, unwatched), *self.refused])
