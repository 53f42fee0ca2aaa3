"""The GIL watch: what it says of calls whose hold is known, and what can go wrong.

Nothing here asserts how long something takes. What is known of a call is asserted of the
interval that the watch itself states; where it says that it can't tell, which a busy
machine may make it do, a test tries again.
"""

from __future__ import annotations

import gc
import hashlib
import json
import math
import random
import re
import subprocess
import sys
import threading
import time
import zlib
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import gilx
from gilx import ckernels
from gilx.environment import gil_enabled, usable_cpus
from gilx.errors import ArgumentError, NoGilError
from gilx.gilwatch.interval import Ratio, interval
from gilx.gilwatch.usage import ThreadShare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

needs_gil = pytest.mark.skipif(not gil_enabled(), reason="there is no GIL to watch")
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the watch needs Linux"),
]

TEXT = json.dumps({"key": [[1, 2.5, "three", None]] * 200_000})
LIST = [(i * 7919) % 1_000_003 for i in range(1_000_000)]
BYTES = bytes(8_000_000)
ARRAY = np.random.default_rng(0).random(1_000_000)
MATRIX = np.random.default_rng(0).random((1000, 1000))
PRODUCT = np.ones_like(MATRIX)

HELD: dict[str, Callable[[], Any]] = {
    "json.loads": lambda: json.loads(TEXT),
    "sorted": lambda: sorted(LIST),
    "re.match": lambda: re.match(r"(a+)+$", "a" * 23 + "b"),
}
RELEASED: dict[str, Callable[[], Any]] = {
    "time.sleep": lambda: time.sleep(0.05),
    "hashlib.sha256": lambda: hashlib.sha256(BYTES),
    "zlib.compress": lambda: zlib.compress(memoryview(BYTES)),
    "np.sort": lambda: np.sort(ARRAY),
    # Into memory that is there: finding new pages for it takes the GIL's time too.
    "a @ a": lambda: np.matmul(MATRIX, MATRIX, out=PRODUCT),
}


def told(fn: Callable[[], Any]) -> gilx.GilUsage:
    """Return a usage that concludes something."""
    for _ in range(5):
        usage = gilx.probe(fn, precision=0.03, budget=3)
        if not usage.doubt:
            return usage
    pytest.skip(f"this machine is too busy: {usage.doubt}")


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
    usage = told(HELD[name])
    assert usage.held > 0.95, usage
    assert usage.held_interval[0] <= usage.held <= usage.held_interval[1]
    assert usage.sentence().startswith("holds the GIL for")


@needs_gil
@pytest.mark.parametrize("name", RELEASED)
def test_released(name: str) -> None:
    usage = told(RELEASED[name])
    assert usage.held < 0.10, usage
    assert usage.sentence().startswith("releases the GIL for")


@needs_gil
@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("name", HELD)
def test_held_beside_a_busy_thread(name: str) -> None:
    usage = told(HELD[name])
    assert usage.held_interval[1] > 0.95, usage


@needs_gil
@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("name", RELEASED)
def test_released_beside_a_busy_thread(name: str) -> None:
    usage = told(RELEASED[name])
    assert usage.held_interval[0] < 0.10, usage
    assert usage.locked > usage.held
    assert any(share.name == "busy" for share in usage.by_thread)


@needs_gil
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_known_rhythm(part: float) -> None:
    hold = int(1_000_000 * part)
    for _ in range(5):
        with gilx.watch() as watch:
            done = ckernels.spin(hold, 1_000_000 - hold, 1_000_000_000)
        usage = watch.usage
        low, high = usage.held_interval
        truth = done.held_min_ns / done.wall_ns, done.held_max_ns / done.wall_ns
        # One in twenty intervals misses, so five in a row do not.
        if low <= truth[1] and truth[0] <= high:
            break
    else:
        pytest.fail(f"{truth} is not in the interval of any of five: {usage}")
    assert usage.longest_hold[0] <= usage.longest_hold[1]
    assert usage.by_thread[0].name == threading.current_thread().name
    assert usage.by_thread[0].native_id == threading.get_native_id()


@needs_gil
def test_reference_looks_all_the_time() -> None:
    if usable_cpus() < 2:
        with pytest.raises(ArgumentError, match="reference: expected False"):
            gilx.watch(reference=True)
        return
    with gilx.watch(reference=True) as watch:
        ckernels.spin(100_000, 100_000, 100_000_000)
    assert watch.usage.looks > 100


@needs_gil
def test_result_and_repeats() -> None:
    calls: list[int] = []

    def call(x: int) -> int:
        calls.append(x)
        return len(calls)

    usage = gilx.probe(call, 3, repeat=7)
    assert calls == [3] * 7
    assert usage.result == 7
    assert usage.repeats == 7


@needs_gil
def test_a_call_of_nothing_is_too_short() -> None:
    usage = gilx.probe(int, budget=0.5)
    assert usage.repeats > 1
    assert "too short" in usage.doubt
    assert str(usage).startswith("inconclusive: too short")
    assert "too short" in gilx.probe(time.sleep, 0, repeat=1).doubt


@needs_gil
def test_a_raising_call_comes_through_with_a_note() -> None:
    def fail() -> None:
        time.sleep(0.1)
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as caught:
        gilx.probe(fail)
    assert "gilx: what was seen of the call until then" in caught.value.__notes__[0]
    assert_no_sampler_is_left()


def samplers() -> int:
    """How many threads of this process are samplers."""
    return sum(
        path.read_text() == "gilx-watch\n"
        for path in Path("/proc/self/task").glob("*/comm")
    )


def assert_no_sampler_is_left() -> None:
    # The kernel lists a thread for a moment after it was joined.
    deadline = time.monotonic() + 30
    while samplers() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert samplers() == 0


@needs_gil
def test_watches_nest() -> None:
    with gilx.watch() as outer:
        with gilx.watch() as inner:
            ckernels.spin(1, 0, 50_000_000)
        time.sleep(0.05)
    assert inner.usage.wall < outer.usage.wall
    assert outer.usage.held_interval[0] < inner.usage.held_interval[1]


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
    assert samplers() == 1
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
    assert sum(share.held for share in watch.usage.by_thread) <= 1.0 + 1e-9


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


@needs_gil
def test_a_thread_that_came_and_went_has_its_name() -> None:
    with gilx.watch() as watch:
        thread = threading.Thread(
            target=ckernels.spin, args=(1, 0, 200_000_000), name="x"
        )
        thread.start()
        thread.join()
    held = {share.name: share for share in watch.usage.by_thread}
    assert held["x"].held > 0.5
    assert held["x"].native_id == thread.native_id


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


@pytest.mark.skipif(gil_enabled(), reason="needs a free-threaded build")
def test_without_a_gil_it_says_so() -> None:
    with pytest.raises(NoGilError, match="there is none to hold"), gilx.watch():
        pass
    with pytest.raises(NoGilError, match="runs without a GIL"):
        gilx.probe(int)


@needs_gil
def test_who_waits_is_told_where_python_tells() -> None:
    go = threading.Event()

    def wait() -> None:
        go.wait(30)
        ckernels.spin(1000, 1000, 300_000_000)

    thread = threading.Thread(target=wait, name="waiter")
    thread.start()
    with gilx.watch() as watch:
        go.set()
        ckernels.spin(1, 0, 300_000_000)
        thread.join()
    wanted = {share.name: share.wanted for share in watch.usage.by_thread}
    if sys.version_info >= (3, 15):
        assert (wanted["waiter"] or 0) > 0, watch.usage
        assert "waiting for it" in str(watch.usage)
    else:
        assert set(wanted.values()) == {None}


def python(code: str, **keywords: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **keywords,
    )


@needs_gil
def test_a_fork_while_watched() -> None:
    done = python("""
import os, time, gilx
with gilx.watch() as watch:
    child = os.fork()
    time.sleep(0.05)
if child == 0:
    try:
        watch.usage
    except RuntimeError as error:
        with gilx.watch() as anew:
            time.sleep(0.05)
        os._exit(0 if "child of a fork" in str(error) and anew.usage.looks else 1)
    os._exit(2)
print(os.waitpid(child, 0)[1], watch.usage.looks > 0)
""")
    assert done.stdout == "0 True\n", done.stderr


@needs_gil
@pytest.mark.parametrize(
    ("leave", "status"),
    [
        ("pass", 0),
        ("os._exit(7)", 7),
        ("sys.exit(3)", 3),
        ("atexit._clear()", 0),
        ("os.kill(os.getpid(), signal.SIGTERM)", -15),
        ("threading.Thread(target=time.sleep, args=(9,), daemon=True).start()", 0),
    ],
)
def test_leaving_while_watched(leave: str, status: int) -> None:
    done = python(
        "import atexit, os, signal, sys, threading, time, gilx\n"
        "watch = gilx.watch()\n"
        "watch.__enter__()\n"
        f"time.sleep(0.02)\n{leave}"
    )
    assert done.returncode == status, done.stderr
    assert done.stderr == ""


@needs_gil
def test_ctrl_c_while_watched() -> None:
    done = python("""
import os, signal, threading, time, gilx
signal.signal(signal.SIGINT, signal.default_int_handler)
gilx.probe(int, repeat=1)
threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    gilx.probe(time.sleep, 20)
except KeyboardInterrupt as error:
    print(error.__notes__[0])
""")
    assert done.stdout.startswith("gilx: what was seen of the call"), done.stderr


IN_A_SUBINTERPRETER = """
import sys, gilx
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
if sys.version_info >= (3, 13):
    new = interpreters.create("isolated" if {isolated} else "legacy")
else:
    new = interpreters.create(isolated={isolated})
code = '''
import sys
sys.path[:] = {path!r}
import time, gilx
from gilx import ckernels
with gilx.watch() as watch:
    ckernels.spin(1, 0, 200_000_000)
    time.sleep(0.1)
low, high = watch.usage.held_interval
assert low < 0.9 and high > 0.5, watch.usage
leaving = gilx.watch()
leaving.__enter__()
'''
with gilx.watch():
    if sys.version_info >= (3, 13):
        failed = interpreters.exec(new, code)
        assert not failed, failed.formatted
    else:
        interpreters.run_string(new, code)
    interpreters.destroy(new)
print("fine", gilx.probe(lambda: None, repeat=1000).repeats)
"""


@needs_gil
@pytest.mark.parametrize("isolated", [False, True])
def test_a_subinterpreter_is_watched_by_itself(isolated: bool) -> None:
    if isolated and sys.version_info < (3, 12):
        pytest.skip("sub-interpreters share the GIL before 3.12")
    done = python(IN_A_SUBINTERPRETER.format(isolated=isolated, path=sys.path))
    assert done.stdout == "fine 1000\n", done.stdout + done.stderr


USAGE = gilx.GilUsage(
    held=0.04,
    held_interval=(0.03, 0.05),
    locked=0.5,
    locked_interval=(0.4, 0.6),
    longest_hold=(4e-6, 1e-3),
    hold_length=(1e-5, 1e-4),
    release_length=(1e-4, 1e-3),
    held_stretch=9e-4,
    by_thread=(ThreadShare("<Main>", 7, 0.04), ThreadShare("unknown", None, 0.46)),
    wall=0.0225,
    cpu=0.02,
    repeats=1,
    switches_per_second=12.0,
    looks=1000,
    late=1,
    unknown=0.001,
    lateness=5e-5,
    lateness_max=3e-4,
    cost=0.03,
    resolution=1e-3,
    backend="internal headers",
    where="at the start",
)


def test_plain_words() -> None:
    assert USAGE.sentence() == (
        "releases the GIL for 96.0 % of its time; the rest, about 900 µs at the start,"
        " is held"
    )
    assert "thread <Main>: 4.0 %" in str(USAGE)
    assert "thread &lt;Main&gt;" in USAGE._repr_html_()


def test_the_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "x.png"
    USAGE.plot().savefig(path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_json_and_back() -> None:
    assert gilx.GilUsage.from_json(USAGE.to_json()) == USAGE
    unknown = gilx.GilUsage.from_json(
        USAGE.to_json().replace('"held": 0.04', '"held": null', 1)
    )
    assert math.isnan(unknown.held)
    for text, words in [
        ("nonsense", "text: expected JSON"),
        ("[]", "text: expected JSON of the schema"),
        ('{"schema": "gilx.usage/0"}', "text: expected JSON of the schema gilx.usage/1"),
        ('{"schema": "gilx.usage/1"}', "text: expected a field 'held', got none"),
    ]:
        with pytest.raises(ArgumentError, match=words):
            gilx.GilUsage.from_json(text)


def ratio_of(slices: list[float]) -> Ratio:
    steps = [b - a for a, b in pairwise(slices)]
    total, count = sum(slices), float(len(slices))
    squares = sum(x * x for x in slices)
    return Ratio(total, count, squares, total, count, sum(d * d for d in steps), 0.0, 0.0)


@pytest.mark.parametrize("period", [0.03, 0.7, 1.0, 2.0, 5.3, 17.0])
def test_the_interval_covers(period: float) -> None:
    """Looks at a rhythm of that many slices, simulated: the same ones every time."""
    draw = random.Random(period)
    count, covered, runs = 800, 0, 0
    for part in (0.01, 0.1, 0.5, 0.9, 0.99):
        for _ in range(60):
            start = draw.random() * period
            ends = [start + i for i in range(count + 1)]
            truth = (
                held_until(ends[-1], period, part) - held_until(start, period, part)
            ) / count
            looks = [
                float((begin + draw.random()) % period < part * period)
                for begin in ends[:-1]
            ]
            low, high = interval(ratio_of(looks))
            covered += low <= truth <= high
            runs += 1
    assert 0.92 <= covered / runs <= 1.0


def held_until(moment: float, period: float, part: float) -> float:
    whole, rest = divmod(moment, period)
    return whole * part * period + min(rest, part * period)


def test_the_interval_widens() -> None:
    assert interval(ratio_of([])) == (0.0, 1.0)
    few, many = interval(ratio_of([1.0] * 10)), interval(ratio_of([1.0] * 1000))
    assert few[0] < many[0] < 1.0
    assert few[1] == many[1] == 1.0
    slices = ratio_of([0.0, 1.0] * 500)
    sure, hidden = interval(slices), interval(slices, unknown=0.1)
    worse = interval(slices, unknown=0.1, prompt=False)
    assert worse[0] < hidden[0] < sure[0] < 0.5 < sure[1] < hidden[1] < worse[1]
    assert worse[0] < 0.4


def usage(**changes: Any) -> gilx.GilUsage:
    """Return what a watch might have found, but for the changes."""
    found: dict[str, Any] = {
        "held": 0.25, "held_interval": (0.24, 0.26),
        "locked": 0.25, "locked_interval": (0.24, 0.26),
        "longest_hold": (0.0, 0.001), "hold_length": (0.0, 4.0),
        "release_length": (0.0, 4.0), "held_stretch": 0.001, "by_thread": (),
        "wall": 4.0, "cpu": 2.0, "repeats": 1000, "switches_per_second": 0.0,
        "looks": 1000, "late": 0, "unknown": 0.0, "lateness": 0.0, "lateness_max": 0.0,
        "cost": 0.03, "resolution": 0.004, "backend": "none",
    }  # fmt: skip
    return gilx.GilUsage(**(found | changes))


def test_prediction_from_a_usage() -> None:
    # A call of 4 ms: 1 ms with the GIL, 1 ms of CPU without, 2 ms of waiting.
    prediction = usage().predict([1, 2, 64], cpus=64, handover=0.0)
    alone, two, many = prediction.rows
    assert alone.throughput == pytest.approx(250)
    assert 250 < two.throughput < 500
    assert many.throughput == pytest.approx(1000, rel=1e-3)
    slower = usage().predict([64], cpus=64, handover=0.001)
    assert slower.rows[0].throughput == pytest.approx(500, rel=0.01)
    shorter = usage().predict([64], cpus=64, handover=0.001, cycles=4)
    assert shorter.rows[0].throughput == pytest.approx(200, rel=0.01)
    counted = usage(hold_length=(0.000125, 0.0005)).predict([64], cpus=64, handover=0.001)
    assert counted.rows[0].throughput == pytest.approx(shorter.rows[0].throughput)


def test_prediction_of_bad_usages() -> None:
    with pytest.raises(ArgumentError, match="usage: expected one that tells, but dark"):
        usage(doubt="dark").predict([1])
    with pytest.raises(ArgumentError, match="cycles: expected above 0"):
        usage().predict([1], cycles=0)
    with pytest.raises(ArgumentError, match="workers: expected at least 1, got 0"):
        usage().predict([0], handover=0.0)


@needs_gil
@pytest.mark.parametrize("hold", [2_000, 20_000])
def test_mean_lengths_of_holds_and_releases(hold: int) -> None:
    for _ in range(5):
        with gilx.watch(cost=0.1) as watch:
            done = ckernels.spin(hold, 3 * hold, 500_000_000)
        usage = watch.usage
        low, high = usage.hold_length
        # Bounds at 95 %, which busy CPUs stretch as they stretch the rhythm.
        if (
            low < 2 * done.held_max_ns / done.cycles / 1e9
            and high > 0.5 * done.held_min_ns / done.cycles / 1e9
            and usage.release_length[1]
            > 0.5 * (done.wall_ns - done.held_max_ns) / done.cycles / 1e9
        ):
            break
    else:
        pytest.fail(f"not in the bounds of any of five: {done}, {usage}")
    assert "mean hold: " in str(usage)


@needs_gil
def test_lengths_that_are_not_resolved() -> None:
    with gilx.watch() as watch:
        ckernels.spin(1, 0, 50_000_000)
    low, high = watch.usage.hold_length
    assert 0 <= low < high
    assert high == watch.usage.wall
    assert "mean hold: not resolved" in str(watch.usage)
