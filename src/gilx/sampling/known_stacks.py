"""Comparison of a stack that the sampler reads with the one that is there."""

from __future__ import annotations

import os
import sys
import threading
from functools import cache, partial
from itertools import islice
from types import FunctionType
from typing import TYPE_CHECKING

from gilx._compat import gil_enabled
from gilx.errors import WatchUnavailableError, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    _Frame = tuple[str, str, int, int, int, int, int]
    _Position = tuple[int | None, int | None, int | None, int | None]
    _Step = Callable[[], str]

_DEPTH = 50
_CALLS_UNTIL_COPIED = 20
# One, two and four bytes a character, in CPython's strings.
_NAMES = ("na\u00efve", "\u6df1\u3044", "\U00020000 \U0001f40d")


def reason_against_stacks() -> str:
    """Return the reason that stacks cannot be read here, or ''.

    The environment variable ``GILX_STACKS`` says ``off`` in tests of watches without
    stacks.

    Raises
    ------
    WatchUnavailableError
        The variable says something else.

    """
    if setting := _setting():
        return setting
    try:
        return _reason()
    except RecursionError:
        return f"fewer than {_DEPTH} calls were left to Python's recursion limit"


def reason_against_frames() -> str:
    """Return the reason that single frames cannot be read without a GIL, or ''.

    Raises
    ------
    WatchUnavailableError
        As `reason_against_stacks`.

    """
    return _setting() or _reason_against_frames()


def reason_against_free_stacks() -> str:
    """Return the reason that whole stacks cannot be read without a GIL, or ''.

    Raises
    ------
    WatchUnavailableError
        As `reason_against_stacks`.

    """
    return reason_against_frames() or _reason_against_free_stacks()


def reason_against_reports() -> str:
    """Return the reason that a monitor's reports have no stacks here, or ''.

    Raises
    ------
    WatchUnavailableError
        As `reason_against_stacks`.

    """
    return reason_against_stacks() if gil_enabled() else reason_against_free_stacks()


def _setting() -> str:
    """Return the reason that the environment gives against reading stacks, or ''."""
    setting = os.environ.get("GILX_STACKS", "")
    if setting not in ("", "off"):
        raise WatchUnavailableError(f"GILX_STACKS: expected off, got {shown(setting)}")
    return "GILX_STACKS=off switches stacks off" if setting else ""


@cache
def _reason_against_frames() -> str:
    """Compare frames of several threads with what is read of them, once.

    Each thread but the first one runs a copy of the instructions, from the second call
    on at the latest.
    """
    found: list[str] = []

    def compare() -> None:
        try:
            found.extend(_compared_frame() for _ in range(_CALLS_UNTIL_COPIED))
        except WatchUnavailableError as error:
            found.append(str(error))

    compare()
    other = threading.Thread(target=compare, name="gilx test of frames")
    other.start()
    other.join()
    return next(filter(None, found), "")


def _compared_frame() -> str:
    """Return the reason that the innermost frame is not read as it is, or ''."""
    from gilx.sampling import _sampler  # noqa: PLC0415 - not in every installation

    code = sys._getframe().f_code  # noqa: SLF001 - what it is for
    line = sys._getframe().f_lineno + 1  # noqa: SLF001
    frame = _sampler.own_frame()
    name = (code.co_qualname, code.co_filename, code.co_firstlineno)
    if frame[:3] != name or frame[3] != line:
        return "Python's frames are not read rightly here"
    return ""


@cache
def _reason_against_free_stacks() -> str:
    """Compare stacks of several threads with what is read of them, once."""
    found: list[str] = []

    def compare() -> None:
        found.extend(_all_kinds(_compared_free_stack) for _ in range(2))

    compare()
    other = threading.Thread(target=compare, name="gilx test of stacks")
    other.start()
    other.join()
    return next(filter(None, found), "")


def _compared_free_stack() -> str:
    """Return the reason that the caller's stack is not read as it is, or ''."""
    from gilx.sampling import _sampler  # noqa: PLC0415 - not in every installation

    frame = sys._getframe()  # noqa: SLF001 - what it is for
    line = frame.f_lineno + 1
    stack = _sampler.own_free_stack()
    known = [(frame.f_code.co_qualname, frame.f_code.co_filename, line)]
    known += [(one[0], one[1], one[3]) for one in _frames(frame.f_back)]
    for number, expected in enumerate(known):
        if [(one[0], one[1], one[3]) for one in stack[number : number + 1]] != [expected]:
            return f"Python's stack is not read rightly here, at frame {number} of a test"
    return ""


@cache
def _reason() -> str:
    """Compare a stack that has all kinds of frames with what is read of it, once."""
    return _all_kinds(_read_and_compare)


def _all_kinds(step: _Step) -> str:
    """Return what a function finds that all kinds of frames call."""
    for name in _NAMES:
        step = partial(_named(name), step)
    for call in (_recursion, _in_class_body, _in_coroutine, _in_generator, _called_by_c):
        step = partial(call, step)
    try:
        return step()
    except WatchUnavailableError as error:
        return str(error)


def _read_and_compare() -> str:
    """Return the reason that the caller's stack is not read as it is, or ''."""
    from gilx.sampling import _sampler  # noqa: PLC0415 - not in every installation

    frame = sys._getframe()  # noqa: SLF001 - what it is for
    line = frame.f_lineno + 1
    stack = _sampler.own_stack()
    # Of the line's instructions, the call is one that ends last and begins first.
    code = frame.f_code
    call = max(
        (one for one in map(_position, code.co_positions()) if one[0] == line),
        key=lambda one: (one[3], -one[2]),
    )
    known = [(code.co_qualname, code.co_filename, code.co_firstlineno, *call)]
    known += _frames(frame.f_back)
    for number, expected in enumerate(known):
        if stack[number : number + 1] != [expected]:
            return f"Python's stack is not read rightly here, at frame {number} of a test"
    return ""


def _frames(frame: FrameType | None) -> Iterator[_Frame]:
    """Yield frames, from an inner one to the outermost that belongs to the comparison."""
    while frame is not None:
        code = frame.f_code
        at = next(islice(code.co_positions(), frame.f_lasti // 2, None))
        yield code.co_qualname, code.co_filename, code.co_firstlineno, *_position(at)
        frame = None if code is reason_against_stacks.__code__ else frame.f_back


def _position(position: _Position) -> tuple[int, int, int, int]:
    line, end_line, column, end_column = position
    return (
        line or 0,
        end_line or 0,
        -1 if column is None else column,
        -1 if end_column is None else end_column,
    )


# ---- kinds of frames ------------------------------------------------------------------


def _called_by_c(step: _Step) -> str:
    found: list[str] = []

    def key(_: int) -> int:
        found.append(step())
        return 0

    sorted([0], key=key)
    return found[0]


def _in_generator(step: _Step) -> str:
    return next(step() for _ in (0,))


def _in_coroutine(step: _Step) -> str:
    async def coroutine() -> str:
        return step()

    try:
        coroutine().send(None)
    except StopIteration as end:
        return str(end.value)
    return "a coroutine did not end"


def _in_class_body(step: _Step) -> str:
    class _Body:
        found = step()

    return _Body.found


def _recursion(step: _Step, depth: int = _DEPTH) -> str:
    return _recursion(step, depth - 1) if depth else step()


def _named(name: str) -> Callable[[_Step], str]:
    """Return a function with that name, in a file of that name."""
    code = _in_named_function.__code__.replace(
        co_name=name, co_qualname=name, co_filename=f"{name}.py"
    )
    return FunctionType(code, globals())


def _in_named_function(step: _Step) -> str:
    return step()
