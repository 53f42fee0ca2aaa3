"""How a Python process is started that finds what this one finds."""

from __future__ import annotations

import os
import sys
from multiprocessing.spawn import get_executable

from gilx._compat import interpreter_options

__all__ = ["command"]


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
