"""The pool of sub-interpreters: threads of one process, each with a GIL of its own."""

from __future__ import annotations

import importlib
import importlib.util
import os
import pickle
import signal
import sys
import threading
import traceback
import weakref
from contextlib import contextmanager
from dataclasses import astuple
from functools import partial
from io import FileIO
from time import perf_counter
from typing import TYPE_CHECKING, Any

from gilx import ckernels
from gilx.ckernels import Counter
from gilx.errors import ArgumentError
from gilx.pools.fork_safe_lock import Turn
from gilx.pools.pool import Pool
from gilx.pools.resource_usage import Share, accounting
from gilx.pools.shared_memory import counter_slots
from gilx.system.packed_error import PackedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilx.pools.pool import Region

_VARIANTS = ("c-gil", "c-nogil")
_MODULE = "concurrent.interpreters"  # new in Python 3.14
_RING = b"\0"
_MOST_RINGS = 4096  # bytes that one read takes out of a pipe


# ---- in a worker's interpreter ---------------------------------------------------------


def _serve(
    index: int,
    tasks: Any,  # noqa: ANN401 - queues between interpreters, missing in 3.11
    answers: Any,  # noqa: ANN401 - likewise
    finished: memoryview,
    bell: int,
    caller_bell: int,
) -> None:
    """Run regions until the pool is closed.

    The only way to wait for a queue between interpreters is to poll it, so a byte in a
    pipe announces each item: a thread that waits for the byte releases its interpreter's
    GIL and sleeps in the system.

    Parameters
    ----------
    index : int
        Index of this worker.
    tasks, answers : concurrent.interpreters.Queue
        Queues of tasks, numbered in their order, and of their return values.
    finished : memoryview
        For each worker the number of the last task that it has finished. It is set before
        the bell is rung, so that lost rings and superfluous ones do no harm.
    bell, caller_bell : int
        Descriptors of pipes: rung when a task was put, and when one is finished.

    """
    numbers = finished.cast("q")
    numbers[index] = 0
    os.write(caller_bell, _RING)
    while True:
        os.read(bell, _MOST_RINGS)
        while not tasks.empty():
            task = tasks.get_nowait()
            if task is None:
                return
            number, arguments = task
            del task
            try:
                answer = _compute(*arguments) if arguments else None
            except BaseException as error:
                answer = PackedError(error, traceback.format_exc()).pack()
            # A waiting worker must not keep arrays alive.
            del arguments
            if answer is not None:
                answers.put_nowait((number, index, answer))
            numbers[index] = number
            os.write(caller_bell, _RING)


def _compute(
    function: str,
    arguments: tuple[Any, ...],
    start: int,
    stop: int,
    grain: int,
    memory: memoryview,
    accounted: bool,
) -> Any:  # noqa: ANN401 - see the docstring
    """Do a worker's part of a region; return its share if `accounted`.

    The share is a tuple, which interpreters can hand over without a pickle.
    """
    take = Counter(start, stop, grain, memory=memory)
    if not accounted:
        getattr(ckernels, function)(*arguments, take=take)
        return None
    account: list[Share] = []
    with accounting(account):
        getattr(ckernels, function)(*arguments, take=take)
    return astuple(account[0])


# ---- in the caller's interpreter -------------------------------------------------------


class _Worker:
    """A thread with an interpreter of its own, and the means to reach it."""

    def __init__(
        self,
        index: int,
        answers: Any,  # noqa: ANN401 - a queue, see `_serve`
        finished: memoryview,
        caller_bell: int,
    ) -> None:
        self.index = index
        self.error: BaseException | None = None
        """The exception that ended it before it was asked to end."""
        self._interpreters = importlib.import_module(_MODULE)
        self._tasks = self._interpreters.create_queue()
        self._bell, self._ringer = _pipe()
        bell = self._bell.fileno()
        self._arguments = index, self._tasks, answers, finished, bell, caller_bell
        # Daemon threads, since Python waits for other threads before it calls the
        # finalizer that would end these.
        self._thread = threading.Thread(
            target=self._live, name=f"gilx_{index}", daemon=True
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def _live(self) -> None:
        try:
            interpreter = self._interpreters.create()
            try:
                interpreter.call(_serve, *self._arguments)
            finally:
                interpreter.close()
        except BaseException as error:
            self.error = error
            os.write(self._arguments[-1], _RING)

    def put(self, task: tuple[int, tuple[Any, ...]] | None) -> None:
        """Hand over a task; None ends the worker."""
        self._tasks.put_nowait(task)
        self._ringer.write(_RING)

    def end(self) -> None:
        """Ask the worker to end, unless it has ended; `join` waits for it."""
        if not self._ringer.closed:
            self.put(None)

    def join(self) -> None:
        """Wait for the end of a worker that was asked to end, and close its pipe."""
        if self._thread.ident is not None:
            self._thread.join()
        # In this order, so that `end` no longer rings if Ctrl-C comes in between.
        self._ringer.close()
        self._bell.close()


def _pipe() -> tuple[FileIO, FileIO]:
    """Return both ends of a pipe, which may be closed twice."""
    reader, writer = os.pipe()
    return FileIO(reader, "r"), FileIO(writer, "w")


@contextmanager
def _no_ctrl_c() -> Iterator[None]:
    """Delay Ctrl-C, and keep it from the threads that are started meanwhile.

    So Ctrl-C comes when either none or all of the workers are started and recorded.
    Workers inherit the blocked signal, so the system gives it to a thread that wakes up
    for it.
    """
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _let_go(workers: list[_Worker], bell: tuple[FileIO, FileIO], process: int) -> None:
    """End the workers and wait until they are gone.

    If Ctrl-C comes in between, a second call does what is left.
    """
    if os.getpid() != process:  # a child of a fork, which has no workers
        return
    for worker in workers:
        worker.end()
    for worker in workers:
        worker.join()
    for end in bell:
        end.close()


class InterpreterPool(Pool):
    """Sub-interpreters of this process, which read and write the caller's arrays.

    It needs Python 3.14, and runs the C variants only: NumPy, and the memoryviews that
    Cython's modules use, can't be loaded in an interpreter with its own GIL. The held
    variant scales here, since each worker holds another GIL.

    Each worker stays in its interpreter and waits there for regions, so that a region
    costs a message to each worker: entering an interpreter anew, and pickling the call,
    would take several times as long.

    Don't fork while one is open: CPython 3.14 and 3.15 crash in the child of a process
    that has sub-interpreters.
    """

    name = "interpreters"
    own_gils = True

    @classmethod
    def check_available(cls) -> None:
        """Raise an `ArgumentError` before Python 3.14."""
        if importlib.util.find_spec(_MODULE) is None:
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
        begin = perf_counter()
        self._workers_turn = Turn(f"the {self.name} pool")
        self._slots = counter_slots(-1, workers)
        # No worker claims from these counters; they are for cancelling.
        self._cancels = [Counter(0, 0, memory=slot) for slot in self._slots]
        self._number = 0
        """Number of the last task that may have been handed out."""
        memory = memoryview(bytearray(8 * workers))
        self._finished = memory.cast("q")
        self._answers = importlib.import_module(_MODULE).create_queue()
        bell = _pipe()
        self._bell = bell[0].fileno()
        self._workers: list[_Worker] = []
        self._end = partial(_let_go, self._workers, bell, self._process)
        self._finalizer = weakref.finalize(self, self._end)
        try:
            with _no_ctrl_c():
                for index in range(workers):
                    self._finished[index] = -1
                    worker = _Worker(index, self._answers, memory, bell[1].fileno())
                    self._workers.append(worker)
                    worker.start()
            self._wait(0)
        except BaseException:
            self.close()
            raise
        self.start_seconds: float = perf_counter() - begin

    def _run(self, region: Region, account: list[Share] | None) -> float:
        self.check_variant(region.variant.name)
        function = region.variant.function.__name__
        arguments = tuple(map(_shareable, region.arguments))
        with self._turn():
            # After a second Ctrl-C, workers may still be busy with the previous region.
            self._wait(self._number)
            for slot in self._slots:
                slot[:] = bytes(len(slot))
            tasks = []
            for index in range(self.workers):
                share = region.share(index, self.workers, self._slots)
                memory = self._slots[0 if region.schedule == "dynamic" else index]
                ends = share.start, share.stop, share.grain
                tasks.append((function, arguments, *ends, memory, account is not None))
            begin = perf_counter()
            try:
                self._number += 1
                for worker, task in zip(self._workers, tasks, strict=True):
                    worker.put((self._number, task))
                answers = self._wait(self._number)
            except BaseException:
                self._stop()
                raise
            seconds = perf_counter() - begin
        if account is not None:
            account += (Share(*answer) for answer in answers)
        return seconds

    def _close(self) -> None:
        # A region that is running is finished first.
        with self._workers_turn.taken():
            if self._finalizer.alive:
                self._end()
                self._finalizer.detach()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Reserve the workers, which run one region at a time."""
        with self._workers_turn.taken():
            if not self._finalizer.alive:
                raise RuntimeError(f"the {self.name} pool was closed")
            yield

    def _wait(self, number: int) -> list[tuple[Any, ...]]:
        """Wait until all workers have finished a task; return their answers.

        An exception that one of them answered is raised, after the others have stopped.
        """
        answers: list[tuple[Any, ...]] = []
        failure: PackedError | None = None
        while True:
            idle = min(self._finished) >= number
            while not self._answers.empty():
                task, index, answer = self._answers.get_nowait()
                if task != number:  # of a region that was interrupted
                    continue
                if not isinstance(answer, bytes):
                    answers.append(answer)
                elif failure is None:
                    self._cancel()
                    failure = pickle.loads(answer)  # noqa: S301 - our worker's
                    failure.error.add_note(
                        f"In worker {index} of the {self.name} pool:\n"
                        f"{failure.text.rstrip()}"
                    )
            if idle:
                break
            for worker in self._workers:
                if worker.error is not None:
                    raise RuntimeError(
                        f"the {self.name} pool: worker {worker.index} ended:"
                        f" {worker.error}"
                    ) from worker.error
            os.read(self._bell, _MOST_RINGS)
        if failure is not None:
            raise failure.error
        return answers

    def _cancel(self) -> None:
        for counter in self._cancels:
            counter.cancel()

    def _stop(self) -> None:
        """Make the workers idle, after an exception at any moment.

        If the exception came after a task was put, the bell may not have been rung:
        another task, an empty one, rings it.
        """
        self._cancel()
        self._number += 1
        for worker in self._workers:
            worker.put((self._number, ()))
        self._wait(self._number)


def _shareable(argument: Any) -> Any:  # noqa: ANN401 - numbers and buffers
    """Return an argument as another interpreter gets it, with the same memory."""
    if isinstance(argument, (int, float)):
        # NumPy's numbers may be of subclasses, which can't be handed over.
        return float(argument) if isinstance(argument, float) else int(argument)
    if hasattr(argument, "item") and not getattr(argument, "shape", ()):
        return argument.item()
    return memoryview(argument)
