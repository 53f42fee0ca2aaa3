"""Threads that end before the sampler finds them, in a Python without a GIL."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.test_idle_waits import BUSY, usage

pytestmark = [pytest.mark.any_python, pytest.mark.concurrent_callers]

FOUND = sum(one.sums.ran for one in BUSY) / 1e9  # seconds of CPU time


@pytest.mark.parametrize(
    ("cpu", "words"),
    [
        (FOUND, ""),
        (1.05 * FOUND, ""),  # a thread is found a little after it has begun
        (0.9 * FOUND, ""),  # clocks are not read at the same time
        (0.0, ""),
        (
            4 * FOUND,
            "; threads that ended too soon to be found used 75 % of the CPU time",
        ),
    ],
)
def test_cpu_time_of_threads_that_were_not_found(cpu: float, words: str) -> None:
    sentence = replace(usage(*BUSY, waits=[]), cpu=cpu).sentence()
    assert (
        sentence.partition("attached and running for ")[2].partition("time")[2] == words
    )


def test_thread_whose_clock_is_read_late_was_found() -> None:
    late = [
        replace(one, sums=replace(one.sums, clock_span=0.0, ran=0.0, ready=0.0))
        for one in BUSY
    ]
    assert "too soon" not in replace(usage(*late, waits=[]), cpu=FOUND)._not_found()
