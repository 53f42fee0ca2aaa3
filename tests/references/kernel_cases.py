"""Calls of the kernels, in both languages and variants."""

from __future__ import annotations

import ctypes
import importlib
import mmap
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from gilx.kernels import names

from .calls import (
    SLOW,
    BadCall,
    BadFloat,
    BadIndex,
    Huge,
    bad_calls,
    beside_a_thread,
    fails,
    interrupted,
    misaligned,
    released,
)
from .counting import Case

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .counting import Memory

__all__ = ["KERNELS", "bad_arguments", "endless_arguments", "good_arguments", "kernels"]

KERNELS = names()


def good_arguments(kernel: str, memory: Memory) -> dict[str, Any]:
    """Return arguments that a kernel takes, by name: numbers as they are, else memory."""
    arguments: dict[str, dict[str, Any]] = {
        "mandelbrot": {"re": "d 5", "im": "d 4", "max_iter": 10, "out": "i 4 5"},
        "nbody": {
            "x": "d 2", "y": "d 2", "z": "d 2", "mass": "d 2", "softening": 1,
            "out": "d 2 3",
        },
        "matmul": {"a": "d 2 3", "b": "d 3 4", "out": "d 2 4"},
        "collatz": {"first": 7, "out": "i 5"},
        "primes": {"limit": 100, "segment": 10, "out": "q 10"},
        "montecarlo": {
            "spot": 100, "strike": 105.0, "rate": 0.02, "volatility": 0.25, "years": 1.5,
            "paths": 21, "block": 10, "seed": 0, "out": "d 3 2",
        },
        "histogram": {"data": "B 25", "block": 10, "out": "q 3 256"},
        "triad": {"b": "d 9", "c": "d 9", "scalar": 2.0, "out": "d 9"},
        "heat": {"u": "d 4 3", "rate": 0.2, "out": "d 4 3"},
        "levenshtein": {
            "a": "B 6", "a_offsets": "q 3", "b": "B 6", "b_offsets": "q 3", "out": "i 2",
        },
    }  # fmt: skip
    return {
        name: memory.of(value[0], *map(int, value[2:].split()))
        if isinstance(value, str)
        else value
        for name, value in arguments[kernel].items()
    }


def endless_arguments(memory: Memory) -> dict[str, Any]:
    """Return arguments with which mandelbrot takes as long as one likes."""
    return good_arguments("mandelbrot", memory) | {"max_iter": 2**31 - 1}


class Refusing:
    """An object whose buffer Python code refuses to give, from Python 3.12 on."""

    def __buffer__(self, flags: int) -> memoryview:
        raise BufferError(flags)


REFUSAL: tuple[type[Exception], str] = (
    (BufferError, "im: expected a C-contiguous buffer of float64: ")
    if sys.version_info >= (3, 12)
    else (TypeError, "im: expected a C-contiguous buffer of float64, got Refusing")
)


def bad_arguments(
    memory: Memory,
) -> Iterator[tuple[str, dict[str, Any], type[BaseException], str]]:
    """Yield a kernel, changes to its good arguments, and the error that they cause."""
    of, add = memory.of, memory.add
    # Arrays, in the order of the checks.
    yield "mandelbrot", {"re": [1.0]}, TypeError, "re: expected a C-contiguous buffer"
    yield "mandelbrot", {"im": released()}, BufferError, "im: expected a C-contiguous"
    yield "mandelbrot", {"im": Refusing()}, *REFUSAL
    yield "mandelbrot", {"re": of("f", 5)}, TypeError, "re: expected items of type"
    foreign = (ctypes.c_double.__ctype_be__ * 5)()
    yield "mandelbrot", {"re": foreign}, TypeError, "re: expected native byte order"
    yield "mandelbrot", {"re": of("d", 5, 1)}, ValueError, "re: expected 1 dimension"
    strided = add(of("d", 10)[::2])
    yield "mandelbrot", {"re": strided}, BufferError, "re: expected a C-contiguous buffer"
    yield "mandelbrot", {"out": of("i", 5, 4)}, ValueError, "out: expected shape"
    fixed = add(of("i", 4, 5).toreadonly())
    yield "mandelbrot", {"out": fixed}, BufferError, "out: expected a writable buffer"
    odd = misaligned(memory, "i", 4, 5)
    yield "mandelbrot", {"out": odd}, ValueError, "out: expected memory aligned"
    shared = of("d", 9)
    yield "triad", {"b": shared, "out": shared}, ValueError, "out: expected memory apart"
    # Numbers.
    yield "mandelbrot", {"max_iter": 1.5}, TypeError, "max_iter: expected an integer"
    yield "mandelbrot", {"max_iter": -1}, ValueError, "max_iter: expected 0 to"
    yield "mandelbrot", {"max_iter": 10**400}, ValueError, "beyond 64 bits"
    yield "mandelbrot", {"max_iter": BadIndex()}, ZeroDivisionError, "division by zero"
    yield "nbody", {"softening": "1"}, TypeError, "softening: expected a float"
    yield "nbody", {"softening": 10**400}, ValueError, "softening: expected a float"
    yield "nbody", {"softening": Huge()}, ValueError, "softening: expected a float"
    yield "nbody", {"softening": BadFloat()}, ZeroDivisionError, "division by zero"
    # Ranges.
    yield "triad", {"start": -1}, IndexError, "start: expected 0 to 9"
    yield "triad", {"stop": 10}, IndexError, "stop: expected 0 to 9"
    yield "triad", {"start": 3, "stop": 2}, ValueError, "start: expected at most stop"
    yield "triad", {"take": 3}, TypeError, "take: expected a gilx.ckernels.Counter"
    # Offsets.
    nothing = of("q", 0)
    yield "levenshtein", {"a_offsets": nothing}, ValueError, "expected at least 1 items"
    offsets = of("q", 3)
    offsets[1] = 7
    yield "levenshtein", {"b_offsets": offsets}, IndexError, "b_offsets: expected offsets"
    long = add(memoryview(mmap.mmap(-1, 2**31 + 64)))  # no page of it is ever touched
    offsets = of("q", 3)
    offsets[1] = offsets[2] = 2**31
    changes = {"a": long, "a_offsets": offsets}
    yield "levenshtein", changes, ValueError, "a_offsets: expected strings of at most"


_BAD_TRIADS: list[BadCall] = [
    ((1,) * 9, {}, TypeError, "positional arguments"),
    ((1,), {"grain": 1}, TypeError, "keyword argument"),
    ((1,), {"b": 1}, TypeError, "multiple values for"),
    ((1,), {"c": 1}, TypeError, "triad"),
]


def kernels(language: str, variant: str, memory: Memory) -> Iterator[Case]:
    """Yield calls of all kernels of a module in a variant."""
    from gilx.ckernels import Counter

    module = importlib.import_module(f"gilx.{language}kernels")
    functions = {kernel: getattr(module, f"{kernel}_{variant}") for kernel in KERNELS}
    for kernel, function in functions.items():
        good = good_arguments(kernel, memory)
        yield Case(kernel, partial(function, **good))
        good = good_arguments(kernel, memory)
        items = len(good["out"])
        yield Case(f"{kernel} by position", partial(function, *good.values(), 1, items))
        good = good_arguments(kernel, memory) | {"start": 0, "stop": None}

        def taking(
            function: Any = function, good: dict[str, Any] = good, items: int = items
        ) -> None:
            function(**good, take=Counter(0, items))

        yield Case(f"{kernel} taking from a counter", taking)
    for kernel, changes, error, words in bad_arguments(memory):
        arguments = good_arguments(kernel, memory) | changes
        bad = "".join(sorted(changes.keys() & {"out"} or changes.keys()))
        yield Case(
            f"{kernel} with bad {bad}: {words}",
            fails(error, words, functions[kernel], **arguments),
        )
    triad = functions["triad"]
    yield from bad_calls("triad", triad, _BAD_TRIADS)
    good = good_arguments("triad", memory) | {"take": Counter(0, 10)}
    words = "take: expected a counter within"
    yield Case(
        "triad with a counter beyond stop", fails(ValueError, words, triad, **good)
    )
    good = {**{name: memory.of("d", 40) for name in ("b", "c", "out")}, "scalar": 1}

    def on_output() -> None:
        take = Counter(0, 40, memory=good["out"])
        fails(
            ValueError, "take: expected a counter on memory", triad, **good, take=take
        )()

    yield Case("triad with a counter on its output", on_output, runs_python=True)
    endless = endless_arguments(memory)
    mandelbrot = functions["mandelbrot"]
    yield Case("mandelbrot, interrupted", interrupted(mandelbrot, **endless), SLOW)
    endless = endless_arguments(memory)

    def interrupted_taking() -> None:
        interrupted(mandelbrot, **endless, take=Counter(0, 4))()

    yield Case("mandelbrot, interrupted on a counter", interrupted_taking, SLOW)
    endless = endless_arguments(memory)
    held = interrupted(mandelbrot, **endless)
    # Beside a thread that wants the GIL, too.
    yield Case("mandelbrot, interrupted beside a thread", beside_a_thread(held), SLOW)
