"""Standard output that is reserved for figures, as by ``--json -``."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack, redirect_stdout
from typing import TextIO

__all__ = ["output_for", "release_output"]

_reserved = ExitStack()


def output_for(*paths: str | None) -> TextIO:
    """Return standard output; reserve it if one of the paths is ``-``.

    Then what else is printed goes to standard error until the process ends, or until
    `release_output`: by the measured code, by C code and child processes that write to
    descriptor 1, by threads that run on and by functions for the exit.
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
    if replaced:  # by one that does not write to descriptor 1
        return own
    return _reserved.enter_context(
        open(kept, "w", encoding=own.encoding, errors=own.errors, closefd=False)
    )


def release_output() -> None:
    """Let everything print to standard output again."""
    _reserved.close()
