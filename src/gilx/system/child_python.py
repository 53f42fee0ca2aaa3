"""Commands of new Python processes, and servers in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from multiprocessing.spawn import get_executable
from typing import TYPE_CHECKING

from gilx._compat import interpreter_options

if TYPE_CHECKING:
    from collections.abc import Iterator


def command(code: str) -> list[str]:
    """Return the command of a new interpreter that runs a text of gilx's own.

    It has the options of this one (``-X``, ``-W``, ``-I`` and so on), and the same path
    before it imports anything but `sys`: what lies in the current directory is not loaded
    unless this process would load it, too.
    """
    path = [entry for entry in sys.path if isinstance(entry, str)]
    return [
        os.fsdecode(get_executable()),
        *interpreter_options(),
        "-c",
        f"import sys; sys.path[:] = {path!r}; {code}",
    ]


@contextmanager
def local_server(code: str) -> Iterator[int | None]:
    """Yield the port that a server prints, None if it prints nothing: it did not start.

    The server is another process, so that it takes no GIL of this one. It has to end when
    its standard input does, as it does with this process.
    """
    with subprocess.Popen(  # noqa: S603 - our own text, given to this interpreter
        [sys.executable, "-I", "-S", "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        port = process.stdout.readline()
        yield int(port) if port else None
