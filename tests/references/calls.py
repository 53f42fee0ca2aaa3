"""Calls that must fail, and what makes them fail."""

from __future__ import annotations

import ctypes
import resource
import signal
import threading
from contextlib import contextmanager
from functools import partial
from operator import truediv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .counting import Case

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from .counting import Memory

__all__ = [
    "SLOW", "BadCall", "BadFloat", "BadIndex", "Huge", "NoErrorError", "bad_calls", "beside_a_thread",
    "c_function", "fails", "interrupted", "misaligned", "no_threads", "released",
]  # fmt: skip

SLOW = 3  # calls between two counts, if each takes 20 ms or more

# Arguments by position and by name, and the error that they cause.
BadCall = tuple[tuple[Any, ...], dict[str, Any], type[BaseException], str]


class NoErrorError(Exception):
    """A call that had to fail did not."""


# Objects whose methods are C functions: Python 3.11 breaks its own rules when the frame of
# a function is refused memory.


class BadIndex:
    __index__ = staticmethod(partial(truediv, 1, 0))


class BadFloat:
    __float__ = staticmethod(partial(truediv, 1, 0))


class Huge:
    __index__ = staticmethod(partial(pow, 10, 400))


def fails(
    error: type[BaseException], words: str, call: Callable[..., object], *args: object,
    **kwargs: object,
) -> Callable[[], None]:  # fmt: skip
    """Return a call that must end with an error whose message contains these words."""

    def attempt() -> None:
        try:
            call(*args, **kwargs)
        except error as caught:
            if words not in str(caught):
                raise
        else:
            raise NoErrorError(words)

    return attempt


class InterruptedCallError(Exception):
    """Error that a signal handler raises."""


def interrupted(
    call: Callable[..., object],
    *args: object,
    handler: Callable[[], object] | None = None,
    **kwargs: object,
) -> Callable[[], None]:
    """Return a call that a signal handler's exception must end."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        if handler is not None:
            handler()
        raise InterruptedCallError

    def attempt() -> None:
        signal.signal(signal.SIGALRM, handle)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.005)
            call(*args, **kwargs)
        except InterruptedCallError:
            pass
        else:
            raise NoErrorError("the call ended before the signal came")

    return attempt


@contextmanager
def no_threads() -> Iterator[None]:
    """Refuse memory for the stack of any new thread, and for whatever else is as large."""
    stack = 2**28  # more than any that a thread which is gone has left behind
    libc = ctypes.CDLL(None)
    attributes = ctypes.create_string_buffer(64)
    libc.pthread_getattr_default_np(attributes)
    libc.pthread_attr_setstacksize(attributes, ctypes.c_size_t(stack))
    if libc.pthread_setattr_default_np(attributes) != 0:
        raise OSError("the size of stacks can't be set")
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    space = pages * resource.getpagesize() + stack // 4
    resource.setrlimit(resource.RLIMIT_AS, (space, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def beside_a_thread(call: Callable[[], object]) -> Callable[[], None]:
    """Return the call beside another thread that runs Python code."""

    def attempt() -> None:
        ended = threading.Event()

        def run() -> None:
            while not ended.wait(0.001):
                pass

        thread = threading.Thread(target=run)
        thread.start()
        try:
            call()
        finally:
            ended.set()
            thread.join()

    return attempt


def misaligned(memory: Memory, code: str, *shape: int) -> memoryview:
    """Return memory at an odd address."""
    whole = memory.of("B", memoryview(memory.of(code, *shape)).nbytes + 1)
    return memory.add(memory.add(whole[1:]).cast(code, shape))  # type: ignore[call-overload]


def released() -> memoryview:
    """Return a buffer that refuses to be asked for."""
    view = memoryview(b"")
    view.release()
    return view


def c_function() -> int:
    """Return the address of a C function that takes anything and does nothing."""
    return ctypes.cast(ctypes.CDLL(None).labs, ctypes.c_void_p).value or 0


def bad_calls(
    name: str, call: Callable[..., object], calls: list[BadCall]
) -> Iterator[Case]:
    """Yield cases of one function with arguments that it must refuse."""
    for args, named, error, words in calls:
        yield Case(f"{name}: {words}", fails(error, words, call, *args, **named))
