"""Comparison of stacks that the sampler reads with known ones."""

from __future__ import annotations

import os
import sys
from functools import cache
from itertools import islice
from types import FunctionType
from typing import TYPE_CHECKING

from gilx.errors import WatchUnavailableError, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    _Frame = tuple[str, str, int, int, int, int, int]

_FEW = 4  # frames that are compared
_DEPTH = 50
# One, two and four bytes a character, in CPython's strings.
_NAMES = ("na\u00efve", "\u6df1\u3044", "\U0001f40d deep")


def reason_against_stacks() -> str:
    """Return the reason that stacks cannot be read here, or ''.

    The environment variable ``GILX_STACKS`` says ``off`` in tests of watches without
    stacks.

    Raises
    ------
    WatchUnavailableError
        The variable says something else.

    """
    setting = os.environ.get("GILX_STACKS", "")
    if setting not in ("", "off"):
        raise WatchUnavailableError(f"GILX_STACKS: expected off, got {shown(setting)}")
    return "GILX_STACKS=off switches stacks off" if setting else _reason()


@cache
def _reason() -> str:
    """Compare known stacks of this thread with those that are read, once."""
    from gilx.sampling import _sampler  # noqa: PLC0415 - not in every installation

    if not hasattr(_sampler, "own_stack"):
        return "this build reads no stacks"
    try:
        for name, reads_stack in _cases():
            if not reads_stack():
                return f"Python stacks are not read rightly here: that of {name} was not"
    except WatchUnavailableError as error:
        return str(error)
    return ""


def _reads_own_stack(frames: int = _FEW) -> bool:
    """Return whether so many frames of the caller's stack are read as they are."""
    from gilx.sampling import _sampler  # noqa: PLC0415 - not in every installation

    frame = sys._getframe()  # noqa: SLF001 - what it is for
    line = frame.f_lineno + 1
    stack = _sampler.own_stack()
    here, expected = frame.f_code, list(islice(_frames(frame.f_back), frames))
    # Of all instructions of the line, the call is one that ends last and begins first.
    call = max(
        (one for one in map(_position, here.co_positions()) if one[0] == line),
        key=lambda one: (one[3], -one[2]),
    )
    known = [(here.co_qualname, here.co_filename, here.co_firstlineno, *call), *expected]
    return stack[: len(known)] == known


def _frames(frame: FrameType | None) -> Iterator[_Frame]:
    while frame is not None:
        code = frame.f_code
        positions = code.co_positions()
        at = next(islice(positions, frame.f_lasti // 2, None))
        yield code.co_qualname, code.co_filename, code.co_firstlineno, *_position(at)
        frame = frame.f_back


def _position(
    position: tuple[int | None, int | None, int | None, int | None],
) -> tuple[int, int, int, int]:
    line, end_line, column, end_column = position
    return (
        line or 0,
        end_line or 0,
        -1 if column is None else column,
        -1 if end_column is None else end_column,
    )


def _cases() -> Iterator[tuple[str, Callable[[], bool]]]:
    """Yield kinds of stacks: a name of each, and a function that reads one."""
    yield "nested functions", _nested
    yield "a function that C code calls", _called_by_c
    yield "a generator", lambda: next(_generator())
    yield "a coroutine", _step_of_coroutine
    yield "a class body", _in_class_body
    yield f"a recursion {_DEPTH} deep", lambda: _recursion(_DEPTH)
    for name in _NAMES:
        yield f"a function named {name!a}", _named(name)


def _nested() -> bool:
    return _reads_own_stack(4 * _FEW)


def _called_by_c() -> bool:
    found: list[bool] = []

    def key(_: int) -> int:
        found.append(_reads_own_stack())
        return 0

    sorted([0], key=key)
    return found == [True]


def _generator() -> Iterator[bool]:
    yield _reads_own_stack()


async def _coroutine() -> bool:
    return _reads_own_stack()


def _step_of_coroutine() -> bool:
    try:
        _coroutine().send(None)
    except StopIteration as end:
        return bool(end.value)
    return False


def _in_class_body() -> bool:
    class Body:
        found = _reads_own_stack()

    return Body.found


def _recursion(depth: int) -> bool:
    return _recursion(depth - 1) if depth else _reads_own_stack(_DEPTH + _FEW)


def _named(name: str) -> Callable[[], bool]:
    """Return a function with that name, in a file of that name."""
    code = _nested.__code__.replace(
        co_name=name, co_qualname=name, co_filename=f"{name}.py"
    )
    return FunctionType(code, globals())
