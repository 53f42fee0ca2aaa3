"""Standard output: printing to it, and reserving it for figures, as by ``--json -``."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, redirect_stdout
from typing import TextIO

_reserved = ExitStack()


class OutputError(Exception):
    """Standard output can't be written to.

    It is not an OSError, so that those of a measured callable are not mistaken for it.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(f"can't write to standard output: {error.strerror}")
        self.reader_left: bool = isinstance(error, BrokenPipeError)


def print_text(text: str, output: TextIO | None = None) -> None:
    """Print a text to standard output, or to what `output_for` returned.

    Raises
    ------
    OutputError
        The text can't be written.

    """
    try:
        print(text, file=output, flush=True)
    except OSError as error:
        raise OutputError(error) from None


def output_for(*paths: str | None) -> TextIO:
    """Return standard output; reserve it if one of the paths is ``-``.

    All other output then goes to standard error until the process ends, or until
    `release_output`: that of the measured code, of C code and child processes that write
    to descriptor 1, of threads that run on and of functions that run at exit.
    """
    own = sys.stdout
    if "-" not in paths or own is None:
        return own
    own.flush()
    kept = os.dup(1)
    _reserved.callback(os.close, kept)
    _reserved.callback(os.dup2, kept, 1)
    _reserved.callback(own.flush)
    os.dup2(2 if sys.__stderr__ is not None else os.open(os.devnull, os.O_WRONLY), 1)
    _reserved.enter_context(redirect_stdout(sys.stderr))
    try:
        replaced = own.fileno() != 1
    except OSError:
        replaced = True
    if replaced:  # by a stream that does not write to descriptor 1
        return own
    return _reserved.enter_context(
        open(kept, "w", encoding=own.encoding, errors=own.errors, closefd=False)
    )


def release_output() -> None:
    """Let everything print to standard output again."""
    _reserved.close()
