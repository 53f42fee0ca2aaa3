"""Names of Python's threads, noted beforehand for reports on stalls.

A report is made while the program is stuck: it can't take the lock of `threading`, nor
read objects, and Linux knows these names from Python 3.14 on only, and 15 bytes of each.
So each thread's name is noted in a table of the sampler's when it starts, by a function
in the place of one that `threading` calls in each new thread.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gilx.formatting import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_HOOK = "_set_native_id"  # of threading.Thread
_BYTES = 63  # of UTF-8, that the table has for a name

_lock = threading.Lock()
_users = 0
_before: Callable[[Any], None] | None = None
_noted: Mapping[int, str] = {}


def _set_native_id(thread: threading.Thread) -> None:
    assert _before is not None
    _before(thread)
    # A class of the program's may have a `name` that fails. The thread runs in any case.
    with suppress(Exception):
        if _users and thread.native_id is not None:
            _note(thread.native_id, printable(thread.name))


def _note(native_id: int, name: str) -> None:
    from gilx.sampling import _sampler  # noqa: PLC0415 - not in every installation

    _sampler.note_thread_name(native_id, name.encode()[:_BYTES].decode(errors="ignore"))


def note_names(names: Mapping[int, str]) -> None:
    """Note the names that threads have now, if they have others than before.

    Parameters
    ----------
    names : mapping of int to str
        Names by native id, without what is not printable.

    """
    global _noted  # noqa: PLW0603
    for native_id, name in names.items():
        if _noted.get(native_id) != name:
            _note(native_id, name)
    _noted = dict(names)


def join_thread_names(names: Mapping[int, str]) -> None:
    """Note the names of threads that there are, and of those that start from now on."""
    global _users, _before  # noqa: PLW0603
    with _lock:
        _users += 1
        hook = getattr(threading.Thread, _HOOK, None)
        if _before is None and hook is not None:
            _before = hook
            setattr(threading.Thread, _HOOK, _set_native_id)
    note_names(names)


def leave_thread_names() -> None:
    """Note no more names if no other monitor needs them."""
    global _users, _before, _noted  # noqa: PLW0603
    with _lock:
        _users -= 1
        if _users:
            return
        _noted = {}
        # Another tool may have put its own function in that place, which calls ours.
        if getattr(threading.Thread, _HOOK, None) is _set_native_id:
            setattr(threading.Thread, _HOOK, _before)
            _before = None


def renew_lock_in_child() -> None:
    """Begin anew in the child of a fork: another thread may have had the lock."""
    global _lock, _noted
    _lock, _noted = threading.Lock(), {}
