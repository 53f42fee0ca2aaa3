"""Values that a caller might pass, from good to hostile."""

# ruff: noqa: ARG001 - makers of values all take the same

from __future__ import annotations

import ctypes
import gc
import math
import sys
from array import array
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeGuard, cast

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

__all__ = [
    "HostileError",
    "Surroundings",
    "any_value",
    "buffer",
    "guards_hold",
    "integer",
    "is_array",
    "real",
]

Array = np.ndarray[Any, Any]


class HostileError(Exception):
    """Error that hostile objects raise: it has to come out unchanged."""


class Surroundings:
    """Parts of the call that hostile objects can reach.

    To be used in a ``with`` block, whose end makes it forget all: objects with
    ``__buffer__`` would be in cycles with it, and the garbage collector of Python 3.12
    may clear the view that such an object gave before what holds it is gone, and crash.

    Attributes
    ----------
    things : list
        Arguments that hostile objects may change.
    arrays : list of arrays
        The call's arrays, for memory that is to be shared.
    acted : bool
        Whether an object did something: then what was written proves nothing.

    """

    def __init__(self, draw: Random) -> None:
        self.draw = draw
        self.things: list[Any] = []
        self.arrays: list[Array] = []
        self.acted = False

    def __enter__(self) -> Surroundings:
        return self

    def __exit__(self, *_: object) -> None:
        self.things.clear()
        self.arrays.clear()

    def act(self) -> None:
        """Do to another argument what one shouldn't."""
        self.acted = True
        if self.draw.random() < 0.005:
            gc.collect()
        for thing in self.things:
            # It may be exported, or was released.
            with suppress(BufferError, ValueError, TypeError):
                vandalize(thing, self.draw)


def vandalize(thing: Any, draw: Random) -> None:
    """Resize, release, cancel or overwrite something, if it can be."""
    if isinstance(thing, (bytearray, array)):
        if draw.random() < 0.5:
            thing *= 2
        else:
            del thing[len(thing) // 2 :]
    elif isinstance(thing, memoryview):
        thing.release()
    elif isinstance(thing, np.ndarray):
        if thing.flags.writeable and 0 < thing.nbytes < 100_000:
            thing.view(np.uint8).flat[:] = draw.randrange(256)
    elif hasattr(thing, "cancel"):
        thing.take()
        if draw.random() < 0.2:
            thing.cancel()


class Conversion:
    """Effect of a conversion to a number, and its result or error."""

    def __init__(self, result: object, around: Surroundings) -> None:
        self.result, self.around = result, around

    def convert(self) -> Any:
        self.around.act()
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


class Index(Conversion):
    """An object with `__index__`."""

    __index__ = Conversion.convert


class Float(Conversion):
    """An object with `__float__`."""

    __float__ = Conversion.convert


class Pretender:
    """An object that lies about its class and has nothing of it."""

    def __init__(self, pretended: type) -> None:
        self.pretended = pretended

    @property
    def __class__(self) -> Any:
        return self.pretended

    @__class__.setter
    def __class__(self, value: object) -> None:
        raise HostileError


class Exporter:
    """An object with `__buffer__` (which Python calls from 3.12 on)."""

    def __init__(self, inner: Any, way: str, around: Surroundings) -> None:
        self.inner, self.way, self.around = inner, way, around
        self.asked = 0

    def __buffer__(self, flags: int) -> Any:
        self.asked += 1
        self.around.act()
        if self.way == "raise":
            raise HostileError
        if self.way == "no view":
            return self.inner
        if self.way == "once" and self.asked > 1:
            return memoryview(self.inner).cast("B")[:1]
        if self.way == "narrow":
            return memoryview(self.inner).cast("B")[1:]
        return memoryview(self.inner)

    def __release_buffer__(self, view: memoryview) -> None:
        self.around.act()
        if self.way == "raise late":
            raise HostileError
        view.release()


class Number(int):
    """An int that isn't quite one."""

    def __index__(self) -> int:
        raise HostileError


_EDGES = [
    *(sign * 2**bits + more for sign in (1, -1) for bits in (31, 32, 53, 62, 63, 64)
      for more in (-1, 0, 1)),
    *(0, 1, -1, 2, 255, 256, 10**30, -(10**30), 10**400),
]  # fmt: skip


def integer(draw: Random, good: int, around: Surroundings) -> Any:
    """Return something in the place of a whole number."""
    near = good + draw.choice((0, 0, 1, -1, 7))
    edge = draw.choice(_EDGES)
    bad = draw.choice([None, 1.5, "1", HostileError()])
    choices: list[Any] = [
        *(near, edge, edge, Index(near, around), Index(edge, around), Index(bad, around)),
        *(np.int64(max(-(2**63), min(near, 2**63 - 1))), np.array(7), Number(1)),
        *(float(draw.choice((0, 1, math.nan, math.inf))), bool(near)),
    ]
    return draw.choice(choices)


def real(draw: Random, good: float, around: Surroundings) -> Any:
    """Return something in the place of a real number."""
    edges = (0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, -1e308, 1e308, 2.0**63)
    edge = draw.choice(edges)
    choices: list[Any] = [
        *(good, edge, edge, draw.choice(_EDGES), np.float32(0.5)),
        Float(draw.choice([good, math.nan, None, "1", HostileError()]), around),
        Index(draw.choice([1, 10**400, HostileError()]), around),
        draw.choice([1j, "1", b"1", None]),
    ]
    return draw.choice(choices)


def is_array(given: object) -> TypeGuard[Array]:
    """Return whether something is an array: some objects only say so."""
    return issubclass(type(given), np.ndarray)


class Guarded(np.ndarray[Any, Any]):
    """Memory that begins and ends with guards."""


def _copy(good: Array) -> Array:
    """Return a copy with guards before and behind it, which `guards_hold` looks at."""
    memory = Guarded(good.nbytes + 128, np.uint8)
    memory[...] = 0xA5
    inner = memory.view(np.ndarray)[64 : 64 + good.nbytes]
    inner = inner.view(good.dtype).reshape(good.shape)
    inner[...] = good
    return inner


def guards_hold(given: object) -> bool:
    """Return whether nothing was written beside something, if it is a guarded copy."""
    memory = given
    while is_array(memory) and memory.base is not None:
        memory = memory.base
    if memory is given or type(memory) is not Guarded:
        return True
    return bool((memory[:64] == 0xA5).all() and (memory[-64:] == 0xA5).all())


def buffer(draw: Random, good: Any, around: Surroundings, *, kind: str = "") -> Any:
    """Return something in the place of an array.

    Parameters
    ----------
    draw : Random
        Where choices come from.
    good : array
        What a caller should pass, or would if he had an array.
    around : Surroundings
        What hostile objects act on.
    kind : str
        ``"good"`` for a guarded copy and nothing else.

    """
    good = np.asarray(good)
    array_ = _copy(good)
    if kind == "good":
        return array_
    return draw.choice(_BUFFERS)(draw, array_, around)


def _other_form(draw: Random, good: Array, around: Surroundings) -> Any:
    data = good.tobytes()
    resizable: Any = bytearray(data)
    around.things.append(resizable)
    view = memoryview(resizable)
    code = good.dtype.char
    forms: list[Callable[[], Any]] = [
        lambda: data,
        lambda: resizable,
        lambda: memoryview(cast("Any", good)),
        lambda: memoryview(cast("Any", good)).toreadonly(),
        lambda: array(code, data) if code in "bBhHiIlLqQfd" else data,
        lambda: (ctypes.c_double * (len(data) // 8)).from_buffer_copy(data),
        lambda: (ctypes.c_int64.__ctype_be__ * (len(data) // 8)).from_buffer_copy(data),
        lambda: ctypes.c_double(1.0),
    ]
    if good.size and good.dtype.char in "Bilqd":
        forms += [lambda: view.cast("B").cast(code, good.shape)] * 3
    result = draw.choice(forms)()
    if result is not resizable:
        around.things.append(result)
    return result


def _other_type(draw: Random, good: Array, around: Surroundings) -> Any:
    kinds = [
        "f4",
        "f8",
        ">f8",
        "<i4",
        ">i4",
        "i8",
        "u8",
        "i2",
        "u1",
        "i1",
        "c16",
        "?",
        "O",
        "U3",
        "S2",
        "M8[s]",
        "V8",
        "f2",
        "q",
        "l",
    ]
    return np.zeros(good.shape, np.dtype(draw.choice(kinds)))


def _other_shape(draw: Random, good: Array, around: Surroundings) -> Any:
    shape = list(good.shape)
    if draw.random() < 0.2:
        shape = []
    elif draw.random() < 0.3:
        shape.insert(draw.randrange(len(shape) + 1), draw.choice((0, 1, 2)))
    else:
        shape[draw.randrange(len(shape))] += draw.choice((-1, 1, 1, 100))
        shape = [max(0, size) for size in shape]
        if draw.random() < 0.3:
            shape[draw.randrange(len(shape))] = 0
    return np.zeros(shape, good.dtype)


def _huge(draw: Random, good: Array, around: Surroundings) -> Any:
    """Return an array of far more items than there is memory for."""
    size = draw.choice((2**20, 2**31, 2**32 + 1, 2**50, 2**59, 2**60 - 1))
    if draw.random() < 0.5:  # of no bytes at all
        return np.empty(draw.choice(((size, 0), (0, size))), good.dtype)
    size = min(size, (2**63 - 1) // max(1, good.itemsize))
    flat: tuple[int, ...] = (size,)
    shape = flat if good.ndim < 2 else draw.choice(((size, 1), (1, size)))
    one = np.zeros(1, good.dtype)
    return np.lib.stride_tricks.as_strided(
        one, shape, (0,) * len(shape), writeable=draw.random() < 0.9
    )


def _strided(draw: Random, good: Array, around: Surroundings) -> Any:
    wide = np.zeros([2 * size for size in good.shape], good.dtype)
    views: list[Callable[[], Any]] = [
        lambda: wide[tuple(slice(None, None, 2) for _ in good.shape)],
        lambda: good[::-1],
        lambda: np.asfortranarray(good),
        lambda: good.T,
        lambda: np.broadcast_to(good[:1], good.shape) if good.shape[0] else good,
        lambda: good[:0],
        lambda: (
            np.zeros(good.nbytes + 1, np.uint8)[1:].view(good.dtype).reshape(good.shape)
        ),
    ]
    return draw.choice(views)()


def _read_only(draw: Random, good: Array, around: Surroundings) -> Any:
    good.flags.writeable = False
    return good


def _shared(draw: Random, good: Array, around: Surroundings) -> Any:
    """Return memory of another argument, all of it or from somewhere on."""
    for other in draw.sample(around.things, len(around.things)):
        if isinstance(other, np.ndarray) and other.flags.c_contiguous and other.nbytes:
            whole = other.reshape(-1).view(np.uint8)
            begin = draw.choice((0, 0, 8, 64)) % (whole.nbytes + 1)
            room = (whole.nbytes - begin) // max(1, good.itemsize)
            part = whole[begin : begin + room * good.itemsize].view(good.dtype)
            return part[: good.size].reshape(good.shape) if room >= good.size else part
    return good


def _released(draw: Random, good: Array, around: Surroundings) -> Any:
    view = memoryview(cast("Any", good))
    view.release()
    return view


def _exporter(draw: Random, good: Array, around: Surroundings) -> Any:
    ways = ("plain", "raise", "no view", "narrow", "raise late", "once")
    return Exporter(good, draw.choice(ways), around)


def _random_content(draw: Random, good: Array, around: Surroundings) -> Any:
    if good.nbytes:
        data = np.frombuffer(draw.randbytes(good.nbytes), np.uint8)
        good.reshape(-1).view(np.uint8)[:] = data
    return good


def _later_vandalized(draw: Random, good: Array, around: Surroundings) -> Any:
    around.things.append(good)
    return good


def _no_buffer(draw: Random, good: Array, around: Surroundings) -> Any:
    return any_value(draw, around)


_BUFFERS: list[Callable[[Random, Array, Surroundings], Any]] = [
    _other_form, _other_form, _other_type, _other_shape, _huge, _strided, _read_only,
    _shared, _released, _exporter, _random_content, _random_content, _later_vandalized,
    _no_buffer,
]  # fmt: skip


def any_value(draw: Random, around: Surroundings) -> Any:
    """Return something that nobody should pass here."""
    choices: list[Any] = [
        *(None, [], [1.0, 2.0], math.nan, (1, 2, 3), {"a": 1}, np.zeros(3)),
        draw.choice(_EDGES),
        draw.choice(("", "start", "\0", "\ud800", "x" * 1000, b"", b"\xff")),
        draw.choice((int, type, object, sys, len, ...)),
        Pretender(draw.choice((np.ndarray, int, bytes, type(None)))),
        *(Index(1, around), Float(1.0, around)),
    ]
    return draw.choice(choices)
