"""Every bad argument: an error that names it, the same from both modules, nothing written."""

from __future__ import annotations

import array
import ctypes
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import gilx
from gilx import ckernels, cykernels
from gilx.ckernels import Counter
from tests.implementations import IMPLEMENTATIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.implementations import Implementation

pytestmark = pytest.mark.concurrent_callers


class HostileIndex:
    def __index__(self) -> int:
        raise ZeroDivisionError("from __index__")


def grid(**changes: Any) -> dict[str, Any]:
    """Good arguments of mandelbrot, but for the changes."""
    good = {
        "re": np.linspace(-2, 1, 5),
        "im": np.linspace(-1, 1, 4),
        "max_iter": 10,
        "out": np.full((4, 5), -7, np.int32),
    }
    return good | changes


def pairs(**changes: Any) -> dict[str, Any]:
    """Good arguments of levenshtein, but for the changes."""
    good = {
        "a": np.zeros(6, np.uint8),
        "a_offsets": np.array([0, 2, 6]),
        "b": np.zeros(6, np.uint8),
        "b_offsets": np.array([0, 3, 6]),
        "out": np.full(2, -7, np.int32),
    }
    return good | changes


def bodies(**changes: Any) -> dict[str, Any]:
    """Good arguments of nbody, but for the changes."""
    good = {name: np.zeros(2) for name in ("x", "y", "z", "mass")}
    return good | {"softening": 1, "out": np.full((2, 3), -7.0)} | changes


def option(**changes: Any) -> dict[str, Any]:
    """Good arguments of montecarlo, but for the changes."""
    good: dict[str, Any] = {"spot": 100, "strike": 105, "rate": 0.02, "volatility": 0.25}
    good |= {"years": 1.5, "paths": 21, "block": 10, "seed": 0}
    return good | {"out": np.full((3, 2), -7.0)} | changes


memory = np.full(8, -7.0)


def misaligned() -> np.ndarray[Any, Any]:
    return np.zeros(4 * 5 * 4 + 1, np.uint8)[1:].view(np.int32).reshape(4, 5)


def read_only() -> np.ndarray[Any, Any]:
    out = np.full((4, 5), -7, np.int32)
    out.flags.writeable = False
    return out


def overlapping() -> dict[str, Any]:
    memory = np.zeros(10)
    return grid(re=memory[:5], out=memory.view(np.int32).reshape(4, 5))


CASES: list[tuple[str, dict[str, Any], type[Exception], str]] = [
    ("mandelbrot", grid(re=[1.0]), TypeError, "re: expected a C-contiguous buffer of float64, got list"),
    ("mandelbrot", grid(re=None), TypeError, "re: expected a C-contiguous buffer of float64, got NoneType"),
    ("mandelbrot", grid(re=np.zeros(5, np.float32)), TypeError, "re: expected items of type float64, got format 'f' of 4 bytes"),
    ("mandelbrot", grid(re=np.zeros(5, np.int64)), TypeError, "re: expected items of type float64, got format 'l' of 8 bytes"),
    ("mandelbrot", grid(re=np.zeros(5, ">f8")), TypeError, "re: expected native byte order, got format '>d'"),
    ("mandelbrot", grid(re=np.zeros(5, "M8[s]")), BufferError, "re: expected a C-contiguous buffer of float64: cannot include dtype 'M' in a buffer"),
    ("mandelbrot", grid(re=np.zeros((5, 1))), ValueError, "re: expected 1 dimension (width), got 2"),
    ("mandelbrot", grid(re=np.zeros(10)[::2]), BufferError, "re: expected a C-contiguous buffer"),
    ("mandelbrot", grid(max_iter=1.5), TypeError, "max_iter: expected an integer, got float"),
    ("mandelbrot", grid(max_iter=-1), ValueError, "max_iter: expected 0 to 2147483647, got -1"),
    ("mandelbrot", grid(max_iter=10**5000), ValueError, "max_iter: expected 0 to 2147483647, got a number beyond 64 bits"),
    ("mandelbrot", grid(max_iter=HostileIndex()), ZeroDivisionError, "from __index__"),
    ("mandelbrot", grid(out=np.full((5, 4), -7, np.int32)), ValueError, "out: expected shape (height, width) = (4, 5), got (5, 4)"),
    ("mandelbrot", grid(out=np.full((4, 5), -7, np.int32, order="F")), BufferError, "out: expected a C-contiguous buffer"),
    ("mandelbrot", grid(out=np.full((4, 5), -7, np.int64)), TypeError, "out: expected items of type int32, got format 'l' of 8 bytes"),
    ("mandelbrot", grid(out=read_only()), BufferError, "out: expected a writable buffer, got a read-only one"),
    ("mandelbrot", grid(out=misaligned()), ValueError, "out: expected memory aligned to 4 bytes"),
    ("mandelbrot", overlapping(), ValueError, "out: expected memory apart from re, got overlap"),
    ("mandelbrot", grid(start=-1), IndexError, "start: expected 0 to 4 (items of one row each), got -1"),
    ("mandelbrot", grid(start=5), IndexError, "start: expected 0 to 4 (items of one row each), got 5"),
    ("mandelbrot", grid(stop=5), IndexError, "stop: expected 0 to 4 (items of one row each), got 5"),
    ("mandelbrot", grid(start=3, stop=2), ValueError, "start: expected at most stop (2), got 3"),
    ("mandelbrot", grid(start="0"), TypeError, "start: expected an integer, got str"),
    ("mandelbrot", grid(take=3), TypeError, "take: expected a gilx.ckernels.Counter or None, got int"),
    ("mandelbrot", grid(take=Counter(0, 5)), ValueError, "take: expected a counter within start to stop, 0 to 4, got 0 to 5"),
    ("histogram", {"data": b"abc", "block": 0, "out": np.full((3, 256), -7)}, ValueError, "block: expected 1 to 9223372036854775807, got 0"),
    ("histogram", {"data": b"abc", "block": 2**63 - 1, "out": np.full((2, 256), -7)}, ValueError, "out: expected shape (ceil(size/block), 256) = (1, 256), got (2, 256)"),
    ("histogram", {"data": "abc", "block": 1, "out": np.full((3, 256), -7)}, TypeError, "data: expected a C-contiguous buffer of uint8, got str"),
    ("nbody", bodies(softening="1"), TypeError, "softening: expected a float, got str"),
    ("nbody", bodies(y=np.zeros(3)), ValueError, "y: expected shape (bodies) = (2), got (3)"),
    ("nbody", bodies(out=np.full((2, 2), -7.0)), ValueError, "out: expected shape (bodies, 3) = (2, 3), got (2, 2)"),
    ("matmul", {"a": np.zeros((2, 3)), "b": np.zeros((2, 3)), "out": np.full((2, 3), -7.0)}, ValueError, "b: expected shape (inner, columns) = (3, 3), got (2, 3)"),
    ("matmul", {"a": np.zeros(3), "b": np.zeros((3, 2)), "out": np.full((1, 2), -7.0)}, ValueError, "a: expected 2 dimensions (rows, inner), got 1"),
    ("collatz", {"first": 0, "out": np.full(3, -7, np.int32)}, ValueError, "first: expected 1 to 4611686018427387904, got 0"),
    ("primes", {"limit": 2**48 + 1, "segment": 2**48, "out": np.full(2, -7)}, ValueError, "limit: expected 0 to 281474976710656, got 281474976710657"),
    ("primes", {"limit": 100, "segment": 10, "out": np.full(9, -7)}, ValueError, "out: expected shape (ceil(limit/segment)) = (10), got (9)"),
    ("montecarlo", option(paths=-1), ValueError, "paths: expected 0 to 4611686018427387904, got -1"),
    ("montecarlo", option(seed=2**63), ValueError, "seed: expected 0 to 9223372036854775807, got a number beyond 64 bits"),
    ("montecarlo", option(spot=None), TypeError, "spot: expected a float, got NoneType"),
    ("montecarlo", option(out=np.full((2, 2), -7.0)), ValueError, "out: expected shape (ceil(paths/block), 2) = (3, 2), got (2, 2)"),
    ("triad", {"b": np.zeros(3), "c": np.zeros(3), "scalar": 1j, "out": np.full(3, -7.0)}, TypeError, "scalar: expected a float, got complex"),
    ("triad", {"b": memory[:3], "c": memory[3:6], "scalar": 2, "out": memory[5:8]}, ValueError, "out: expected memory apart from c, got overlap"),
    ("heat", {"u": np.zeros((3, 3)), "rate": 0.1, "out": np.full((3, 3), -7.0, np.float32)}, TypeError, "out: expected items of type float64, got format 'f' of 4 bytes"),
    ("levenshtein", pairs(a_offsets=np.array([0, 2])), ValueError, "b_offsets: expected shape (pairs+1) = (2), got (3)"),
    ("levenshtein", pairs(a_offsets=np.zeros(0, np.int64)), ValueError, "a_offsets: expected at least 1 items, got 0"),
    ("levenshtein", pairs(a_offsets=np.array([0, 7, 7])), IndexError, "a_offsets: expected offsets that rise from 0 to the size of a (6), got 7 at index 1"),
    ("levenshtein", pairs(b_offsets=np.array([0, 4, 3])), IndexError, "b_offsets: expected offsets that rise from 0 to the size of b (6), got 3 at index 2"),
    ("levenshtein", pairs(b_offsets=np.array([-1, 4, 5])), IndexError, "b_offsets: expected offsets that rise from 0 to the size of b (6), got -1 at index 0"),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]}-{case[3][:40]}")
def test_bad_arguments(
    implementation: Implementation, case: tuple[str, dict[str, Any], type[Exception], str]
) -> None:
    name, arguments, error, words = case
    before = bytes(memoryview(arguments["out"]).tobytes())
    with pytest.raises(error) as caught:
        implementation[name](**arguments)
    assert str(caught.value) == words
    assert memoryview(arguments["out"]).tobytes() == before


@pytest.mark.parametrize("count", [0, 2, 9])
def test_wrong_number_of_arguments(implementation: Implementation, count: int) -> None:
    with pytest.raises(TypeError, match=r"mandelbrot_(no)?gil"):
        implementation["mandelbrot"](*[1] * count)


def test_unknown_keyword(implementation: Implementation) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'grain'"):
        implementation["mandelbrot"](**grid(grain=3))


def test_empty_inputs(implementation: Implementation) -> None:
    nothing = np.zeros(0)
    assert (
        implementation["mandelbrot"](nothing, nothing, 5, np.zeros((0, 0), np.int32)) == 0
    )
    rows = np.zeros((3, 0), np.int32)
    assert implementation["mandelbrot"](nothing, np.zeros(3), 5, rows) == 3
    assert implementation["histogram"](b"", 5, np.zeros((0, 256), np.int64)) == 0
    # Rows without columns have no border to copy.
    around = np.full(8, 7.0)
    no_columns = around[:0].reshape(3, 0)
    assert implementation["heat"](np.zeros((3, 0)), 0.2, no_columns) == 3
    assert (around == 7.0).all()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((1,), TypeError, "stop"),
        ((-1, 3), ValueError, "start: expected 0 to"),
        ((4, 3), ValueError, "start: expected at most stop"),
        ((0, 3, 0), ValueError, "grain: expected 1 to"),
        ((0, "3"), TypeError, "stop: expected an integer, got str"),
    ],
)
def test_bad_counters(
    arguments: tuple[Any, ...], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Counter(*arguments)


@pytest.mark.parametrize(
    ("memory", "error", "words"),
    [
        (
            3,
            TypeError,
            "memory: expected a writable, C-contiguous buffer or None, got int",
        ),
        (bytes(128), BufferError, "memory: expected a writable, C-contiguous buffer"),
        (
            memoryview(bytearray(256))[::2],
            BufferError,
            "memory: expected a writable, C-co",
        ),
        (bytearray(127), ValueError, "memory: expected at least 128 bytes, got 127"),
        (
            memoryview(bytearray(136))[1:],
            ValueError,
            "memory: expected memory aligned to 8",
        ),
        # Whose bytes are pointers: Python would follow what is written there.
        (np.zeros(16, "O"), TypeError, "memory: expected plain memory, got ref"),
        (
            np.zeros(16, [("O", "i8"), ("x", "O")]),
            TypeError,
            "memory: expected plain memory, got ref",
        ),
        ((ctypes.py_object * 16)(), TypeError, "memory: expected plain memory, got ref"),
        ((ctypes.c_char_p * 16)(), TypeError, "memory: expected plain memory, got ref"),
        ((ctypes.c_wchar_p * 16)(), TypeError, "memory: expected plain memory, got ref"),
        ((ctypes.c_void_p * 16)(), TypeError, "memory: expected plain memory, got ref"),
        (
            (ctypes.POINTER(ctypes.c_int) * 16)(),
            TypeError,
            "memory: expected plain memory, got ref",
        ),
    ],
)
def test_bad_memory_of_a_counter(memory: Any, error: type[Exception], words: str) -> None:
    assert Counter.MEMORY_SIZE == 128
    before = None if isinstance(memory, int) else bytes(memory)
    with pytest.raises(error, match=words):
        Counter(0, 3, memory=memory)
    assert before is None or bytes(memory) == before


def test_why_an_object_refuses_is_said() -> None:
    words = "memory: expected a writable, C-contiguous buffer or None: .*dtype 'M'"
    memory: Any = np.zeros(16, "M8[s]")
    with pytest.raises(BufferError, match=words):
        Counter(0, 3, memory=memory)


@pytest.mark.parametrize("kind", ["c16", [("O", "i8"), ("P", "c8")]])
def test_numbers_and_names_of_fields_are_no_pointers(kind: Any) -> None:
    memory: Any = np.zeros(16, kind)
    assert Counter(0, 3, memory=memory).take() == (0, 1)
    assert memory.tobytes()[:8] != bytes(8)


def test_calls_of_cython_s_kernels_are_checked_whoever_makes_them() -> None:
    [call] = [
        each
        for each in object.__subclasses__()
        if (each.__module__, each.__name__) == ("gilx.cykernels", "Call")
    ]
    make: Any = call
    for kernel in (-1, 10, 10**6):
        with pytest.raises(ValueError, match="kernel: expected 0 to 9, got"):
            make(kernel, False, ())
    for given in ((), (1,) * 100, None):
        with pytest.raises(ValueError, match="given: expected 7 values"):
            make(0, False, given)


@pytest.mark.parametrize("variant", ["gil", "nogil"])
@pytest.mark.parametrize("module", [ckernels, cykernels])
def test_any_words_for_the_same_memory_will_do(module: Any, variant: str) -> None:
    kind: Any
    for kind in ("q", "n"):
        counts = memoryview(bytearray(80)).cast(kind)
        assert getattr(module, f"primes_{variant}")(100, 10, counts) == 10
        assert sum(counts) == 25
    for count in (0, 1):  # of either strides tell nothing
        a, b, c = (
            memoryview(array.array("d", [1, 2, 3, 4]))[::-2][:count] for _ in range(3)
        )
        assert getattr(module, f"triad_{variant}")(b, c, 2.0, a) == count


def test_counter_at_the_end_of_the_numbers() -> None:
    counter = Counter(2**63 - 3, 2**63 - 1, 2**63 - 1)
    assert counter.take() == (2**63 - 3, 2**63 - 1)
    assert counter.take() is None


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: gilx.run("nope"), "kernel: expected one of mandelbrot, "),
        (
            lambda: gilx.run("mandelbrot", variant="rust"),
            "variant: expected one of python",
        ),
        (
            lambda: gilx.run("levenshtein", variant="numpy"),
            "variant: expected one of python",
        ),
        (
            lambda: gilx.run("mandelbrot", pool="x"),
            "pool: expected one of serial, threads",
        ),
        (
            lambda: gilx.run("mandelbrot", workers=0),
            "workers: expected at least 1, got 0",
        ),
        (
            lambda: gilx.run("mandelbrot", workers=-3),
            "workers: expected at least 1, got -3",
        ),
        (lambda: gilx.run("mandelbrot", workers=1.5), "workers: expected a whole number"),  # type: ignore[arg-type]
        (lambda: gilx.run("mandelbrot", size=0), "size: expected at least 1, got 0"),
        (lambda: gilx.run("mandelbrot", seed=-1), "seed: expected at least 0, got -1"),
        (lambda: gilx.run("mandelbrot", size=9, grain=0), "grain: expected at least 1"),
        (
            lambda: gilx.run("mandelbrot", schedule="x"),  # type: ignore[arg-type]
            "schedule: expected one of static",
        ),
    ],
)
def test_bad_runs(call: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()


def test_all_implementations_are_tested() -> None:
    assert len(IMPLEMENTATIONS) == 4


class Huge:
    def __index__(self) -> int:
        return 10**400


@pytest.mark.parametrize("number", [10**400, Huge()])
def test_reals_beyond_their_range(implementation: Implementation, number: object) -> None:
    arguments = bodies(softening=number)
    with pytest.raises(
        ValueError, match=r"^softening: expected a float, got a number bey"
    ):
        implementation["nbody"](**arguments)


def test_a_counter_on_the_output_is_refused(implementation: Implementation) -> None:
    # Each item that is written would be one that was not claimed yet, without end.
    out: Any = np.zeros(32)
    counter = Counter(0, 32, memory=out)
    with pytest.raises(ValueError, match=r"^take: expected a counter on memory apart"):
        implementation["triad"](np.zeros(32), np.zeros(32), 1.0, out, take=counter)


class Unsteady:
    """Another buffer each time that it is asked for one."""

    def __init__(self, *buffers: Any) -> None:
        self._buffers = list(buffers)

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(self._buffers.pop(0))


@pytest.mark.skipif(sys.version_info < (3, 12), reason="needs __buffer__")
def test_a_buffer_is_asked_for_once(implementation: Implementation) -> None:
    first, second = np.zeros(100), np.full(1, -7.0)
    given: Any = Unsteady(np.ones(100), np.ones(1)), np.ones(100), 1.0
    assert implementation["triad"](*given, Unsteady(first, second)) == 100
    assert (first == 2).all()
    assert second == -7


def test_memory_of_no_items_overlaps_nothing(implementation: Implementation) -> None:
    out = np.zeros((1, 256), np.int64)
    inside = out.view(np.uint8)[0, 8:8]
    assert implementation["histogram"](inside, 5, out[:0]) == 0
    memory = np.zeros(6)
    assert implementation["triad"](memory[2:2], memory[4:4], 1.0, memory[3:3]) == 0


def test_what_believes_its_arguments_is_out_of_sight() -> None:
    import gilx.cykernels

    assert not [
        x
        for x in vars(gilx.cykernels).values()
        if isinstance(x, type) and x is not Counter
    ]
