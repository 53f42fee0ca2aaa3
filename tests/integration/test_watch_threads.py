"""The GIL watch in programs with many threads, and with threads that come and go."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import gilx
from gilx import ckernels
from gilx.sampling.timeline import MOST_SHARE
from gilx.system.environment import usable_cpus
from tests.command import CompletedProcess, run_program, run_python
from tests.markers import needs_gil, needs_linux
from tests.trying import first_that

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    needs_linux,
    needs_gil,
    pytest.mark.thread_unsafe(reason="asks which threads of the process hold the GIL"),
]


def python(code: str, *arguments: str) -> CompletedProcess:
    return run_python("-W", "ignore", "-c", code, *arguments, timeout=60)


# In many a process the thread state of one thread is often where that of the one before
# was, but not in each watch, so there are many of both.
ONE_AFTER_ANOTHER = """
import json, sys, threading
from concurrent.futures import ThreadPoolExecutor
import gilx
from gilx.ckernels import spin

lengths = {}

def hold():
    # On a busy machine it takes longer, and holds the GIL all the while.
    done = spin(20_000_000, 0, 20_000_000)
    lengths[threading.get_native_id()] = done.held_min_ns
    return threading.get_native_id()

def thread():
    one = threading.Thread(target=hold)
    one.start()
    one.join()
    return one.native_id

def pool():
    with ThreadPoolExecutor(1) as one:
        return one.submit(hold).result()

def timer():
    one = threading.Timer(0, hold)
    one.start()
    one.join()
    return one.native_id

run, watches = globals()[sys.argv[1]], []
while len(watches) < 10:
    with gilx.watch() as watch:
        ids = run(), run()
    held = {share.native_id: share.holding.value for share in watch.usage.by_thread}
    lanes = {lane.native_id: lane.share("holding") for lane in watch.timeline.lanes}
    traced = dict.fromkeys(lanes, 0)
    for event in json.loads(watch.timeline.to_trace())["traceEvents"]:
        if event["name"] == "holding the GIL":
            traced[event["tid"]] += event["dur"]
    wall = 1e9 * watch.usage.wall
    watches.append([wall * watch.usage.unknown, [lengths[one] for one in ids], *(
        [scale * found.get(one, 0) for one in ids]
        for scale, found in ((wall, held), (wall, lanes), (1000, traced))
    )])
print(json.dumps(watches))
"""


@pytest.mark.parametrize(
    "kind",
    [
        "thread",
        pytest.param("pool", marks=pytest.mark.slow),
        pytest.param("timer", marks=pytest.mark.slow),
    ],
)
def test_each_of_two_threads_is_credited_with_its_own_holds(kind: str) -> None:
    for number in range(4):
        done = python(ONE_AFTER_ANOTHER, kind, "x" * 300 * number)
        for unknown, truth, *credited in json.loads(done.stdout):
            # It may have held longer: while it waited for a CPU outside of the known call.
            for found, least in itertools.product(credited, range(2)):
                assert found[least] + unknown > 0.6 * truth[least], done.stdout


@pytest.fixture
def idle() -> Iterator[Callable[[int], None]]:
    """Return a function that starts threads which sleep until the end of the test."""
    end = threading.Event()
    threads: list[threading.Thread] = []

    def start(count: int) -> None:
        for _ in range(count):
            thread = threading.Thread(target=end.wait)
            thread.start()
            threads.append(thread)

    yield start
    end.set()
    for thread in threads:
        thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("count", [30, 100, 1000])
def test_one_busy_thread_beside_many_idle_ones_is_known(
    count: int, idle: Callable[[int], None]
) -> None:
    idle(count)
    threads: list[threading.Thread] = []

    def watched() -> gilx.Watch:
        with gilx.watch() as watch:
            threads.append(
                threading.Thread(
                    target=ckernels.spin, args=(300_000_000, 0, 300_000_000), name="busy"
                )
            )
            threads[-1].start()
            threads[-1].join()
        return watch

    def is_known(watch: gilx.Watch) -> bool:
        shares = {one.name: one.holding.value for one in watch.usage.by_thread}
        return shares.get("busy", 0) > 0.5 and "unknown" not in shares

    watch = first_that(is_known, watched)
    usage = watch.usage
    shares = {share.name: share for share in usage.by_thread}
    assert usage.by_thread[0].native_id == threading.get_native_id()
    assert shares["busy"].native_id == threads[-1].native_id
    # No lane is of a thread that did nothing.
    assert len(watch.timeline.lanes) <= len(shares) + 2
    lane = next(lane for lane in watch.timeline.lanes if lane.name == "busy")
    assert lane.share("holding") > 0.5


@pytest.mark.slow
def test_each_of_many_threads_that_held_has_its_name() -> None:
    names = [f"worker {number}" for number in range(100)]
    with gilx.watch(cost=0.2) as watch:
        threads = [
            threading.Thread(
                target=ckernels.spin, args=(10_000_000, 0, 10_000_000), name=name
            )
            for name in names
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = {one.name for one in watch.usage.by_thread if one.holding.value > 0}
    if watch.usage.unknown < 0.2:
        assert len(found & set(names)) > 90, found
    assert not any(name.startswith(("thread ", "unknown")) for name in found)


def test_the_watched_thread_comes_first_even_if_it_never_held() -> None:
    ready, end = threading.Event(), threading.Event()

    def work() -> None:
        ready.set()
        while not end.is_set():
            ckernels.spin(1_000_000, 1_000_000, 20_000_000)

    busy = threading.Thread(target=work, name="busy")
    busy.start()
    ready.wait()
    try:
        usage = first_that(
            lambda usage: [one.name for one in usage.by_thread[1:2]] == ["busy"],
            lambda: gilx.probe(time.sleep, 0.2, repeat=1),
        )
    finally:
        end.set()
        busy.join()
    assert usage.by_thread[0].name == threading.current_thread().name
    assert usage.by_thread[0].native_id == threading.get_native_id()


def test_a_watch_stopped_by_another_thread_measures_the_one_that_entered_it() -> None:
    def watched() -> gilx.GilUsage:
        watch = gilx.watch()

        def enter_and_sleep() -> None:
            watch.__enter__()
            time.sleep(0.05)

        entered = threading.Thread(target=enter_and_sleep, name="entered")
        entered.start()
        entered.join()
        # The thread state of a new thread may be where that of the one before was.
        others = [
            threading.Thread(
                target=ckernels.spin, args=(20_000_000, 0, 20_000_000), name="other"
            )
            for _ in range(4)
        ]
        for other in others:
            other.start()
            other.join()
        watch.stop()
        assert watch.usage.by_thread[0].native_id == entered.native_id
        return watch.usage

    def holds_little(usage: gilx.GilUsage) -> bool:
        return usage.by_thread[0].holding.value < 0.2 and usage.held.interval[0] < 0.2

    first_that(holds_little, watched)


def test_two_threads_with_one_native_id_are_two() -> None:
    last = Path("/proc/sys/kernel/ns_last_pid")
    if not os.access(last, os.W_OK):
        pytest.skip("the next native id can't be chosen here")
    for _ in range(20):
        with gilx.watch() as watch:
            ids = []
            for length in (60_000_000, 120_000_000):
                thread = threading.Thread(target=ckernels.spin, args=(length, 0, length))
                thread.start()
                thread.join()
                ids.append(thread.native_id)
                time.sleep(0.02)  # times of starting are counted in ticks of 10 ms
                with contextlib.suppress(OSError):
                    last.write_text(f"{(ids[0] or 1) - 1}")
        if ids[0] == ids[1] and watch.usage.unknown < 0.05:
            break
    else:
        pytest.skip("other programs took the native id")
    held = [
        share.holding.value
        for share in watch.usage.by_thread
        if share.native_id == ids[0]
    ]
    assert len(held) == 2
    assert max(held) > 1.5 * min(held)


def test_every_thread_that_stops_a_watch_finds_its_usage() -> None:
    missing = []

    def stop(watch: gilx.sampling.watch.Watch, barrier: threading.Barrier) -> None:
        barrier.wait(30)
        watch.stop()
        if not watch.ended:
            missing.append(watch)

    for _ in range(50):
        watch, barrier = gilx.watch(), threading.Barrier(2)
        watch.__enter__()
        threads = [threading.Thread(target=stop, args=(watch, barrier)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not missing


FORKED = """
import os, gilx
if os.fork() == 0:
    with gilx.watch() as watch:
        sum(range(10**6))
    print(watch.usage.by_thread[0].name, flush=True)
    os._exit(0)
os.wait()
"""


def test_main_thread_of_a_forked_child_has_its_name() -> None:
    assert python(FORKED).stdout == "MainThread\n"


SHARED_GIL = '''
import sys
import gilx
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
new = (interpreters.create("legacy") if sys.version_info >= (3, 13)
       else interpreters.create(isolated=False) if sys.version_info >= (3, 12)
       else interpreters.create())
# The GIL is taken by the interpreter's own thread state once it was released there.
code = """
import time
for _ in range(100):
    time.sleep(0)
    for _ in range(100_000): pass
"""
with gilx.watch() as watch:
    (interpreters.exec if sys.version_info >= (3, 13) else interpreters.run_string)(new, code)
usage = watch.usage
interpreters.destroy(new)
print(usage.held.value > 0.95 * usage.locked.value > 0, usage)
'''


def test_holds_in_an_interpreter_that_shares_the_gil_are_the_calling_threads() -> None:
    first_that(lambda done: done.stdout.startswith("True "), lambda: python(SHARED_GIL))


def test_a_thread_that_waits_and_never_holds_is_waiting() -> None:
    def watched() -> gilx.GilUsage:
        begun = threading.Event()
        waiting = threading.Thread(target=begun.wait, name="starving")
        waiting.start()
        with gilx.watch(cost=0.2) as watch:
            begun.set()
            ckernels.spin(300_000_000, 0, 300_000_000)
        waiting.join()
        if watch.usage.states_missing:
            pytest.skip(watch.usage.states_missing)
        return watch.usage

    def waits(usage: gilx.GilUsage) -> bool:
        shares = {share.name: share.waiting_gil.value for share in usage.by_thread}
        return shares.get("starving", 0) > 0.5

    first_that(waits, watched)  # it may wait for a CPU instead


def test_share_of_a_whole_is_the_samplers() -> None:
    from gilx.sampling import _sampler

    assert _sampler.MOST_SHARE == MOST_SHARE


NO_THREADS = """
import time
import gilx
from gilx.errors import WatchUnavailableError, WorkersUnavailableError
from gilx.pools import start
from gilx.testing import Inconclusive, assert_releases_gil, assert_scales
def tried(function, *args):
    try:
        function(*args)
    except (WatchUnavailableError, WorkersUnavailableError, Inconclusive) as error:
        print(str(error).splitlines()[0])
tried(gilx.probe, time.sleep, 0.01)
tried(assert_releases_gil, time.sleep, 0.01)
tried(start, "threads", 3)
tried(assert_scales, time.sleep, 0.01)
"""


def test_without_a_thread_for_gilx_nothing_is_concluded() -> None:
    # No thread gets a stack of 16 TiB, as none is to be had where a container limits them.
    done = run_program(
        *("sh", "-c", 'ulimit -s 17179869184 || exit 77; exec "$@"', "sh"),
        *(sys.executable, "-W", "ignore", "-c", NO_THREADS),
        timeout=60,
    )
    if done.returncode == 77:
        pytest.skip("the stack may not be larger here")
    watch, released, pool, scales = done.stdout.splitlines()
    assert watch.startswith("the GIL watch needs a thread, which could not be started")
    assert "inconclusive: the GIL watch needs a thread" in released
    assert pool.startswith("3 workers: thread 2 of 3 could not be started:")
    if usable_cpus() > 1:
        assert "inconclusive: 2 workers: thread 2 of 2 could not be started" in scales


def test_names_of_threads_can_be_printed_and_read_back() -> None:
    name = "evil\x1b[31m\nheld: 0 %"
    thread = threading.Thread(
        target=ckernels.spin, args=(20_000_000, 0, 20_000_000), name=name
    )
    with gilx.watch() as watch:
        thread.start()
        thread.join()
    assert gilx.GilUsage.from_json(watch.usage.to_json()) == watch.usage
    assert gilx.Timeline.from_json(watch.timeline.to_json()) == watch.timeline
    assert "\x1b" not in str(watch.usage)
