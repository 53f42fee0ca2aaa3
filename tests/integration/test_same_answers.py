"""`gilx.measure` and `assert_scales` say the same of calls of all kinds."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
import zlib
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import gilx
from gilx import ckernels
from gilx._compat import gil_enabled
from gilx.testing import judge_scaling
from tests.markers import needs_two_cpus

if TYPE_CHECKING:
    from collections.abc import Callable

MS = 1_000_000
BYTES = bytes(2_000_000)
TEXT = json.dumps(list(range(20_000)))
LOCK = threading.Lock()
# It writes nothing: what threads allocate may lie so close together that none gains.
COMPUTE = partial(zlib.crc32, bytes(4 << 20))
# A call that holds the GIL holds nothing where there is none.
HELD = "fail" if gil_enabled() else ""


class Adder:
    """Something to call that is not a function."""

    def __call__(self) -> int:
        return sum(range(100_000))

    def method(self) -> int:
        return COMPUTE()


def take_turns() -> None:
    with LOCK:
        COMPUTE()


def count_down(steps: int) -> None:
    while steps:
        steps -= 1


def start_thread() -> None:
    other = threading.Thread(target=COMPUTE)
    other.start()
    COMPUTE()
    other.join()


def keep(kept: list[int]) -> None:
    if not kept:
        kept.append(COMPUTE())


def read_file() -> None:
    with open(sys.executable, "rb", buffering=0) as file:
        file.read()


# What is right, if it is known: what cannot be said of such a call.
CALLS: dict[str, tuple[Callable[..., object], tuple[Any, ...], str]] = {
    "released, C": (COMPUTE, (), "pass"),
    "released, hash": (hashlib.sha256, (BYTES,), "pass"),
    "released, zlib": (partial(zlib.crc32, BYTES * 4), (), "pass"),
    "released, spin": (ckernels.spin, (0, MS, 10 * MS), "pass"),
    "released, method": (Adder().method, (), "pass"),
    "released, lambda": (lambda: COMPUTE(), (), "pass"),  # noqa: PLW0108
    "sleeps": (time.sleep, (0.005,), "pass"),
    "held, built in": (sum, (range(100_000),), HELD),
    "held, Python": (count_down, (50_000,), HELD),
    "held, object": (Adder(), (), HELD),
    "held, lambda": (lambda: sorted(range(100_000)), (), HELD),
    "held, json": (json.loads, (TEXT,), HELD),
    "held, spin": (ckernels.spin, (MS, 0, 10 * MS), HELD),
    "held for most, spin": (ckernels.spin, (9 * MS, MS, 20 * MS), HELD),
    "held for half, spin": (ckernels.spin, (MS, MS, 20 * MS), ""),
    "held for little, spin": (ckernels.spin, (MS // 10, MS, 20 * MS), "pass"),
    "takes turns behind a lock": (take_turns, (), "fail"),
    "has threads of its own": (start_thread, (), ""),
    "keeps its result": (keep, ([],), ""),
    "reads a file": (read_file, (), ""),
}


@pytest.mark.slow
@needs_two_cpus
@pytest.mark.parametrize("kind", CALLS)
def test_measure_and_assertion_say_the_same(kind: str) -> None:
    fn, args, right = CALLS[kind]
    [row] = gilx.measure(fn, *args, workers=2, budget=1, precision=0.005).rows
    verdict = judge_scaling(fn, *args, workers=2, budget=1.5)
    decided = {row.outcome, verdict.outcome} - {"inconclusive"}
    figures = row.comparison.without_samples()
    said = f"{row.outcome}, {row.held}, {figures}; {verdict.outcome}: {verdict.reason}"
    assert len(decided) <= 1, said
    assert not right or decided <= {right}, said
    if "fail" in decided:
        assert not row.reading.startswith("The call scales"), row
    if "pass" in decided:
        assert "holds the GIL all the time" not in row.reading, row
