"""Every function and type of the compiled modules, called with anything.

A kernel is given a problem's arguments, most of them good; what else there is gets values
by the names of its parameters. Every call of a kernel is made by two of its variants,
which must end alike: the same result, bit for bit, or the same words of the same error.
"""

from __future__ import annotations

import ctypes
import inspect
import operator
import pickle
import re
import sys
from dataclasses import dataclass
from functools import cache, partial
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np

import gilx
from gilx.ckernels import Counter
from gilx.errors import WatchUnavailableError

from .deadline import TooLongError, deadline
from .files import modules
from .values import (
    HostileError,
    Surroundings,
    any_value,
    buffer,
    guards_hold,
    integer,
    is_array,
    real,
)

if TYPE_CHECKING:
    from collections.abc import Callable
__all__ = ["entry_points", "fuzz"]

LONGEST = 0.05  # seconds of a call, after which a signal ends it
SIZES = (1, 2, 3, 5, 8)

# What calls may raise: no other error, and above all no SystemError.
_ALLOWED = (
    TypeError, ValueError, IndexError, BufferError, RuntimeError, MemoryError,
    AttributeError, OSError, OverflowError, HostileError, TooLongError, pickle.PicklingError,
)  # fmt: skip

# Of these, the words are not looked at.
_NAMELESS = HostileError, TooLongError, MemoryError, WatchUnavailableError

# Python's own words for objects that break its rules.
_OF_PYTHON = re.compile(
    r"takes (no|exactly|at (most|least))|cannot (create|pickle)|must be real number"
    r"|unexpected keyword|missing required|takes \d|not supported between|pickle"
    r"|positional argument|keyword argument|not subscriptable|not writable|readonly"
    r"|immutable type|object attribute|has no attribute|not callable|object is not"
)


@cache
def _kernels() -> frozenset[str]:
    return frozenset(gilx.kernels.names())


@cache
def _kernel_of(name: str) -> str | None:
    kernel, _, variant = name.rpartition("_")
    return kernel if kernel in _kernels() and variant in ("gil", "nogil") else None


def entry_points() -> list[Any]:
    """Return what the compiled modules of gilx offer, whether it is public or not."""
    return [
        value
        for module in modules(".so", ".pyd")
        for name, value in sorted(vars(module).items())
        if not name.startswith("__")
        and callable(value)
        and getattr(value, "__module__", None) in (module.__name__, None)
        # The constructors of named tuples are Python's own.
        and not (isinstance(value, type) and issubclass(value, tuple))
    ]


# ---- what a kernel is given -----------------------------------------------------------


@cache
def _problem(kernel: str, size: int) -> tuple[list[str], list[Any]]:
    """Return the names of a kernel's arguments, and good ones."""
    problem = gilx.kernels.get(kernel).problem(size)
    function = problem.kernel.function("c-gil")
    names = [*inspect.signature(function).parameters][:-3]
    return names, [*problem.inputs, problem.out]


def _counter(draw: Random, items: int, around: Surroundings) -> Any:
    """Return something in the place of a counter."""
    start, stop = sorted((draw.randint(0, items), draw.randint(0, items)))
    if draw.random() < 0.5:
        start, stop = 0, items
    memory: Any = None
    if draw.random() < 0.4:
        memory = np.zeros(Counter.MEMORY_SIZE, np.uint8)
        if draw.random() < 0.5:
            memory[:8] = np.frombuffer(draw.randbytes(8), np.uint8)
        arrays = [x for x in around.arrays if x.flags.writeable]
        if arrays and draw.random() < 0.2:
            memory = draw.choice(arrays)
    grain = draw.choice((1, 2, 3, 2**62, 2**63 - 1))
    try:
        counter = Counter(start, stop, grain, memory=memory)
    except (TypeError, ValueError, BufferError):  # an argument may be of any kind
        counter = Counter(start, stop, grain)
    if draw.random() < 0.1:
        counter.cancel()
    return counter


def _one(draw: Random, good: Any, around: Surroundings) -> Any:
    if isinstance(good, float):
        return real(draw, good, around)
    if isinstance(good, (int, np.integer)):
        return integer(draw, int(good), around)
    return buffer(draw, good, around)


def _arguments(
    draw: Random, kernel: str, around: Surroundings
) -> tuple[list[Any], dict[str, Any]]:
    names, good = _problem(kernel, draw.choice(SIZES))
    chance = draw.choice((0, 0.1, 0.3, 0.3, 0.6))
    given = []
    for value in good:
        if draw.random() < chance:
            given.append(_one(draw, value, around))
        elif isinstance(value, np.ndarray):
            given.append(buffer(draw, value, around, kind="good"))
            around.things += [given[-1]] * (draw.random() < 0.3)
        else:
            given.append(value)
    around.arrays = [x for x in given if type(x) is np.ndarray]
    items = len(good[-1])
    keywords: dict[str, Any] = {}
    if draw.random() < 0.3:
        keywords["start"] = integer(draw, draw.randint(0, items), around)
    if draw.random() < 0.3:
        keywords["stop"] = integer(draw, draw.randint(0, items), around)
    if draw.random() < 0.4:
        keywords["take"] = (
            _counter(draw, items, around)
            if draw.random() < 0.95
            else any_value(draw, around)
        )
    if draw.random() < 0.1:
        cut = draw.randint(0, len(given))
        keywords |= dict(zip(names[cut:], given[cut:], strict=True))
        del given[cut:]
    if draw.random() < 0.02:
        keywords[draw.choice(["", "no", "out", "\ud800"])] = 1
    if draw.random() < 0.02:
        given = given[: draw.randint(0, len(given))] + [1] * draw.randint(0, 5)
    return given, keywords


# ---- one call of a kernel -------------------------------------------------------------


@dataclass
class _End:
    """End of a call."""

    words: str
    out: bytes | None


def _references(objects: list[Any]) -> list[int]:
    return [sys.getrefcount(each) for each in objects]


def _compare_before_and_after(
    function: Any, given: list[Any], keywords: dict[str, Any], around: Surroundings
) -> _End:
    out = keywords.get("out", given[-1] if given else None)
    arrays = [x for x in (*given, *keywords.values()) if type(x) is np.ndarray]
    watched = out if is_array(out) and out.size < 100_000 else None
    before = None if watched is None else watched.tobytes()
    references = _references(arrays)
    error: BaseException | None = None
    result: object = None
    try:
        with deadline(LONGEST):
            result = function(*given, **keywords)
    except _ALLOWED as found:
        error = found.with_traceback(None)
    if isinstance(error, TooLongError):
        return _End("too long", None)
    text = f"{type(error).__name__}: {error}" if error else f"returned {result}"
    names = [
        *_problem(_kernel_of(function.__name__) or "", 1)[0],
        "start",
        "stop",
        "take",
    ]
    _check_words(error, [*names, function.__name__])
    if around.acted:
        return _End("hostile objects did something", None)
    assert _references(arrays) == references, f"references leak: {text}"
    after = None if watched is None else watched.tobytes()
    if isinstance(error, (TypeError, ValueError, IndexError, BufferError, HostileError)):
        assert before == after, f"something was written: {text}"
    if before is not None and after is not None and not error:
        _check_range(before, after, out, keywords, result)
    return _End(text, None if watched is None else _bits(watched))


def _bits(out: Any) -> bytes:
    """Return what variants have to agree on: all but which NaN a NaN is.

    Of two, which one a sum or product is depends on their order, which IEEE 754 and the C
    language leave to the compiler.
    """
    if out.dtype.kind == "f":
        out = np.where(np.isnan(out), np.nan, out)
    bits: bytes = out.tobytes()
    return bits


def _check_range(
    before: bytes, after: bytes, out: Any, keywords: dict[str, Any], result: object
) -> None:
    """Look whether anything was written outside of start to stop."""
    start, stop = keywords.get("start"), keywords.get("stop")
    low = 0 if start is None else operator.index(start)
    high = len(out) if stop is None else operator.index(stop)
    row = len(after) // max(1, len(out))
    assert before[: low * row] == after[: low * row], "written before start"
    assert before[high * row :] == after[high * row :], "written after stop"
    if keywords.get("take") is None:
        assert result == high - low, f"{result} items of {high - low}"


def _check_words(error: BaseException | None, names: list[str]) -> None:
    """Look whether an error names the argument that it is about."""
    if error is None or isinstance(error, _NAMELESS):
        return
    text = str(error)
    assert not isinstance(error, OverflowError), text
    assert any(name in text for name in names) or _OF_PYTHON.search(text), (
        f"the message names no argument: {type(error).__name__}: {text}"
    )


def _fuzz_kernel(draw: Random, variants: list[Any], kernel: str) -> int:
    """Call two variants of a kernel alike; returns how many calls were made."""
    seed = draw.getrandbits(64)
    ends = []
    for function in draw.sample(variants, 2):
        same = Random(seed)
        with Surroundings(same) as around:
            given, keywords = _arguments(same, kernel, around)
            ends.append(_compare_before_and_after(function, given, keywords, around))
        if not around.acted:
            assert all(guards_hold(each) for each in given), "written beside an array"
    first, second = ends
    if first.out is not None and second.out is not None:
        # How many arguments there are is said by Cython in its own words.
        counted = re.compile(r"_(no)?gil\(\)")
        if not (counted.search(first.words) and counted.search(second.words)):
            assert first.words == second.words, f"{first.words!r}, {second.words!r}"
        assert first.out == second.out, "variants differ"
    return 2


# ---- everything else ------------------------------------------------------------------


def _function_address() -> int:
    """Return the address of a C function that does nothing, whatever it is given."""
    return ctypes.cast(ctypes.CDLL(None).labs, ctypes.c_void_p).value or 0


def _small(most: int) -> Callable[[Random, Surroundings], Any]:
    """Return a maker of whole numbers that are wrong, or at most so large."""

    def make(draw: Random, around: Surroundings) -> Any:
        found = integer(draw, draw.randint(0, most), around)
        try:
            large = most < operator.index(found) < 2**25
        except Exception:
            return found
        return most if large else found

    return make


def _words(*words: str) -> Callable[[Random, Surroundings], Any]:
    return lambda draw, _: draw.choice((*words, "", "\ud800", None, 1))


def _memory(draw: Random, around: Surroundings) -> Any:
    return buffer(draw, np.zeros(draw.choice((0, 15, 16, 17, 99))), around)


def _kernel_tuple(draw: Random, around: Surroundings) -> Any:
    given, _ = _arguments(draw, draw.choice(sorted(_kernels())), around)
    return tuple(given) if draw.random() < 0.95 else given


# What to pass by the name of a parameter: an address or a number of threads must not be
# any number that comes along.
_BY_NAME: dict[str, Callable[[Random, Surroundings], Any]] = {
    "start": _small(20),
    "stop": _small(20),
    "grain": _small(20),
    "memory": _memory,
    "cell": _memory,
    "times": _small(10_000),
    "workers": _small(4),
    "spin_ns": _small(10_000),
    "cost": lambda draw, around: real(draw, draw.choice((0.01, 0.5, 1.0)), around),
    "reference": lambda draw, _: draw.choice((True, False, None, 0, "x")),
    "seed": _small(1000),
    "capacity": _small(1000),
    "hold_ns": _small(10_000),
    "release_ns": _small(10_000),
    "total_ns": _small(100_000),
    "timeout_ns": _small(100_000),
    "parties": _small(2),
    "rhythm": _words("fixed", "exponential"),
    "released": _words("spin", "sleep"),
    "kernel": lambda draw, _: draw.choice((*sorted(_kernels()), "", "\ud800", None, 1)),
    "arguments": _kernel_tuple,
    "function": lambda draw, _: draw.choice(
        (_function_address(), _function_address(), 0, None, "x", 1.5)
    ),
    "context": lambda draw, around: draw.choice((_memory(draw, around), 0, 2**64, -1)),
    "items": _small(1000),
    "native_id": _small(100_000),
    "name": _words("worker", "\n", 100 * "é"),
}


def _call_with_anything(draw: Random, function: Any, around: Surroundings) -> Any:
    """Call something with values that suit its parameters, or not; return what it does."""
    try:
        parameters = [
            each
            for each in inspect.signature(function).parameters.values()
            if each.name != "self"
        ]
    except (ValueError, TypeError):  # it has no signature that Python can read
        count = draw.randint(0, 3)
        return function(*(any_value(draw, around) for _ in range(count)))
    given, keywords = [], {}
    for each in parameters:
        if each.default is not each.empty and draw.random() < 0.6:
            if each.kind is not each.KEYWORD_ONLY:
                break
            continue
        make = _BY_NAME.get(each.name, any_value)
        value = any_value(draw, around) if draw.random() < 0.05 else make(draw, around)
        if each.name in ("function", "workers", "capacity"):
            value = make(draw, around)
        if each.kind is each.KEYWORD_ONLY:
            keywords[each.name] = value
        else:
            given.append(value)
    if draw.random() < 0.01:
        given.append(None)
    return function(*given, **keywords)


_EVERY_OBJECT: list[Callable[[Any], object]] = [
    repr, hash, dir, pickle.dumps, operator.index, len, list, str,
    lambda x: x == x,  # noqa: PLR0124 - to see whether it can be
    lambda x: x < 1, lambda x: setattr(x, "start", 1), lambda x: delattr(x, "start"),
    lambda x: type(x)(), lambda x: x(), memoryview,
]  # fmt: skip


def _attempt(words: list[str], action: Callable[[], Any]) -> Any:
    try:
        with deadline(LONGEST):
            return action()
    except TooLongError:
        return None
    except _ALLOWED as error:
        found = error.with_traceback(None)  # which has this frame, and so the error
    # What begins with an underscore is for the tests alone.
    if str(found) and not any(word.startswith("_") for word in words):
        _check_words(found, words)
    return None


def _all_names() -> list[str]:
    """Return the names of all parameters that are known."""
    kernels = [_problem(kernel, 1)[0] for kernel in sorted(_kernels())]
    return [*_BY_NAME, *(name for names in kernels for name in names)]


def _use_object(draw: Random, kind: Any, around: Surroundings) -> int:
    """Make an object and call its methods in any order; returns the number of calls."""
    words = [*_all_names(), kind.__name__, kind.__name__.lower(), "()"]
    made = _attempt(words, partial(_call_with_anything, draw, kind, around))
    if made is None:
        return 1
    names = [name for name in dir(kind) if not name.startswith("_")]
    calls = draw.randint(1, 8)
    for _ in range(calls):
        name = draw.choice(names) if names else ""
        if draw.random() < 0.1 or not name:
            _attempt(words, partial(draw.choice(_EVERY_OBJECT), made))
            continue
        value = getattr(made, name)
        if callable(value):
            _attempt([*words, name], partial(_call_with_anything, draw, value, around))
    if isinstance(made, Counter):
        _check_counter(made)
    return 1 + calls


def _check_counter(counter: Counter) -> None:
    """Look whether claims rise and stay within the counter's range."""
    claims: list[tuple[int, int]] = []
    while len(claims) < 50 and (claim := counter.take()) is not None:
        claims.append(claim)
    for start, stop in claims:
        assert counter.start <= start < stop <= counter.stop, f"{claims} of {counter}"
    for (_, end), (begin, _) in pairwise(claims):
        assert end == begin, f"{claims} of {counter}"


def fuzz(draw: Random, points: list[Any]) -> int:
    """Call one of the entry points; returns the number of calls.

    Raises
    ------
    AssertionError
        Something that must not be was found.

    """
    point = draw.choice(points)
    kernel = _kernel_of(point.__name__)
    if kernel is not None:
        variants = [each for each in points if _kernel_of(each.__name__) == kernel]
        return _fuzz_kernel(draw, variants, kernel)
    with Surroundings(draw) as around:
        if isinstance(point, type):
            return _use_object(draw, point, around)
        words = [*_BY_NAME, point.__name__, "()"]
        _attempt(words, partial(_call_with_anything, draw, point, around))
    return 1
