"""Longest holds, from bounds that a watch may have found."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from gilx.estimate import Estimate
from gilx.sampling.longest_hold import (
    HoldBounds,
    Stretch,
    is_run_of_chance,
    longer,
    longest_hold,
    stretch_length,
)

pytestmark = pytest.mark.any_python

SWITCH = 5e-3
# A second during which the thread held the GIL, as far as anyone saw.
ALWAYS = HoldBounds(
    least=4e-6,
    most=1.0,
    stretch=0.999,
    run=1000,
    mean=(0.02, 1.0),
    samples=1000,
    resolution=1e-3,
    share=1.0,
)


def longest(holds: HoldBounds, stretches: list[Stretch] | None = None) -> Estimate:
    return longest_hold(holds, stretches, SWITCH)


def ms(*lengths: float) -> list[Stretch]:
    """Return stretches of one sample in each millisecond."""
    return [Stretch(int(1e6 * (x - 0.5)), int(1e6 * (x + 0.5)), int(x)) for x in lengths]


def test_python_loop_answers_within_the_switch_interval() -> None:
    found = longest(ALWAYS, [])
    assert found == Estimate(SWITCH, SWITCH, SWITCH)


def test_calls_between_python_code_are_as_long_as_their_stretches() -> None:
    found = longest(ALWAYS, ms(*[35.0] * 16))
    assert found.value == pytest.approx(0.0345, abs=1e-3)
    assert found.low <= 0.035 <= found.high


def test_long_call_of_a_thread_counts_beside_shorter_ones() -> None:
    found = longest(ALWAYS, ms(200.0, 35.0, 35.0))
    assert found.value == pytest.approx(0.2, rel=1e-3)
    assert found.interval == pytest.approx((0.1995, 0.2005))


def test_calls_shorter_than_the_switch_interval_do_not_hide_python_code() -> None:
    assert longest(ALWAYS, ms(2.0, 1.0)) == Estimate(SWITCH, SWITCH, SWITCH)


def test_no_hold_is_longer_than_the_time_between_reads_without_it() -> None:
    holds = HoldBounds(
        3e-6, 9e-4, 6e-4, 1, (1.8e-5, 2.3e-5), samples=9000, resolution=1e-3, share=0.5
    )
    found = longest(holds, [])
    assert found.low >= 1.8e-5
    assert found.low <= found.value <= found.high == 9e-4
    assert found.value == pytest.approx(2e-5, rel=0.1)
    assert longest(replace(holds, most=2e-3), ms(35.0)).high == 2e-3


def test_short_holds_that_samples_found_by_chance_are_not_one_long_hold() -> None:
    # A rhythm of 20 us within one call, of 10 s: some samples in a row found it held.
    holds = HoldBounds(
        3e-6,
        1.2e-2,
        1.1e-2,
        12,
        (1.8e-5, 2.3e-5),
        samples=9000,
        resolution=1e-3,
        share=0.5,
    )
    found = longest(holds, ms(11.0))
    assert found.low == 1.8e-5
    assert found.value == pytest.approx(2e-5, rel=0.1)
    assert found.high == pytest.approx(0.0115)
    # 40 of them in a row are no chance.
    sure = longest(replace(holds, most=0.05, stretch=0.04, run=40), ms(40.0))
    assert sure.value == pytest.approx(0.04, rel=1e-3)


def test_two_holds_that_look_like_one_hide_no_other_hold() -> None:
    # Holds of 5 ms, of which two with a short release between them look like one.
    holds = HoldBounds(
        4e-6, 0.0114, 0.0104, 11, (2e-4, 5.5e-3), samples=900, resolution=1e-3, share=0.83
    )
    one, two = Stretch(4_800_000, 6_200_000, 5), Stretch(10_400_000, 11_400_000, 11)
    found = longest(holds, [two, *[one] * 15])
    assert found.value == pytest.approx(0.005, rel=0.1)
    assert found.interval == pytest.approx((0.005, 0.0114), rel=0.05)
    # If no hold is known to be as long, they say nothing.
    assert longest(replace(holds, mean=(2e-4, 3e-3)), [two, *[one] * 15]).low < 5e-4


def test_bounds_of_the_words_are_all_that_is_known_without_stacks() -> None:
    found = longest(replace(ALWAYS, least=0.1))
    assert (found.low, found.high) == (0.1, 1.0)
    assert found.low < found.value < found.high


def test_thread_that_no_read_found_holding_has_the_lowest_value() -> None:
    holds = HoldBounds(
        0.0, 1.1e-3, 0.0, 0, (0.0, 1.0), samples=1000, resolution=1e-3, share=0.0
    )
    assert longest(holds, []) == Estimate(0.0, 0.0, 1.1e-3)


def test_bounds_of_many_stretches_alike_exceed_the_longest_one() -> None:
    alone, many = stretch_length(ms(35.0)), stretch_length(ms(*[35.0] * 9))
    assert alone.value == pytest.approx(0.035, rel=1e-3)
    assert alone.interval == pytest.approx((0.0345, 0.0355))
    assert many.value == pytest.approx(0.0346, rel=1e-3)
    assert many.interval == alone.interval
    # Those that ended before the first one's lower bound are shorter.
    assert stretch_length(ms(35.0, 20.0)) == alone


def test_stretch_that_one_sample_found_is_of_the_middle_order_of_magnitude() -> None:
    assert stretch_length([Stretch(10_000, 4_000_000, 1)]).value == pytest.approx(2e-4)
    assert stretch_length([Stretch(0, 4_000_000, 1)]).value == pytest.approx(
        6.32e-5, rel=1e-3
    )
    assert stretch_length([Stretch(0, 500, 1)]).value == pytest.approx(5e-7)


def test_no_stretch_is_unknown() -> None:
    assert not stretch_length([]).known
    assert not stretch_length([Stretch(0, 0, 0)]).known
    assert longer(Estimate.unknown(), Estimate(1, 1, 1)) == Estimate(1, 1, 1)
    assert longer(Estimate(1, 1, 1), Estimate.unknown()) == Estimate(1, 1, 1)
    assert math.isnan(longer(Estimate.unknown(), Estimate.unknown()).value)


def test_longer_takes_each_end_by_itself() -> None:
    one, other = Estimate(2, 1, 5), Estimate(3, 0, 4)
    assert longer(one, other) == longer(other, one) == Estimate(3, 1, 5)


@pytest.mark.parametrize(
    ("samples", "share", "length", "chance"),
    [
        (1000, 0.5, 8, True),
        (1000, 0.5, 25, False),  # longer
        (1000, 0.5, 2, False),  # shorter
        (1000, 1.0, 1000, False),
        (661, 0.998, 24, False),  # shorter than 500
        (52, 48 / 52, 46, False),  # few of the orders of so few samples have such a run
        (52, 48 / 52, 30, True),
    ],
)
def test_longest_run_of_chance(
    samples: int,
    share: float,
    length: float,
    chance: bool,
) -> None:
    assert is_run_of_chance(samples, share, length) is chance


def test_run_of_samples_that_chance_makes_is_not_a_lower_bound() -> None:
    def hold(*, unordered: bool, run: int = 23) -> Estimate:
        bounds = HoldBounds(
            4e-6, 0.025, 0.022, run, (1e-4, 0.4), 300, 1e-3, 0.8, unordered=unordered
        )
        return longest_hold(bounds, [Stretch(21_500_000, 23_000_000, run)], 0.005)

    assert hold(unordered=True).low == 4e-6
    assert 1e-3 < hold(unordered=True).value < 3e-3
    assert hold(unordered=False).low == pytest.approx(0.0215)
    # A sampler that was late had fewer samples in the same time, which chance makes, too.
    assert hold(unordered=True, run=8).low == 4e-6
    assert hold(unordered=True, run=80).low == pytest.approx(0.0215)
