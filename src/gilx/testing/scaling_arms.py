"""What is timed to see whether calls scale: alone, in threads, and the ceiling."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Self

from gilx.pools import SerialPool, start
from gilx.pools.pool import Region
from gilx.speedup.blocks import interleaved
from gilx.speedup.call_processes import CallProcesses, NoProcessesError, packed
from gilx.speedup.ceilings import computing
from gilx.speedup.timings import Sample, calls_of, take_sample
from gilx.testing.checked_call import Limited
from gilx.testing.verdict import Block

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping
    from types import TracebackType

    from gilx.testing.checked_call import CheckedCall

__all__ = ["Arms"]

_MOST_BLOCKS = 10_000


class Arms:
    """The arms of all blocks; a context manager that has their workers.

    Parameters
    ----------
    call : CheckedCall
        What is called.
    workers : int
        By how many threads, and processes.
    most : int
        How many calls in a row each of them makes at most.
    limit_threads : int, optional
        How many threads of their own libraries may start in the processes.

    """

    def __init__(
        self, call: CheckedCall, workers: int, most: int, limit_threads: int | None
    ) -> None:
        self.kind: str = ""
        """What the ceiling is."""
        self.doubt: str = ""
        """Why it is not the same calls in processes; empty if it is."""
        self._call, self._workers, self._most = call, workers, most
        self._limit_threads = limit_threads
        self._stack = ExitStack()
        self._processes: CallProcesses | None = None

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._threads = stack.enter_context(start("threads", self._workers))
            try:
                self._processes = self._started()
            except NoProcessesError as error:
                self.doubt = str(error)
            else:
                stack.callback(self._processes.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def _started(self) -> CallProcesses:
        call = self._call
        make: Callable[[], object] = call.make
        if self._limit_threads is not None:
            make = Limited(make, self._limit_threads)
        setup = partial(call.prepare, self._most) if call.has_setup else None
        found = CallProcesses(packed(make, setup), self._workers)
        try:
            # The first calls warm up, and may fail.
            found.prepare()
            found.run(1)
        except BaseException:
            found.close()
            raise
        return found

    def blocks(self, calls: int, *, seconds: float, budget: float) -> Generator[Block]:
        """Yield blocks until the budget is spent; the caller may stop earlier.

        Parameters
        ----------
        calls : int
            In a row, by each worker.
        seconds : float
            How long they take one of them, about.
        budget : float
            Seconds. One block is always made.

        Raises
        ------
        NoProcessesError
            A process found out late that it can't make the calls. Blocks that are made
            after that are beside another ceiling, and those before do not count.

        """
        with ExitStack() as stack:
            if self._processes is not None:
                self.kind = "the same calls in processes"
                ceiling = {"ceiling": partial(self._processes.take_sample, calls)}
            else:
                other = computing(self._workers, seconds)
                stack.callback(other.close)
                assert other.serial is not None  # other work has one of its own
                self.kind = other.kind
                ceiling = {
                    "ceiling": partial(_wall, other.parallel, other.settle),
                    "ceiling serial": partial(_wall, other.serial, other.settle),
                }
            try:
                for samples in self._timed(calls, budget, ceiling):
                    yield _block(samples)
            except NoProcessesError as error:
                self.doubt = str(error)
                self._processes = None
                raise

    def _timed(
        self, calls: int, budget: float, ceiling: Mapping[str, Callable[[], Sample]]
    ) -> Iterator[Mapping[str, Sample]]:
        call, workers = self._call, self._workers
        work = calls_of(call.make, call.name)
        alone = [Region(work, (), calls, "static")]
        together = [Region(work, (), workers * calls, "static")]

        def settle() -> None:
            self._threads.settle()
            call.prepare(workers * calls)
            if call.has_setup and self._processes is not None:
                self._processes.prepare()

        arms: dict[str, Callable[[], Sample]] = {
            "serial": partial(take_sample, SerialPool(), alone),
            "parallel": partial(take_sample, self._threads, together),
            **ceiling,
        }
        return islice(interleaved(arms, settle=settle, budget=budget), _MOST_BLOCKS)


def _wall(arm: Callable[[], float], settle: Callable[[], None]) -> Sample:
    """Return a sample of which only the wall time is known."""
    seconds = arm()
    settle()
    return Sample(seconds, 0.0, steal=None, throttled=None, regions=1)


def _block(samples: Mapping[str, Sample]) -> Block:
    serial, parallel = samples["serial"], samples["parallel"]
    ceiling, own = samples["ceiling"], samples.get("ceiling serial")
    return Block(
        serial=serial.seconds,
        parallel=parallel.seconds,
        ceiling=ceiling.seconds,
        ceiling_serial=None if own is None else own.seconds,
        serial_cpu=serial.worker_cpu,
        parallel_cpu=parallel.worker_cpu,
        ceiling_cpu=ceiling.worker_cpu,
        serial_own=serial.longest,
        parallel_own=parallel.longest,
        ceiling_own=ceiling.longest,
        serial_wait=serial.wait,
        parallel_wait=parallel.wait,
        ceiling_wait=ceiling.wait,
        process_cpu=parallel.cpu,
        steal=parallel.steal,
        throttled=parallel.throttled,
    )
