"""What a watch saw: words, pictures, JSON, intervals, lengths, and predictions of it."""

from __future__ import annotations

import math
import random
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

import gilx
from gilx import ckernels
from gilx.environment import gil_enabled
from gilx.errors import ArgumentError
from gilx.gilwatch import release_costs
from gilx.gilwatch.interval import Ratio, interval
from gilx.gilwatch.prediction import Prediction
from gilx.gilwatch.selftest import Check, Known, judged
from gilx.gilwatch.usage import ThreadShare

if TYPE_CHECKING:
    from pathlib import Path

needs_gil = pytest.mark.skipif(not gil_enabled(), reason="there is no GIL to watch")
pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the watch needs Linux"),
]

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


def found(held: float, doubt: str = "") -> Check:
    """Return what a watch said of work that held the GIL for a half of 4 s."""
    said = usage(held=held, held_interval=(held - 0.02, held + 0.02), doubt=doubt)
    return Check(f"said {held}", Known(2.0, 2.0, 4.0), said)


@pytest.mark.parametrize(
    ("checks", "wrong", "untold"),
    [
        ([found(0.51), found(0.49)], "", ""),
        ([found(0.51), found(0.7)], "wrong about: said 0.7", ""),
        ([found(0.7, "busy")], "", "said 0.7: busy"),
        ([found(0.7), found(0.6, "busy")], "wrong about: said 0.7", "said 0.6: busy"),
        ([found(0.525)] * 3, "", ""),
        ([found(0.525)] * 4, "4 of 4 intervals at 95 % miss", ""),
    ],
)
def test_selftests_verdict(checks: list[Check], wrong: str, untold: str) -> None:
    result = judged(checks)
    assert wrong in result.wrong
    assert bool(wrong) == bool(result.wrong)
    assert result.untold == untold
    assert result.trusted == (not wrong and not untold)
    assert result.trouble == (result.wrong or untold)


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


def test_prediction_says_where_the_hand_over_is_estimated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured: list[float] = []

    def handover(hold: float) -> float:
        measured.append(hold)
        return 3e-5

    monkeypatch.setattr(release_costs, "_handover", handover)
    monkeypatch.setattr(release_costs, "gil_enabled", lambda: True)
    # One call of 4 s, which holds the GIL for 1 s.
    long = usage(repeats=1).predict([1, 2], cpus=2)
    assert set(measured) == {5e-3}
    assert (long.handover, long.handover_hold) == (3e-5, 5e-3)
    assert (
        "A hand-over of the GIL is estimated to take 30 \u00b5s, as it does after holds of"
        " 5 ms." in str(long).splitlines()
    )
    assert Prediction.from_json(long.to_json()) == long
    # Many calls of 4 ms, which hold it for 1 ms.
    measured.clear()
    short = usage().predict([1, 2], cpus=2)
    assert set(measured) == {1e-3}
    assert (short.handover, short.handover_hold) == (3e-5, None)
    assert "estimated" not in str(short)
    assert usage(repeats=1).predict([2], handover=1e-5).handover_hold is None


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
