"""The same calls in processes of their own: the ceiling of a callable that can be sent.

The processes are new ones that load the callable's module, not forks, and not those of
`multiprocessing`, which would run the main script again.
"""

from __future__ import annotations

import pickle
import socket
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from gilx.meter.workers import in_a_row
from gilx.text import one_line

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CallProcesses", "NoProcessesError", "packed"]

_SECONDS_TO_START = 60
_CHILD = "from gilx.meter.processes import serve; serve({})"


class NoProcessesError(RuntimeError):
    """The calls can't be made in other processes; the message says why."""


def packed(fn: Callable[[], object], setup: Callable[[], object] | None) -> bytes:
    """Return a callable and its setup as what can be sent to another process.

    Raises
    ------
    NoProcessesError
        They can't be sent.

    """
    try:
        data = pickle.dumps((fn, setup))
    except Exception as error:
        raise NoProcessesError(f"it can't be pickled: {one_line(error)}") from error
    if b"__main__" in data:
        raise NoProcessesError(
            "it is defined in the main script, which would be run again: in a module it"
            " can be sent"
        )
    return data


class CallProcesses:
    """Processes that make the same call, kept warm.

    Parameters
    ----------
    data : bytes
        What `packed` returned.
    workers : int
        How many processes.

    Raises
    ------
    NoProcessesError
        A process did not start, or could not load the callable.

    """

    def __init__(self, data: bytes, workers: int) -> None:
        self._children: list[tuple[subprocess.Popen[bytes], Connection]] = []
        try:
            for _ in range(workers):
                self._children.append(_start())
            for _, line in self._children:
                line.send((sys.path, data))
            for _, line in self._children:
                _answer(line, _SECONDS_TO_START)
        except BaseException as error:
            self.close()
            if isinstance(error, (OSError, EOFError)):
                words = f"a process did not start: {one_line(error)}"
                raise NoProcessesError(words) from error
            raise

    def run(self, calls: int) -> float:
        """Make so many calls in each process, all at once; return the wall time."""
        begin = time.perf_counter()
        self._ask(calls)
        return time.perf_counter() - begin

    def prepare(self) -> None:
        """Call the setup in each process."""
        self._ask(None)

    def _ask(self, what: int | None) -> None:
        try:
            for _, line in self._children:
                line.send(what)
            for _, line in self._children:
                _answer(line, None)
        except (OSError, EOFError) as error:
            raise NoProcessesError(f"a process ended: {one_line(error)}") from error

    def close(self) -> None:
        """End the processes: what they are doing is of no use any more."""
        for child, line in self._children:
            line.close()
            child.kill()
            child.wait()
        self._children.clear()


def _start() -> tuple[subprocess.Popen[bytes], Connection]:
    ours, theirs = socket.socketpair()
    with theirs:
        # What the callable prints there is printed by the other arms already.
        child = subprocess.Popen(  # noqa: S603 - this Python, and code of ours
            [sys.executable, "-c", _CHILD.format(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    return child, Connection(ours.detach())


def _answer(line: Connection, seconds: float | None) -> None:
    """Wait for a process to be done."""
    if not line.poll(seconds):
        raise NoProcessesError(f"a process did not answer within {seconds:.0f} s")
    words = line.recv()
    if words:
        raise NoProcessesError(words)


def serve(line_number: int) -> None:
    """Make calls for the process at the other end of the line, until it hangs up."""
    with Connection(line_number) as line:
        try:
            sys.path[:], data = line.recv()
            fn, setup = _loaded(line, data)
            while True:
                calls = line.recv()
                line.send(_done(fn, setup, calls))
        except (EOFError, OSError):
            return


def _loaded(line: Connection, data: bytes) -> Any:  # noqa: ANN401 - whatever was sent
    try:
        found = pickle.loads(data)  # noqa: S301 - from the process that started us
    except Exception as error:
        line.send(f"a process can't load it: {one_line(error)}")
        raise EOFError from error
    line.send("")
    return found


def _done(
    fn: Callable[[], object], setup: Callable[[], object] | None, calls: int | None
) -> str:
    """Do what was asked for; return what went wrong, empty if nothing did."""
    try:
        if calls is not None:
            in_a_row(fn, calls)
        elif setup is not None:
            setup()
    except Exception as error:
        return f"in a process it raised {one_line(error)}"
    return ""
