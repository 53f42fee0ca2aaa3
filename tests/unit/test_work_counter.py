"""The work counter: on its own memory and on memory that others share."""

from __future__ import annotations

import gc
import struct
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gilx
from gilx.ckernels import Counter

if TYPE_CHECKING:
    from tests.implementations import Implementation

pytestmark = pytest.mark.concurrent_callers

INT64 = st.integers(-(2**63), 2**63 - 1)


def test_handles_on_one_memory_share_their_claims() -> None:
    memory = bytearray(Counter.MEMORY_SIZE)
    one, two = (Counter(10, 20, 4, memory=memory) for _ in range(2))
    assert [one.take(), two.take(), one.take(), two.take()] == [
        (10, 14),
        (14, 18),
        (18, 20),
        None,
    ]
    assert one.remaining == two.remaining == 0


def test_cancelling_reaches_every_handle() -> None:
    memory = bytearray(Counter.MEMORY_SIZE)
    one, two = (Counter(0, 9, memory=memory) for _ in range(2))
    one.cancel()
    assert two.cancelled
    assert two.take() is None
    assert two.remaining == 9


def test_memory_of_zeros_is_a_new_counter() -> None:
    memory = bytearray(Counter.MEMORY_SIZE)
    counter = Counter(5, 7, 2, memory=memory)
    for _ in range(2):
        assert counter.take() == (5, 7)
        counter.cancel()
        memory[:] = bytes(len(memory))
        assert not counter.cancelled
        assert counter.remaining == 2


@given(start=st.integers(0, 2**63 - 1), more=INT64, grain=INT64, garbage=INT64)
def test_no_claim_leaves_the_range_whatever_is_in_the_memory(
    start: int, more: int, grain: int, garbage: int
) -> None:
    stop = min(start + abs(more), 2**63 - 1)
    grain = max(1, abs(grain) % 2**63)
    memory = bytearray(Counter.MEMORY_SIZE)
    struct.pack_into("@q", memory, 0, garbage)
    counter = Counter(start, stop, grain, memory=memory)
    assert 0 <= counter.remaining <= stop - start
    claim = counter.take()
    if 0 <= garbage < stop - start:
        first = start + garbage
        assert claim == (first, min(first + grain, stop))
    else:
        assert claim is None


@pytest.mark.parametrize("byte", [1, 2, 0xFF])
def test_any_garbage_reads_as_cancelled(
    implementation: Implementation, byte: int
) -> None:
    memory = bytearray(Counter.MEMORY_SIZE)
    counter = Counter(0, 9, memory=memory)
    memory[64] = byte
    assert counter.cancelled
    out = np.zeros(9, np.int32)
    assert implementation["collatz"](1, out, take=counter) == 0


def test_kernels_survive_memory_that_changes_under_them(
    implementation: Implementation,
) -> None:
    items = 20_000
    memory = bytearray(Counter.MEMORY_SIZE)
    counter = Counter(100, items - 100, 3, memory=memory)
    out = np.zeros(items, np.int32)
    stop = threading.Event()

    def scribble() -> None:
        values = [0, -1, 2**63 - 1, -(2**63), items - 200, items - 201, 7, items]
        while not stop.is_set():
            for value in values:
                struct.pack_into("@q", memory, 0, value)

    vandal = threading.Thread(target=scribble)
    vandal.start()
    try:
        for _ in range(5):
            implementation["collatz"](1, out, take=counter)
    finally:
        stop.set()
        vandal.join(30)
    assert not vandal.is_alive()
    assert not out[:100].any()
    assert not out[-100:].any()
    right = np.zeros(items, np.int32)
    gilx.kernels.get("collatz").function("c-nogil")(1, right)
    written = out != 0
    assert np.array_equal(out[written], right[written])


def test_the_memory_is_held_for_the_counters_life() -> None:
    memory = bytearray(Counter.MEMORY_SIZE)
    counter = Counter(0, 3, memory=memory)
    with pytest.raises(BufferError):
        memory.extend(b"more")
    assert counter.take() == (0, 1)
    del counter
    gc.collect()
    memory.extend(b"more")
