"""The process pool: worker processes on arrays in memory that they share."""

from __future__ import annotations

import os
import pickle
import select
import signal
import subprocess
import weakref
from array import array
from collections import deque
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import FileIO
from mmap import mmap
from operator import call
from socket import (
    AF_UNIX,
    SCM_RIGHTS,
    SOCK_SEQPACKET,
    SOL_SOCKET,
    socket,
    socketpair,
)
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, NoReturn

from gilx.ckernels import Counter
from gilx.errors import ArgumentError
from gilx.pools.fork_safe_lock import Turn
from gilx.pools.pool import Pool
from gilx.pools.process_worker import DONE, MESSAGE_SIZE, RegionMessage
from gilx.pools.shared_memory import anonymous_file, copy_into, counter_slots, find
from gilx.system.child_python import command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilx.kernels.kernel import Array, Problem
    from gilx.pools.pool import Region
    from gilx.pools.resource_usage import Share
    from gilx.pools.worker_error import PackedError

__all__ = ["ProcessPool"]

_START_SECONDS = 60.0
"""How long a worker may take to start; far more than it ever needs."""

_STOP_SECONDS = 0.1
"""How long workers may take to stop when the caller is interrupted: compiled kernels
need a millisecond, a reference may be at an item for longer than anyone wants to wait."""

_DEATH_SECONDS = 1.0
"""How long the system may take to end a process that was told to."""


_GONE_AT_ONCE = 1000
"""How many arrays or regions are named in one message, which must not grow too long."""


@dataclass(eq=False)
class _Worker:
    """A worker process, as the pool sees it."""

    index: int
    process: subprocess.Popen[bytes]
    channel: socket
    life: FileIO
    """Our end of a pipe: the worker is killed when nobody has it open any longer."""


def _start(index: int, workers: int, memory: int) -> _Worker:
    """Start one worker, which says so on its channel when it is ready.

    It is a new interpreter, as multiprocessing's spawn would start one: a fork would copy
    locks that other threads hold. It is started from here because spawn imports the
    caller's main script once more, which scripts have to be written for, and which a
    worker that knows gilx's kernels by name has no use for.
    """
    ours, theirs = socketpair(AF_UNIX, SOCK_SEQPACKET)
    try:
        theirs_life, life = os.pipe()
        try:
            descriptors = (theirs.fileno(), theirs_life, memory)
            code = (
                "from gilx.pools.process_worker import main; "
                f"main{(*descriptors, index, workers)}"
            )
            process = subprocess.Popen(  # noqa: S603 - all of it is ours
                command(code),
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
            )
        except BaseException:
            os.close(life)
            raise
        finally:
            os.close(theirs_life)
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return _Worker(index, process, ours, FileIO(life, "w"))


def _send_both(channel: socket, message: bytes, descriptor: int) -> None:
    """Send a message, and a descriptor in one of its own.

    Both in one step, made of C code alone: who gets the first waits for the second, so
    that no Ctrl-C may come in between.
    """
    ancillary = [(SOL_SOCKET, SCM_RIGHTS, array("i", [descriptor]))]
    sends = (partial(channel.send, message), partial(channel.sendmsg, [DONE], ancillary))
    deque(map(call, sends), maxlen=0)


def _let_go(workers: list[_Worker]) -> None:
    """End the workers and wait until they are gone. They have nothing to put in order.

    If Ctrl-C comes in between, a second call does what is left.
    """
    for worker in workers:
        worker.channel.close()
        worker.life.close()
    for worker in workers:
        try:
            worker.process.wait(_DEATH_SECONDS)
        except subprocess.TimeoutExpired:
            worker.process.kill()
            worker.process.wait()
    workers.clear()


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
        self._poll = select.poll()
        self._buffer = bytearray(MESSAGE_SIZE)
        self._workers: list[_Worker] = []
        self._by_channel: dict[int, _Worker] = {}
        self._finalizer = weakref.finalize(self, _let_go, self._workers)
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
        memory = anonymous_file(workers * Counter.MEMORY_SIZE)
        try:
            self._counters = counter_slots(memory.fileno(), workers)
            # Nobody claims from these: they are for cancelling.
            self._cancels = [Counter(0, 0, memory=slot) for slot in self._counters]
            # Ctrl-C meets either none of the workers or all of them: each is noted before
            # it comes. Workers inherit this, and take it back when they ignore it.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                for index in range(workers):
                    worker = _start(index, workers, memory.fileno())
                    self._workers.append(worker)
                    self._by_channel[worker.channel.fileno()] = worker
                    self._poll.register(worker.channel, select.POLLIN)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            waiting = set(self._workers)
            self._collect(waiting, "while it started", _START_SECONDS)
            if waiting:
                raise BrokenExecutor(
                    f"the processes pool: {len(waiting)} of {workers} workers were not "
                    f"ready after {_START_SECONDS:.0f} s"
                )
        except BaseException:
            self.close()
            raise
        finally:
            memory.close()
        _pools.add(self)
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
            answers = self._ask(f"in a region of {region.variant.target}", method, number)
            seconds = perf_counter() - begin
        if account is not None:
            account += map(pickle.loads, answers)
        return seconds

    def _close(self) -> None:
        # Whatever region is running comes to its end first.
        with self._workers_turn.taken():
            self._end()

    def _end(self) -> None:
        if self._finalizer.alive:
            _let_go(self._workers)
            self._finalizer.detach()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Have the workers for oneself: they do one thing at a time."""
        self._check_process()
        with self._workers_turn.taken():
            if not self._finalizer.alive:
                raise RuntimeError("the processes pool was closed")
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
            self._ask("between regions", "attach", number, size, descriptor=file.fileno())
        return copy_into(memory, array)

    def _define(self, region: Region) -> int:
        """Tell the workers of a region, and return its number."""
        name = region.kernel_name()
        number = self._number()
        message = RegionMessage(
            kernel=name,
            variant=region.variant.name,
            arguments=tuple(map(self._travelling, region.arguments)),
            items=region.items,
            schedule=region.schedule,
            grain=region.grain,
            first=region.first,
        )
        try:
            self._ask("between regions", "define", number, message)
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
                self._ask("between regions", "forget", *gone)
            except BaseException:  # not all workers may have heard of it
                self._gone_segments += gone[0]
                self._gone_regions += gone[1]
                raise

    def _ask(
        self, when: str, *message: object, descriptor: int | None = None
    ) -> list[bytes]:
        """Send all workers a message, wait until they have obeyed; return their answers.

        Those that say no more than that are left out. `when` is for the error that says
        that one has died.
        """
        packed = pickle.dumps(message)
        if len(packed) > MESSAGE_SIZE:
            raise ArgumentError(
                f"region: expected arguments besides arrays of some {MESSAGE_SIZE} bytes "
                f"at most, got {len(packed)}"
            )
        answers: list[bytes] = []
        try:
            for worker in self._workers:
                try:
                    if descriptor is None:
                        worker.channel.send(packed)
                    else:
                        _send_both(worker.channel, packed, descriptor)
                except (BrokenPipeError, ConnectionResetError):
                    self._died(worker, when)
            failure = self._collect(set(self._workers), when, answers=answers)
        except BaseException as error:
            self._stop(error)
            raise
        if failure is not None:
            raise failure
        return answers

    def _collect(
        self,
        waiting: set[_Worker],
        when: str,
        seconds: float | None = None,
        answers: list[bytes] | None = None,
    ) -> BaseException | None:
        """Wait for answers, for so long at most, and return the first worker's exception.

        Workers that have answered are taken out of `waiting`; what they say is added to
        `answers`, still pickled: who waits is being timed.
        """
        failure, buffer = None, self._buffer
        deadline = None if seconds is None else monotonic() + seconds
        while waiting:
            left = None if deadline is None else max(0.0, deadline - monotonic())
            ready = self._poll.poll(None if left is None else left * 1e3)
            if not ready and left == 0:
                break
            for channel, _ in ready:
                worker = self._by_channel[channel]
                try:
                    size = worker.channel.recv_into(buffer)
                except ConnectionResetError:
                    size = 0
                if size == 0:
                    self._died(worker, when)
                waiting.discard(worker)
                if buffer.startswith(DONE):
                    if size > len(DONE) and answers is not None:
                        answers.append(bytes(buffer[len(DONE) : size]))
                elif failure is None:
                    self._cancel()
                    answer: PackedError = pickle.loads(buffer[:size])  # noqa: S301 - our worker's
                    failure = answer.error
                    failure.add_note(
                        f"In worker {worker.index} of the processes pool (process "
                        f"{worker.process.pid}):\n{answer.text.rstrip()}"
                    )
        return failure

    def _cancel(self) -> None:
        for counter in self._cancels:
            counter.cancel()

    def _stop(self, error: BaseException) -> None:
        """Have the workers ready for the next message, or close the pool."""
        if isinstance(error, BrokenExecutor):
            self._end()
            return
        try:
            self._cancel()
            stopped = self._catch_up()
        except BaseException:
            self._end()
            raise
        if not stopped:
            self._end()
            error.add_note("The processes pool was closed: not all its workers stopped.")

    def _catch_up(self) -> bool:
        """Throw away what the workers answer still; return whether they are done in time.

        An exception may have come after a message was sent, or an answer received, and
        before that could be noted. So all are asked for a number, and what comes before
        it answers something else.
        """
        number = self._number()
        question, expected = pickle.dumps(("echo", number)), DONE + pickle.dumps(number)
        waiting = set(self._workers)
        for worker in self._workers:
            try:
                worker.channel.send(question)
            except (BrokenPipeError, ConnectionResetError):
                self._died(worker, "while it was stopped")
        deadline = monotonic() + _STOP_SECONDS
        while waiting and (left := deadline - monotonic()) > 0:
            for channel, _ in self._poll.poll(left * 1e3):
                worker = self._by_channel[channel]
                try:
                    answer = worker.channel.recv(MESSAGE_SIZE)
                except ConnectionResetError:
                    answer = b""
                if not answer:
                    self._died(worker, "while it was stopped")
                if answer == expected:
                    waiting.discard(worker)
        return not waiting

    def _died(self, worker: _Worker, when: str) -> NoReturn:
        """Raise what says how a worker ended."""
        try:
            status = worker.process.wait(_DEATH_SECONDS)
        except subprocess.TimeoutExpired:
            how = "closed its channel"
        else:
            how = f"ended with exit status {status}"
            if status < 0:
                how = f"was killed by signal {-status} ({signal.strsignal(-status)})"
        raise BrokenExecutor(
            f"the processes pool: worker {worker.index} (process {worker.process.pid}) "
            f"{how} {when}; the pool is closed"
        )


# A forked child has copies of the pools' descriptors, which would keep workers alive
# after the process that they belong to.
_pools: weakref.WeakSet[ProcessPool] = weakref.WeakSet()


def _leave_to_parent() -> None:
    for pool in list(_pools):
        pool._finalizer.detach()  # noqa: SLF001 - of this module
        for worker in pool._workers:  # noqa: SLF001
            worker.channel.close()
            worker.life.close()
            worker.process.returncode = 0  # not this process's to wait for
        pool._workers.clear()  # noqa: SLF001 - a grandchild has nothing left to close


os.register_at_fork(after_in_child=_leave_to_parent)
