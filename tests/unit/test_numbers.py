"""Numbers that functions are given: none that can't be used gets in."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import gilx
from gilx import errors, pools, testing
from gilx.audit import Plan, perform, read_plan
from gilx.errors import ArgumentError
from gilx.pools import Region
from gilx.pools.run import regions
from gilx.sampling.selftest import selftest
from gilx.sampling.timeline import Lane, Span, Timeline
from gilx.speedup.blocks import interleaved

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.any_python

HUGE = 10**400
NOT_FINITE = [math.nan, math.inf, -math.inf, HUGE, -HUGE, Decimal("inf"), Decimal("sNaN")]
NOT_NUMBERS: list[object] = ["1", b"1", None, 1j, True, {}, np.zeros(3)]


def nothing(*_: object) -> None:
    """Do nothing."""


# By the argument that is a number of seconds, or a share: callables that take it.
REALS: dict[str, list[Callable[..., object]]] = {
    "budget": [
        partial(gilx.measure, nothing),
        partial(gilx.grain, "triad"),
        partial(gilx.probe, nothing),
        partial(gilx.latency, nothing),
        gilx.release_costs,
        partial(testing.judge_release, nothing),
        partial(testing.judge_hold, nothing),
        partial(testing.judge_scaling, nothing),
    ],
    "precision": [partial(gilx.measure, nothing), partial(gilx.probe, nothing)],
    "cost": [gilx.watch, partial(gilx.probe, nothing), selftest],
    "period": [partial(gilx.latency, nothing)],
    "at_least": [
        partial(testing.judge_release, nothing),
        partial(testing.judge_hold, nothing),
    ],
    "efficiency": [partial(testing.judge_scaling, nothing)],
    "hold": [gilx.release_costs, partial(gilx.predict, [1])],
    "release": [partial(gilx.predict, [1], hold=1)],
    "waiting": [partial(gilx.predict, [1], hold=1)],
    "delay_scv": [partial(gilx.predict, [1], hold=1)],
    "retake": [partial(gilx.predict, [1], hold=1)],
    "handover": [partial(gilx.predict, [1], hold=1)],
    "cycles": [partial(gilx.predict, [1], hold=1)],
    "seconds": [selftest],
    "spin": [partial(gilx.Team, 1)],
    "least": [partial(perform, Plan(()))],
}
OPTIONAL = {("spin", gilx.Team)}  # None stands for a default
CASES = [(name, take) for name, takers in REALS.items() for take in takers]


@pytest.mark.parametrize(("name", "take"), CASES)
@pytest.mark.parametrize("given", [*NOT_FINITE, *NOT_NUMBERS], ids=errors.shown)
def test_real_number_that_cannot_be_used_is_refused(
    name: str, take: Any, given: object
) -> None:
    if given is None and (name, getattr(take, "func", take)) in OPTIONAL:
        pytest.skip("None stands for a default")
    with pytest.raises(ArgumentError, match=f"^{name}: expected "):
        take(**{name: given})


@pytest.mark.parametrize(
    "given", [0.25, np.float32(0.25), Fraction(1, 4), Decimal("0.25")]
)
def test_real_numbers_of_all_types_are_taken(given: object) -> None:
    for check in (
        partial(errors.real_at_least, least=0),
        errors.above_zero,
        partial(errors.number_between, least=0, most=1),
    ):
        found = check("x", given)
        assert (found, type(found)) == (0.25, float)


# Callables that take a number of workers.
WORKERS: list[Callable[[Any], object]] = [
    lambda workers: gilx.measure(nothing, workers=workers),
    lambda workers: gilx.measure("triad", pools=["native"], workers=[1, workers]),
    lambda workers: gilx.run("triad", size=1, workers=workers),
    lambda workers: gilx.grain("triad", workers=workers),
    lambda workers: gilx.latency(nothing, workers=workers),
    lambda workers: gilx.latency(nothing, workers=(1, workers)),
    gilx.Team,
    *(partial(pools.start, name) for name in ("threads", "native", "processes")),
    *(getattr(pools, name) for name in ("ThreadPool", "NativePool", "ProcessPool")),
    lambda workers: pools.ExecutorPool(None, workers),  # type: ignore[arg-type]
    lambda workers: regions(gilx.kernels.get("triad").problem(1), workers=workers),
]


@pytest.mark.parametrize("take", WORKERS)
@pytest.mark.parametrize("given", [4097, 10**20, 10**5000], ids=errors.shown)
def test_more_workers_than_any_pool_has_are_refused(
    take: Callable[[Any], object], given: int
) -> None:
    with pytest.raises(ArgumentError, match=r"^workers: expected [12] to 4096, got "):
        take(given)


def test_more_workers_than_any_pool_has_are_refused_in_a_plan(tmp_path: Path) -> None:
    plan = tmp_path / "audit.toml"
    plan.write_text(f"[[call]]\ntarget = 'time:time'\nworkers = {10**15}\n")
    with pytest.raises(ArgumentError, match=r"workers: expected 2 to 4096, got 1000"):
        read_plan(plan)
    plan.write_text("[[call]]\ntarget = 'time:time'\nbudget = inf\n")
    with pytest.raises(ArgumentError, match="budget: expected a finite number"):
        read_plan(plan)


def test_number_of_many_digits_is_refused_in_words() -> None:
    with pytest.raises(ArgumentError, match=r"^x: expected at least 1, got a number of"):
        errors.at_least("x", -(10**5000), 1)


@pytest.mark.parametrize(
    ("field", "given"),
    [
        *(("schedule", given) for given in ("bogus", None, 1)),
        *(("grain", given) for given in (0, -1, 1.0, None, 2**64)),
        *(("items", given) for given in (-1, 1.5, None, 2**64)),
        *(("first", given) for given in (-1, 1.5, None, 2**64)),
    ],
)
def test_region_is_checked(field: str, given: Any) -> None:
    good, *_ = regions(gilx.kernels.get("triad").problem(1))
    with pytest.raises(ArgumentError, match=f"^{field}: expected "):
        Region(good.variant, good.arguments, **{"items": 1, field: given})


@pytest.mark.parametrize("budget", [math.nan, -1, HUGE, "1", None])
def test_budget_of_blocks_is_checked(budget: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^budget: expected "):
        next(interleaved({"a": lambda: 1.0}, budget=budget))


def timeline(
    wall: float = 2.0, since: float = 0.0, start: float = 0.5, end: float = 1.0
) -> str:
    """Return a timeline as JSON."""
    spans = (Span(0.0, 0.5, "unknown"), Span(start, end, "holding"))
    return Timeline((Lane("main", 1, spans),), wall, since).to_json()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"wall": 1e308}, "text.wall: expected 0 to 1e\\+09, got 1e\\+308"),
        ({"wall": math.nan}, "text.wall: expected 0 to"),
        ({"since": 3.0}, "text.since: expected 0 to 2, got 3"),
        ({"since": -1.0}, "text.since: expected 0 to 2, got -1"),
        ({"start": 0.4}, r"text.lanes\[0\].spans\[1\].start: expected 0.5 to 2, got 0.4"),
        ({"start": math.nan}, r"text.lanes\[0\].spans\[1\].start: expected 0.5 to 2"),
        ({"end": 0.4}, r"text.lanes\[0\].spans\[1\].end: expected 0.5 to 2, got 0.4"),
        (
            {"end": 1e308},
            r"text.lanes\[0\].spans\[1\].end: expected 0.5 to 2, got 1e\+308",
        ),
        ({"end": math.inf}, r"text.lanes\[0\].spans\[1\].end: expected 0.5 to 2"),
    ],
)
def test_times_of_a_timeline_are_checked(changes: dict[str, float], words: str) -> None:
    assert gilx.Timeline.from_json(timeline()).to_json() == timeline()
    with pytest.raises(ArgumentError, match=f"^{words}"):
        gilx.Timeline.from_json(timeline(**changes))


@pytest.mark.parametrize(
    ("take", "words"),
    [
        (lambda: gilx.probe(nothing, repeat=10**20), "repeat: expected 1 to 2147483647"),
        (
            lambda: gilx.measure(nothing, repeat=10**20),
            "repeat: expected 1 to 2147483647",
        ),
        (
            lambda: gilx.run("triad", size=10**20),
            "size: expected 1 to 4611686018427387904",
        ),
        (
            lambda: gilx.run("triad", size=2**60),
            "size: expected one whose arrays fit into",
        ),
        (
            lambda: gilx.grain(nothing, items=10**20),
            "items: expected 0 to 46116860184273",
        ),
        (
            lambda: gilx.Team(1).run(1, None, 10**20),
            "n: expected 0 to 9223372036854775807",
        ),
        (lambda: gilx.latency(nothing, seed=-1), "seed: expected at least 0, got -1"),
        (lambda: gilx.predict([1], hold=1, cpus=HUGE), "cpus: expected 1 to 10000000"),
        (
            lambda: gilx.predict([1], hold=1e308, release=1e308),
            "hold: expected a finite sum",
        ),
        (
            lambda: gilx.predict([1], hold=[1e308] * 999),
            "hold: expected holds with a finite",
        ),
        (
            lambda: gilx.kernels.get("triad").problem(1).split(0),
            "parts: expected at least 1",
        ),
    ],
)
def test_number_beyond_what_can_be_done_is_refused(
    take: Callable[[], object], words: str
) -> None:
    with pytest.raises(ArgumentError, match=f"^{words}"):
        take()
