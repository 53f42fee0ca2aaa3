"""Statistics of blocks: simulated error rates are those that they state."""

from __future__ import annotations

import math
import random
from fractions import Fraction
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gilx.speedup import statistics
from gilx.speedup.blocks import AsItself, calls_needed, interleaved, samples_of
from gilx.speedup.statistics import (
    NOTHING_KNOWN,
    RunningMedian,
    blocks_needed,
    log_evidence,
    log_ratios,
    median_interval,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

pytestmark = pytest.mark.concurrent_callers


def preset_interval(logs: Sequence[float]) -> tuple[float, float]:
    return RunningMedian(logs).ratio(preset=True).interval


def anytime_interval(logs: Sequence[float]) -> tuple[float, float]:
    return RunningMedian(logs).ratio().interval


def test_inverse_ratio_has_the_inverse_result() -> None:
    a, b = [1.0, 2.0, 3.0, 9.0], [2.0, 2.0, 1.0, 1.0]
    one, other = (
        RunningMedian(log_ratios(*pair)).ratio().value for pair in ((a, b), (b, a))
    )
    assert one == pytest.approx(math.sqrt(3))
    assert one * other == pytest.approx(1, abs=1e-15)
    assert not RunningMedian().ratio().known
    assert log_ratios([math.e], [1.0]) == [1.0]


@pytest.mark.parametrize(
    ("blocks", "above"), [(1, 0), (1, 1), (7, 3), (20, 16), (13, 13)]
)
def test_evidence_is_the_mixture(blocks: int, above: int) -> None:
    # The integral of the docstring by the midpoint rule.
    p = np.linspace(0.5, 1, 200_001)
    p = (p[1:] + p[:-1]) / 2
    integral = 2 * np.mean(2.0**blocks * p**above * (1 - p) ** (blocks - above)) / 2
    assert math.exp(log_evidence(blocks, above)) == pytest.approx(integral, rel=1e-6)


@pytest.mark.parametrize("blocks", [0, 1, 2, 9, 30])
def test_evidence_is_worth_one_on_average(blocks: int) -> None:
    """The mean of the evidence is exactly 1 after every block if both signs are equally
    likely."""
    total = Fraction(0)
    for above in range(blocks + 1):
        ways = sum(math.comb(blocks + 1, j) for j in range(above + 1))
        total += Fraction(ways, blocks + 1) / 2**blocks
        assert math.exp(log_evidence(blocks, above)) == pytest.approx(
            ways / (blocks + 1) / math.comb(blocks, above)
        )
    assert total == 1


def test_strong_evidence_takes_thirteen_blocks_that_agree() -> None:
    assert log_evidence(12, 12) < math.log(1000) <= log_evidence(13, 13)


def log_of(value: Fraction) -> float:
    """Return the logarithm of a fraction, which may exceed the largest float."""
    return math.log(value.numerator) - math.log(value.denominator)


@pytest.mark.parametrize("blocks", [100, 1033, 1034, 1100, 3000])
def test_evidence_of_many_blocks(blocks: int) -> None:
    """The formula in whole numbers is the oracle, also beyond the largest float."""
    ways = 0
    for above in range(blocks + 1):
        ways += math.comb(blocks + 1, above)
        if above % 97 == 0 or above >= blocks - 1 or abs(2 * above - blocks) <= 2:
            exact = Fraction(ways, (blocks + 1) * math.comb(blocks, above))
            # What is left is the rounding of the logarithms of factorials.
            assert log_evidence(blocks, above) == pytest.approx(
                log_of(exact), rel=1e-12, abs=1e-10
            )


def exact_blocks_needed(upto: int, e_value: int) -> Iterator[int | None]:
    """Yield the exact number for 1 block, 2 blocks and so on, by whole numbers.

    With one more block the number stays the same, or grows by one. The sum over j <= k of
    C(n + 1, j) and the coefficient C(n, k) are carried on from one to the next.
    """
    above, ways, choices = 1, 3, 1
    for blocks in range(1, upto + 1):
        while ways < e_value * (blocks + 1) * choices and above < blocks:
            more = choices * (blocks - above) // (above + 1)
            above, ways, choices = above + 1, ways + choices + more, more
        enough = ways >= e_value * (blocks + 1) * choices
        yield above if enough else None
        choices = choices * (blocks + 1) // (blocks + 1 - above)
        ways = 2 * ways - choices


@pytest.mark.parametrize("e_value", [40, 1000], ids=["95 %", "99.8 %"])
def test_ranks_are_the_exact_ones(e_value: int) -> None:
    exact = list(exact_blocks_needed(2000, e_value))
    assert [blocks_needed(n, e_value) for n in range(1, 2001)] == exact
    # As they were when they were found in whole numbers.
    known = {
        40: {7: None, 8: 8, 13: 12, 20: 17, 50: 36, 100: 66, 500: 289, 1000: 556},
        1000: {12: None, 13: 13, 20: 19, 50: 39, 100: 71, 500: 298, 1000: 569},
    }[e_value]
    assert {n: exact[n - 1] for n in known} == known


@pytest.mark.parametrize(
    ("blocks", "places"), [(5, 0), (6, 1), (7, 1), (50, 18), (1000, 469), (3000, 1446)]
)
def test_preset_ranks_are_the_exact_ones(blocks: int, places: int) -> None:
    exact, outside = 0, Fraction(0)
    for place in range(1, blocks // 2 + 1):
        outside += Fraction(2 * math.comb(blocks, place - 1), 2**blocks)
        exact += 1 - outside >= Fraction(95, 100)
    assert exact == places
    low, high = median_interval([float(i) for i in range(blocks)])
    if places == 0:
        assert (low, high) == (-math.inf, math.inf)
    else:
        # Interpolated between this place and the next one further inside.
        assert places - 1 <= low < places
        assert high == pytest.approx(blocks - 1 - low)


def test_intervals_of_a_million_blocks() -> None:
    """A normal law's limits, as so many blocks are as good as infinitely many.

    The median of n values is between two that are so many standard deviations, each
    sqrt(n) / 2 places, to both sides: 1.96 for a number set beforehand, and the root of
    2 log(40) + log(n / 2 pi) for the mixture.
    """
    n = 1_000_000
    values = [float(i) for i in range(n)]
    low, high = median_interval(values)
    assert low == pytest.approx(n / 2 - 1.96 * 500, abs=1)
    assert high == pytest.approx(n / 2 + 1.96 * 500, abs=1)
    low, high = RunningMedian(values).interval()
    deviations = math.sqrt(2 * math.log(40) + math.log(n / 2 / math.pi))
    assert low == pytest.approx(n / 2 - deviations * 500, abs=2)
    assert high == pytest.approx(n / 2 + deviations * 500, abs=2)
    assert all(map(math.isfinite, anytime_interval([0.1, -0.1] * 1000)))


class Counted(float):
    """A number that counts how often it is compared."""

    compared = 0

    def __lt__(self, other: float) -> bool:
        type(self).compared += 1
        return float(self) < other


def test_cost_of_a_block_grows_with_the_logarithm_of_their_number(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Count comparisons and steps of fractions, after a hundred blocks and a million.

    Nothing is sorted anew and no sum has as many terms as there are blocks.
    """
    steps = 0

    def counting(start: int) -> Iterator[int]:
        nonlocal steps
        for step in range(start, 10**9):
            steps += 1
            yield step

    monkeypatch.setattr(statistics, "count", counting)
    monkeypatch.setattr(Counted, "compared", 0)
    spent = {}
    for n in (100, 1_000_000):
        blocks = RunningMedian(range(n))
        steps = Counted.compared = 0
        blocks_needed.cache_clear()
        for _ in range(10):
            blocks.add(Counted(n / 2))
            blocks.interval()
            blocks.side(n / 2, 1e-3)
            assert blocks.median is not None
        spent[n] = steps / 10, Counted.compared / 10
    assert spent[1_000_000][1] <= 2 + math.log2(1_000_010)
    # Two ranks, each by bisection: about 20 tails of some 30 steps.
    assert spent[1_000_000][0] < 2 * 20 * 60
    assert spent[1_000_000][0] < 10 * spent[100][0]


def test_values_added_one_at_a_time() -> None:
    rng = np.random.default_rng(4)
    values = np.round(rng.normal(0, 1, 300), 1).tolist()  # some are equal
    running = RunningMedian()
    assert running.median is None
    for n, value in enumerate(values, 1):
        running.add(value)
        assert len(running) == n
        assert running.median == np.median(values[:n])
        assert running.above(0.5) == sum(each > 0.5 for each in values[:n])
        assert running.below(0.5) == sum(each < 0.5 for each in values[:n])
        low, high = running.interval()
        assert anytime_interval(values[:n]) == (math.exp(low), math.exp(high))
    assert running.side(-1.0, 1e-3) == 1
    assert running.side(1.0, 1e-3) == -1
    assert running.side(float(np.median(values)), 1e-3) == 0


def rejected_at_any_time(logs: NDArray[np.float64], limit: float) -> NDArray[np.bool_]:
    """Return which rows were rejected at any time, from either side."""
    n = logs.shape[1]
    table = np.zeros((n + 1, n + 1))
    for count in range(1, n + 1):
        for above in range(count + 1):
            table[count, above] = math.exp(log_evidence(count, above))
    blocks = np.arange(1, n + 1)
    up, down = np.cumsum(logs > 0, axis=1), np.cumsum(logs < 0, axis=1)
    seen = np.maximum(table[blocks, up], table[blocks, down])
    rejected: NDArray[np.bool_] = seen.max(axis=1) >= limit
    return rejected


def drifting(rng: np.random.Generator, runs: int, blocks: int) -> NDArray[np.float64]:
    """Return log ratios of two arms that are the same, on a machine of changing speed."""
    speed = np.cumsum(rng.normal(0, 0.05, (runs, blocks)), axis=1)
    noise = rng.standard_t(2, (runs, blocks, 2)) * np.exp(speed)[..., None] * 0.03
    ratio: NDArray[np.float64] = noise[..., 0] - noise[..., 1]
    return ratio


def test_checks_after_every_block_err_no_more_often_than_stated() -> None:
    logs = drifting(np.random.default_rng(1), 20_000, 100)
    assert 0.005 < rejected_at_any_time(logs, 2 / 0.05).mean() < 0.05
    assert rejected_at_any_time(logs, 2 / 0.001).mean() < 0.001


@pytest.mark.slow
@pytest.mark.parametrize("blocks", [6, 7, 12, 21, 50])
@pytest.mark.parametrize("spread", ["normal", "heavy", "skewed"])
def test_the_interval_for_preset_blocks_misses_at_its_rate(
    blocks: int, spread: str
) -> None:
    rng = np.random.default_rng(2)
    runs = 4000
    logs = {
        "normal": rng.normal(0, 0.1, (runs, blocks)),
        "heavy": rng.standard_t(2, (runs, blocks)) * 0.1,
        "skewed": rng.exponential(0.1, (runs, blocks)) - 0.1 * math.log(2),
    }[spread]
    misses = 0
    for row in logs.tolist():
        low, high = preset_interval(row)
        misses += not low <= 1 <= high
    assert 0.03 < misses / runs < 0.065


@pytest.mark.slow
def test_stopping_at_a_wanted_width_is_right_with_the_anytime_interval() -> None:
    rng = np.random.default_rng(3)
    missed = {"preset": 0, "anytime": 0}
    runs = 600
    for row in rng.normal(0, 0.05, (runs, 60)).tolist():
        for name, interval in (
            ("preset", preset_interval),
            ("anytime", anytime_interval),
        ):
            for n in range(6, 61):
                low, high = interval(row[:n])
                # Stops once it has found "a difference": the worst one can do.
                if low > 1 or high < 1:
                    missed[name] += 1
                    break
    assert missed["anytime"] / runs < 0.05 < missed["preset"] / runs


def test_too_few_blocks_say_nothing() -> None:
    assert median_interval([3.0] * 5) == (-math.inf, math.inf)
    assert median_interval([-2.0, *[1.0] * 20]) == (1.0, 1.0)
    assert preset_interval([0.1] * 5) == NOTHING_KNOWN
    assert preset_interval([0.0] * 6) == (1.0, 1.0)
    assert anytime_interval([0.1] * 7) == NOTHING_KNOWN
    assert anytime_interval([0.0] * 8) == (1.0, 1.0)


def test_the_interval_is_between_the_right_places() -> None:
    # At 6 blocks, 95 % is between all (96.9 %) and one place further inside.
    logs = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    low, high = preset_interval(logs)
    assert 0 < math.log(low) < 1
    assert math.log(high) == pytest.approx(5 - math.log(low))


def test_blocks_hold_every_arm_once_in_random_order() -> None:
    order: list[str] = []
    settled: list[int] = []

    def arm(name: str) -> float:
        order.append(name)
        return float(len(order))

    timed = interleaved(
        {"a": lambda: arm("a"), "b": lambda: arm("b"), "c": lambda: arm("c")},
        settle=lambda: settled.append(len(order)),
    )
    samples = samples_of(islice(timed, 40))
    assert settled == list(range(3 * 41))
    blocks = [tuple(order[i : i + 3]) for i in range(0, len(order), 3)]
    assert all(sorted(block) == ["a", "b", "c"] for block in blocks)
    assert len(set(blocks)) == 6
    assert [len(values) for values in samples.values()] == [40, 40, 40]


def test_nothing_is_timed_before_the_next_block_is_asked_for() -> None:
    made: list[int] = []
    timed = interleaved({"a": lambda: made.append(1) or 0.0}, warm_up=False)  # type: ignore[func-returns-value]
    for number in range(1, 6):
        assert next(timed) == {"a": 0.0}
        assert len(made) == number


def test_an_arm_may_raise_what_ends_iterators() -> None:
    error = StopIteration("mine")

    def arm() -> float:
        raise error

    with pytest.raises(StopIteration) as caught, AsItself():
        next(interleaved({"a": arm}))
    assert caught.value is error


def test_one_block_is_made_however_small_the_budget() -> None:
    for warm_up in (False, True):
        timed = interleaved({"a": lambda: 1.0}, budget=1e-12, warm_up=warm_up)
        assert samples_of(timed) == {"a": [1.0]}


@pytest.mark.parametrize("each", [1e-9, 3e-7, 1e-3, 0.02, 5.0])
def test_calibration_finds_how_many_calls_are_needed(each: float) -> None:
    made: list[int] = []
    draw = random.Random(0)

    def timed(calls: int) -> float:
        made.append(calls)
        return 1e-7 + each * calls * draw.uniform(0.95, 1.05)

    calls, found = calls_needed(timed, 0.01)
    assert found == pytest.approx(each, rel=0.2)
    assert calls == pytest.approx(max(1, 0.01 / each), rel=0.2)
    assert sum(made) * each < 0.05 or made == [1]
