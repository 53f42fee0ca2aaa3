"""Parts of montecarlo: exp, log, the normal quantile and Philox, in both modules."""

from __future__ import annotations

import math
import random
from decimal import Decimal, localcontext
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import pytest

from gilx import ckernels, cykernels
from gilx.kernels.montecarlo import philox

if TYPE_CHECKING:
    from types import ModuleType

pytestmark = pytest.mark.concurrent_callers

both = pytest.mark.parametrize("module", [ckernels, cykernels], ids=["c", "cython"])


def part(module: ModuleType, name: str) -> Any:
    return getattr(module, f"_{name}")


def units_in_the_last_place(found: float, right: Decimal) -> float:
    return float(abs(Decimal(found) - right) / Decimal(math.ulp(found)))


def exponents() -> list[float]:
    draw = random.Random(1)
    spread = [draw.uniform(-708.3, 709.7) for _ in range(3000)]
    return spread + [
        draw.uniform(-1, 1) * 2.0 ** draw.randint(-60, 0) for _ in range(1000)
    ]


def positive_numbers() -> list[float]:
    draw = random.Random(2)
    spread = [
        math.ldexp(draw.uniform(1, 2), draw.randint(-1074, 1023)) for _ in range(3000)
    ]
    return [x for x in spread if x > 0] + [draw.uniform(0.5, 2) for _ in range(3000)]


@both
def test_exp_is_within_one_unit(module: ModuleType) -> None:
    with localcontext() as context:
        context.prec = 40
        worst = max(
            units_in_the_last_place(part(module, "exp")(x), Decimal(x).exp())
            for x in exponents()
        )
    assert worst <= 1.0


@both
def test_exp_of_subnormal_results_is_within_two_units(module: ModuleType) -> None:
    draw = random.Random(3)
    with localcontext() as context:
        context.prec = 40
        for _ in range(500):
            x = draw.uniform(-744.4, -708.4)
            assert units_in_the_last_place(part(module, "exp")(x), Decimal(x).exp()) <= 2


@both
def test_log_is_within_one_unit(module: ModuleType) -> None:
    with localcontext() as context:
        context.prec = 40
        worst = max(
            units_in_the_last_place(part(module, "log")(x), Decimal(x).ln())
            for x in positive_numbers()
            if x != 1
        )
    assert worst <= 1.0


@both
def test_exp_and_log_of_special_numbers(module: ModuleType) -> None:
    exp, log = part(module, "exp"), part(module, "log")
    assert exp(0.0) == exp(-0.0) == exp(1e-320) == 1.0
    assert exp(710.0) == exp(1e308) == exp(math.inf) == math.inf
    assert exp(-746.0) == exp(-1e308) == exp(-math.inf) == 0.0
    assert exp(-745.1) == 5e-324
    assert exp(709.78) == math.exp(709.78)
    assert math.isnan(exp(math.nan))
    assert log(1.0) == 0.0
    assert log(0.0) == log(-0.0) == -math.inf
    assert log(math.inf) == math.inf
    assert all(math.isnan(log(x)) for x in (-5e-324, -1.0, -math.inf, math.nan))
    assert log(5e-324) == math.log(5e-324)


@both
def test_normal_quantile(module: ModuleType) -> None:
    normal = part(module, "normal")
    right = NormalDist().inv_cdf
    draw = random.Random(4)
    for _ in range(3000):
        u = draw.random() * 2.0 ** -draw.randint(0, 50)
        assert normal(u) == pytest.approx(right(u), rel=1e-14, abs=1e-16)
        if 1 - u < 1:
            assert normal(1 - u) == pytest.approx(right(1 - u), rel=1e-14, abs=1e-16)
    assert normal(0.5) == 0.0


def test_both_give_the_same_bits() -> None:
    for name, numbers in (("exp", exponents()), ("log", positive_numbers())):
        for x in numbers:
            assert part(ckernels, name)(x) == part(cykernels, name)(x)
    draw = random.Random(5)
    for _ in range(5000):
        u = draw.random() * 2.0 ** -draw.randint(0, 50)
        assert part(ckernels, "normal")(u) == part(cykernels, "normal")(u)


# From kat_vectors of the authors' library Random123.
PHILOX = [
    (
        (0, 0, 0, 0),
        (0, 0),
        (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
    ),
    (
        (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@both
@pytest.mark.parametrize(("counter", "key", "words"), PHILOX)
def test_philox_known_answers(
    module: ModuleType,
    counter: tuple[int, ...],
    key: tuple[int, ...],
    words: tuple[int, ...],
) -> None:
    assert part(module, "philox")(counter, key) == words


@both
def test_the_reference_draws_the_same_words(module: ModuleType) -> None:
    draw = random.Random(6)
    for _ in range(200):
        counter, key = draw.getrandbits(64), draw.getrandbits(64)
        low = 2**32 - 1
        words = part(module, "philox")(
            (counter & low, counter >> 32, 0, 0), (key & low, key >> 32)
        )
        assert words == philox(counter, key)


@pytest.mark.parametrize("key", [(), (1,), (1, 2, 3), [], 3])
def test_philox_of_cython_wants_a_key_of_two(key: Any) -> None:
    with pytest.raises((IndexError, TypeError)):
        part(cykernels, "philox")((1, 2, 3, 4), key)
