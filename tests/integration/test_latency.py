"""The delay that a callable puts on others, and what a release costs."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

import gilx
from gilx import ckernels
from gilx._compat import gil_enabled
from gilx.errors import ArgumentError, NotCompiledError
from gilx.estimate import Estimate
from gilx.sampling import latency
from gilx.sampling import release_costs as release_costs_module
from gilx.sampling.latency import Latency, LatencyRow
from gilx.sampling.ratio_interval import Ratio
from gilx.sampling.release_costs import ReleaseCosts, release_costs
from gilx.sampling.watch import Watch
from gilx.sampling.world import StopSite, StopSums, ThreadStops, World, WorldSums
from tests.markers import needs_gil, needs_no_gil, needs_verdicts, needs_watch
from tests.trying import first_that

pytestmark = pytest.mark.concurrent_callers

HOLD = 0.05
MS = 1_000_000


class OopsError(Exception):
    pass


def held(seconds: float) -> None:
    length = int(seconds * 1e9)
    ckernels.spin(length, 0, length)


@pytest.mark.thread_unsafe(reason="counts threads")
def test_the_shape_of_what_is_found() -> None:
    before = threading.active_count()
    found = gilx.latency(partial(time.sleep, 1e-3), workers=[2, 1], budget=0.9)
    assert threading.active_count() == before
    assert [row.workers for row in found.rows] == [0, 2, 1]
    assert found.gil == gil_enabled()
    for row in found.rows:
        assert 0 <= row.p50 <= row.p99 <= row.max
        assert row.wakes >= 5
        assert row.echoes is None or row.echoes > 0
        assert (row.calls == 0) == (row.workers == 0)
        assert (row.stop_p50 is None) == gil_enabled()
    assert Latency.from_json(found.to_json()) == found


@needs_gil
def test_a_held_call_delays_others() -> None:
    found = gilx.latency(partial(held, HOLD), budget=1.0, echo=False)
    baseline, row = found.rows
    # Wakes come at any moment of a call and wait for its end: that all of a dozen meet
    # the last fifth of one has a chance of one in 10**8.
    assert row.max > HOLD / 5
    assert row.echoes is None
    assert baseline.workers == 0
    assert found.target == "held(...)"
    assert "Convoy delay, 1 thread: " in str(found)
    assert max(map(len, str(found).splitlines())) <= 100


@needs_no_gil
def test_an_attached_call_stalls_a_stop_of_all_threads() -> None:
    found = gilx.latency(partial(held, HOLD), budget=1.0, echo=False)
    stops = [row.stop_max for row in found.rows]
    assert stops[0] is not None
    assert stops[1] is not None
    # Stops come at any moment of the call; that all of a dozen meet its last fifth has a
    # chance of one in 10**8.
    assert stops[1] > HOLD / 5


def test_the_first_call_is_made_before_delays_are_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order: list[str] = []
    taken = latency._waits

    def waits(*arguments: Any) -> list[tuple[float, float]]:
        order.append("delays")
        return taken(*arguments)

    def fn() -> None:
        order.append("call")
        time.sleep(1e-3)

    monkeypatch.setattr(latency, "_waits", waits)
    for seed in range(4):  # whether or not the baseline comes first
        order.clear()
        gilx.latency(fn, budget=0.1, echo=False, seed=seed)
        assert order[0] == "call"


@pytest.mark.thread_unsafe(reason="counts threads")
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("error", [OopsError("x"), SystemExit(3), KeyboardInterrupt()])
def test_an_exception_comes_through_as_itself(threads: int, error: BaseException) -> None:
    calls: list[int] = []

    def fn() -> None:
        calls.append(1)
        if len(calls) > 5:
            raise error
        time.sleep(1e-3)

    before = threading.active_count()
    with pytest.raises(type(error)) as caught:
        gilx.latency(fn, workers=threads, budget=1.5)
    assert caught.value is error
    assert threading.active_count() == before


@pytest.mark.thread_unsafe(reason="counts threads")
def test_a_thread_that_cannot_start_leaves_nobody_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def start_two(thread: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    before = threading.active_count()
    monkeypatch.setattr(threading.Thread, "start", start_two)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        gilx.latency(time.time, workers=[5], budget=0.2, echo=False)
    assert len(started) == 2
    assert threading.active_count() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"fn": 3}, "fn: expected something to call, got 3"),
        ({"workers": []}, "workers: expected at least one whole number, got none"),
        ({"workers": "2"}, "workers: expected a whole number, got '2'"),
        ({"workers": 0}, "workers: expected at least 1, got 0"),
        ({"workers": [1.5]}, "workers: expected a whole number, got 1.5"),
        ({"period": 0}, "period: expected above 0"),
        (
            {"period": 1.0, "echo": False},
            # There are more measurements on free-threaded builds.
            "budget: expected at least 1[05] for wakes every 1",
        ),
        ({"budget": -1}, "budget: expected a finite number, at least 0"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], words: str) -> None:
    good: dict[str, Any] = {"fn": time.time}
    with pytest.raises(ArgumentError, match=words):
        gilx.latency(**(good | arguments))


def test_costs() -> None:
    found = release_costs(rounds=2)
    assert (
        0 < found.release.interval[0] <= found.release.value <= found.release.interval[1]
    )
    assert found.gil == gil_enabled()
    if found.gil:
        assert found.handover is not None
        assert 0 < found.handover.interval[0] <= found.handover.value
        assert len(str(found).splitlines()) == 2
    else:
        assert found.handover is None
    with pytest.raises(ArgumentError, match="hold: expected a finite number"):
        release_costs(hold=0)
    with pytest.raises(ArgumentError, match="rounds: expected at least 1"):
        release_costs(rounds=0)
    with pytest.raises(ArgumentError, match="budget: expected above 0"):
        release_costs(budget=0)


class Clock:
    """A clock that stands still but while hand-overs are measured, for so long each."""

    def __init__(self, round_seconds: float) -> None:
        self.now = 0.0
        self.holds: list[float] = []
        self._round = round_seconds

    def perf_counter(self) -> float:
        return self.now

    def handover(self, hold: float) -> float:
        self.holds.append(hold)
        self.now += self._round
        return 20e-6


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Clock:
    made = Clock(getattr(request, "param", 0.15))
    monkeypatch.setattr(release_costs_module, "_handover", made.handover)
    monkeypatch.setattr(release_costs_module, "gil_enabled", lambda: True)
    monkeypatch.setattr(
        release_costs_module, "time", SimpleNamespace(perf_counter=made.perf_counter)
    )
    return made


@pytest.mark.parametrize(
    ("hold", "measured", "estimated_for"),
    [
        (1e-6, 1e-6, None),
        (5e-3, 5e-3, None),
        (6e-3, 5e-3, 6e-3),
        (0.1, 5e-3, 0.1),
        (3600.0, 5e-3, 3600.0),
    ],
)
def test_hand_overs_after_long_holds_are_estimated(
    clock: Clock, hold: float, measured: float, estimated_for: float | None
) -> None:
    found = release_costs(hold=hold)
    assert clock.holds == [measured] * 7
    assert found.rounds == 7
    assert (found.hold, found.estimated_for) == (measured, estimated_for)
    assert ("estimated to be the same" in str(found)) is (estimated_for is not None)


@pytest.mark.parametrize(
    ("clock", "rounds"), [(0.15, 7), (0.6, 3), (1.1, 1), (60.0, 1)], indirect=["clock"]
)
def test_costs_end_with_their_budget(clock: Clock, rounds: int) -> None:
    found = release_costs(hold=1.0)
    assert found.rounds == rounds == len(clock.holds)
    assert release_costs(budget=1e9, rounds=20).rounds == 20


@needs_gil
@pytest.mark.parametrize("hold", [20e-6, 5e-3])
def test_costs_leave_the_switch_interval_alone(
    monkeypatch: pytest.MonkeyPatch, hold: float
) -> None:
    """Other threads of the process go on as they did, and nothing has to be restored."""

    def refuse(_: float) -> None:
        raise AssertionError("the switch interval was changed")

    monkeypatch.setattr("sys.setswitchinterval", refuse)
    found = release_costs(hold=hold, rounds=1)
    assert found.handover is not None
    assert found.handover.value > 0


def test_words_on_a_release() -> None:
    known = ReleaseCosts(
        Estimate(1e-7, 9e-8, 2e-7), Estimate(2e-5, 1e-5, 3e-5), 2e-4, gil=True, rounds=7
    )
    assert "is too small to pay: letting go and" in known.says_of(0)
    assert "100 ns, which is more than it gives" in known.says_of(1e-7)
    said = known.says_of(1e-5)
    assert said == (
        "a release of 10 \u00b5s is too small to pay: a waiting thread takes over in"
        " 20 \u00b5s, and letting go and taking back costs 100 ns, 1.0 % of it"
    )
    assert "pays only in part" in known.says_of(1e-4)
    assert "a release of 1 ms pays: " in known.says_of(1e-3)
    free = ReleaseCosts(Estimate(1e-7, 9e-8, 2e-7), None, 2e-4, gil=False, rounds=7)
    assert "there is no GIL" in free.says_of(1e-3)
    with pytest.raises(ArgumentError, match="released: expected a finite number"):
        known.says_of(-1)


def long_hold() -> None:
    ckernels.spin(40 * MS, 0, 40 * MS)


def short_hold() -> None:
    ckernels.spin(1 * MS, 0, 1 * MS)


def one_long_and_many_short_holds() -> None:
    """Hold the GIL for 40 ms of some 100, and now and then for 1 ms."""
    long_hold()
    for _ in range(20):
        short_hold()
        time.sleep(2e-3)


@needs_watch
@pytest.mark.thread_unsafe(reason="other threads hold the GIL, too")
def test_latency_names_the_line_that_makes_the_thread_wait() -> None:
    def measured() -> Latency:
        found = gilx.latency(one_long_and_many_short_holds, budget=1.0, echo=False)
        assert found.lines_missing == ""
        return found

    def names_the_line(found: Latency) -> bool:
        # On a busy machine, samples may be late during all waits.
        row = found.rows[1]
        first = [line.function for line in (*row.lines[:1], *row.max_lines[:1])]
        return (
            row.samples > 10
            and first == ["long_hold", "long_hold"]
            and row.lines[0].held.value > 0.5
        )

    found = first_that(names_the_line, measured)
    baseline, row = found.rows
    assert row.max_lines[0].samples <= row.max_samples
    functions = {line.function for line in (*row.lines, *row.max_lines, *baseline.lines)}
    assert not functions & {"_waits", "latency", "_Samples.take"}
    text = str(found)
    assert "test_latency.py" in text
    assert "`ckernels.spin(40 * MS, 0, 40 * MS)`" in text
    assert max(map(len, text.splitlines())) <= 100
    assert Latency.from_json(found.to_json()) == found


@needs_watch
@pytest.mark.slow
@pytest.mark.thread_unsafe(reason="other threads hold the GIL, too")
def test_latency_names_a_target_that_is_compiled_code() -> None:
    first_that(
        lambda found: "`ckernels.spin(length, 0, length)`" in str(found),
        lambda: gilx.latency(partial(held, HOLD), budget=1.0, echo=False),
    )
    found = first_that(
        lambda found: len(found.rows[1].lines) == 1,
        lambda: gilx.latency(ckernels.spin, 20 * MS, 0, 20 * MS, budget=1.0, echo=False),
    )
    assert f"{found.target}, outside of its Python code" in str(found)
    assert "background_calls" not in str(found)


@needs_watch
def test_latency_without_stacks_says_why_it_names_no_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GILX_STACKS", "off")
    found = gilx.latency(partial(held, 1e-3), budget=0.2, echo=False)
    assert found.lines_missing == "GILX_STACKS=off switches stacks off"
    assert all(row.lines == () == row.max_lines for row in found.rows)
    words = f"The lines that made it wait are unknown: {found.lines_missing}."
    assert words in " ".join(str(found).split())


@needs_watch
def test_latency_without_a_watch_says_why_it_names_no_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: Watch) -> Watch:
        raise NotCompiledError("gilx has no compiled parts here")

    monkeypatch.setattr(Watch, "__enter__", refuse)
    found = gilx.latency(partial(held, 1e-3), budget=0.2, echo=False)
    assert found.lines_missing == "gilx has no compiled parts here"
    assert found.rows[1].lines == ()
    assert str(found).endswith("are unknown: gilx has no compiled parts here.")


@needs_no_gil
def test_latency_without_a_gil_says_why_it_names_no_line() -> None:
    found = gilx.latency(partial(held, 1e-3), budget=0.3, echo=False)
    assert found.lines_missing
    assert any(words in str(found) for words in ("waited for", "stops\nwaited"))


def test_text_names_no_line_if_samples_are_few() -> None:
    rows = [
        LatencyRow(n, 9, 1e-3, 1e-3, 1e-3, 0.0, None, None, None, None) for n in (0, 1)
    ]
    made = Latency("f", 5e-3, gil=True, environment="here", rows=tuple(rows))
    assert "unknown: 0 samples of the GIL came during its delays" in " ".join(
        str(made).split()
    )


def test_json_is_plain() -> None:
    row = LatencyRow(0, 1, 1e-3, 1e-3, 1e-3, 0.0, None, None, None, None)
    made = Latency("f", 5e-3, gil=True, environment="here", rows=(row,))
    assert json.loads(made.to_json())["rows"][0]["p50"] == 1e-3


@needs_no_gil
@needs_verdicts
@pytest.mark.thread_unsafe(reason="others stop the world, too")
def test_thread_and_line_that_are_late_to_stop_are_named() -> None:
    for _ in range(20):
        found = gilx.latency(partial(held, HOLD), budget=2.0, echo=False)
        stops = found.rows[1].stops
        if stops is not None and stops.late and "spin" in str(found):
            break
    assert stops is not None
    assert stops.late[0].name == "gilx-load-0"
    assert any(site.name == "held" for site in stops.sites if site.late.value > 0)
    assert "they waited for threads: gilx-load-0" in " ".join(str(found).split())
    assert Latency.from_json(found.to_json()) == found
    assert found.rows[0].stops is not None


def stops_row(share: float) -> LatencyRow:
    """Return a row of stops that waited for a thread for that share of the time."""
    late = ThreadStops("worker", 7, Estimate(share, share, share), StopSums())
    site = StopSite(
        function="work", file="mine.py", line=3, text="long()",
        asking=Estimate(0, 0, 0), late=Estimate(share, share, share), samples=9,
        kind="line", first_line=1, end_line=3, column=4, end_column=9,
        asking_sums=StopSums(), late_sums=StopSums(),
    )  # fmt: skip
    nothing = Ratio(*(0.0,) * 8)
    world = World(
        *(Estimate(share, share, share),) * 2, (), (late,), Estimate(0.1, 0.1, 0.2),
        (site,), WorldSums(nothing, nothing),
    )  # fmt: skip
    return LatencyRow(1, 9, 1e-3, 1e-3, 1e-3, 1.0, None, None, 0.01, 0.02, stops=world)


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (stops_row(0.5), "waited for threads: worker 100 %"),
        (stops_row(0.5), "100 % mine.py:3 `long()`"),
        (stops_row(0.0), "hardly waited for any thread"),
        (replace(stops_row(0.5), stops=None), "beside 1 thread are unknown"),
    ],
)
def test_text_without_a_gil_names_late_threads(row: LatencyRow, text: str) -> None:
    baseline = replace(row, workers=0, stops=None)
    found = Latency("f", 0.005, gil=False, environment="here", rows=(baseline, row))
    assert text in " ".join(str(found).split())
    assert Latency.from_json(found.to_json()) == found
