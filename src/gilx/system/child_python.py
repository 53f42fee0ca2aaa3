"""How a Python process is started that finds what this one finds."""

from __future__ import annotations

import os
import subprocess
import sys
from multiprocessing.spawn import get_executable

__all__ = ["command"]


def command(code: str) -> list[str]:
    """Return the command of a new interpreter that runs a text of gilx's own.

    It has the options of this one (``-X``, ``-W``, ``-I`` and so on), and the same path
    before it imports anything but `sys`: what lies in the current directory is not loaded
    unless this process would load it, too.
    """
    options: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001 - as multiprocessing does
    path = [entry for entry in sys.path if isinstance(entry, str)]
    return [
        os.fsdecode(get_executable()),
        *options,
        "-c",
        f"import sys; sys.path[:] = {path!r}; {code}",
    ]
