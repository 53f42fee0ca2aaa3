"""Process at the other end of a pipe, for the costs of starting it and sending data."""

from __future__ import annotations

from contextlib import suppress
from multiprocessing.connection import Connection
from socket import socketpair
from threading import Thread
from time import perf_counter

_SECONDS_TO_ANSWER = 60


class Courier:
    """A Python process that sends back what it is sent, pickled both ways.

    That is how `multiprocessing` and `ProcessPoolExecutor` move arguments and results.

    Raises
    ------
    OSError, BrokenExecutor
        The process did not start.

    """

    def __init__(self) -> None:
        # The child, which loads this module, needs less.
        from gilx.system.child_processes import ChildProcesses  # noqa: PLC0415

        begin = perf_counter()
        self._children = ChildProcesses(
            "the echo process", 1, "gilx.demo.echo_process:Echo"
        )
        ours, theirs = socketpair()
        self._line = Connection(ours.detach())
        try:
            with theirs:
                self._children.ask(
                    "while it started", "connect", descriptor=theirs.fileno()
                )
            self.round_trip(b"")
        except BaseException:
            self.close()
            raise
        self.start_seconds: float = perf_counter() - begin

    def round_trip(self, message: object) -> float:
        """Send a message there and back; return the wall time in seconds."""
        begin = perf_counter()
        try:
            self._line.send(message)
            if not self._line.poll(_SECONDS_TO_ANSWER):
                raise OSError(f"no answer from a process in {_SECONDS_TO_ANSWER} s")
            self._line.recv()
        except EOFError:
            raise OSError("a process ended before it answered") from None
        return perf_counter() - begin

    def close(self) -> None:
        """End the process; it has nothing to put in order."""
        self._line.close()
        self._children.close()


class Echo:
    """State of the child process."""

    def __init__(self, index: int) -> None:
        del index

    def connect(self, descriptor: int) -> None:
        """Send back from now on what comes on a socket."""
        line = Connection(descriptor)
        Thread(target=_send_back, args=(line,), daemon=True).start()


def _send_back(line: Connection) -> None:
    with line, suppress(EOFError, OSError):  # when the other end hangs up
        while True:
            line.send(line.recv())
