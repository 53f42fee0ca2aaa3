"""Sums of watches: the figures that follow from them, and usages that add up."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import reduce
from operator import add
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

import gilx
from gilx.errors import ArgumentError
from gilx.estimate import Estimate
from gilx.sampling import usage as usage_module
from gilx.sampling.ratio_interval import interval
from gilx.sampling.usage import FirstCall
from tests.unit.hold_sums import SLICE, sums, thread_of, usage_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gilx.sampling.hold_fraction import HoldSums

pytestmark = [pytest.mark.concurrent_callers, pytest.mark.any_python]


# ---- figures of one watch -----------------------------------------------------------------


def test_time_of_an_unidentified_holder_may_be_the_watched_threads_own() -> None:
    # Held for a tenth by the watched thread, and for another by one that is not known.
    made = sums(100, 800, counted=1e9, wall=10**9, samples=1000, unidentified=1e8)
    known = replace(made, unidentified=0.0)
    assert made.interval()[1] > 0.2
    assert made.bounds(0.99)[1] > 0.2
    assert made.interval()[1] > known.interval()[1] + 0.08
    assert made.reason == ""
    assert "could not be identified for 30 %" in replace(made, unidentified=3e8).reason


def test_program_is_conclusive_if_other_threads_hold_the_gil_all_the_time() -> None:
    made = sums(0, 1000, own=sums(0, 0).own)
    assert "other threads held the GIL" in made.reason
    assert made.reason_of_program == ""
    assert replace(made, samples=3).reason_of_program.startswith(
        "too short: 3 good samples"
    )
    assert "samples were late" in replace(made, unknown=5e8).reason_of_program


def test_bounds_hold_whatever_late_samples_missed() -> None:
    made = sums(100, 900)
    low, high = made.bounds(0.999)
    late = replace(made, unknown=300.0 * SLICE, late=300)
    assert late.reason.startswith("samples were late for 30 %")
    assert late.shortage == ""
    assert late.bounds(0.999) == (0.0, high + 0.3)
    assert low > 0
    assert replace(made, late=995).shortage.startswith("too short: 5 good samples")


def test_time_without_samples_is_unknown() -> None:
    made = sums(100, 900, missed=1000.0 * SLICE)
    assert made.unknown_share == 0.5
    assert made.bounds(0.999) == (0.0, sums(100, 900).bounds(0.999)[1] + 0.5)
    # Shares are of the time that has samples.
    assert usage_of(made).held.value == 0.1


def test_surer_intervals_are_wider() -> None:
    own = sums(30, 70).own
    levels = (0.5, 0.95, 0.999, 0.999999)
    ends = [interval(own, 0.02, level=level) for level in levels]
    widths = [high - low for low, high in ends]
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


# What a rhythm was, in nanoseconds of a cycle, and what the sampler made of it in a second:
# it slows what it reads, here by 0.6 and 0.7 µs a cycle.
@pytest.mark.parametrize(
    ("cycle", "read", "released"), [(1_166, 1_480_000, 837), (2_161, 1_352_000, 468)]
)
def test_length_of_short_holds_allows_for_what_reading_them_costs(
    cycle: int, read: int, released: int
) -> None:
    made = sums(500, 500, read=read, released=released)
    low, high = made.figures()["hold_length"]
    assert low < cycle / 2 * 1e-9 < high < 1.1 * read / released / 2 * 1e-9


def test_holds_and_releases_share_a_cycle() -> None:
    usage = usage_of(sums(250, 750, read=10**6, released=100))
    (_, hold), (_, release) = usage.hold_length, usage.release_length
    assert release == pytest.approx(3 * hold)
    assert hold < usage.wall


def test_bounds_at_a_level() -> None:
    usage = usage_of(sums(100, 900))
    assert usage.bounds(0.999) == Estimate(0.1, *usage.sums.bounds(0.999))
    assert usage.bounds(0.95).low > usage.bounds(0.999).low


@pytest.mark.parametrize("level", [0, 1, -0.5, 1.5, float("nan"), "0.9", True])
def test_bounds_need_a_level_below_1(level: Any) -> None:
    with pytest.raises(ArgumentError, match="level: expected"):
        usage_of(sums(100, 900)).bounds(level)


# ---- usages that add up -------------------------------------------------------------------


def made_up(draw: Random) -> gilx.GilUsage:
    """Return the usage of a watch that saw anything."""
    held, free = draw.randrange(1, 300), draw.randrange(1, 300)
    whole = float((held + free) * SLICE)
    made = sums(
        held,
        free,
        wall=int(whole * draw.uniform(1, 1.2)),
        locked=sums(held + free // 2, free - free // 2).own,
        unknown=whole * draw.random() / 2,
        missed=whole * draw.random() / 10,
        unidentified=whole * draw.random() / 3,
        read=draw.randrange(10**6),
        released=draw.randrange(1000),
        switches=draw.randrange(1000),
        late=draw.randrange(held + free),
        lateness=whole * draw.random() / 10,
        cost=draw.randrange(int(whole)),
        prompt=draw.random() < 0.7,
    )
    threads = [
        thread_of(
            made, f"thread {i}", i, draw.random() / 2, draw.choice([None, 0.1, 0.4])
        )
        for i in draw.sample(range(2, 8), 3)
    ]
    usage = usage_of(
        made,
        longest_hold=Estimate(1, draw.random(), 1 + draw.random()),
        held_stretch=draw.random(),
        by_thread=(thread_of(made, "main", 1, held / (held + free)), *threads),
        cpu=draw.random(),
        repeats=draw.randrange(1, 1000),
        lateness_max=draw.random(),
        where=draw.choice(["", "at the start"]),
        is_first=draw.random() < 0.5,
        result=draw.random(),
    )
    return replace(
        usage,
        inconclusive_reason=draw.choice(
            [usage.inconclusive_reason, "too short: a call of 3 ns"]
        ),
    )


def flat(usage: gilx.GilUsage) -> dict[str, Any]:
    """Return all figures of a usage by name, in no order."""
    found: dict[str, Any] = {"result": usage.result}

    def add_all(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, one in value.items():
                add_all(f"{name}.{key}", one)
        elif isinstance(value, list):
            for number, one in enumerate(value):
                known = isinstance(one, dict) and "native_id" in one
                add_all(f"{name}.{one['name'] if known else number}", one)
        else:
            found[name] = value

    add_all("", json.loads(usage.to_json()))
    return found


def assert_alike(usage: gilx.GilUsage, other: gilx.GilUsage) -> None:
    figures, others = flat(usage), flat(other)
    assert figures.keys() == others.keys()
    for name, value in figures.items():
        if isinstance(value, float):
            value = pytest.approx(value, rel=1e-9, abs=1e-12)  # noqa: PLW2901
        assert others[name] == value, name


@pytest.mark.parametrize("seed", range(50))
def test_addition_is_associative_up_to_rounding(seed: int) -> None:
    draw = Random(seed)
    a, b, c = made_up(draw), made_up(draw), made_up(draw)
    assert_alike((a + b) + c, a + (b + c))


def parts_and_whole() -> tuple[list[HoldSums], HoldSums]:
    """Return sums of three watches, and of one that has all of their samples."""
    first: dict[str, Any] = {
        "read": 5000,
        "released": 40,
        "switches": 10,
        "lateness": 4e5,
        "cost": 3000,
    }
    more: dict[str, Any] = {"unidentified": 5e6, "unknown": 4e6, "missed": 1e6, "late": 4}
    more |= {"wall": 250 * SLICE, "prompt": False}
    parts = [sums(30, 70, **first), sums(10, 190, **more), sums(20, 280, read=1000)]
    return parts, sums(60, 540, **(first | more | {"read": 6000, "wall": 650 * SLICE}))


def test_sum_is_the_usage_of_one_watch_with_all_samples() -> None:
    parts, whole = parts_and_whole()
    total = reduce(add, map(usage_of, parts))
    assert_alike(total, usage_of(whole, repeats=3))
    assert total.held.value == 0.1
    assert total.unknown == pytest.approx(5 / 601)
    assert total.wall == pytest.approx(0.65)


def test_interval_of_a_sum_is_narrower_than_those_of_its_parts() -> None:
    parts = [usage_of(sums(30, 70)), usage_of(sums(20, 80))]
    total = parts[0] + parts[1]
    low, high = total.held.interval
    assert low < total.held.value == 0.25 < high
    assert all(high - low < part.held.high - part.held.low for part in parts)


def test_short_usages_are_conclusive_together() -> None:
    short = usage_of(sums(3, 3))
    assert short.inconclusive_reason.startswith("too short: 6 good samples")
    assert (short + short).inconclusive_reason == ""


def test_longest_figures_of_a_sum_are_the_longer_ones() -> None:
    of_a, of_b = Estimate(1.5, 1.0, 3.0), Estimate(2.2, 2.0, 2.5)
    a = usage_of(sums(5, 5), longest_hold=of_a, held_stretch=2.0, lateness_max=0.1)
    b = usage_of(sums(5, 5), longest_hold=of_b, held_stretch=1.0, lateness_max=0.2)
    for total in (a + b, b + a):
        assert total.longest_hold == Estimate(2.2, 2.0, 3.0)
        assert (total.held_stretch, total.lateness_max) == (2.0, 0.2)
    unknown = replace(a, longest_hold=Estimate.unknown())
    for total in (a + unknown, unknown + a):
        assert not total.longest_hold.known


def test_shares_of_threads_are_weighted_by_time() -> None:
    near: Any = pytest.approx
    first, second = sums(30, 70), sums(30, 270)
    a = usage_of(
        first,
        by_thread=(
            thread_of(first, "main", 1, 0.3, 0.6),
            thread_of(first, "worker", 2, 0.5, 0.1),
        ),
    )
    b = usage_of(
        second,
        by_thread=(
            thread_of(second, "main", 1, 0.1, 0.4),
            thread_of(second, "worker", 3, 0.9, 0.0),
            thread_of(second, "unknown", None, 0.2),
        ),
    )
    main, other, unknown, worker = (a + b).by_thread
    assert (main.name, other.native_id, worker.native_id) == ("main", 3, 2)
    assert main.holding.value == near(0.15)
    assert main.waiting_gil.value == near(0.45)
    assert other.holding.value == near(0.675)
    assert other.waiting_gil.value == 0
    assert unknown.holding.value == near(0.15)
    assert not unknown.waiting_gil.known
    assert worker.holding.value == near(0.125)
    assert worker.waiting_gil.value == near(0.025)


def test_shares_of_threads_are_unknown_in_a_sum_with_unidentified_holds() -> None:
    known, hidden = sums(30, 70), sums(0, 100, unidentified=90.0 * SLICE)
    main, worker = thread_of(known, "main", 1, 0.1), thread_of(known, "worker", 2, 0.3)
    a = usage_of(known, by_thread=(main, worker))
    others = (
        thread_of(hidden, "main", 1, 0.1),
        thread_of(hidden, "unknown", None, 0.9),
    )
    assert [one.holding.known for one in others] == [False, True]
    b = usage_of(hidden, by_thread=others)
    for total in (a + b, b + a, a + a + b, a + (a + b), a + b + a):
        held = {share.name: share.holding.known for share in total.by_thread}
        assert held == {"main": False, "worker": False, "unknown": True}
        assert gilx.GilUsage.from_json(total.to_json()) == total


def test_total_is_the_sum() -> None:
    usages = [
        usage_of(
            sums(10 + n, 90),
            by_thread=(
                thread_of(sums(10 + n, 90), "main", 1, 0.1),
                thread_of(sums(10 + n, 90), f"w{n}", n + 2, 0.1),
            ),
            repeats=n + 1,
            result=n,
        )
        for n in range(11)
    ]
    whole, total = sum(usages[1:], usages[0]), gilx.GilUsage.total(iter(usages))
    assert (total.result, total.repeats, len(total.by_thread)) == (10, 66, 12)
    assert total.sums.own.x == pytest.approx(whole.sums.own.x)
    assert total.held.value == pytest.approx(whole.held.value)
    shares = {share.name: share.holding.value for share in total.by_thread}
    assert shares == pytest.approx(
        {share.name: share.holding.value for share in whole.by_thread}
    )
    assert gilx.GilUsage.total(usages[:1]) is usages[0]
    with pytest.raises(ArgumentError, match="usages: expected at least one, got none"):
        gilx.GilUsage.total([])


def test_total_goes_through_each_usage_once(monkeypatch: pytest.MonkeyPatch) -> None:
    joined: list[int] = []

    def threads_together(
        threads: Iterable[gilx.ThreadUsage], _: HoldSums
    ) -> tuple[gilx.ThreadUsage, ...]:
        joined.append(len(list(threads)))
        return ()

    monkeypatch.setattr(usage_module, "threads_together", threads_together)
    share = thread_of(sums(10, 90), "main", 1, 0.1)
    gilx.GilUsage.total([usage_of(sums(10, 90), by_thread=(share,))] * 64)
    assert joined == [64]


def test_total_of_usages_that_do_not_add_up_is_refused() -> None:
    a = usage_of(sums(10, 90))
    with pytest.raises(ArgumentError, match="cannot add usages from different backends"):
        gilx.GilUsage.total([a, a, replace(a, backend="another")])
    with pytest.raises(ArgumentError, match="cannot add the usage of the program x"):
        gilx.GilUsage.total([a, a, replace(a, program="x")])


def test_sum_has_the_first_call_of_the_left_and_the_result_of_the_right() -> None:
    first = FirstCall(1.0, Estimate(0.5, 0.4, 0.6))
    a = usage_of(sums(5, 5), first=first, result=1, where="at the start", is_first=True)
    b = usage_of(sums(5, 5), result=2, where="at the end", repeats=2, cpu=0.5)
    total = a + b
    assert (total.first, total.result, total.where) == (first, 2, "")
    assert (total.is_first, total.repeats, total.cpu) == (False, 3, a.cpu + 0.5)


def test_reason_that_is_not_in_the_samples_stays() -> None:
    good = usage_of(sums(50, 50))
    fast = replace(good, inconclusive_reason="too short: a call takes 30 ns")
    assert (
        (good + fast).inconclusive_reason
        == (fast + good).inconclusive_reason
        == fast.inconclusive_reason
    )
    assert (good + good).inconclusive_reason == ""


def test_usages_of_one_program_add_up() -> None:
    other = sums(0, 1000, own=sums(0, 0).own)
    program = usage_of(other, program="x.py", inconclusive_reason=other.reason_of_program)
    assert (program + program).inconclusive_reason == ""
    assert (program + program).program == "x.py"


@pytest.mark.parametrize(
    ("left", "right", "words"),
    [
        (
            {"program": "x.py"},
            {},
            "cannot add the usage of a call to that of the program x.py",
        ),
        (
            {},
            {"program": "x.py"},
            "cannot add the usage of the program x.py to that of a call",
        ),
        (
            {"program": "x.py"},
            {"program": "y.py"},
            "cannot add the usage of the program y.py to that of the program x.py",
        ),
        (
            {"backend": "a"},
            {"backend": "b"},
            "cannot add usages from different backends: 'a' and 'b'",
        ),
    ],
)
def test_usages_that_do_not_add_up(
    left: dict[str, str], right: dict[str, str], words: str
) -> None:
    made = sums(50, 50)
    with pytest.raises(ArgumentError, match=words):
        usage_of(made, **left) + usage_of(made, **right)


def test_usage_and_number_do_not_add_up() -> None:
    usage: Any = usage_of(sums(50, 50))
    with pytest.raises(TypeError, match="unsupported operand"):
        usage + 1


# ---- JSON ---------------------------------------------------------------------------------


def test_sums_are_in_the_json() -> None:
    usage = usage_of(sums(30, 70, unidentified=5e6, switches=3))
    again = gilx.GilUsage.from_json(usage.to_json())
    assert again.sums == usage.sums
    assert again + again == usage + usage


FIGURES = usage_of(sums(30, 70)).sums.figures()


@pytest.mark.parametrize("name", FIGURES)
def test_figure_that_contradicts_the_sums_is_refused(name: str) -> None:
    usage = json.loads(usage_of(sums(30, 70)).to_json())
    figure = usage[name]
    if isinstance(figure, dict):
        figure["low"] += 1e-3
    elif isinstance(figure, list):
        figure[1] += 1e-3
    else:
        usage[name] += 1
    with pytest.raises(ArgumentError, match=rf"text\.{name}: expected .* from the sums"):
        gilx.GilUsage.from_json(json.dumps(usage))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("wall", 0), ("released", -1), ("counted", "inf"), ("lateness", None)),
        *(("unknown", 1e9), ("unidentified", 1e9), ("late", 101)),
    ],
)
def test_sums_of_no_watch_are_refused(name: str, value: Any) -> None:
    usage = json.loads(usage_of(sums(30, 70)).to_json())
    usage["sums"][name] = value
    with pytest.raises(ArgumentError, match=r"text\.sums: expected finite numbers"):
        gilx.GilUsage.from_json(json.dumps(usage))
    usage["sums"][name] = 1
    usage["sums"]["own"]["yy"] = -1.0
    with pytest.raises(ArgumentError, match=r"text\.sums: expected finite numbers"):
        gilx.GilUsage.from_json(json.dumps(usage))
