"""Event loops of asyncio that run, for monitors that report blocked ones.

A sampler can't see a loop come back to its selector: a busy loop is there for some
microseconds only. So the selector's `select` counts its calls. asyncio's debug mode times
each callback instead, which shows one only when it has ended, and BlockBuster replaces
functions that are known to block: others would not be found.
"""

from __future__ import annotations

import asyncio
import asyncio.events
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from gilx.errors import WatchUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.sampling._sampler import CountedSelect, LoopTable

_HOOK = "_set_running_loop"  # which each loop calls when it begins and ends to run


class _Run(NamedTuple):
    """A loop that runs, with a selector whose calls are counted."""

    loop: asyncio.AbstractEventLoop
    selector: Any
    select: CountedSelect
    before: Any
    """The selector's attribute before; None: its own method."""

    def end(self) -> None:
        """Let the selector have what it had before."""
        self.select.end()
        if self.selector.select is not self.select:
            return  # another tool has replaced it meanwhile, and may call it
        if self.before is None:
            del self.selector.select
        else:
            self.selector.select = self.before


class EventLoops:
    """Event loops that run in this process, in a table that samplers read.

    Loops are added and removed by the threads that run them, without a lock: the child of
    a fork could find it locked.

    Parameters
    ----------
    table : LoopTable
        An empty one.

    Raises
    ------
    WatchUnavailableError
        This version of asyncio does not show when loops begin.

    """

    def __init__(self, table: LoopTable) -> None:
        self.table: LoopTable = table
        self._active = True
        self._runs: dict[int, _Run] = {}
        self._listeners: list[Callable[[str], None]] = []
        self._unwatched: list[str] = []
        self.unwatched_types: list[str] = []
        self._before: dict[Any, Callable[[Any], None]] = {}
        before = getattr(asyncio.events, _HOOK, None)
        if before is None:
            raise WatchUnavailableError(
                f"loop: event loops can't be watched: this asyncio has no {_HOOK}"
            )
        self._hook = self._make_hook(before)

    def _make_hook(self, before: Callable[[Any], None]) -> Callable[[Any], None]:
        def set_running_loop(loop: asyncio.AbstractEventLoop | None) -> None:
            before(loop)
            if self._active:
                self._switch(loop, waits=True)

        return set_running_loop

    def start(self) -> None:
        """Watch loops that run, and those that will."""
        # asyncio's own loops take it from the first module, others from the second.
        for module in (asyncio.events, asyncio):
            if hasattr(module, _HOOK):
                self._before[module] = getattr(module, _HOOK)
                setattr(module, _HOOK, self._hook)
        if "uvloop" in sys.modules:  # which keeps the function that it has imported
            self._add_without_selector("uvloop.Loop")
        try:
            own = asyncio.get_running_loop()
        except RuntimeError:  # this thread runs none
            pass
        else:
            self._switch(own, waits=False)
        for loop in _loops_of_other_threads():
            # In the loop's own thread, at its next turn. A loop may be closed by now.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._join, loop)

    def stop(self) -> None:
        """Watch none any longer, and leave asyncio as it was."""
        self._active = False
        for module, function in self._before.items():
            if getattr(module, _HOOK, None) is self._hook:
                setattr(module, _HOOK, function)
        self._end_all()

    def restart_in_child(self, table: LoopTable) -> None:
        """Forget the loops of the parent process: none runs in the child of a fork."""
        self._end_all()
        self.table, self.unwatched_types = table, []

    def _end_all(self) -> None:
        for thread in list(self._runs):
            self._end(thread)

    def add_listener(self, listener: Callable[[str], None]) -> None:
        """Have a function called, once for each, with loops that can't be watched."""
        self._listeners.append(listener)
        for text in self._unwatched:
            listener(text)

    def remove_listener(self, listener: Callable[[str], None]) -> None:
        """Have it called no longer."""
        self._listeners.remove(listener)

    def _join(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._active and threading.get_ident() not in self._runs:
            self._switch(loop, waits=False)

    def _switch(self, loop: asyncio.AbstractEventLoop | None, *, waits: bool) -> None:
        """Note which loop the calling thread runs from now on.

        A loop that has not called `select` yet counts as waiting there: a loop of another
        library that never calls it is not blocked indefinitely.
        """
        thread = threading.get_ident()
        run = self._runs.get(thread)
        if run is not None and run.loop is loop:
            return
        self._end(thread)
        if loop is None:
            return
        run = self._begin(loop, waits=waits)
        if run is None:
            return
        self._runs[thread] = run
        if not self._active:  # it was stopped meanwhile, by another thread
            self._end(thread)

    def _begin(self, loop: asyncio.AbstractEventLoop, *, waits: bool) -> _Run | None:
        """Return a run, or None if the loop can't be watched."""
        name = f"{type(loop).__module__}.{type(loop).__qualname__}"
        selector: Any = getattr(loop, "_selector", None)
        before = getattr(selector, "select", None)
        if not isinstance(loop, asyncio.BaseEventLoop) or not callable(before):
            self._add_without_selector(name)
            return None
        select = self.table.begin(before, waits)
        if select is None:
            self._add_unwatched(
                name,
                f"some event loops of type {name} are not watched: more than 256 run at"
                " once",
            )
            return None
        try:
            # Not by its __dict__: a selector's lookups are slower once it has one.
            selector.select = select
        except (AttributeError, TypeError):  # it has no attributes of its own
            select.end()
            self._add_without_selector(name)
            return None
        is_method = getattr(before, "__self__", None) is selector
        return _Run(loop, selector, select, None if is_method else before)

    def _end(self, thread: int) -> None:
        run = self._runs.pop(thread, None)
        if run is not None:
            run.end()

    def _add_without_selector(self, name: str) -> None:
        advice = (
            "; uvicorn --loop asyncio uses loops that are" if "uvloop" in name else ""
        )
        self._add_unwatched(
            name,
            f"event loops of type {name} are not watched: they have no selector of"
            f" Python's{advice}",
        )

    def _add_unwatched(self, name: str, text: str) -> None:
        if name not in self.unwatched_types:
            self.unwatched_types.append(name)
        if text not in self._unwatched:
            self._unwatched.append(text)
            for listener in list(self._listeners):
                listener(text)


def _loops_of_other_threads() -> list[asyncio.AbstractEventLoop]:
    """Return loops of asyncio's own kinds that other threads run."""
    code = asyncio.BaseEventLoop.run_forever.__code__
    found: list[asyncio.AbstractEventLoop] = []
    for thread, innermost in sys._current_frames().items():  # noqa: SLF001
        frame = None if thread == threading.get_ident() else innermost
        while frame is not None and frame.f_code is not code:
            frame = frame.f_back
        loop = None if frame is None else frame.f_locals.get("self")
        if isinstance(loop, asyncio.BaseEventLoop):
            found.append(loop)
    return found


# ---- of all monitors ------------------------------------------------------------------

_lock = threading.RLock()
_watched: EventLoops | None = None
_users = 0


def join_event_loops(listener: Callable[[str], None]) -> EventLoops:
    """Return the event loops of this process, which are watched from now on.

    All monitors share them: a selector counts its calls once.
    """
    from gilx.sampling._sampler import LoopTable  # noqa: PLC0415 - not everywhere

    global _watched, _users  # noqa: PLW0603
    with _lock:
        if _watched is None:
            loops = EventLoops(LoopTable())
            loops.start()
            _watched = loops
        _users += 1
        _watched.add_listener(listener)
        return _watched


def leave_event_loops(loops: EventLoops, listener: Callable[[str], None]) -> None:
    """Watch them no longer if no other monitor does."""
    global _watched, _users  # noqa: PLW0603
    with _lock:
        loops.remove_listener(listener)
        _users -= 1
        if _users == 0:
            loops.stop()
            _watched = None


def unwatched_types() -> list[str]:
    """Return the types of the event loops that could not be watched, as far as known."""
    return [] if _watched is None else _watched.unwatched_types


def restart_event_loops_in_child() -> None:
    """Begin anew in the child of a fork, before monitors do."""
    from gilx.sampling._sampler import LoopTable  # noqa: PLC0415 - not everywhere

    global _lock  # noqa: PLW0603 - another thread of the parent may have it
    _lock = threading.RLock()
    if _watched is not None:
        _watched.restart_in_child(LoopTable())
