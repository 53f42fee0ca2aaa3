"""CPython's private attributes that gilx uses, each of them here and nowhere else.

`tests/integration/test_compat.py` checks what each of them returns on every Python that
gilx supports.
"""

from __future__ import annotations

import subprocess
import sys
import threading


def all_threads() -> list[threading.Thread]:
    """Return the threads whose objects still live, those that have ended included."""
    # A set is copied at once; the weak set's own iterator fails when another thread is
    # started meanwhile.
    known = getattr(getattr(threading, "_dangling", None), "data", ())
    return [one for reference in list(known) if (one := reference()) is not None]


def gil_enabled() -> bool:
    """Return whether this interpreter runs with a GIL right now."""
    if sys.version_info >= (3, 13):
        return sys._is_gil_enabled()  # documented, despite its name
    return True


def interpreter_options() -> list[str]:
    """Return the options that this interpreter was started with, such as ``-X dev``.

    `multiprocessing` starts its processes with these, but for ``-X gil``, which CPython
    3.14 leaves out: they would run without a GIL beside a process that has one.
    """
    options: list[str] = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]
    gil = f"gil={x_option('gil')}"
    if x_option("gil") in ("0", "1") and gil not in options:
        options += ["-X", gil]
    return options


def owns(lock: threading.RLock) -> bool:
    """Return whether the calling thread has a lock.

    `threading.Condition` asks any lock that it is given the same way.
    """
    owned: bool = lock._is_owned()  # type: ignore[attr-defined]
    return owned


def x_option(name: str) -> str | bool | None:
    """Return the value of an option ``-X name=value``, None without one."""
    return sys._xoptions.get(name)  # documented, despite its name
