"""Waits of threads that call at once without a GIL, of made-up usages."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

import gilx
from gilx.sampling.lock_waits import FoundLock, lock_waits_of
from gilx.sampling.ratio_interval import Ratio
from gilx.sampling.source_text import SourceTexts
from gilx.sampling.thread_usage import ActivitySums, ThreadSums, ThreadUsage
from gilx.sampling.usage import WITHOUT_GIL
from gilx.sampling.waiting_sites import FoundWait, waiting_sites_of
from gilx.speedup import waits_together
from gilx.speedup.waits_together import WaitsTogether
from tests.unit.hold_sums import SLICE, sums, usage_of

if TYPE_CHECKING:
    from gilx import GilUsage

pytestmark = [pytest.mark.any_python, pytest.mark.concurrent_callers]

COUNT = 1000
WHOLE = float(COUNT * SLICE)
WATCH = replace(
    sums(0, COUNT, own=Ratio(*(0.0,) * 8), locked=Ratio(*(0.0,) * 8)), wall=COUNT * SLICE
)


def activity(share: float) -> ActivitySums:
    time = share * WHOLE
    return ActivitySums(time, time * SLICE, time * SLICE, 0.0)


def thread(name: str, *, parked: float = 0.0, stopped: float = 0.0) -> ThreadUsage:
    ran = 1 - parked - stopped
    made = ThreadSums(
        alive=WHOLE, known=WHOLE, squares=WHOLE * SLICE, cpu_wait=0.0, calls=True,
        clock_span=WHOLE, ran=ran * WHOLE, ready=ran * WHOLE, on_cpu=activity(ran),
        waiting_lock=activity(parked), stopped=activity(stopped),
    )  # fmt: skip
    return ThreadUsage.of(name, hash(name) % 1000, made, WATCH)


def site(file: str, seconds: float) -> FoundWait:
    time = seconds * 1e9
    return FoundWait(0, "work", file, 1, 3, 3, 4, 9, 0.0, 0.0, time, time * SLICE, 9)


def usage(
    *threads: ThreadUsage,
    locks: tuple[FoundLock, ...] = (),
    sites: tuple[FoundWait, ...] = (),
) -> GilUsage:
    return usage_of(
        WATCH, by_thread=threads, longest_hold=gilx.Estimate.unknown(),
        locks=lock_waits_of(locks, 1.0),
        waiting_sites=waiting_sites_of(sites, WATCH, SourceTexts(0.0)),
    )  # fmt: skip


LIST = FoundLock(0, 0x1230, "list", 2e9, 1.0, 50)
POOL = FoundLock(0, 0x1250, "_queue.SimpleQueue", 2e9, 1.0, 50)


def test_waits_of_the_workers_add_up() -> None:
    found = WaitsTogether.of(
        usage(
            thread("MainThread", parked=0.4, stopped=0.2),
            thread("gilx_0", parked=0.3),
            thread("another", parked=1.0),
            locks=(LIST,),
            sites=(site("mine.py", 0.1),),
        )
    )
    assert found is not None
    assert found.workers == 2
    assert found.parked.value == pytest.approx(0.7)
    assert found.stopped.value == pytest.approx(0.2)
    assert found.hindered.value == pytest.approx(0.9)
    assert found.hindered.low < 0.9 < found.hindered.high
    assert found.found_locks
    assert "a 'list' at 0x1230" in found.locks
    assert [one.file for one in found.lock_sites] == ["mine.py"]


def test_waits_for_one_another_in_the_pool_are_left_out() -> None:
    wall = WATCH.wall / 1e9
    found = WaitsTogether.of(
        usage(
            thread("MainThread", parked=0.5),
            thread("gilx_0"),
            locks=(POOL,),
            sites=(site("/lib/gilx/pools/threads.py", 0.4 * wall),),
        )
    )
    assert found is not None
    assert found.parked.value == pytest.approx(0.1, abs=0.02)
    assert not found.found_locks
    assert found.lock_sites == ()


def test_locks_of_other_threads_are_no_waits_of_the_workers() -> None:
    found = WaitsTogether.of(
        usage(thread("MainThread"), thread("idle", parked=1.0), locks=(LIST,))
    )
    assert found is not None
    assert found.parked.value == 0
    assert not found.found_locks


def test_waits_that_are_not_known_are_none() -> None:
    unknown = ThreadUsage.of("MainThread", 1, ThreadSums(), WATCH)
    assert WaitsTogether.of(usage(unknown)) is None


WATCH_WITH_GIL = replace(sums(0, COUNT), wall=COUNT * SLICE)


def thread_with_gil(
    name: str,
    *,
    parked: float = 0.0,
    sleeping: float = 0.0,
    gil: float = 0.0,
    holding: float = 0.0,
    stalled: float = 0.0,
    gil_waits: bool = True,
) -> ThreadUsage:
    made = ThreadSums(
        alive=WHOLE, known=WHOLE, squares=WHOLE * SLICE, cpu_wait=stalled * WHOLE,
        held_off_cpu=stalled * WHOLE, calls=True, gil_waits=gil_waits,
        on_cpu=activity(1 - parked - sleeping - gil - holding),
        waiting_lock=activity(parked), sleeping=activity(sleeping),
        waiting_gil=activity(gil), holding=activity(holding),
    )  # fmt: skip
    return ThreadUsage.of(name, hash(name) % 1000, made, WATCH_WITH_GIL)


def usage_with_gil(*threads: ThreadUsage, sites: tuple[FoundWait, ...]) -> GilUsage:
    return usage_of(
        WATCH_WITH_GIL, by_thread=threads, longest_hold=gilx.Estimate.unknown(),
        waiting_sites=waiting_sites_of(sites, WATCH_WITH_GIL, SourceTexts(0.0)),
    )  # fmt: skip


def test_waits_for_locks_and_in_system_calls_beside_a_gil() -> None:
    threads = (
        thread_with_gil("MainThread", parked=0.4, sleeping=0.2),
        thread_with_gil("gilx_0", parked=0.3),
    )
    found = WaitsTogether.of(usage_with_gil(*threads, sites=(site("mine.py", 0.1),)))
    assert found is not None
    assert not found.without_gil
    assert found.parked.value == pytest.approx(0.7)
    assert found.system_call.value == pytest.approx(0.2)
    assert found.stopped.value == 0
    assert found.found_locks
    assert [one.file for one in found.lock_sites] == ["mine.py"]


def test_compiled_function_waits_in_the_line_that_calls_it() -> None:
    wall = WATCH_WITH_GIL.wall / 1e9
    threads = (
        thread_with_gil("MainThread", parked=0.4),
        thread_with_gil("gilx_0", parked=0),
    )
    sites = (
        site("/lib/gilx/speedup/timings.py", 0.3 * wall),
        site("/lib/gilx/pools/threads.py", 0.1 * wall),
    )
    found = WaitsTogether.of(usage_with_gil(*threads, sites=sites))
    assert found is not None
    assert found.parked.value == pytest.approx(0.3, abs=0.02)
    assert found.lock_sites == ()


def test_waits_for_locks_are_not_known_if_they_may_be_for_the_gil() -> None:
    thread = thread_with_gil("MainThread", parked=0.4, gil_waits=False)
    assert WaitsTogether.of(usage_with_gil(thread, sites=())) is None


def waits_of_two(
    first: ThreadUsage, second: ThreadUsage, *sites: FoundWait
) -> WaitsTogether:
    found = WaitsTogether.of(usage_with_gil(first, second, sites=sites))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("parked", "gil", "sleeping", "hindrance"),
    [
        (0.0, 0.0, 0.0, -1),
        (0.5, 0.0, 0.0, 1),
        (0.0, 0.5, 0.0, 1),
        (0.3, 0.3, 0.0, 1),
        # At what is asked for nothing is known.
        (0.2, 0.0, 0.0, 0),
        # It may be a lock that the system has.
        (0.0, 0.0, 0.5, 0),
    ],
)
def test_samples_show_whether_workers_hinder_each_other(
    parked: float, gil: float, sleeping: float, hindrance: int
) -> None:
    first, second = (
        thread_with_gil(name, parked=parked, gil=gil, sleeping=sleeping)
        for name in ("MainThread", "gilx_0")
    )
    assert waits_of_two(first, second).hindrance(0.8) == hindrance


def test_less_waiting_is_allowed_while_workers_wait_for_cpus() -> None:
    first, second = (
        thread_with_gil(name, parked=0.1) for name in ("MainThread", "gilx_0")
    )
    found = waits_of_two(first, second)
    assert found.hindrance(0.8) == -1
    assert replace(found, waiting_cpu=0.6).hindrance(0.8) == 0
    assert replace(found, waiting_cpu=float("nan")).hindrance(0.8) == 0


def test_waits_for_a_holder_without_a_cpu_do_not_count() -> None:
    waiting = thread_with_gil("gilx_0", gil=0.5)
    running = waits_of_two(thread_with_gil("MainThread", holding=0.6), waiting)
    stalled = waits_of_two(
        thread_with_gil("MainThread", holding=0.6, stalled=0.6), waiting
    )
    assert running.hindered.value == pytest.approx(0.5, abs=0.02)
    assert stalled.hindered.value == pytest.approx(0.0, abs=0.02)


def test_waits_at_the_end_do_not_hide_waits_before_it() -> None:
    wall = WATCH_WITH_GIL.wall / 1e9
    found = waits_of_two(
        thread_with_gil("MainThread", parked=0.5),
        thread_with_gil("gilx_0", parked=0.5),
        site("/lib/gilx/pools/threads.py", 0.5 * wall),
    )
    # Half of a worker's time, while 1.5 workers had calls to make.
    assert found.hindered.value == pytest.approx(2 * 0.5 / 1.5, abs=0.05)


def test_bounds_after_several_watches_are_wider_than_those_of_one() -> None:
    threads = thread_with_gil("MainThread", parked=0.2), thread_with_gil("gilx_0")
    usage = usage_with_gil(*threads, sites=())
    once, later = (WaitsTogether.of(usage, level=each) for each in (0.998, 0.9999))
    assert once is not None
    assert later is not None
    assert later.hindered.low < once.hindered.low
    assert later.hindered.high > once.hindered.high


def test_watch_without_samples_is_not_taken_for_one_of_a_gil(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nothing = replace(
        usage(), sums=replace(WATCH, counted=0.0), backend=WITHOUT_GIL,
        inconclusive_reason="too short",
    )  # fmt: skip
    watching = SimpleNamespace(__enter__=bool, stop=bool, usage=nothing)
    monkeypatch.setattr(waits_together, "watch_with_callers", lambda **_: watching)
    monkeypatch.setattr(waits_together, "gil_enabled", lambda: False)
    assert waits_together._usage_of(bool) == (None, "too short")
