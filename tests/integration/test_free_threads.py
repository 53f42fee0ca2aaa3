"""Watches of a Python without a GIL: threads whose activity is known.

Nothing here asserts how long something takes. A busy machine may leave a watch with few
samples, or give a thread no CPU: a test then watches again.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

import gilx
from gilx import ckernels
from gilx.errors import WatchUnavailableError
from gilx.sampling import _sampler
from tests.command import run_here
from tests.markers import needs_linux, needs_no_gil
from tests.trying import first_that

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gilx import GilUsage, ThreadUsage

pytestmark = [needs_linux, needs_no_gil]

_TRIES = 20
_HERE = os.path.basename(__file__)


def watched(work: Callable[[threading.Event], None], name: str = "worker") -> GilUsage:
    """Return the usage while a thread of that name works until an event."""
    over = threading.Event()
    thread = threading.Thread(target=work, args=(over,), name=name)
    thread.start()
    try:
        with gilx.watch(cost=0.1) as watching:
            time.sleep(0.3)
    finally:
        over.set()
        thread.join()
    return watching.usage


def one_of(usage: GilUsage, name: str) -> ThreadUsage | None:
    return next((one for one in usage.by_thread if one.name == name), None)


def find(
    work: Callable[[threading.Event], None], is_right: Callable[[GilUsage], bool]
) -> GilUsage:
    """Watch until a usage is right, so many times at most."""
    usage = watched(work)
    for _ in range(_TRIES):
        if is_right(usage):
            break
        usage = watched(work)
    assert is_right(usage), usage
    return usage


def test_python_code_runs_attached() -> None:
    def compute(over: threading.Event) -> None:
        while not over.is_set():
            sum(i * i for i in range(10_000))

    def runs(usage: GilUsage) -> bool:
        worker = one_of(usage, "worker")
        return worker is not None and worker.running.value > worker.detached.value

    usage = find(compute, runs)
    assert not usage.held.known
    assert not usage.locked.known
    assert not usage.longest_hold.known
    assert usage.world is not None
    assert gilx.GilUsage.from_json(usage.to_json()) == usage
    assert gilx.GilUsage.from_json((usage + usage).to_json()).wall == 2 * usage.wall
    assert "running attached" in str(usage)


def test_code_that_has_released_runs_detached() -> None:
    def release(over: threading.Event) -> None:
        while not over.is_set():
            ckernels.spin(0, 20_000_000, 20_000_000)

    def runs(usage: GilUsage) -> bool:
        worker = one_of(usage, "worker")
        return worker is not None and worker.detached.value > worker.running.value

    find(release, runs)


def test_thread_that_waits_for_a_lock_is_found_with_lock_and_line() -> None:
    lock = threading.Lock()
    line = 0

    with lock:

        def acquire(over: threading.Event) -> None:
            nonlocal line
            while not over.is_set():
                line = sys._getframe().f_lineno + 1
                lock.acquire(timeout=1)

        usage = find(
            acquire,
            lambda usage: (
                (one := one_of(usage, "worker")) is not None
                and one.waiting_lock.value > 0.5
            ),
        )
    # Threads of libraries may wait as well, in their own ways.
    assert any((one.kind, one.type) == ("object", "_thread.lock") for one in usage.locks)
    site = next(one for one in usage.waiting_sites if one.kind == "line")
    assert site.place.endswith(f"{_HERE}:{line}")
    assert "lock.acquire" in site.text


def test_stops_are_reported_with_thread_and_line() -> None:
    kept: list[list[int]] = [[] for _ in range(200_000)]

    def collect(over: threading.Event) -> None:
        while not over.is_set():
            gc.collect()

    def is_right(usage: GilUsage) -> bool:
        world = usage.world
        return (
            world is not None
            and bool(world.asked_by)
            and world.asked_by[0].name == "worker"
            and any(site.asking.value > 0 and site.kind == "line" for site in world.sites)
        )

    usage = find(collect, is_right)
    assert usage.world is not None
    assert usage.world.stopped.value > 0
    assert usage.world.longest.high > 0
    assert any("gc.collect()" in site.text for site in usage.world.sites)
    assert len(kept) == 200_000


def test_thread_that_is_late_to_stop_is_named() -> None:
    def hold(over: threading.Event) -> None:
        while not over.is_set():
            ckernels.spin(20_000_000, 0, 20_000_000)

    def is_right(usage: GilUsage) -> bool:
        world = usage.world
        return world is not None and any(one.name == "worker" for one in world.late)

    collecting = threading.Event()

    def collect() -> None:
        while not collecting.is_set():
            gc.collect()
            time.sleep(0.001)

    thread = threading.Thread(target=collect, name="collector")
    thread.start()
    try:
        usage = find(hold, is_right)
    finally:
        collecting.set()
        thread.join()
    assert usage.world is not None
    assert usage.world.stopping.value > 0
    assert any("spin" in site.text for site in usage.world.sites if site.late.value > 0)


def test_frame_of_each_thread_is_read_as_it_is() -> None:
    found: list[bool] = []

    def compare() -> None:
        for _ in range(50):
            line = sys._getframe().f_lineno + 1
            function, file, _, at, *_ = _sampler.own_frame()
            found.append(function.endswith("compare") and file == __file__ and at == line)

    threads = [threading.Thread(target=compare) for _ in range(3)]
    compare()
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(found) == 200
    assert all(found)


def test_watches_may_run_side_by_side() -> None:
    usages: list[GilUsage] = []

    def watch() -> None:
        with gilx.watch() as watching:
            time.sleep(0.1)
        usages.append(watching.usage)

    threads = [threading.Thread(target=watch) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(usages) == 4
    assert all(one.backend == "thread states" for one in usages)


def test_options_that_need_a_gil_are_refused() -> None:
    with (
        pytest.raises(WatchUnavailableError, match="stacks"),
        gilx.watch(stacks=True),
    ):
        pass
    if (os.cpu_count() or 1) > 1:
        with (
            pytest.raises(WatchUnavailableError, match="runs without one"),
            gilx.watch(reference=True),
        ):
            pass


def test_note_of_an_exception_has_no_words_on_a_gil() -> None:
    def fail() -> None:
        time.sleep(0.1)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as caught:
        gilx.probe(fail)
    assert "gilx: the call's watch until then" in caught.value.__notes__[0]


def test_prediction_is_refused_before_the_call(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "never_called.py").write_text("def work():\n    raise SystemExit(5)\n")
    monkeypatch.syspath_prepend(tmp_path)
    done = run_here(capsys, "probe", "never_called:work", "--predict", "1,2")
    assert done.returncode == 2
    assert "predict: expected a Python that runs with a GIL, got one" in done.stderr


def test_watch_without_stacks_says_why_it_has_no_lines() -> None:
    program = (
        "import gilx, time\n"
        "with gilx.watch() as w: time.sleep(0.05)\n"
        "print(w.usage.sites_missing, w.usage.waiting_sites)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"GILX_STACKS": "off"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "GILX_STACKS=off switches stacks off ()\n"


def test_pictures_and_timelines_are_there() -> None:
    with gilx.watch() as watching:
        sum(i * i for i in range(300_000))
    timeline = watching.timeline
    assert timeline.lanes
    assert gilx.Timeline.from_json(timeline.to_json()) == timeline


def test_measure_names_the_lock_that_threads_wait_for() -> None:
    lock = threading.Lock()

    def work() -> None:
        with lock:
            ckernels.spin(2_000_000, 0, 2_000_000)

    for _ in range(5):
        row = gilx.measure(work, workers=2, budget=3.0).rows[0]
        losses = {loss.cause: loss for loss in row.losses}
        if "locks" in losses and losses["locks"].amount > 0.1:
            break
    else:
        pytest.skip(f"threads did not wait, or were not watched: {row.notes}")
    assert sum(loss.amount for loss in row.losses) == pytest.approx(2 - row.speedup.value)
    assert "_thread.lock" in losses["locks"].source
    assert any(_HERE in site.file for site in losses["locks"].sites)
    assert losses["shared memory"].amount == 0


def test_measure_of_threads_that_do_not_wait_names_nothing() -> None:
    def work() -> None:
        sum(i * i for i in range(20_000))

    row = gilx.measure(work, workers=2, budget=3.0).rows[0]
    losses = {loss.cause: loss for loss in row.losses}
    if "locks" not in losses:
        pytest.skip(f"threads were not watched: {row.notes}")
    assert losses["locks"].amount < 0.2
    assert losses["stops"].amount < 0.2


def test_threads_that_end_too_soon_to_be_found_are_mentioned() -> None:
    def used() -> str:
        with gilx.watch() as watching:
            for _ in range(40):
                thread = threading.Thread(
                    target=ckernels.spin, args=(0, 4_000_000, 4_000_000)
                )
                thread.start()
                thread.join()
        return watching.usage.sentence()

    first_that(lambda words: "ended too soon to be found used " in words, used)
