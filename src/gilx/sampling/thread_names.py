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

_PLACE = "_set_native_id"  # of threading.Thread
_NAME = threading.Thread.name  # also if gevent has put a subclass in its place
_BYTES = 63  # of UTF-8, that the table has for a name

_lock = threading.Lock()
_users = 0
_hook: Callable[[Any], None] | None = None  # while it is in its place
_before: Callable[[Any], None] | None = None  # what was there
_noted: Mapping[int, str] = {}


def _hook_before(before: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return a function that notes a thread's name after it has called another one.

    It has that one for itself: a thread may have found the hook just before the last
    monitor removed it, and an error there would leave `Thread.start` waiting for good.
    """

    def _set_native_id(thread: threading.Thread) -> None:
        before(thread)
        # The `name` of a class of the program's could fail, or wait for the thread that
        # starts this one and waits for it. Such names are noted when a monitor is read.
        if getattr(type(thread), "name", None) is not _NAME:
            return
        with suppress(Exception):  # the thread runs in any case
            if _users and thread.native_id is not None:
                _note(thread.native_id, printable(thread.name))

    return _set_native_id


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
    global _users, _hook, _before  # noqa: PLW0603
    with _lock:
        _users += 1
        before = getattr(threading.Thread, _PLACE, None)
        if _hook is None and before is not None:
            _hook, _before = _hook_before(before), before
            setattr(threading.Thread, _PLACE, _hook)
    note_names(names)


def leave_thread_names() -> None:
    """Note no more names if no other monitor needs them."""
    global _users, _hook, _before, _noted  # noqa: PLW0603
    with _lock:
        _users -= 1
        if _users:
            return
        _noted = {}
        # Another tool may have put its own function in that place, which calls ours.
        if _hook is not None and getattr(threading.Thread, _PLACE) is _hook:
            setattr(threading.Thread, _PLACE, _before)
            _hook = _before = None


def renew_lock_in_child() -> None:
    """Begin anew in the child of a fork: another thread may have had the lock."""
    global _lock, _noted
    _lock, _noted = threading.Lock(), {}
