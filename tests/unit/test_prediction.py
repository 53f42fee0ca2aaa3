"""The prediction against a simulation of the same network, and where it is exact."""

from __future__ import annotations

import heapq
import random
from collections import deque
from dataclasses import dataclass, field
from itertools import count, product
from statistics import median
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gilx import ckernels
from gilx.errors import ArgumentError
from gilx.sampling import release_costs
from gilx.sampling.prediction import predict
from gilx.sampling.prediction_record import Prediction

if TYPE_CHECKING:
    from collections.abc import Callable

    Draw = Callable[[], float]

COUNTS = (1, 2, 4, 8, 16, 32, 64)


def law(mean: float, scv: float, draw: random.Random) -> Draw:
    """Times of a mean and a squared coefficient of variation of 0, 1 or more."""
    if scv == 0 or mean == 0:
        return lambda: mean
    if scv == 1:
        return lambda: draw.expovariate(1 / mean)
    short = (1 + ((scv - 1) / (scv + 1)) ** 0.5) / 2
    return lambda: draw.expovariate(
        2 * (short if draw.random() < short else 1 - short) / mean
    )


@dataclass
class Simulation:
    """Workers who share one GIL and some CPUs, event by event.

    All who compute get the same share of a CPU, so they are kept in the order of the work
    that each must have been given when it is done; `given` grows at the rate of one.
    """

    cpus: int
    hold: Draw
    release: Draw
    waiting: Draw
    handover: float
    now: float = 0.0
    given: float = 0.0
    taken: bool = False
    holds: int = 0
    timers: list[tuple[float, int, str]] = field(default_factory=list)
    work: list[tuple[float, int, str]] = field(default_factory=list)
    queue: deque[int] = field(default_factory=deque)
    order: count[int] = field(default_factory=count)

    def throughput(self, workers: int, holds: int, draw: random.Random) -> float:
        """Cycles a second, over so many holds after a tenth of them."""
        for _ in range(workers):
            begin = draw.random() * (self.hold() + self.release() + self.waiting())
            self.after(begin, "ask")
        while self.holds < holds // 10:
            self.step()
        begin, done = self.now, self.holds
        while self.holds < done + holds:
            self.step()
        return (self.holds - done) / (self.now - begin)

    def after(self, seconds: float, what: str) -> None:
        heapq.heappush(self.timers, (self.now + seconds, next(self.order), what))

    def compute(self, seconds: float, what: str) -> None:
        heapq.heappush(self.work, (self.given + seconds, next(self.order), what))

    def step(self) -> None:
        rate = min(1.0, self.cpus / len(self.work)) if self.work else 0.0
        forever = (float("inf"), 0, "")
        done = self.now + (self.work[0][0] - self.given) / rate if rate else forever[0]
        timer = (self.timers or [forever])[0][0]
        self.given += (min(done, timer) - self.now) * rate
        self.now = min(done, timer)
        events = self.work if done <= timer else self.timers
        getattr(self, heapq.heappop(events)[2])()

    def ask(self) -> None:
        if self.taken:
            self.queue.append(0)
        else:
            self.taken = True
            self.take()

    def take(self) -> None:
        self.compute(self.hold(), "let_go")

    def let_go(self) -> None:
        self.holds += 1
        self.taken = bool(self.queue)
        if self.queue:
            self.queue.popleft()
            self.after(self.handover, "take")
        self.compute(self.release(), "rest")

    def rest(self) -> None:
        self.after(self.waiting(), "ask")


@pytest.mark.slow
@pytest.mark.any_python
@pytest.mark.parametrize("hold_scv", [0, 1, 4], ids=["fixed", "exponential", "hyper"])
@pytest.mark.parametrize("delay_scv", [0, 1])
@pytest.mark.parametrize(
    ("release", "waiting", "cpus", "handover"),
    [
        (0.0, 4.0, 2, 0.0),
        (0.0, 20.0, 2, 0.05),
        (4.0, 0.0, 2, 0.05),
        (9.0, 30.0, 8, 0.05),
        (2.0, 20.0, 1, 0.0),
    ],
)
def test_a_simulation_agrees(
    hold_scv: float,
    delay_scv: float,
    release: float,
    waiting: float,
    cpus: int,
    handover: float,
) -> None:
    draw = random.Random(1)
    found = predict(
        COUNTS,
        hold=1.0,
        hold_scv=hold_scv,
        release=release,
        waiting=waiting,
        delay_scv=delay_scv,
        handover=handover,
        cpus=cpus,
    )
    errors = []
    for row in found.rows:
        simulation = Simulation(
            cpus,
            law(1.0, hold_scv, draw),
            law(release, delay_scv, draw),
            law(waiting, delay_scv, draw),
            handover,
        )
        truth = simulation.throughput(row.workers, 4000, draw)
        errors.append(abs(row.throughput / truth - 1))
    assert max(errors) <= 0.10, errors
    assert median(errors) <= 0.05, errors


@pytest.mark.slow
def test_errors_where_it_is_not_known_how_much_times_vary() -> None:
    """Predictions of `gilx.measure` and of a usage: docs/measuring.md has these figures."""
    errors = []
    for tenths, (hold_scv, delay_scv), workers in product(
        (0.2, 0.5, 1, 2, 3, 4, 5, 6, 7, 8, 9),
        ((0, 0), (0, 1), (1, 0), (1, 1), (4, 1)),
        COUNTS[1:],
    ):
        draw = random.Random(workers)
        hold, release = tenths / 10, 1 - tenths / 10
        [row] = predict([workers], hold=hold, release=release, cpus=workers).rows
        times = law(hold, hold_scv, draw), law(release, delay_scv, draw), law(0, 0, draw)
        simulation = Simulation(workers, *times, handover=0.0)
        truth = simulation.throughput(workers, 4000, draw)
        errors.append(row.throughput / truth - 1)
    sizes = sorted(map(abs, errors))
    assert median(sizes) < 0.01
    assert sizes[len(sizes) * 9 // 10] < 0.04
    assert min(errors) == pytest.approx(-0.2)
    assert max(errors) < 0.08


def test_workers_in_step_wait_for_nobody() -> None:
    rows = predict(
        range(1, 12), hold=1e-3, hold_scv=0, waiting=4e-3, delay_scv=0, cpus=2
    ).rows
    for row in rows:
        assert row.throughput == pytest.approx(min(row.workers / 5e-3, 1e3))
        assert row.locked == pytest.approx(min(row.workers / 5, 1))
        assert row.speedup == pytest.approx(row.bound)


def test_two_exponential_queues_are_exact() -> None:
    # n customers, two like servers: each is busy n / (n + 1) of the time. Two CPUs, of
    # which the holder keeps one, are one for a single other thread.
    [row] = predict([2], hold=1, release=1, cpus=2).rows
    assert row.throughput == pytest.approx(0.8)  # with two servers for two: U = 4/5
    # Machines and one repairer (e.g. Takacs): 2 r (1 + r) / (1 + 2 r (1 + r)), r = 1/4.
    [row] = predict([2], hold=1, waiting=4, cpus=2).rows
    assert row.throughput == pytest.approx(0.625 / 1.625)


def test_a_sample_is_as_good_as_its_law() -> None:
    draw = random.Random(2)
    sample = [draw.expovariate(1e3) for _ in range(20_000)]
    given = predict([1, 3, 9, 300], hold=sample, waiting=5e-3, cpus=4)
    assert given.hold_scv == pytest.approx(1, rel=0.1)
    known = predict([1, 3, 9, 300], hold=given.hold, waiting=5e-3, cpus=4)
    for a, b in zip(given.rows, known.rows, strict=True):
        assert a.throughput == pytest.approx(b.throughput, rel=0.01)


def test_a_sample_of_tiny_holds_has_their_variation() -> None:
    tiny, usual = (
        predict([1, 5], hold=[scale, 3 * scale], waiting=8 * scale, cpus=2)
        for scale in (1e-200, 1e-3)
    )
    assert tiny.hold_scv == pytest.approx(usual.hold_scv) == pytest.approx(0.25)


def test_handover_limits_what_the_gil_passes() -> None:
    rows = predict([1, 1000], hold=1e-4, waiting=1e-3, handover=2e-5, cpus=2).rows
    assert rows[0].throughput == pytest.approx(1 / 1.1e-3)
    assert rows[1].throughput == pytest.approx(1 / 1.2e-4, rel=1e-3)
    assert rows[1].locked == pytest.approx(1e-4 / 1.2e-4, rel=1e-3)


def test_holding_all_the_time_never_gains() -> None:
    for row in predict([1, 2, 64], hold=1e-3, cpus=8).rows:
        assert row.speedup == row.bound == row.locked == 1


def test_never_holding_is_limited_by_the_cpus_alone() -> None:
    rows = predict([1, 2, 8, 64], hold=0, release=1e-3, cpus=2).rows
    assert [row.speedup for row in rows] == pytest.approx([1, 2, 2, 2])
    assert [row.bound for row in rows] == pytest.approx([1, 2, 2, 2])
    assert all(row.locked == 0 for row in rows)
    [row] = predict([64], hold=0, waiting=1e-3, cpus=2).rows
    assert row.speedup == row.bound == 64


@pytest.mark.parametrize("scv", [5e-324, 1e-300, 1e-17, 1e-9])
def test_holds_that_hardly_vary_are_constant(scv: float) -> None:
    figures: Any = {"hold": 0.0625, "waiting": 1.0, "cpus": 1}
    [varying] = predict([2], hold_scv=scv, **figures).rows
    [constant] = predict([2], hold_scv=0, **figures).rows
    assert varying.throughput == pytest.approx(constant.throughput, rel=1e-6)


def test_thousands_of_workers() -> None:
    [row] = predict([5000], hold=1e-5, release=1e-4, waiting=0.1, cpus=8).rows
    assert 0.9 * row.bound <= row.speedup <= row.bound


@settings(deadline=None)
@given(
    workers=st.integers(1, 300),
    hold=st.floats(0, 1e-1),
    hold_scv=st.floats(0, 50),
    release=st.floats(0, 1),
    waiting=st.floats(0, 100),
    delay_scv=st.floats(0, 50),
    handover=st.floats(0, 1e-2),
    cpus=st.integers(1, 300),
)
def test_never_past_the_bound(workers: int, **figures: Any) -> None:
    if figures["hold"] + figures["release"] + figures["waiting"] < 1e-9:
        return
    [row] = predict([workers], **figures).rows
    assert 0 < row.speedup <= row.bound * (1 + 1e-6)
    assert 0 <= row.locked <= 1


def test_json_and_text() -> None:
    made = predict([1, 2, 64], hold=1e-3, release=2e-3, waiting=1e-2, cpus=2, cycles=3)
    assert Prediction.from_json(made.to_json()) == made
    assert made.rows[0].throughput == pytest.approx(1 / 13e-3 / 3)
    lines = str(made).splitlines()
    assert len(lines) == 3 + len(made.rows)
    assert "holds the GIL for 1 ms" in lines[0]
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"workers": []}, "workers: expected a sequence of whole numbers"),
        ({"workers": 3}, "workers: expected a sequence of whole numbers"),
        ({"workers": [0]}, "workers: expected at least 1, got 0"),
        ({"workers": [2, 10**8]}, "workers: expected 1 to 10000000, got 100000000"),
        ({"hold": -1.0}, "hold: expected a finite number, at least 0"),
        ({"hold": []}, "hold: expected at least one hold"),
        ({"hold": [1.0, "x"]}, "hold: expected a number, got 'x'"),
        ({"hold": [1.0], "hold_scv": 1.0}, "hold_scv: expected None"),
        ({"hold": 0.0}, "hold: expected above 0 where release and waiting are 0"),
        ({"handover": -1}, "handover: expected a finite number, at least 0"),
        ({"cpus": 0}, "cpus: expected at least 1"),
        ({"cycles": 0}, "cycles: expected above 0"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], words: str) -> None:
    good: dict[str, Any] = {"workers": [1], "hold": 1.0}
    with pytest.raises(ArgumentError, match=words):
        predict(**(good | arguments))


def test_release_costs_of_a_thread_that_had_no_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A spin whose time was up before its first cycle ended is made again."""
    made = iter([0, 0, 5])

    def spin(*_: int) -> SimpleNamespace:
        cycles = next(made, 5)
        return SimpleNamespace(cycles=cycles, held_max_ns=50, held_min_ns=0)

    monkeypatch.setattr(ckernels, "spin", spin)
    assert release_costs.release_costs(rounds=1).release.value == pytest.approx(1e-8)
