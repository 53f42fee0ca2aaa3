"""Results of the kernels: known values, references, and the same bits from all."""

from __future__ import annotations

import math
import random
import statistics
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gilx
from gilx.ckernels import Counter
from gilx.kernels.kernel import agree
from tests.implementations import IMPLEMENTATIONS, SMALL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gilx.kernels.kernel import Problem
    from tests.implementations import Implementation

pytestmark = pytest.mark.concurrent_callers


def compute(problem: Problem, variant: str) -> NDArray[Any]:
    """Return the output of a whole run, every sweep of it."""
    out = problem.fresh_out()
    for arguments in problem.calls(out):
        problem.kernel.function(variant)(*arguments, 0, problem.items)
    return out


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


@pytest.mark.parametrize(("limit", "primes"), [(10**6, 78498), (10**7, 664579)])
@pytest.mark.parametrize("segment", [1 << 19, 99_991, 10**7])
def test_known_numbers_of_primes(
    implementation: Implementation, limit: int, primes: int, segment: int
) -> None:
    out = np.full(-(-limit // segment), -1)
    implementation["primes"](limit, segment, out)
    assert out.sum() == primes


def test_primes_of_tiny_segments(implementation: Implementation) -> None:
    for segment in (1, 2, 3, 7):
        out = np.full(-(-30 // segment), -1)
        implementation["primes"](30, segment, out)
        primes = (2, 3, 5, 7, 11, 13, 17, 19, 23, 29)
        assert out.tolist() == [
            sum(begin <= n < begin + segment for n in primes)
            for begin in range(0, 30, segment)
        ]


@pytest.mark.slow
# The second has primes of all sizes, of which some meet few of the pieces that are sieved
# at a time, and more than one window.
@pytest.mark.parametrize(("limit", "segment"), [(2**40, 2**20), (10**10, 25 * 10**6)])
def test_primes_far_out(implementation: Implementation, limit: int, segment: int) -> None:
    items = limit // segment
    out, right = np.zeros((2, items), np.int64)
    implementation["primes"](limit, segment, out, items - 2)
    gilx.kernels.get("primes").function("numpy")(limit, segment, right, items - 2, items)
    assert out[-2:].tolist() == right[-2:].tolist()
    assert out[-1] > 30_000


def test_collatz_known_steps(implementation: Implementation) -> None:
    out = np.full(27, -7, np.int32)
    implementation["collatz"](1, out)
    assert out[:9].tolist() == [0, 1, 7, 2, 5, 8, 16, 3, 19]
    assert out[26] == 111
    # 63 728 127 has the longest way of all numbers below 10**8.
    longest = np.zeros(1, np.int32)
    implementation["collatz"](63_728_127, longest)
    assert longest[0] == 949


def test_collatz_beyond_64_bits(implementation: Implementation) -> None:
    # The ways of these reach 18 144 594 937 356 598 024 and 20 722 398 914 405 051 728
    # (see the path records of the 3x + 1 problem), around 2**64.
    out = np.zeros(1, np.int32)
    implementation["collatz"](8_528_817_511, out)
    assert out[0] == 726
    implementation["collatz"](12_327_829_503, out)
    assert out[0] == -1
    implementation["collatz"](2**62, out)
    assert out[0] == 62


def test_matmul_by_hand(implementation: Implementation) -> None:
    a = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    b = np.array([[7.0, 8.0], [9.0, 10.0], [11.0, 12.0]])
    out = np.full((2, 2), np.nan)
    assert implementation["matmul"](a, b, out) == 2
    assert out.tolist() == [[58.0, 64.0], [139.0, 154.0]]


@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 300, 131), (9, 0, 3), (3, 257, 4)])
def test_matmul_shapes(implementation: Implementation, shape: tuple[int, ...]) -> None:
    rows, inner, columns = shape
    draw = np.random.default_rng(1)
    a, b = draw.standard_normal((rows, inner)), draw.standard_normal((inner, columns))
    out = np.full((rows, columns), np.nan)
    implementation["matmul"](a, b, out)
    right = np.zeros((rows, columns))
    gilx.kernels.get("matmul").python(a, b, right, 0, rows)
    assert out.tobytes() == right.tobytes()


def test_nbody_of_two(implementation: Implementation) -> None:
    # Masses 2 and 3 at distance 2 pull each other with 3/4 and 2/4.
    x, y, z = np.array([[0.0, 2.0], [1.0, 1.0], [5.0, 5.0]])
    out = np.full((2, 3), np.nan)
    implementation["nbody"](x, y, z, np.array([2.0, 3.0]), 0.0, out)
    assert out.tolist() == [[0.75, 0.0, 0.0], [-0.5, 0.0, 0.0]]


def test_nbody_conserves_momentum(implementation: Implementation) -> None:
    problem = gilx.kernels.get("nbody").problem(200, seed=7)
    *_, mass, _ = problem.inputs
    implementation["nbody"](*problem.inputs, problem.out)
    forces = mass[:, None] * problem.out
    assert abs(forces.sum(axis=0)).max() < 1e-12 * abs(forces).sum()


def test_montecarlo_meets_black_and_scholes(implementation: Implementation) -> None:
    kernel = gilx.kernels.get("montecarlo")
    problem = kernel.problem(400_000, seed=5)
    implementation["montecarlo"](*problem.inputs, problem.out)
    price, error = problem.merge(problem.out)
    spot, strike, rate, volatility, years, *_ = problem.inputs
    d1 = (math.log(spot / strike) + (rate + volatility**2 / 2) * years) / (
        volatility * math.sqrt(years)
    )
    normal = statistics.NormalDist()
    right = spot * normal.cdf(d1) - strike * math.exp(-rate * years) * normal.cdf(
        d1 - volatility * math.sqrt(years)
    )
    assert 0 < error < 0.005 * right
    assert abs(price - right) < 4 * error


@pytest.mark.parametrize("block", [1, 7, 128, 129, 1000])
def test_montecarlo_blocks(block: int) -> None:
    arguments = (100.0, 105.0, 0.02, 0.25, 1.5, 1000, block, 2**63 - 1)
    right = np.zeros((-(-1000 // block), 2))
    gilx.kernels.get("montecarlo").python(*arguments, right, 0, len(right))
    outs = []
    for implementation in IMPLEMENTATIONS:
        outs.append(np.full_like(right, np.nan))
        implementation["montecarlo"](*arguments, outs[-1])
        np.testing.assert_allclose(outs[-1], right, rtol=1e-12)
    assert {out.tobytes() for out in outs} == {outs[0].tobytes()}


def test_heat_leaves_a_linear_field_alone(implementation: Implementation) -> None:
    rows, columns = np.mgrid[0:13, 0:17]
    field = 3.0 * rows - 2.0 * columns + 1.0
    out = np.zeros_like(field)
    assert implementation["heat"](field, 0.2, out) == 13
    assert out.tobytes() == field.tobytes()


def test_heat_by_hand(implementation: Implementation) -> None:
    field = np.zeros((3, 4))
    field[1, 1] = 8.0
    out = np.full_like(field, np.nan)
    implementation["heat"](field, 0.25, out)
    assert out.tolist() == [[0, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (2, 2), (3, 3), (4, 0), (0, 4)])
def test_heat_of_tiny_grids(
    implementation: Implementation, shape: tuple[int, int]
) -> None:
    field = np.random.default_rng(2).random(shape)
    out, right = np.full_like(field, np.nan), np.full_like(field, np.nan)
    implementation["heat"](field, 0.1, out)
    gilx.kernels.get("heat").python(field, 0.1, right, 0, shape[0])
    assert out.tobytes() == right.tobytes()


def test_triad_by_hand(implementation: Implementation) -> None:
    out = np.zeros(3)
    implementation["triad"](
        np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0]), 0.5, out
    )
    assert out.tolist() == [3.0, 4.5, 6.0]


def test_every_variant_agrees_with_the_references(kernel: gilx.kernels.Kernel) -> None:
    problem = kernel.problem(SMALL[kernel.name], seed=3)
    right = compute(problem, "c-gil")
    assert right.any()
    for variant in kernel.variants:
        result = compute(problem, variant)
        if variant in ("python", "numpy"):
            for item in range(problem.items):
                assert agree(right[item], result[item], kernel.tolerance), variant
        else:
            assert result.tobytes() == right.tobytes(), variant


@pytest.mark.slow
@pytest.mark.any_python
def test_default_problems_are_right(kernel: gilx.kernels.Kernel) -> None:
    result = gilx.run(kernel.name)
    result.problem.check(result.problem.out)
    assert result.problem.units > 1_000_000


def test_check_finds_a_wrong_item(kernel: gilx.kernels.Kernel) -> None:
    problem = kernel.problem(SMALL[kernel.name])
    out = compute(problem, "c-nogil")
    problem.check(out, range(problem.items))
    out.reshape(problem.items, -1)[-1, -1] += 1
    with pytest.raises(AssertionError, match=f"{kernel.item} {problem.items - 1} of"):
        problem.check(out)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_same_bits_for_every_splitting(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(gilx.kernels.names()))
    size = data.draw(st.integers(1, 2 * SMALL[name]))
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


def test_calls_share_a_counter(
    implementation: Implementation, kernel: gilx.kernels.Kernel
) -> None:
    problem = kernel.problem(SMALL[kernel.name])
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


@pytest.mark.thread_unsafe(
    reason="ast of 3.11.7 counts its depth for all threads: python/cpython#106905"
)
def test_twins_have_the_same_docstring(kernel: gilx.kernels.Kernel) -> None:
    import inspect

    for variant in ("gil", "nogil"):
        c = kernel.function(f"c-{variant}")
        cython = kernel.function(f"cython-{variant}")
        assert c.__doc__ == cython.__doc__
        assert inspect.signature(c) == inspect.signature(cython)
        assert f"an item is a {kernel.item}" in (c.__doc__ or "")
