"""The thread pool: `concurrent.futures.ThreadPoolExecutor`, as people use it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from threading import Barrier
from time import perf_counter
from typing import TYPE_CHECKING

from gilx.errors import WorkersUnavailableError
from gilx.pools.pool import Pool, compute

if TYPE_CHECKING:
    from gilx.ckernels import Counter
    from gilx.pools.pool import Region
    from gilx.pools.resource_usage import Share


class _Task:
    """One worker's call, and its end.

    The caller does not wait for a `Future`: its condition is taken in Python, and Ctrl-C
    at that moment leaves it taken, so that the worker would wait for it indefinitely. A
    queue in C is not left half done, and waiting again after Ctrl-C is allowed.
    """

    def __init__(
        self, region: Region, share: Counter, account: list[Share] | None
    ) -> None:
        self._arguments = region, share, account
        self._ended = False
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._error: BaseException | None = None

    def __call__(self) -> None:
        """Compute, in a worker."""
        try:
            compute(*self._arguments)
        except BaseException as error:
            self._error = error
        finally:
            self._ended = True
            self._bell.put(None)

    def wait(self) -> None:
        """Return when it has ended, in whatever way."""
        while not self._ended:
            self._bell.get()

    def result(self) -> None:
        """Wait, and raise what it raised."""
        self.wait()
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # it holds this frame, which would hold it


class ThreadPool(Pool):
    """Python threads; each makes one call a region and claims its items in there.

    The caller is one of them: while it computes its own part it needs nobody to hand the
    GIL over, and with two workers there is one thread to wake, not two.

    Raises
    ------
    WorkersUnavailableError
        The system does not start so many threads.

    """

    name = "threads"

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self._executor = ThreadPoolExecutor(
            max(1, workers - 1), thread_name_prefix="gilx"
        )
        # The executor starts threads as tasks come in, and none while one is idle: only
        # tasks that wait for each other make sure that all of them are there.
        everyone = Barrier(workers)
        try:
            started = []
            for _ in range(workers - 1):
                try:
                    started.append(self._executor.submit(everyone.wait))
                except RuntimeError as error:
                    raise WorkersUnavailableError(
                        f"{workers} workers: thread {len(started) + 2} of {workers}"
                        f" could not be started: {error}"
                    ) from error
            everyone.wait()
            for one in started:
                one.result()
        except BaseException:
            everyone.abort()
            self._executor.shutdown()
            raise

    def _run(self, region: Region, account: list[Share] | None) -> float:
        own, *shares = region.shares(self.workers)
        calls = []
        begin = perf_counter()
        try:
            for share in shares:
                call = _Task(region, share, account)
                self._executor.submit(call)
                calls.append(call)
            compute(region, own, account)
            for call in calls:
                call.result()
        except BaseException:
            for share in (own, *shares):
                share.cancel()
            for call in calls:
                call.wait()
            raise
        return perf_counter() - begin

    def _close(self) -> None:
        self._executor.shutdown()
