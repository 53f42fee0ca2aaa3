"""A process at the other end of a pipe: what starting one and sending it data costs."""

from __future__ import annotations

import socket
import subprocess
from multiprocessing.connection import Connection
from time import perf_counter
from typing import TYPE_CHECKING

from gilx.system.child_python import command

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

__all__ = ["Courier"]

_SECONDS_TO_ANSWER = 60
_CHILD = "from gilx.demo.echo_process import serve; serve({})"


class Courier:
    """A Python process that sends back what it is sent, pickled both ways.

    That is how `multiprocessing` and `ProcessPoolExecutor` move arguments and results.

    Raises
    ------
    OSError
        The process did not start.

    """

    def __init__(self) -> None:
        begin = perf_counter()
        ours, theirs = socket.socketpair()
        with theirs:
            self._child = subprocess.Popen(  # noqa: S603 - this Python, and code of ours
                command(_CHILD.format(theirs.fileno())),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._line = Connection(ours.detach())
        try:
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
        self._child.kill()
        self._child.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def serve(line_number: int) -> None:
    """Send back what comes, until the other end hangs up."""
    with Connection(line_number) as line:
        try:
            while True:
                line.send(line.recv())
        except (EOFError, OSError):
            return
