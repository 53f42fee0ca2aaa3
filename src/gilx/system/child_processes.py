"""Child processes: new Python interpreters that obey the same messages.

`concurrent.futures.ProcessPoolExecutor` does not replace them. Two empty calls take 230
to 300 microseconds in it, 40 to 90 here, and it needs the ``if __name__`` guard.
"""

from __future__ import annotations

import math
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import time
import weakref
from concurrent.futures import BrokenExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from io import FileIO
from time import monotonic
from typing import TYPE_CHECKING, NoReturn

from gilx.errors import ArgumentError
from gilx.system.child_main import DONE, MESSAGE_SIZE
from gilx.system.child_python import command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gilx.system.packed_error import PackedError

_START_SECONDS = 60.0
"""Longest time in which a child may start; far more than it ever needs."""

_STOP_SECONDS = 0.1
"""Longest time in which children may stop when the caller is interrupted: compiled
kernels need a millisecond, a reference may take longer over one item than users wait."""

_DEATH_SECONDS = 1.0
"""Longest time in which the system may end a process after a signal."""


@dataclass(eq=False)
class _Child:
    """A child process, as its parent sees it."""

    index: int
    process: subprocess.Popen[bytes]
    channel: socket.socket
    life: FileIO
    """Our end of a pipe: the child is killed when no process has it open any longer."""


def _start(index: int, target: str, output: int | None) -> _Child:
    """Start one child, which reports on its channel when it is ready.

    It is a new interpreter, as multiprocessing's spawn would start one: a fork would copy
    locks that other threads hold. It is not started by spawn itself, which imports the
    caller's main script once more: scripts have to be written for that.
    """
    with ExitStack() as undo:
        # This kind of socket keeps messages whole: an interrupt can't split one.
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours, theirs = map(undo.enter_context, pair)
        pipe = map(FileIO, os.pipe(), "rw")
        theirs_life, life = map(undo.enter_context, pipe)
        descriptors = (theirs.fileno(), theirs_life.fileno())
        arguments = (*descriptors, index, *target.split(":"))
        process = subprocess.Popen(  # noqa: S603 - all of it is ours
            command(f"from gilx.system.child_main import main; main{arguments}"),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=descriptors,
        )
        undo.pop_all()
    theirs.close()
    theirs_life.close()
    return _Child(index, process, ours, life)


def _let_go(children: list[_Child]) -> None:
    """End the children, which have nothing to clean up, and wait for their ends.

    If Ctrl-C comes in between, a second call does what is left.
    """
    for child in children:
        child.channel.close()
        child.life.close()
    for child in children:
        if not _has_ended(child.process, _DEATH_SECONDS):
            child.process.kill()
            _has_ended(child.process, math.inf)
    children.clear()


def _has_ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Return whether a process ends within so many seconds, and collect its status.

    `Popen.wait` takes a lock, which Ctrl-C may leave locked for good.
    """
    end = time.monotonic() + seconds
    while process.returncode is None:
        try:
            pid, status = os.waitpid(process.pid, os.WNOHANG)
        except ChildProcessError:  # an interrupted call collected it
            process.returncode = 0
            break
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
        elif time.monotonic() > end:
            return False
        else:
            time.sleep(0.0005)
    return True


class ChildProcesses:
    """New Python processes, each with an object whose methods it calls on request.

    If a child dies, all are closed. All are also closed after an exception in the caller,
    such as Ctrl-C, if a child does not stop at once. The children end with the process
    that started them, however it ends; a process forked from that one can't use them.

    Parameters
    ----------
    name : str
        Subject of error messages, such as ``"the processes pool"``.
    count : int
        Number of processes.
    target : str
        Module and name, with a colon in between, of a class that is called in each child
        with its index.
    cancel : callable, optional
        Called when a child fails or the caller is interrupted, to stop the others early.
    quiet : bool, optional
        Whether to discard the output of the children.

    Raises
    ------
    OSError
        The system starts no more processes, or is not Linux.
    BrokenExecutor
        A child ended before it was ready, or was not ready in time.

    """

    def __init__(
        self,
        name: str,
        count: int,
        target: str,
        cancel: Callable[[], object] = bool,
        *,
        quiet: bool = False,
    ) -> None:
        if sys.platform != "linux":
            raise OSError(f"{name} needs Linux")
        self._name, self._cancel = name, cancel
        self._poll = select.poll()
        self._echoes = 0
        self.children: list[_Child] = []
        self._by_channel: dict[int, _Child] = {}
        self._finalizer = weakref.finalize(self, _let_go, self.children)
        _all.add(self)
        try:
            # So Ctrl-C comes when either none or all of the children are recorded.
            # Children inherit the blocked signal, and unblock it when they ignore Ctrl-C.
            before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                for index in range(count):
                    child = _start(index, target, subprocess.DEVNULL if quiet else None)
                    self.children.append(child)
                    self._by_channel[child.channel.fileno()] = child
                    self._poll.register(child.channel, select.POLLIN)
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            self._collect("while it started", _START_SECONDS)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the children, whose current work is not needed any more."""
        if self._finalizer.alive:
            _let_go(self.children)
            self._finalizer.detach()
            _all.discard(self)  # here, Ctrl-C is not lost as it would be in a callback

    def ask(
        self,
        when: str,
        *message: object,
        descriptor: int | None = None,
        seconds: float | None = None,
    ) -> list[bytes]:
        """Have all children call a method, wait for them, and return pickled results.

        Results that are None are left out. The caller may be timing this, and unpickles
        them later.

        Parameters
        ----------
        when : str
            Time of the request in words, for the error if a child dies.
        *message : object
            Name of a method and its arguments.
        descriptor : int, optional
            File descriptor to pass to each child, as a last argument of the method.
        seconds : float, optional
            Time limit.

        Raises
        ------
        BrokenExecutor
            A child died, or did not answer in time; all are closed.
        Exception
            What the method raised in a child.

        """
        if not self._finalizer.alive:
            raise RuntimeError(f"{self._name} was closed")
        packed = pickle.dumps(message)
        if len(packed) > MESSAGE_SIZE:  # only a region can be that large
            raise ArgumentError(
                f"region: expected arguments other than arrays of some"
                f" {MESSAGE_SIZE} bytes at most, got {len(packed)}"
            )
        try:
            self._send(when, packed, descriptor)
            answers, failure = self._collect(when, seconds)
        except BaseException as error:
            self._stop(error)
            raise
        if failure is not None:
            raise failure
        return answers

    def _send(self, when: str, packed: bytes, descriptor: int | None = None) -> None:
        for child in self.children:
            try:
                if descriptor is None:
                    child.channel.send(packed)
                else:
                    socket.send_fds(child.channel, [packed], [descriptor])
            except (BrokenPipeError, ConnectionResetError):
                self._died(child, when)

    def _receive(
        self, when: str, seconds: float | None
    ) -> Iterator[tuple[_Child, bytes]]:
        """Yield answers as they come, for so many seconds at most."""
        end = None if seconds is None else monotonic() + seconds
        left: float | None = None
        while end is None or (left := end - monotonic()) > 0:
            for channel, _ in self._poll.poll(None if left is None else left * 1e3):
                child = self._by_channel[channel]
                try:
                    answer = child.channel.recv(MESSAGE_SIZE)
                except ConnectionResetError:
                    answer = b""
                if not answer:
                    self._died(child, when)
                yield child, answer

    def _collect(
        self, when: str, seconds: float | None
    ) -> tuple[list[bytes], BaseException | None]:
        """Wait for all children; return their results and the first exception of one."""
        answers: list[bytes] = []
        failure, waiting = None, set(self.children)
        for child, answer in self._receive(when, seconds):
            waiting.discard(child)
            if answer.startswith(DONE):
                if answer != DONE:
                    answers.append(answer[len(DONE) :])
            elif failure is None:
                self._cancel()
                error: PackedError = pickle.loads(answer)  # noqa: S301 - our child's
                failure = error.error
                failure.add_note(
                    f"In worker {child.index} of {self._name} (process "
                    f"{child.process.pid}):\n{error.text.rstrip()}"
                )
            if not waiting:
                return answers, failure
        raise BrokenExecutor(
            f"{self._name}: {len(waiting)} of {len(self.children)} workers did not answer"
            f" within {seconds:.0f} s; the pool is closed"
        )

    def _stop(self, error: BaseException) -> None:
        """Make the children ready for the next message, or close them."""
        if isinstance(error, BrokenExecutor):
            self.close()
            return
        try:
            self._cancel()
            stopped = self._catch_up()
        except BaseException:
            self.close()
            raise
        if not stopped:
            self.close()
            error.add_note(
                f"{self._name.capitalize()} was closed: not all its workers stopped."
            )

    def _catch_up(self) -> bool:
        """Discard outstanding answers; return whether all children stopped in time.

        An exception may have come after a message was sent, or an answer received, and
        before this was recorded. So all children are asked to echo a new number, and any
        answer before that is an outstanding one.
        """
        self._echoes += 1
        question = pickle.dumps(("echo", self._echoes))
        expected = DONE + pickle.dumps(self._echoes)
        when, waiting = "while it was stopped", set(self.children)
        self._send(when, question)
        for child, answer in self._receive(when, _STOP_SECONDS):
            if answer == expected:
                waiting.discard(child)
                if not waiting:
                    return True
        return False

    def _died(self, child: _Child, when: str) -> NoReturn:
        """Raise an error that says how a child ended."""
        how = "closed its channel"
        if _has_ended(child.process, _DEATH_SECONDS):
            status = child.process.returncode
            how = f"ended with exit status {status}"
            if status < 0:
                how = f"was killed by signal {-status} ({signal.strsignal(-status)})"
        raise BrokenExecutor(
            f"{self._name}: worker {child.index} (process {child.process.pid}) "
            f"{how} {when}; the pool is closed"
        )


# A forked process has copies of the descriptors, which would keep children alive after
# the end of the process that started them.
_all: weakref.WeakSet[ChildProcesses] = weakref.WeakSet()


def _leave_to_parent() -> None:
    for each in list(_all):
        each._finalizer.detach()  # noqa: SLF001 - of this module
        for child in each.children:
            child.channel.close()
            child.life.close()
            child.process.returncode = 0  # this process must not wait for it
        each.children.clear()  # a grandchild has nothing left to close


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_leave_to_parent)
