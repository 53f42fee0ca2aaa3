"""The process pool: worker processes on arrays in memory that they share."""

from __future__ import annotations

import pickle
import weakref
from collections import deque
from contextlib import contextmanager
from functools import partial
from mmap import mmap
from time import perf_counter
from typing import TYPE_CHECKING, Any

from gilx.ckernels import Counter
from gilx.errors import ArgumentError
from gilx.pools.fork_safe_lock import Turn
from gilx.pools.pool import Pool
from gilx.pools.shared_memory import anonymous_file, copy_into, counter_slots, find
from gilx.system.child_processes import ChildProcesses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilx.kernels.kernel import Array, Problem
    from gilx.pools.pool import Region
    from gilx.pools.resource_usage import Share

_GONE_AT_ONCE = 1000
"""Number of arrays or regions named in one message, which must not grow too long."""


def _cancel(memories: list[memoryview]) -> None:
    """Cancel the counters in these memories."""
    # They are not kept: CPython 3.11 crashes when it collects a memoryview that an object
    # of the same cycle uses.
    for memory in memories:
        Counter(0, 0, memory=memory).cancel()


class ProcessPool(Pool):
    """Processes, each with a GIL of its own, on arrays in memory that they share.

    A region costs a message to each worker and its answer; the arrays are handed over
    once. `start_seconds` is what starting the workers took, and is in no region's time.

    A worker that dies closes the pool: what killed it, memory running out for one, would
    most likely kill the next. So does Ctrl-C when a worker does not stop at once, which
    compiled variants do. Workers end with the process that started them, however it ends;
    in a process forked from that one the pool can't be used.
    """

    name = "processes"
    own_gils = True
    own_processes = True

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        begin = perf_counter()
        self._workers_turn = Turn("the processes pool")
        # Arrays and regions are known to the workers by number; garbage collection, at
        # any time and in any thread, only notes which are gone.
        self._numbers = 0
        self._segments: weakref.WeakValueDictionary[int, mmap] = (
            weakref.WeakValueDictionary()
        )
        self._regions: weakref.WeakKeyDictionary[Region, int] = (
            weakref.WeakKeyDictionary()
        )
        self._gone_segments: deque[int] = deque()
        self._gone_regions: deque[int] = deque()
        with anonymous_file(workers * Counter.MEMORY_SIZE) as memory:
            self._counters = counter_slots(memory.fileno(), workers)
            self._workers = ChildProcesses(
                "the processes pool",
                workers,
                "gilx.pools.process_worker:Worker",
                partial(_cancel, self._counters),
            )
            try:
                self._workers.ask(
                    "while it started",
                    "share_counters",
                    workers,
                    descriptor=memory.fileno(),
                )
            except BaseException:
                self.close()
                raise
        self.start_seconds: float = perf_counter() - begin

    def place(self, problem: Problem) -> Problem:
        """Return a problem whose arrays are copies in memory that the workers share."""
        with self._turn():
            return problem.moved(self._share)

    def _run(self, region: Region, account: list[Share] | None) -> float:
        with self._turn():
            self._forget_what_is_gone()
            number = self._regions.get(region)
            if number is None:
                number = self._define(region)
            for slot in self._counters:
                slot[:] = bytes(len(slot))
            method = "run" if account is None else "run_accounted"
            begin = perf_counter()
            answers = self._workers.ask(
                f"in a region of {region.variant.target}", method, number
            )
            seconds = perf_counter() - begin
        if account is not None:
            account += map(pickle.loads, answers)
        return seconds

    def _close(self) -> None:
        # A region that is running comes to its end first.
        with self._workers_turn.taken():
            self._workers.close()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Have the workers for oneself: they do one thing at a time."""
        self._check_process()
        with self._workers_turn.taken():
            yield

    def _number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _share(self, array: Array) -> Array:
        """Return a copy of an array in memory that the workers share."""
        number, size = self._number(), max(1, array.nbytes)
        with anonymous_file(size) as file:
            memory = mmap(file.fileno(), size)
            weakref.finalize(memory, self._gone_segments.append, number).atexit = False
            self._segments[number] = memory
            self._workers.ask(
                "between regions", "attach", number, size, descriptor=file.fileno()
            )
        return copy_into(memory, array)

    def _define(self, region: Region) -> int:
        """Tell the workers of a region, and return its number."""
        name = region.kernel_name()
        number = self._number()
        names = (name, region.variant.name)
        arguments = tuple(map(self._travelling, region.arguments))
        rest = (region.items, region.schedule, region.grain, region.first)
        try:
            self._workers.ask("between regions", "define", number, names, arguments, rest)
        except BaseException:
            self._gone_regions.append(number)  # which some workers may know
            raise
        self._regions[region] = number
        weakref.finalize(region, self._gone_regions.append, number).atexit = False
        return number

    def _travelling(self, argument: Any) -> Any:  # noqa: ANN401 - numbers and handles
        """Return what is sent to the workers for an argument of a region."""
        import numpy as np  # noqa: PLC0415 - loaded with the problem

        if isinstance(argument, (int, float, np.generic)):
            return argument
        handle = (
            find(argument, self._segments) if isinstance(argument, np.ndarray) else None
        )
        if handle is None:
            raise ArgumentError(
                "region: expected arrays in memory that the workers share, as those of "
                "pool.place(problem) are; got one that is not"
            )
        return handle

    def _forget_what_is_gone(self) -> None:
        if self._gone_regions or self._gone_segments:
            gone = [
                [queue.popleft() for _ in range(min(len(queue), _GONE_AT_ONCE))]
                for queue in (self._gone_segments, self._gone_regions)
            ]
            try:
                self._workers.ask("between regions", "forget", *gone)
            except BaseException:  # not all workers may have heard of it
                self._gone_segments += gone[0]
                self._gone_regions += gone[1]
                raise
