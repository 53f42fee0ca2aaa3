"""The thread pool: `concurrent.futures.ThreadPoolExecutor`, as people use it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait
from threading import Barrier
from time import perf_counter
from typing import TYPE_CHECKING

from gilx.pools.base import Pool, compute

if TYPE_CHECKING:
    from gilx.pools.account import Share
    from gilx.pools.base import Region

__all__ = ["ThreadPool"]


class ThreadPool(Pool):
    """Python threads; each makes one call a region and claims its items in there.

    The caller is one of them: while it computes its own part it needs nobody to hand the
    GIL over, and with two workers there is one thread to wake, not two.
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
            started = [self._executor.submit(everyone.wait) for _ in range(workers - 1)]
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
                calls.append(self._executor.submit(compute, region, share, account))  # noqa: PERF401 - those submitted are waited for, whatever happens
            compute(region, own, account)
            for call in calls:
                call.result()
        except BaseException:
            for share in (own, *shares):
                share.cancel()
            wait(calls)
            raise
        return perf_counter() - begin

    def _close(self) -> None:
        self._executor.shutdown()
