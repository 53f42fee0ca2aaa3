"""Waits for locks in a Python without a GIL: those of idle threads come last."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import gilx
from gilx.rendering.top_view import text_of, view_of
from gilx.rendering.waits_table import waits_text
from gilx.sampling.lock_waits import FoundLock, lock_waits_of
from gilx.sampling.ratio_interval import Ratio
from gilx.sampling.source_text import SourceTexts
from gilx.sampling.thread_usage import ActivitySums, ThreadSums, ThreadUsage
from gilx.sampling.waiting_sites import FoundWait, waiting_sites_of
from tests.unit.hold_sums import SLICE, sums, usage_of

if TYPE_CHECKING:
    from gilx import GilUsage

pytestmark = [pytest.mark.any_python, pytest.mark.concurrent_callers]

COUNT = 1000  # samples, of a watch of one second
_NOTHING = Ratio(*(0.0,) * 8)
WATCH = sums(
    0, COUNT, own=_NOTHING, locked=_NOTHING, waiters=_NOTHING,
    threads=4.0 * COUNT * SLICE,
)  # fmt: skip
EVENT, OBJECT = 2, 0


def thread(name: str, waited: float, *, calls: bool = True) -> ThreadUsage:
    """Return a thread that waited for locks for a part of the time, and ran else."""

    def part(share: float) -> ActivitySums:
        count = share * COUNT
        return ActivitySums(count * SLICE, count * SLICE**2, count * SLICE**2)

    whole = float(COUNT * SLICE)
    made = ThreadSums(
        alive=whole, known=whole, squares=whole * SLICE, cpu_wait=0.0, calls=calls,
        clock_span=whole, ran=(1 - waited) * whole, ready=(1 - waited) * whole,
        on_cpu=part(1 - waited), waiting_lock=part(waited),
    )  # fmt: skip
    return ThreadUsage.of(name, None, made, WATCH)


def wait(function: str, file: str, line: int, seconds: float) -> FoundWait:
    time = seconds * 1e9
    return FoundWait(
        *(0, function, file, line, line, line, 0, 9),
        *(0.0, 0.0, time, time * SLICE, int(seconds * COUNT)),
    )


def usage(*threads: ThreadUsage, waits: list[FoundWait]) -> GilUsage:
    return usage_of(
        WATCH,
        by_thread=threads,
        waiting_sites=waiting_sites_of(waits, WATCH, SourceTexts(0.0)),
        locks=lock_waits_of(
            [
                FoundLock(EVENT, 0x10, "", 1e9, 0.0, 9),
                FoundLock(OBJECT, 0x20, "_queue.SimpleQueue", 2e9, 0.0, 9),
                FoundLock(OBJECT, 0x30, "list", 0.2e9, 0.0, 9),
            ],
            1.0,
        ),
    )


JOIN = wait("Thread.join", "/lib/threading.py", 1133, 1.0)
QUEUE = wait("serve", "/app/pool.py", 7, 2.0)
CONTENDED = wait("put", "/app/shared.py", 41, 0.2)
WAITS = [JOIN, QUEUE, CONTENDED]
IDLE = [thread("main", 1.0), thread("idle 0", 0.98), thread("idle 1", 0.98)]
BUSY = [thread("w0", 0.1), thread("w1", 0.1)]


def lines(given: GilUsage) -> str:
    words = " ".join(str(given).split())
    return words.partition("waiting for locks in: ")[2].partition(" time: ")[0]


def test_waits_of_idle_threads_are_last() -> None:
    found = usage(*IDLE, *BUSY, waits=WAITS)
    places = [one.split()[0] for one in lines(found).split(", ")]
    assert places == ["app/shared.py:41", "app/pool.py:7", "lib/threading.py:1133"]
    table = [line for line in waits_text(found).splitlines() if ":" in line[1:]]
    assert [line.split()[0] for line in table[1:]] == places
    text = str(found)
    locks = [text.index(one) for one in ("'list' at", "SimpleQueue' at", "an event at")]
    assert locks == sorted(locks)
    # The record keeps the order of the times.
    assert [one.waiting for one in found.locks] == pytest.approx([2, 1, 0.2])
    assert str(gilx.GilUsage.from_json(found.to_json())) == text


def test_join_is_last_even_if_other_threads_wait_as_long() -> None:
    found = usage(
        IDLE[0], thread("w0", 0.5), thread("w1", 0.5),
        waits=[JOIN, wait("put", "/app/shared.py", 41, 0.95)],
    )  # fmt: skip
    assert lines(found).startswith("app/shared.py:41")


def test_longest_waits_are_first_if_shares_are_unknown() -> None:
    found = usage(*IDLE, thread("w0", 0.1, calls=False), waits=WAITS)
    assert lines(found).startswith("app/pool.py:7")


def test_line_of_text_of_top_has_the_line_that_slows_threads() -> None:
    found = replace(usage(*IDLE, *BUSY, waits=WAITS), program="work.py")
    text = text_of(view_of(found, found, WATCH))
    assert text.endswith("  app/shared.py:41                 waiting  0.20")
