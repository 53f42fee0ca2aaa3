"""Peers of the kernels, each as a function that returns its seconds.

Straightforward C, compiled here with ``gcc -O3 -march=native``; numba's versions; the
library that a user would pick; for kernels that memory binds, a copy loop. Of a peer that
can't be had it is said why.
"""

from __future__ import annotations

import ctypes
import importlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from gilx.kernels.kernel import agree

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.kernels.kernel import Problem

    Arm = Callable[[], float]

__all__ = ["BYTES", "LIBRARIES", "Peers", "peers"]

# Bytes that a unit of work moves at least: triad's unit is a byte, heat's a cell, read
# once and written once. Of the copy loop below, a unit is a byte.
BYTES = {"triad": 1, "heat": 16}
_COPIED = 1 << 24  # doubles
# With fused multiply-add, points on the rim of the set may leave a step sooner or later.
_DIFFERENT = 0.01


class _Argument(ctypes.Structure):
    """One of a kernel's arguments, as csrc/kernels/kernels.h has it."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("shape", ctypes.c_int64 * 2),
        ("integer", ctypes.c_int64),
        ("real", ctypes.c_double),
    )


@dataclass(frozen=True)
class Peers:
    """Peers that are installed for a kernel."""

    arms: dict[str, Arm] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """Of each peer that can't be had, why."""


def peers(problem: Problem) -> Peers:
    """Return the peers of a problem's kernel, those that can't be had with the reason."""
    name = problem.kernel.name
    found = Peers()
    makers: dict[str, Callable[[], Arm]] = {
        "plain C": lambda: _checked(problem, _plain(_library(), problem)),
        "numba": lambda: _checked(problem, _numba(name, problem)),
    }
    if name in BYTES:
        makers["copy"] = lambda: _copy(_library(), problem)
    if name in LIBRARIES:
        library, make = LIBRARIES[name]
        makers[library] = lambda: make(problem)
    for peer, maker in makers.items():
        try:
            found.arms[peer] = maker()
        except ModuleNotFoundError as error:
            found.missing[peer] = f"{error.name} is not installed"
        except _NoCompilerError as error:
            found.missing[peer] = str(error)
    return found


class _NoCompilerError(Exception):
    """There is nothing here to compile C with."""


def _timed(work: Callable[[], object]) -> Arm:
    def run() -> float:
        begin = perf_counter()
        work()
        return perf_counter() - begin

    return run


@cache
def _library() -> ctypes.CDLL:
    """Return the straightforward C, compiled for this machine."""
    if shutil.which("gcc") is None:
        raise _NoCompilerError("gcc is not installed")
    source = Path(__file__).with_name("straightforward.c")
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder, "straightforward.so")
        subprocess.run(
            [
                *("gcc", "-O3", "-march=native", "-shared", "-fPIC"),
                *(source, "-o", made, "-lm"),
            ],
            check=True,
        )
        return ctypes.CDLL(str(made))


def _plain(
    library: ctypes.CDLL, problem: Problem
) -> Callable[[list[tuple[Any, ...]]], None]:
    function = library[f"plain_{problem.kernel.name}"]
    function.argtypes = (ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
    function.restype = None

    def work(calls: list[tuple[Any, ...]]) -> None:
        for call in calls:
            function((_Argument * len(call))(*map(_argument, call)), 0, problem.items)

    return work


def _argument(value: Any) -> _Argument:  # noqa: ANN401 - whatever a kernel takes
    made = _Argument()
    if isinstance(value, np.ndarray):
        made.data = value.ctypes.data
        made.shape[: value.ndim] = value.shape
    elif isinstance(value, float):
        made.real = value
    else:
        made.integer = value
    return made


def _numba(name: str, problem: Problem) -> Callable[[list[tuple[Any, ...]]], None]:
    compiled: Callable[..., Any] = importlib.import_module("numba_kernels").KERNELS[name]

    def work(calls: list[tuple[Any, ...]]) -> None:
        for call in calls:
            compiled(*call, 0, problem.items)

    return work


def _checked(problem: Problem, work: Callable[[list[tuple[Any, ...]]], None]) -> Arm:
    """Run it once, which compiles numba's, and compare the result with gilx's."""
    kernel = problem.kernel
    found, right = problem.fresh_out(), problem.fresh_out()
    work(problem.calls(found))
    for call in problem.calls(right):
        kernel.function("c-nogil")(*call)
    if found.dtype.kind == "f":
        assert agree(found, right, 1e-10), f"the peer of {kernel.name} differs"
    else:
        assert (found != right).mean() < _DIFFERENT, f"the peer of {kernel.name} differs"
    calls = problem.calls(found)
    return _timed(lambda: work(calls))


def _copy(library: ctypes.CDLL, problem: Problem) -> Arm:
    """Return a copy loop whose seconds are for as many bytes as the kernel moves."""
    source, space = np.random.default_rng(0).random(_COPIED), np.empty(_COPIED + 8)
    begin = -space.ctypes.data % 64 // 8
    target = space[begin : begin + _COPIED]
    function = library.tuned_copy
    function.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    function.restype = None
    moved = problem.units * BYTES[problem.kernel.name]

    def run() -> float:
        start = perf_counter()
        for _ in range(2):
            function(source.ctypes.data, target.ctypes.data, _COPIED)
        seconds = perf_counter() - start
        assert target[-1] == source[-1]
        return seconds * moved / (2 * 16 * _COPIED)

    return run


def _matmul(problem: Problem) -> Arm:
    a, b = problem.inputs
    out = problem.fresh_out()
    return _timed(lambda: np.matmul(a, b, out=out))


def _histogram(problem: Problem) -> Arm:
    data, block = problem.inputs

    def count() -> None:
        for begin in range(0, len(data), block):
            np.bincount(data[begin : begin + block], minlength=256)

    return _timed(count)


def _montecarlo(problem: Problem) -> Arm:
    spot, strike, rate, volatility, years, paths, block, seed = problem.inputs
    drift = (rate - 0.5 * volatility * volatility) * years
    spread = volatility * years**0.5
    generator = np.random.Generator(np.random.Philox(key=seed))

    def price() -> None:
        # In blocks, so that the arrays between stay in the caches.
        for begin in range(0, paths, block):
            normal = generator.standard_normal(min(block, paths - begin))
            paid = np.maximum(spot * np.exp(drift + spread * normal) - strike, 0.0)
            paid.sum(), (paid * paid).sum()

    return _timed(price)


def _levenshtein(problem: Problem) -> Arm:
    distance = importlib.import_module("rapidfuzz.distance.Levenshtein").distance
    a, a_offsets, b, b_offsets = problem.inputs

    def cut(data: Any, offsets: Any) -> list[str]:  # noqa: ANN401 - arrays
        text = data.tobytes().decode("latin-1")
        return [text[i:j] for i, j in pairwise(offsets)]

    first, second = cut(a, a_offsets), cut(b, b_offsets)
    right = problem.fresh_out()
    problem.kernel.function("c-nogil")(*problem.inputs, right)
    assert list(map(distance, first, second)) == right.tolist()
    return _timed(lambda: list(map(distance, first, second)))


# What a user would pick instead: its name, and what makes it an arm.
LIBRARIES: dict[str, tuple[str, Callable[[Problem], Arm]]] = {
    "matmul": ("OpenBLAS", _matmul),
    "histogram": ("np.bincount", _histogram),
    "montecarlo": ("NumPy", _montecarlo),
    "levenshtein": ("rapidfuzz", _levenshtein),
}
