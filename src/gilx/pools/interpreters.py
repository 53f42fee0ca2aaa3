"""The pool of sub-interpreters: threads of one process, each with a GIL of its own."""

from __future__ import annotations

import concurrent.futures
import sys
from dataclasses import astuple
from queue import SimpleQueue
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any

from gilx import ckernels
from gilx.ckernels import Counter
from gilx.errors import ArgumentError
from gilx.pools.account import Share, accounting
from gilx.pools.base import Pool
from gilx.pools.shared_memory import counter_slots

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from gilx.pools.base import Region

__all__ = ["InterpreterPool"]

_VARIANTS = ("c-gil", "c-nogil")
_EXECUTOR = "InterpreterPoolExecutor"  # new in Python 3.14


def _meet(workers: int, memory: memoryview) -> None:
    """Wait, in a worker's interpreter, until as many calls of this run at once."""
    everyone = Counter(0, workers, memory=memory)
    everyone.take()
    while everyone.remaining and not everyone.cancelled:
        sleep(0.001)


def _compute(
    function: str,
    arguments: tuple[Any, ...],
    start: int,
    stop: int,
    grain: int,
    memory: memoryview,
    accounted: bool,
) -> tuple[Any, ...] | None:
    """Do a worker's part of a region, in its interpreter; return its share if asked to.

    As a tuple, which interpreters can hand over without a pickle.
    """
    take = Counter(start, stop, grain, memory=memory)
    if not accounted:
        getattr(ckernels, function)(*arguments, take=take)
        return None
    account: list[Share] = []
    with accounting(account):
        getattr(ckernels, function)(*arguments, take=take)
    return astuple(account[0])


class InterpreterPool(Pool):
    """Sub-interpreters of this process, which read and write the caller's arrays.

    It needs Python 3.14, and runs the C variants only: NumPy, and the memoryviews that
    Cython's modules use, can't be loaded in an interpreter with its own GIL. The held
    variant scales here, since each worker holds another GIL.

    Don't fork while one is open: CPython 3.14 and 3.15 crash in the child of a process
    that has sub-interpreters.
    """

    name = "interpreters"
    own_gils = True

    @classmethod
    def check_available(cls) -> None:
        """Raise an `ArgumentError` before Python 3.14."""
        if not hasattr(concurrent.futures, _EXECUTOR):
            raise ArgumentError(
                "pool: interpreters needs Python 3.14 or newer; this is "
                f"{sys.version_info.major}.{sys.version_info.minor}"
            )

    @classmethod
    def check_variant(cls, variant: str) -> None:
        """Raise an `ArgumentError` if these workers can't run a variant."""
        if variant not in _VARIANTS:
            raise ArgumentError(
                f"variant: expected one of {', '.join(_VARIANTS)} on the {cls.name} "
                "pool, since neither NumPy nor Cython's modules can be loaded in an "
                f"interpreter with its own GIL; got {variant!r}"
            )

    def __init__(self, workers: int) -> None:
        super().__init__(workers)
        self.check_available()
        executor: Any = getattr(concurrent.futures, _EXECUTOR)
        begin = perf_counter()
        self._slots = counter_slots(-1, workers)
        self._executor: Executor = executor(workers, thread_name_prefix="gilx")
        # As with threads: only tasks that wait for each other have all workers start.
        everyone = Counter(0, workers, memory=self._slots[0])
        try:
            for started in [
                self._executor.submit(_meet, workers, self._slots[0])
                for _ in range(workers)
            ]:
                started.result()
        except BaseException:
            everyone.cancel()
            self._executor.shutdown()
            raise
        self.start_seconds: float = perf_counter() - begin

    def _run(self, region: Region, account: list[Share] | None) -> float:
        self.check_variant(region.variant)
        function = region.kernel.function(region.variant).__name__
        arguments = tuple(map(_shareable, region.arguments))
        # New ones each time, since regions of two threads may run at once.
        slots = counter_slots(-1, self.workers)
        shares = [
            region.share(worker, self.workers, slots) for worker in range(self.workers)
        ]
        calls: list[Future[tuple[Any, ...] | None]] = []
        # Nearly all of the time is spent waiting for these, and not for the futures:
        # Ctrl-C in their Python code may leave their locks taken, and a queue in C whole.
        bell: SimpleQueue[object] = SimpleQueue()
        begin = perf_counter()
        try:
            for worker, share in enumerate(shares):
                memory = slots[0 if region.schedule == "dynamic" else worker]
                calls.append(
                    self._executor.submit(
                        _compute,
                        function,
                        arguments,
                        share.start,
                        share.stop,
                        share.grain,
                        memory,
                        account is not None,
                    )
                )
                calls[-1].add_done_callback(bell.put)
            for _ in calls:
                bell.get()
            for call in calls:
                share_used = call.result()
                if account is not None and share_used is not None:
                    account.append(Share(*share_used))
        except BaseException:
            for share in shares:
                share.cancel()
            concurrent.futures.wait(calls)
            raise
        return perf_counter() - begin

    def _close(self) -> None:
        self._executor.shutdown()


def _shareable(argument: Any) -> Any:  # noqa: ANN401 - numbers and buffers
    """Return what another interpreter is handed for an argument: the same memory."""
    if isinstance(argument, (int, float)):
        # Without the class: numbers of NumPy's are some of these, and can't travel.
        return float(argument) if isinstance(argument, float) else int(argument)
    if hasattr(argument, "item") and not getattr(argument, "shape", ()):
        return argument.item()
    return memoryview(argument)
