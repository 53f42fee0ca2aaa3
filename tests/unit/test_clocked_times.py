"""Times of a monitor's threads without a GIL, from sums that are made up."""

from __future__ import annotations

import pytest

from gilx.sampling.clocked_times import ClockedSums, Found
from gilx.sampling.ratio_interval import Ratio
from tests.unit.hold_sums import sums

pytestmark = pytest.mark.any_python
SECOND = 1e9
PIECE = 1e6  # ns between two samples
WATCH = sums(500, 500)
STOPS = Ratio(4e9, 10e9, 4e15, 4e15, 10e15, 1e15, 0.0, 0.0)


def found(*times: float, asked: float = 0.0, unknown: float = 0.0) -> Found:
    """Return sums of a thread that has these times in seconds."""
    parts = tuple((time * SECOND, time * SECOND * PIECE) for time in times)
    return (
        parts,
        int(SECOND / 4),
        (asked * SECOND, asked * SECOND * PIECE),
        (0.0, 0.0),
        unknown * SECOND,
    )


def test_times_are_those_of_the_sums_with_intervals() -> None:
    one = ClockedSums.of(found(3.0, 1.0, 0.5, 1.5, 2.0, 0.25, asked=2.0))
    states = one.seconds(WATCH, STOPS, calls=True)
    assert [
        states.attached.value,
        states.detached.value,
        states.waiting_lock.value,
        states.stopped.value,
        states.system_call.value,
        states.waiting_cpu.value,
        states.asking.value,
        states.late.value,
    ] == [3.0, 1.0, 2.0, 2.0, 0.25, 0.25, 2.0, 0.0]
    for figure in (states.attached, states.detached, states.stopped, states.asking):
        assert 0 < figure.low < figure.value < figure.high
    assert states.attached.high <= 4.5


def test_time_of_which_nothing_is_known_widens_the_intervals() -> None:
    one = ClockedSums.of(found(3.0, 0.0, 0.0, 0.0, 0.0, 0.0, unknown=1.0))
    states = one.seconds(WATCH, STOPS, calls=True)
    assert states.attached.high == pytest.approx(4.0)
    assert (states.stopped.value, states.stopped.high) == (0.0, 1.0)


def test_unknown_time_counts_once_in_the_time_of_locks() -> None:
    one = ClockedSums.of(found(0.0, 0.0, 0.0, 1.0, 0.0, 0.0, unknown=1.0))
    waiting = one.seconds(WATCH, STOPS, calls=True).waiting_lock
    assert waiting.high == pytest.approx(2.0)
    assert waiting.low <= waiting.value == 1.0


def test_what_can_not_be_read_is_unknown() -> None:
    one = ClockedSums.of(found(3.0, 1.0, 0.5, 1.5, 2.0, 0.25, asked=2.0))
    states = one.seconds(WATCH, None, calls=False)
    assert not states.attached.known
    assert not states.waiting_lock.known
    assert not states.waiting_cpu.known
    assert not states.asking.known


def test_sums_add_up_and_leave_a_rest() -> None:
    one = ClockedSums.of(found(3.0, 1.0, 0.5, 1.5, 2.0, 0.25, asked=2.0))
    two = one + one
    assert two.attached.time == 6 * SECOND
    assert two.waited_cpu == SECOND / 2
    assert two.less(one) == one
    assert one.less(two) == ClockedSums()


def test_threads_that_only_sleep_are_not_used() -> None:
    assert not ClockedSums.of(found(0.0, 0.0, 0.0, 0.0, 0.0, 5.0)).used
    assert ClockedSums.of(found(0.0, 0.0, 0.0, 0.1, 0.0, 5.0)).used


def test_waits_that_may_have_been_for_the_gil_are_unknown() -> None:
    one = ClockedSums.of(found(3.0, 1.0, 0.5, 1.5, 2.0, 0.25))
    states = one.seconds(WATCH, STOPS, calls=True, locks=False)
    assert not states.waiting_lock.known
    assert states.attached.value == 3.0
