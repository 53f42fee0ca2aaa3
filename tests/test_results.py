"""What the kernels compute: known values, references, and the same bits from all."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gilx
from gilx.ckernels import Counter

from .conftest import IMPLEMENTATIONS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .conftest import Implementation

small = {"mandelbrot": 40, "histogram": 300_000, "levenshtein": 9}


def strings(pairs: list[bytes]) -> tuple[NDArray[Any], NDArray[Any]]:
    data = np.frombuffer(b"".join(pairs), np.uint8)
    return data, np.cumsum([0, *map(len, pairs)], dtype=np.int64)


KNOWN_DISTANCES = [
    (b"kitten", b"sitting", 3),
    (b"flaw", b"lawn", 2),
    (b"saturday", b"sunday", 3),
    (b"intention", b"execution", 5),
    (b"", b"", 0),
    (b"abc", b"", 3),
    (b"", b"abcd", 4),
    (b"same", b"same", 0),
    (b"\x00\xff", b"\xff\x00", 2),
]


def test_levenshtein_known_distances(implementation: Implementation) -> None:
    a, a_offsets = strings([first for first, _, _ in KNOWN_DISTANCES])
    b, b_offsets = strings([second for _, second, _ in KNOWN_DISTANCES])
    out = np.full(len(KNOWN_DISTANCES), -1, np.int32)
    done = implementation["levenshtein"](a, a_offsets, b, b_offsets, out)
    assert done == len(KNOWN_DISTANCES)
    assert out.tolist() == [distance for _, _, distance in KNOWN_DISTANCES]


def test_histogram_by_hand(implementation: Implementation) -> None:
    data = np.frombuffer(b"abcaab\x00\xff\xff", np.uint8)
    out = np.full((3, 256), -1, np.int64)
    assert implementation["histogram"](data, 4, out) == 3
    expected = np.zeros((3, 256), np.int64)
    expected[0, [ord("a"), ord("b"), ord("c")]] = 2, 1, 1
    expected[1, [ord("a"), ord("b"), 0, 255]] = 1, 1, 1, 1
    expected[2, 255] = 1
    assert np.array_equal(out, expected)


def test_mandelbrot_known_counts(implementation: Implementation) -> None:
    # c = 0 and c = -1 never leave; c = 2: z = 0, 2, 6; c = 1: 0, 1, 2, 5; 4 leaves at 4.
    re = np.array([0.0, -1.0, 2.0, 1.0, 4.0])
    out = np.full((1, 5), -1, np.int32)
    assert implementation["mandelbrot"](re, np.zeros(1), 50, out) == 1
    assert out.tolist() == [[50, 50, 2, 3, 1]]


def test_mandelbrot_special_numbers(implementation: Implementation) -> None:
    re = np.array([np.nan, np.inf, -np.inf, 1e308, 0.0])
    out = np.full((2, 5), -1, np.int32)
    implementation["mandelbrot"](re, np.array([0.0, np.nan]), 9, out)
    assert out.tolist() == [[1, 1, 1, 1, 9], [1, 1, 1, 1, 1]]


def test_every_variant_agrees_with_the_references(kernel: gilx.kernels.Kernel) -> None:
    problem = kernel.problem(small[kernel.name], seed=3)
    results = {}
    for variant in kernel.variants:
        results[variant] = problem.fresh_out()
        kernel.function(variant)(*problem.inputs, results[variant], 0, problem.items)
    assert results["c-gil"].any()
    for variant, result in results.items():
        assert result.tobytes() == results["c-gil"].tobytes(), variant


def test_default_problems_are_right(kernel: gilx.kernels.Kernel) -> None:
    problem = kernel.problem()
    kernel.function("c-nogil")(*problem.inputs, problem.out)
    problem.check(problem.out)
    assert problem.units > 10_000_000


def test_check_finds_a_wrong_item(kernel: gilx.kernels.Kernel) -> None:
    problem = kernel.problem(small[kernel.name])
    kernel.function("c-nogil")(*problem.inputs, problem.out)
    problem.check(problem.out, range(problem.items))
    problem.out.reshape(problem.items, -1)[-1, -1] += 1
    with pytest.raises(AssertionError, match=f"{kernel.item} {problem.items - 1} of"):
        problem.check(problem.out)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_same_bits_for_every_splitting(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(gilx.kernels.names()))
    size = data.draw(st.integers(1, 2 * small[name]))
    problem = gilx.kernels.get(name).problem(size, data.draw(st.integers(0, 2**32)))
    whole = problem.fresh_out()
    assert IMPLEMENTATIONS[0][name](*problem.inputs, whole) == problem.items
    cuts = data.draw(st.lists(st.integers(0, problem.items), max_size=5))
    edges = sorted([0, *cuts, problem.items])
    for implementation in IMPLEMENTATIONS:
        out = problem.fresh_out()
        for start, stop in pairwise(edges):
            done = implementation[name](*problem.inputs, out, start, stop)
            assert done == stop - start
        assert out.tobytes() == whole.tobytes(), implementation


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.binary(max_size=40), st.binary(max_size=40)), min_size=1, max_size=8
    )
)
def test_levenshtein_any_strings(pairs: list[tuple[bytes, bytes]]) -> None:
    inputs = (*strings([a for a, _ in pairs]), *strings([b for _, b in pairs]))
    right = np.zeros(len(pairs), np.int32)
    gilx.kernels.get("levenshtein").python(*inputs, right, 0, len(pairs))
    for implementation in IMPLEMENTATIONS:
        out = np.zeros(len(pairs), np.int32)
        implementation["levenshtein"](*inputs, out)
        assert out.tolist() == right.tolist(), implementation


def test_only_the_asked_items_are_written(
    implementation: Implementation, kernel: gilx.kernels.Kernel
) -> None:
    problem = kernel.problem(small[kernel.name])
    assert problem.items > 4
    out = np.full_like(problem.out, -7)
    implementation[kernel.name](*problem.inputs, out, 2, 4)
    assert (out[:2] == -7).all()
    assert (out[4:] == -7).all()
    assert not (out[2:4] == -7).any()


def test_calls_share_a_counter(
    implementation: Implementation, kernel: gilx.kernels.Kernel
) -> None:
    problem = kernel.problem(small[kernel.name])
    whole = problem.fresh_out()
    implementation[kernel.name](*problem.inputs, whole)
    counter = Counter(0, problem.items, random.Random(1).randint(1, 3))
    out = problem.fresh_out()
    with ThreadPoolExecutor(4) as pool:
        calls = [
            pool.submit(implementation[kernel.name], *problem.inputs, out, take=counter)
            for _ in range(4)
        ]
    assert sum(call.result() for call in calls) == problem.items
    assert counter.remaining == 0
    assert out.tobytes() == whole.tobytes()


def test_array_and_memoryview_arguments(implementation: Implementation) -> None:
    from array import array

    out = array("q", [-1] * 512)
    grid = memoryview(out).cast("B").cast("q", (2, 256))
    implementation["histogram"](b"hello", 3, grid)
    assert out[ord("l")] == 1
    assert out[256 + ord("l")] == 1
    assert sum(out) == 5


def test_twins_have_the_same_docstring(kernel: gilx.kernels.Kernel) -> None:
    import inspect

    for variant in ("gil", "nogil"):
        c = kernel.function(f"c-{variant}")
        cython = kernel.function(f"cython-{variant}")
        assert c.__doc__ == cython.__doc__
        assert inspect.signature(c) == inspect.signature(cython)
        assert f"an item is a {kernel.item}" in (c.__doc__ or "")
