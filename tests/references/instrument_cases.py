"""Calls of the work counter, the increments, spin() and the meeting places."""

from __future__ import annotations

import ctypes
import gc
from functools import partial
from typing import TYPE_CHECKING, Any

from .calls import SLOW, BadCall, BadIndex, bad_calls, fails, interrupted, misaligned
from .counting import Case

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .counting import Memory

__all__ = ["counters", "increments", "parts", "spins"]


def bad_memory(
    memory: Memory, name: str, size: int
) -> Iterator[tuple[Any, type[BaseException], str]]:
    """Yield objects that are not plain memory of so many bytes, and the error that it causes."""
    yield 3, TypeError, f"{name}: expected a writable"
    yield bytes(size), BufferError, f"{name}: expected a writable"
    yield (
        memory.add(memory.of("B", 2 * size)[::2]),
        BufferError,
        f"{name}: expected a wri",
    )
    yield memory.of("B", size - 1), ValueError, f"{name}: expected at least"
    yield misaligned(memory, "B", size), ValueError, f"{name}: expected memory aligned"
    for kind in (ctypes.py_object, ctypes.c_char_p, ctypes.c_void_p):
        yield (kind * size)(), TypeError, f"{name}: expected plain memory"


_BAD_COUNTERS: list[BadCall] = [
    ((1,), {}, TypeError, "stop"),
    ((-1, 3), {}, ValueError, "start: expected 0 to"),
    ((0, "3"), {}, TypeError, "stop: expected an integer"),
    ((0, 3, 0), {}, ValueError, "grain: expected 1 to"),
    ((4, 3), {}, ValueError, "start: expected at most stop"),
    ((BadIndex(), 3), {}, ZeroDivisionError, "division by zero"),
]


def counters(memory: Memory) -> Iterator[Case]:
    """Yield calls of the work counter."""
    from gilx.ckernels import Counter

    def use() -> None:
        counter = Counter(1, 9, 3)
        while counter.take() is not None:
            repr(counter)
        counter.cancel()
        _ = counter.start, counter.stop, counter.grain
        _ = counter.remaining, counter.cancelled, Counter.MEMORY_SIZE

    yield Case("use", use)
    own = memory.of("B", Counter.MEMORY_SIZE)
    yield Case("memory", lambda: Counter(0, 9, memory=own).take())
    yield Case("no memory", lambda: Counter(0, 9, memory=None).take())

    def cycle() -> None:
        class Owner(bytearray):
            counter: Counter

        owner = Owner(Counter.MEMORY_SIZE)
        owner.counter = Counter(0, 9, memory=owner)
        del owner
        gc.collect()

    yield Case("cycle through the memory", cycle)
    yield from bad_calls("Counter", Counter, _BAD_COUNTERS)
    for given, error, words in bad_memory(memory, "memory", Counter.MEMORY_SIZE):
        call = fails(error, words, Counter, 0, 3, memory=given)
        yield Case(f"bad memory: {words}, {type(given).__name__}", call)


def increments(memory: Memory) -> Iterator[Case]:
    """Yield calls of the three increments of a shared counter."""
    from gilx import ckernels

    for name in ("increment_gil", "increment_nogil", "increment_atomic"):
        function = getattr(ckernels, name)
        cell = memory.of("Q", 1)
        yield Case(name, partial(function, cell, 100))
        cell = memory.of("Q", 1)
        call = interrupted(function, cell=cell, times=10**18)
        yield Case(f"{name}, interrupted", call, SLOW)
        yield Case(f"{name} without arguments", fails(TypeError, "cell", function))
        cell = memory.of("Q", 1)
        words = "times: expected 0 to"
        yield Case(f"{name}: {words}", fails(ValueError, words, function, cell, -1))
        for given, error, words in bad_memory(memory, "cell", 8):
            call = fails(error, words, function, given, 1)
            yield Case(f"{name}: {words}, {type(given).__name__}", call)


_BAD_SPINS: list[BadCall] = [
    ((1,), {}, TypeError, "release_ns"),
    ((0, 0, 1), {}, ValueError, "hold_ns: expected at least 1"),
    ((-1, 0, 1), {}, ValueError, "hold_ns: expected 0 to"),
    ((1, "0", 1), {}, TypeError, "release_ns: expected an integer"),
    ((1, 0, 10**19), {}, ValueError, "total_ns: expected 0 to"),
    ((1, 0, 1), {"rhythm": "x"}, ValueError, "rhythm: expected"),
    ((1, 0, 1), {"released": 3}, ValueError, "released: expected"),
    ((1, 0, 1), {"seed": -1}, ValueError, "seed: expected"),
]

_BAD_MEETINGS: list[BadCall] = [
    ((), {}, TypeError, "parties"),
    ((0, 0), {}, ValueError, "parties: expected 1 to"),
    ((1, -1), {}, ValueError, "timeout_ns: expected 0 to"),
]


def spins(_memory: Memory) -> Iterator[Case]:
    """Yield calls of spin() and of the rendezvous."""
    from gilx import ckernels

    spin: Any = ckernels.spin
    exponential = {"rhythm": "exponential", "released": "sleep", "seed": 3}
    yield Case("spin", partial(spin, 1000, 1000, 20_000))
    yield Case("spin, exponential", partial(spin, 1000, 1000, 20_000, **exponential))
    yield Case("spin, held", partial(spin, 1000, 0, 10_000))
    for release in (0, 10**9):
        call = interrupted(spin, 10**9 - release, release, 10**18)
        yield Case(f"spin, interrupted, {release} ns released", call, SLOW)
    yield from bad_calls("spin", spin, _BAD_SPINS)
    for name in ("rendezvous_gil", "rendezvous_nogil"):
        meet = getattr(ckernels, name)
        yield Case(name, partial(meet, 1, 0))
        yield Case(f"{name}, too few", partial(meet, 2, 100))
        yield Case(f"{name}, interrupted", interrupted(meet, 2, 10**18), SLOW)
        yield from bad_calls(name, meet, _BAD_MEETINGS)


def parts(_memory: Memory) -> Iterator[Case]:
    """Yield calls of functions that are for the tests alone."""
    from gilx import ckernels

    module: Any = ckernels
    for name in ("_exp", "_log", "_normal"):
        function = getattr(module, name)
        yield Case(name, partial(function, 0.5))
        yield Case(f"{name} of a word", fails(TypeError, "x: expected", function, "1"))
    yield Case("_philox", partial(module._philox, (1, 2, 3, 4), (5, 6)))
    yield Case("_philox of nothing", fails(TypeError, "_philox", module._philox))
    yield Case("_instruction_sets", module._instruction_sets)
    function = module._instruction_set
    yield Case("_instruction_set", lambda: function(function()))
    yield Case("_instruction_set of no name", fails(ValueError, "name:", function, "x"))
    yield Case("_instruction_set of 1", fails(TypeError, "_instruction_set", function, 1))
