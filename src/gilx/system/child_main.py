"""Main function of a child process: it answers messages until its parent is gone."""

from __future__ import annotations

import os
import pickle
import signal
import socket
from contextlib import suppress
from importlib import import_module

from gilx.system.packed_error import LARGEST, PackedError

DONE = b"\0"
"""First byte of the answer to a message that was obeyed; a pickled result may follow. Any
other answer is a pickled `PackedError`, which starts with a different byte."""

MESSAGE_SIZE = LARGEST
"""Largest size of a message, in bytes. The system would take some 200 KB."""


def _end_with(life: int) -> None:
    """Have this process killed when the other end of a pipe is closed.

    That happens when the parent ends, in whatever way. The signal comes from the system,
    since a child that holds its GIL in a long call runs no Python code to notice.
    """
    import fcntl  # noqa: PLC0415 - not on Windows

    fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)


def main(channel: int, life: int, index: int, module: str, name: str) -> None:
    """Make an object of a class, and call its methods as the parent asks.

    Parameters
    ----------
    channel, life : int
        Descriptors: of the socket for messages and answers, and of the end of a pipe that
        is never read.
    index : int
        Number of this child.
    module, name : str
        Module and name of the class, which is called with the index.

    """
    # Ctrl-C is for the parent, which will say what is to be done. The signal was blocked
    # until here, so that it could not end a child that was starting.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _end_with(life)
    # The parent may go at any time, which is not an error of the child.
    gone = suppress(BrokenPipeError, ConnectionResetError)
    with gone, socket.socket(fileno=channel) as connection:
        target = getattr(import_module(module), name)(index)
        connection.send(DONE)
        while True:
            message, descriptors, _, _ = socket.recv_fds(connection, MESSAGE_SIZE, 1)
            if not message:
                return
            try:
                method, *arguments = pickle.loads(message)  # noqa: S301 - the parent's
                if method == "echo":
                    [result] = arguments
                else:
                    result = getattr(target, method)(*arguments, *descriptors)
                answer = DONE if result is None else DONE + pickle.dumps(result)
            except BaseException as error:
                import traceback  # noqa: PLC0415 - few children need it

                answer = PackedError(error, traceback.format_exc()).pack()
            connection.send(answer)
