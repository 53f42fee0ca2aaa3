"""Figures with their intervals."""

from __future__ import annotations

import math
import pickle

import pytest

from gilx.estimate import Estimate, independent_sum

HALF = Estimate(0.5, 0.4, 0.6)
UNKNOWN = Estimate.unknown()
OPEN = Estimate(1.5, 0.0, math.inf)


def test_an_unknown_figure_has_no_interval() -> None:
    assert Estimate(math.nan, 0.0, 1.0) == UNKNOWN
    assert math.isnan(Estimate(math.nan, 0.0, 1.0).high)


def test_an_unknown_figure_equals_another_one() -> None:
    assert Estimate.unknown() == UNKNOWN
    assert pickle.loads(pickle.dumps(UNKNOWN)) == UNKNOWN
    assert len({UNKNOWN, Estimate.unknown(), HALF}) == 2
    assert UNKNOWN != HALF
    assert HALF != 0.5


@pytest.mark.parametrize(
    ("figure", "known", "bounded"),
    [(HALF, True, True), (OPEN, True, False), (UNKNOWN, False, False)],
)
def test_what_is_known(figure: Estimate, *, known: bool, bounded: bool) -> None:
    assert (figure.known, figure.bounded) == (known, bounded)


def test_intervals_overlap_if_they_share_a_point() -> None:
    assert HALF.overlaps(Estimate(0.7, 0.6, 0.8))
    assert not HALF.overlaps(Estimate(0.7, 0.61, 0.8))
    assert not HALF.overlaps(UNKNOWN)


def test_arithmetic_keeps_the_ends_in_order() -> None:
    assert HALF.times(2) == Estimate(1.0, 0.8, 1.2)
    assert Estimate(0.25, 0.125, 0.5).complement() == Estimate(0.75, 0.5, 0.875)


def test_text() -> None:
    assert str(HALF) == f"{HALF}" == "0.5 (0.4 to 0.6)"
    assert f"{HALF:.2f}" == "0.50"
    assert f"{HALF:>18}" == "  0.5 (0.4 to 0.6)"
    assert f"{HALF:.0%}" == "50%"
    assert float(HALF) == 0.5
    assert HALF.text("{:.0%}".format) == "50% (40% to 60%)"
    assert str(UNKNOWN) == "unknown"


def test_errors_of_a_sum_are_independent() -> None:
    found = independent_sum([Estimate(1.0, 0.7, 1.3), Estimate(2.0, 1.6, 2.4)])
    assert found.value == 3.0
    assert [found.low, found.high] == [pytest.approx(2.5), pytest.approx(3.5)]
    assert independent_sum([Estimate(0.1, 0.0, 0.2)] * 9).low >= 0


def test_a_sum_is_unknown_if_a_part_is() -> None:
    assert independent_sum([HALF, UNKNOWN]) == UNKNOWN
    assert independent_sum([]) == UNKNOWN
