"""Additions to a shared counter, with and without protection."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gilx import ckernels
from tests.markers import needs_gil

if TYPE_CHECKING:
    from collections.abc import Callable


DEADLINE = 60


WAYS = [ckernels.increment_gil, ckernels.increment_nogil, ckernels.increment_atomic]


def added(increment: Callable[[Any, int], int], times: int, threads: int) -> int:
    cell = bytearray(8)
    barrier = threading.Barrier(threads)

    def add() -> None:
        barrier.wait(DEADLINE)
        increment(cell, times)

    workers = [threading.Thread(target=add) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(DEADLINE)
    return int.from_bytes(cell, sys.byteorder)


@pytest.mark.parametrize("increment", WAYS)
@pytest.mark.parametrize("times", [0, 1, 16_384, 50_001])
def test_one_thread_loses_nothing(
    increment: Callable[[Any, int], int], times: int
) -> None:
    assert added(increment, times, 1) == times


def test_atomic_additions_lose_nothing() -> None:
    assert added(ckernels.increment_atomic, 500_000, 3) == 1_500_000


@needs_gil
def test_with_the_gil_held_nothing_is_lost() -> None:
    assert added(ckernels.increment_gil, 500_000, 3) == 1_500_000


def test_unprotected_additions_never_make_more() -> None:
    assert 0 < added(ckernels.increment_nogil, 500_000, 3) <= 1_500_000


def test_increment_touches_its_cell_only() -> None:
    cell = bytearray(24)
    assert ckernels.increment_atomic(memoryview(cell)[8:16], 3) >= 0
    assert cell == bytes(8) + (3).to_bytes(8, sys.byteorder) + bytes(8)


@pytest.mark.parametrize("increment", WAYS)
@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((3, 1), TypeError, "cell: expected a writable, C-contiguous buffer, got int"),
        ((bytes(8), 1), BufferError, "cell: expected a writable, C-contiguous buffer"),
        ((bytearray(7), 1), ValueError, "cell: expected at least 8 bytes, got 7"),
        (
            (memoryview(bytearray(17))[1:9], 1),
            ValueError,
            "cell: expected memory aligned",
        ),
        ((memoryview(bytearray(32))[::2], 1), BufferError, "cell: expected a writable"),
        ((np.zeros(1, "O"), 1), TypeError, "cell: expected plain memory, got ref"),
        ((bytearray(8), -1), ValueError, "times: expected 0 to"),
        ((bytearray(8), 10**19), ValueError, "times: expected 0 to"),
        ((bytearray(8), 1.5), TypeError, "times: expected an integer, got float"),
    ],
)
def test_bad_increments(
    increment: Callable[..., int],
    arguments: tuple[Any, Any],
    error: type[Exception],
    words: str,
) -> None:
    with pytest.raises(error, match=words):
        increment(*arguments)
