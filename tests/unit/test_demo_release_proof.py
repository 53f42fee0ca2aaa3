"""Proofs of the demo that a call releases the GIL."""

from __future__ import annotations

import sys

import pytest

from gilx import ckernels
from gilx._compat import gil_enabled
from gilx.demo.release_proof import meet, runs_beside
from tests.markers import needs_gil

DEADLINE = 60


@pytest.mark.thread_unsafe(reason="callers meet those of other tests")
def test_callers_meet_where_the_gil_is_released() -> None:
    assert meet(ckernels.rendezvous_nogil, DEADLINE) == 2
    if gil_enabled():
        assert meet(ckernels.rendezvous_gil, 0.05) == 1


@pytest.mark.thread_unsafe(reason="changes the switch interval")
@needs_gil
def test_another_thread_runs_beside_a_released_call_only() -> None:
    before = sys.getswitchinterval()
    assert runs_beside(lambda: ckernels.rendezvous_nogil(2, 20_000_000))
    assert not runs_beside(lambda: ckernels.spin(10_000_000, 0, 10_000_000))
    assert sys.getswitchinterval() == before
