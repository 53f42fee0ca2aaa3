"""Usages of the GIL: words, pictures, JSON, intervals, and predictions from them."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

import gilx
from gilx import cli
from gilx.cli import probe
from gilx.errors import ArgumentError
from gilx.estimate import Estimate
from gilx.rendering.usage_chart import _figure
from gilx.sampling import release_costs
from gilx.sampling.prediction_record import Prediction
from gilx.sampling.ratio_interval import Ratio, interval
from gilx.sampling.selftest import Check, KnownHold, confirmed, judged
from gilx.sampling.usage_advice import ADVICE, GIL_TURNED_ON, case_of
from gilx.system.environment import Environment
from tests.markers import needs_linux
from tests.unit import made_up_sites
from tests.unit.hold_sums import SLICE, sums, thread_of, usage_of

pytestmark = [pytest.mark.concurrent_callers, needs_linux]


USAGE = gilx.GilUsage(
    held=Estimate(0.04, 0.03, 0.05),
    locked=Estimate(0.5, 0.4, 0.6),
    longest_hold=Estimate(5e-4, 4e-6, 1e-3),
    hold_length=(1e-5, 1e-4),
    release_length=(1e-4, 1e-3),
    held_stretch=9e-4,
    waited=Estimate.unknown(),
    by_thread=(
        thread_of(sums(40, 960), "<Main>", 7, 0.04),
        thread_of(sums(40, 960), "unknown", None, 0.46),
    ),
    wall=0.0225,
    cpu=0.02,
    repeats=1,
    switches_per_second=12.0,
    samples=1000,
    late=1,
    unknown=0.001,
    lateness=5e-5,
    lateness_max=3e-4,
    cost=0.03,
    resolution=1e-3,
    backend="internal headers",
    sums=sums(40, 960),
    environment=Environment.here(),
    where="at the start",
)

HELD = "GIL held, share of the time when no other thread held it"


def test_plain_words() -> None:
    assert USAGE.sentence() == (
        "thread <Main> releases the GIL for 96.0 % of its time and holds it for the rest,"
        " about 900 µs at the start"
    )
    lines = " ".join(str(USAGE).split())
    for row in (
        f"{HELD}: 4.0 %",
        "longest hold: 500 µs",
    ):
        assert f" thread <Main>, {row}" in lines
    assert "thread <Main>: 4.0 %" in str(USAGE)
    assert "thread &lt;Main&gt;" in USAGE._repr_html_()


def test_of_many_threads_the_first_are_shown_and_the_sum_of_the_rest() -> None:
    shares = tuple(
        thread_of(sums(40, 960), f"worker {i}", i, 0.01) for i in range(1, 101)
    )
    usage = replace(USAGE, by_thread=shares)
    text = str(usage)
    assert "thread worker 12: 1.0 %" in text
    assert "worker 13" not in text
    assert "  88 other threads: 88 %" in text
    usage = usage_of(sums(40, 960), by_thread=shares)
    assert gilx.GilUsage.from_json(usage.to_json()).by_thread == shares


def test_shares_of_threads_that_may_have_made_unidentified_holds_are_unknown() -> None:
    hidden = sums(0, 100, unidentified=90.0 * SLICE)
    threads = (
        thread_of(hidden, "main", 1, 0.05),
        thread_of(hidden, "unknown", None, 0.9),
    )
    usage = usage_of(hidden, by_thread=threads, program="script.py")
    usage = replace(usage, locked=Estimate(0.9, 0.8, 1), inconclusive_reason="")
    text = str(usage)
    assert "; the threads that hold it could not be identified" in " ".join(text.split())
    assert "thread main: unknown share holding the GIL\n" in text
    shares = tuple(thread_of(hidden, f"worker {i}", i, 0.1) for i in range(20))
    assert "8 other threads: unknown" in str(replace(usage, by_thread=shares))
    assert '"main' not in json.dumps(_figure(usage).spec)


@pytest.mark.parametrize(
    ("locked", "words"),
    [
        (
            0.5,
            "holds the GIL for 50 % of its 22.5 ms; the thread that holds it most",
        ),
        (0.999, "holds the GIL for all of its 22.5 ms; the thread that holds it"),
        (0.001, "releases the GIL for all of its 22.5 ms "),
    ],
)
def test_text_of_program_leads_with_all_threads(locked: float, words: str) -> None:
    threads = (
        thread_of(sums(40, 960), "<Main>", 7, 0.04),
        thread_of(sums(40, 960), "worker", 8, 0.46),
    )
    usage = replace(
        USAGE, program="script.py", locked=Estimate(locked, 0, 1), by_thread=threads
    )
    text = usage.details()
    assert " ".join(text.split()).startswith(f"script.py {words}")
    places = [
        text.index(f"\n  {row}")
        for row in (
            "held by any thread: ",
            "thread worker: 46 % holding the GIL\n",
            "thread <Main>: 4.0 % holding the GIL\n",
            "longest hold of any thread: 500 µs (4 µs to 1 ms)\n",
            f"main thread, {HELD}: 4.0 %",
            "main thread, mean hold: ",
            "time: 22.5 ms, 20 ms of CPU",
        )
    ]
    assert places == sorted(places)
    usage = usage_of(sums(40, 960), program="script.py", by_thread=threads)
    assert gilx.GilUsage.from_json(usage.to_json()) == usage


def test_thread_without_a_name_is_called_thread_once() -> None:
    usage = replace(USAGE, by_thread=(thread_of(sums(40, 960), "thread 9", 9, 0.1),))
    assert "\n  thread 9: 10 % holding the GIL\n" in str(usage)


@pytest.mark.parametrize("name", ["own", "locked", "stacks_squares"])
def test_squares_that_are_too_large_for_their_lengths_are_refused(name: str) -> None:
    changed = json.loads(usage_of(sums(40, 960)).to_json())
    if name == "stacks_squares":
        changed["sums"][name] = 1e308
    else:
        changed["sums"][name]["yy"] = 1e308
    with pytest.raises(ArgumentError, match=r"text\.sums: expected finite numbers"):
        gilx.GilUsage.from_json(json.dumps(changed))


def test_json_and_back() -> None:
    usage = usage_of(sums(40, 960), where="at the start")
    assert gilx.GilUsage.from_json(usage.to_json()) == usage
    unknown = usage_of(sums(40, 960, own=Ratio(*[0.0] * 8)))
    assert json.loads(unknown.to_json())["held"] is None
    assert gilx.GilUsage.from_json(unknown.to_json()) == unknown
    text = usage.to_json().replace('"result": null', '"result": 3')
    with pytest.raises(ArgumentError, match=r"text\.result: expected null, got 3"):
        gilx.GilUsage.from_json(text)


def ratio_of(slices: list[float]) -> Ratio:
    steps = [b - a for a, b in pairwise(slices)]
    total, count = sum(slices), float(len(slices))
    squares = sum(x * x for x in slices)
    return Ratio(total, count, squares, total, count, sum(d * d for d in steps), 0.0, 0.0)


@pytest.mark.parametrize("period", [0.03, 0.7, 1.0, 2.0, 5.3, 17.0])
def test_the_interval_covers(period: float) -> None:
    """Simulated samples of a rhythm of that many slices, the same ones in every run."""
    draw = random.Random(period)
    count, covered, runs = 800, 0, 0
    for part in (0.01, 0.1, 0.5, 0.9, 0.99):
        for _ in range(60):
            start = draw.random() * period
            ends = [start + i for i in range(count + 1)]
            truth = (
                held_until(ends[-1], period, part) - held_until(start, period, part)
            ) / count
            samples = [
                float((begin + draw.random()) % period < part * period)
                for begin in ends[:-1]
            ]
            low, high = interval(ratio_of(samples))
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
        "held": Estimate(0.25, 0.24, 0.26), "locked": Estimate(0.25, 0.24, 0.26),
        "longest_hold": Estimate(0.0, 0.0, 0.001), "hold_length": (0.0, 4.0),
        "release_length": (0.0, 4.0), "held_stretch": 0.001, "by_thread": (),
        "waited": Estimate.unknown(),
        "wall": 4.0, "cpu": 2.0, "repeats": 1000, "switches_per_second": 0.0,
        "samples": 1000, "late": 0, "unknown": 0.0, "lateness": 0.0, "lateness_max": 0.0,
        "cost": 0.03, "resolution": 0.004, "backend": "none",
        "sums": sums(250, 750), "environment": Environment.here(),
    }  # fmt: skip
    return gilx.GilUsage(**(found | changes))


def found(held: float, reason: str = "", half_width: float = 0.02) -> Check:
    """Return what a watch said of work that held the GIL for a half of 4 s."""
    said = usage(
        held=Estimate(held, held - half_width, held + half_width),
        inconclusive_reason=reason,
    )
    return Check(f"said {held}", KnownHold(2.0, 2.0, 4.0), said)


@pytest.mark.parametrize(
    ("checks", "wrong", "undecided"),
    [
        ([found(0.51), found(0.49)], "", ""),
        ([found(0.51), found(0.7)], "wrong about said 0.7", ""),
        ([found(0.7, "busy")], "", "said 0.7: busy"),
        ([found(0.7), found(0.6, "busy")], "wrong about said 0.7", "said 0.6: busy"),
        # On busy CPUs intervals are wide, and say so.
        ([found(0.7, half_width=0.25)] * 12, "", ""),
        ([found(0.7, half_width=0.19)], "wrong about said 0.7", ""),
        ([found(0.525)] * 3, "", ""),
        ([found(0.525)] * 4, "4 of 4 intervals at 95 % miss", ""),
    ],
)
def test_selftests_verdict(checks: list[Check], wrong: str, undecided: str) -> None:
    result = judged(checks)
    assert wrong in result.wrong
    assert bool(wrong) == bool(result.wrong)
    assert result.undecided == undecided
    assert result.trusted == (not wrong and not undecided)
    assert result.trouble == (result.wrong or undecided)


def test_selftest_is_wrong_if_it_is_wrong_twice() -> None:
    right, wrong, busy = found(0.5), found(0.7), found(0.6, "busy")
    again: list[str] = []

    def check(name: str) -> Check:
        again.append(name)
        return found(0.5)

    result = confirmed([right, wrong, busy], check)
    assert again == [wrong.name]
    assert result.checks[0] is right
    assert result.checks[1].covered
    assert (result.repeated, result.wrong) == (1, "")
    assert result.undecided == "said 0.6: busy"
    result = confirmed([right, wrong], lambda _: wrong)
    assert (result.repeated, result.trusted) == (1, False)
    assert "wrong about said 0.7" in result.wrong
    # Few misses are chance: no rhythm is watched again.
    assert confirmed([found(0.525)] * 3, check).repeated == 0
    assert again == [wrong.name]


@pytest.mark.parametrize(("misses", "trusted"), [(4, False), (2, False), (1, True)])
def test_intervals_that_miss_twice_are_too_narrow(misses: int, trusted: bool) -> None:
    first = [replace(found(0.525), name=f"{number}") for number in range(4)]

    def again(name: str) -> Check:
        return found(0.525 if int(name) < misses else 0.5)

    result = confirmed(first, again)
    assert (result.repeated, result.trusted) == (4, trusted)


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


def test_prediction_takes_short_calls_for_one_hold_if_they_are_one() -> None:
    # 10,000 calls of 1 us which hold the GIL all the time, for at least 100 us in a row.
    short = usage(
        held=Estimate(1.0, 1.0, 1.0),
        hold_length=(1e-4, 0.01),
        wall=0.01,
        cpu=0.01,
        repeats=10_000,
    )
    found = short.predict([4], handover=1e-5)
    assert found.cycles == pytest.approx(0.01)
    assert found.rows[0].speedup == pytest.approx(1 / 1.1)


@pytest.mark.parametrize("reason", ["", "too short"])
def test_probe_prints_prediction_below_usage(
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = usage(hold_length=(2e-4, 5e-4), inconclusive_reason=reason)
    monkeypatch.setattr(probe, "probe", lambda *_, **__: found)
    monkeypatch.setattr(probe, "gil_enabled", lambda: True)
    monkeypatch.setattr(release_costs, "_handover", lambda _: 3e-5)
    assert cli.main(["probe", "time:sleep", "0", "--predict", "2,4"]) == 0
    report, _, prediction = capsys.readouterr().out.partition("\n\n")
    assert report == str(found)
    if reason:
        assert prediction == "No prediction, since the usage is inconclusive.\n"
    else:
        assert "Prediction from one worker" in prediction
        counts = [line.split()[0] for line in prediction.splitlines()[-2:]]
        assert counts == ["2", "4"]


def test_probe_prints_no_prediction_if_the_held_share_is_unknown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = replace(USAGE, held=Estimate.unknown())
    monkeypatch.setattr(probe, "probe", lambda *_, **__: found)
    monkeypatch.setattr(probe, "gil_enabled", lambda: True)
    assert cli.main(["probe", "time:sleep", "0", "--predict", "2"]) == 0
    assert capsys.readouterr().out.endswith(
        "\n\nNo prediction, since the share for which the GIL was held is unknown.\n"
    )


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
    with pytest.raises(ArgumentError, match=r"inconclusive usage \(dark\)"):
        usage(inconclusive_reason="dark").predict([1])
    with pytest.raises(ArgumentError, match="cycles: expected above 0"):
        usage().predict([1], cycles=0)
    with pytest.raises(ArgumentError, match="workers: expected at least 1, got 0"):
        usage().predict([0], handover=0.0)


def test_length_without_a_lower_bound_is_printed_as_at_most_the_upper_one() -> None:
    assert (
        "mean hold: at most 1.5 µs\n"
        in replace(USAGE, hold_length=(0.0, 1.5e-6)).details()
    )


@pytest.mark.parametrize(
    ("low", "words"),
    [
        (0.0, "not resolved"),
        (2.55e-10, "not resolved"),
        (2e-6, "not resolved; at least 2 µs"),
    ],
)
def test_lengths_that_are_not_resolved_have_no_bound_that_says_nothing(
    low: float, words: str
) -> None:
    said = replace(USAGE, hold_length=(low, USAGE.wall)).details()
    assert f"mean hold: {words}\n" in said


@pytest.mark.parametrize(
    ("changes", "case"),
    [
        ({"held": Estimate(0.1, 0.0, 0.2)}, "call releases"),
        ({"held": Estimate(0.49, 0.4, 0.6)}, "call holds in part"),
        ({"held": Estimate(0.9, 0.8, 1.0)}, "call holds"),
        ({"inconclusive_reason": "too short"}, "inconclusive"),
        ({"inconclusive_reason": f"{GIL_TURNED_ON} by the import of a"}, "GIL turned on"),
        ({"program": "a.py"}, "nothing waits"),
        (
            {
                "program": "a.py",
                "waited": Estimate(0.1, 0.1, 0.1),
                "sites": made_up_sites.usage_with(made_up_sites.found(40)).sites,
            },
            "threads wait",
        ),
        (
            {"program": "a.py", "waited": Estimate(0.1, 0.1, 0.1)},
            "threads wait, lines unknown",
        ),
        ({"program": "a.py", "waited": Estimate.unknown()}, "unknown"),
    ],
)
def test_each_case_has_one_sentence_of_advice(changes: dict[str, Any], case: str) -> None:
    usage = replace(USAGE, waited=Estimate(0.0, 0.0, 0.0))
    usage = replace(usage, **changes)
    assert case_of(usage) == case
    advice = ADVICE[case]
    assert advice == "" or (advice[0].isupper() and advice.endswith("."))
    assert (f"\n  {advice}\n" in str(usage)) == bool(advice)


def test_usages_can_be_summed() -> None:
    assert sum([USAGE, USAGE]) == USAGE + USAGE
    with pytest.raises(TypeError):
        1 + USAGE
