"""The GIL watch: what it says of calls whose hold is known, and of bad input.

Nothing here asserts how long something takes. What is known of a call is asserted of the
interval that the watch itself states; where it says that it can't tell, which a busy
machine may make it do, a test tries again.
"""

from __future__ import annotations

import contextlib
import gc
import hashlib
import json
import math
import re
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import gilx
from gilx import ckernels
from gilx.errors import ArgumentError, NoGilError
from gilx.sampling.watch import watch_with_callers
from gilx.system.environment import usable_cpus
from tests.markers import needs_gil, needs_linux, needs_no_gil
from tests.trying import conclusive, first_that
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.concurrent_callers,
    needs_linux,
]

TEXT = json.dumps({"key": [[1, 2.5, "three", None]] * 200_000})
LIST = [(i * 7919) % 1_000_003 for i in range(1_000_000)]
BYTES = bytes(8_000_000)
ARRAY = np.random.default_rng(0).random(1_000_000)
MATRIX = np.random.default_rng(0).random((1000, 1000))
PRODUCT = np.ones_like(MATRIX)
SORTED = np.ones_like(ARRAY)


def sort() -> None:
    np.copyto(SORTED, ARRAY)
    SORTED.sort()


HELD: dict[str, Callable[[], Any]] = {
    "json.loads": lambda: json.loads(TEXT),
    "sorted": lambda: sorted(LIST),
    "re.match": lambda: re.match(r"(a+)+$", "a" * 23 + "b"),
}
RELEASED: dict[str, Callable[[], Any]] = {
    "time.sleep": lambda: time.sleep(0.05),
    "hashlib.sha256": lambda: hashlib.sha256(BYTES),
    # No new memory for results: finding pages for it takes the GIL's time too.
    "zlib.crc32": lambda: zlib.crc32(memoryview(BYTES)),
    "ndarray.sort": sort,
    "a @ a": lambda: np.matmul(MATRIX, MATRIX, out=PRODUCT),
}


def told(fn: Callable[[], Any]) -> gilx.GilUsage:
    """Return a usage that concludes something."""
    usage: gilx.GilUsage = conclusive(lambda: gilx.probe(fn, precision=0.03, budget=3))
    return usage


@pytest.fixture
def busy() -> Iterator[None]:
    """Another thread that wants the GIL, and holds it about half of the time."""
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            ckernels.spin(1_000_000, 1_000_000, 20_000_000)

    thread = threading.Thread(target=work, name="busy")
    thread.start()
    yield
    stop.set()
    thread.join()


@needs_gil
@pytest.mark.parametrize("name", HELD)
def test_held(name: str) -> None:
    usage = first_that(lambda usage: usage.held.value > 0.95, lambda: told(HELD[name]))
    assert usage.held.interval[0] <= usage.held.value <= usage.held.interval[1]
    name = threading.current_thread().name
    assert usage.sentence().startswith(f"thread {name} holds the GIL for")


@needs_gil
@pytest.mark.parametrize("name", RELEASED)
def test_released(name: str) -> None:
    # A thread that loses its CPU before or after the call holds the GIL for longer.
    usage = first_that(
        lambda usage: usage.held.value < 0.10, lambda: told(RELEASED[name])
    )
    name = threading.current_thread().name
    assert usage.sentence().startswith(f"thread {name} releases the GIL for")


@pytest.mark.slow
@needs_gil
@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("name", HELD)
def test_held_beside_a_busy_thread(name: str) -> None:
    first_that(lambda usage: usage.held.interval[1] > 0.95, lambda: told(HELD[name]))


@pytest.mark.slow
@needs_gil
@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("name", RELEASED)
def test_released_beside_a_busy_thread(name: str) -> None:
    def is_right(usage: gilx.GilUsage) -> bool:
        return (
            usage.held.interval[0] < 0.10
            and usage.locked.value > usage.held.value
            and any(share.name == "busy" for share in usage.by_thread)
        )

    first_that(is_right, lambda: told(RELEASED[name]))


def test_probe_calls_again_if_its_guess_was_of_a_slow_call() -> None:
    def probed() -> gilx.GilUsage:
        seconds = iter((0.0, 0.1))  # of the first call, and of the one it plans by
        return gilx.probe(lambda: time.sleep(next(seconds, 0.001)), precision=0.01)

    # Half of what 1 % needs.
    first_that(lambda usage: usage.samples - usage.late >= 200, probed)


@pytest.mark.thread_unsafe(reason="one thread uses the GIL")
@needs_gil
def test_usages_of_two_halves_add_up_to_that_of_a_watch_of_both() -> None:
    parts = []
    with gilx.watch() as outer:
        for hold in (200_000, 800_000):
            with gilx.watch() as inner:
                ckernels.spin(hold, 1_000_000 - hold, 400_000_000)
            parts.append(inner.usage)
    whole, total = outer.usage, parts[0] + parts[1]
    assert total.wall == pytest.approx(parts[0].wall + parts[1].wall)
    assert total.wall <= whole.wall
    assert total.samples == parts[0].samples + parts[1].samples
    for end in ("low", "high"):
        ends = [getattr(part.longest_hold, end) for part in parts]
        assert getattr(total.longest_hold, end) == max(ends)
    assert [share.native_id for share in total.by_thread[:1]] == [
        threading.get_native_id()
    ]
    if total.inconclusive_reason or whole.inconclusive_reason:
        pytest.skip(
            f"this machine is too busy: {total.inconclusive_reason or whole.inconclusive_reason}"
        )
    # Each misses in one of a million cases; between the parts, anything may be held.
    between = 1 - total.wall / whole.wall
    a, b = total.bounds(0.999999), whole.bounds(0.999999)
    assert a.low - between <= b.high
    assert b.low <= a.high + between


@pytest.mark.thread_unsafe(reason="one thread uses the GIL")
@needs_gil
@pytest.mark.parametrize(
    "part",
    [
        pytest.param(0.1, marks=pytest.mark.slow),
        0.5,
        pytest.param(0.9, marks=pytest.mark.slow),
    ],
)
def test_a_known_rhythm(part: float) -> None:
    hold = int(1_000_000 * part)
    for _ in range(5):
        with gilx.watch() as watch:
            done = ckernels.spin(hold, 1_000_000 - hold, 1_000_000_000)
        usage = watch.usage
        low, high = usage.held.interval
        truth = done.held_min_ns / done.wall_ns, done.held_max_ns / done.wall_ns
        # One in twenty intervals misses, so five in a row do not.
        if low <= truth[1] and truth[0] <= high:
            break
    else:
        pytest.fail(f"{truth} is not in the interval of any of five: {usage}")
    longest = usage.longest_hold
    assert longest.low <= longest.value <= longest.high
    assert usage.by_thread[0].name == threading.current_thread().name
    assert usage.by_thread[0].native_id == threading.get_native_id()


@needs_gil
def test_reference_looks_all_the_time() -> None:
    if usable_cpus() < 2:
        with pytest.raises(ArgumentError, match="reference: expected False"):
            gilx.watch(reference=True)
        return

    def watched() -> gilx.GilUsage:
        with gilx.watch(reference=True) as watch:
            ckernels.spin(100_000, 100_000, 100_000_000)
        return watch.usage

    usage = first_that(lambda usage: usage.samples > 100, watched)
    assert 0 <= usage.unknown <= 1


@needs_gil
def test_next_to_no_cost_is_next_to_no_looks() -> None:
    with gilx.watch(cost=1e-20) as watch:
        time.sleep(0.5)
    assert watch.usage.samples < 100


@needs_gil
@pytest.mark.parametrize(("warmup", "made"), [(True, 8), (False, 7)])
def test_result_and_repeats(made: int, *, warmup: bool) -> None:
    calls: list[int] = []

    def call(x: int) -> int:
        calls.append(x)
        return len(calls)

    usage = gilx.probe(call, 3, repeat=7, warmup=warmup)
    assert calls == [3] * made
    assert usage.result == made
    assert usage.repeats == 7
    assert (usage.first is not None) == warmup
    assert not usage.is_first


class CompiledOnFirstUse:
    """Holds the GIL for a time at the first call; releases it at all others."""

    def __init__(self, hold: float = 0.2, release: float = 0.02) -> None:
        self._hold, self._release = hold, release
        self.calls = 0

    def __call__(self) -> None:
        self.calls += 1
        if self.calls == 1:
            ckernels.spin(1, 0, int(self._hold * 1e9))
        else:
            time.sleep(self._release)


@pytest.mark.thread_unsafe(reason="other threads hold the GIL, too")
@needs_gil
@pytest.mark.parametrize("repeat", [None, 1, 5])
def test_the_first_call_is_a_figure_of_its_own(repeat: int | None) -> None:
    def is_right(usage: gilx.GilUsage) -> bool:
        return usage.held.interval[0] < 0.1 and (
            usage.first is None or usage.first.held.interval[1] > 0.9
        )

    usage = first_that(
        is_right,
        lambda: conclusive(
            lambda: gilx.probe(CompiledOnFirstUse(), repeat=repeat, precision=0.1)
        ),
    )
    assert usage.first is not None
    assert usage.first.wall >= 0.2
    assert not usage.is_first
    assert "  first call, a warm-up, not counted: " in usage.details()
    assert gilx.GilUsage.from_json(usage.to_json()) == usage


@needs_gil
@pytest.mark.parametrize("repeat", [None, 1])
def test_a_first_call_that_takes_the_budget_is_not_made_twice(
    repeat: int | None,
) -> None:
    fn = CompiledOnFirstUse()
    usage = gilx.probe(fn, budget=0.15, repeat=repeat)
    assert fn.calls == 1
    assert usage.repeats == 1
    assert usage.first is None
    assert usage.is_first
    assert usage.held.interval[1] > 0.5  # of nearly 1; in other calls it is 0
    assert usage.sentence().endswith("; this was its first call")
    assert gilx.GilUsage.from_json(usage.to_json()) == usage


@needs_gil
def test_without_a_warm_up_the_first_call_counts() -> None:
    fn = CompiledOnFirstUse()
    usage = gilx.probe(fn, repeat=1, warmup=False)
    assert fn.calls == 1
    assert usage.held.interval[1] > 0.5  # of nearly 1; in other calls it is 0
    assert usage.first is None
    assert not usage.is_first  # for all that is known


@needs_gil
def test_without_a_warm_up_calls_go_on_in_the_same_watch() -> None:
    calls: list[float] = []

    def slow_first() -> None:
        calls.append(0)
        if len(calls) == 1:
            ckernels.spin(300_000_000, 0, 300_000_000)
        time.sleep(0.02)

    usage = gilx.probe(slow_first, warmup=False, budget=0.6)
    assert usage.repeats == len(calls)
    assert usage.first is None
    assert usage.held.interval[1] * usage.wall > 0.15, usage  # half of the truth


@needs_gil
def test_a_call_of_nothing_is_too_short() -> None:
    usage = gilx.probe(int, budget=0.5)
    assert usage.repeats > 1
    assert "too short" in usage.inconclusive_reason
    assert str(usage).startswith("inconclusive: too short")
    assert "too short" in gilx.probe(time.sleep, 0, repeat=1).inconclusive_reason


@needs_gil
def test_a_raising_call_comes_through_with_a_note() -> None:
    def fail() -> None:
        time.sleep(0.1)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as caught:
        gilx.probe(fail)
    assert "gilx: the call's usage of the GIL until then" in caught.value.__notes__[0]
    assert_no_sampler_is_left()


def samplers() -> int:
    """Return the number of threads of this process that are samplers."""
    count = 0
    for path in Path("/proc/self/task").glob("*/comm"):
        with contextlib.suppress(OSError):  # it has ended since
            count += path.read_text() == "gilx-watch\n"
    return count


def assert_no_sampler_is_left() -> None:
    # The kernel lists a thread for a moment after it was joined.
    wait_until(lambda: samplers() == 0, "a sampler is left")


@needs_gil
def test_watches_nest() -> None:
    with gilx.watch() as outer:
        with gilx.watch() as inner:
            ckernels.spin(1, 0, 50_000_000)
        time.sleep(0.05)
    assert inner.usage.wall < outer.usage.wall
    assert outer.usage.held.interval[0] < inner.usage.held.interval[1]


@needs_gil
def test_a_watch_is_entered_once() -> None:
    watch = gilx.watch()
    with pytest.raises(RuntimeError, match="has not ended"):
        _ = watch.usage
    with watch, pytest.raises(RuntimeError, match="has not ended"):
        _ = watch.usage
    with pytest.raises(RuntimeError, match="once only"), watch:
        pass


@needs_gil
def test_a_dropped_watch_stops() -> None:
    watch = gilx.watch()
    watch.__enter__()
    wait_until(lambda: samplers() == 1, "the sampler has no name")
    del watch
    gc.collect()
    assert_no_sampler_is_left()


@needs_gil
def test_threads_come_and_go() -> None:
    with gilx.watch() as watch:
        for _ in range(20):
            threads = [
                threading.Thread(target=ckernels.spin, args=(200_000, 1000, 1_000_000))
                for _ in range(4)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert sum(share.holding.value for share in watch.usage.by_thread) <= 1.0 + 1e-9


@needs_gil
def test_watches_begin_while_threads_are_made() -> None:
    stop = False
    # So many that a look at all of them is interrupted.
    known = [threading.Thread() for _ in range(2000)]

    def make_threads() -> None:
        while not stop:
            known.append(threading.Thread())
            known.pop()

    maker = threading.Thread(target=make_threads)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    maker.start()
    try:
        for _ in range(20):
            with gilx.watch():
                pass
    finally:
        stop = True
        maker.join()
        sys.setswitchinterval(interval)


@pytest.mark.thread_unsafe(reason="one thread uses the GIL")
@needs_gil
def test_a_thread_that_came_and_went_has_its_name() -> None:
    threads: list[threading.Thread] = []

    def watched() -> dict[str, gilx.ThreadUsage]:
        with gilx.watch() as watch:
            threads.append(
                threading.Thread(target=ckernels.spin, args=(1, 0, 200_000_000), name="x")
            )
            threads[-1].start()
            threads[-1].join()
        return {share.name: share for share in watch.usage.by_thread}

    held = first_that(lambda held: "x" in held and held["x"].holding.value > 0.5, watched)
    assert held["x"].native_id == threads[-1].native_id


@needs_gil
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"fn": 3}, "fn: expected something to call, got 3"),
        ({"repeat": 0}, "repeat: expected at least 1, got 0"),
        ({"repeat": 1.5}, "repeat: expected a whole number, got 1.5"),
        ({"precision": 0}, "precision: expected 0.001 to 0.5, got 0"),
        ({"precision": "1"}, "precision: expected a number, got '1'"),
        ({"precision": math.nan}, "precision: expected 0.001 to 0.5, got nan"),
        ({"budget": 0}, "budget: expected above 0"),
        ({"cost": 0}, "cost: expected above 0 and at most 0.5, got 0"),
        ({"cost": 0.6}, "cost: expected above 0 and at most 0.5, got 0.6"),
    ],
)
def test_bad_input(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ArgumentError, match=re.escape(words)):
        gilx.probe(**{"fn": int, **arguments})


@needs_no_gil
def test_watch_that_needs_a_gil_says_that_there_is_none() -> None:
    with pytest.raises(NoGilError, match="there is none to hold"), watch_with_callers():
        pass


@needs_gil
def test_waits_for_the_gil_are_found() -> None:
    def watched() -> tuple[gilx.GilUsage, int | None]:
        go = threading.Event()

        def wait() -> None:
            go.wait()
            ckernels.spin(1000, 1000, 300_000_000)

        thread = threading.Thread(target=wait)
        thread.start()
        with gilx.watch() as watch:
            go.set()
            ckernels.spin(1, 0, 300_000_000)
            thread.join()
        if watch.usage.states_missing:
            pytest.skip(watch.usage.states_missing)
        return watch.usage, thread.native_id

    def has_waited(found: tuple[gilx.GilUsage, int | None]) -> bool:
        usage, waiting = found
        shares = {one.native_id: one.waiting_gil.value for one in usage.by_thread}
        return shares.get(waiting, 0) > 0

    usage, _ = first_that(has_waited, watched)
    assert "waiting for it" in str(usage)
