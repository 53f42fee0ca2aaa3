"""Usage of several workers' GILs together: figures, intervals, sites, JSON and text."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from gilx import ClusterUsage, Estimate
from gilx.errors import ArgumentError
from gilx.sampling.ratio_interval import Ratio
from tests.unit.hold_sums import SLICE, sums, usage_of
from tests.unit.made_up_sites import found, usage_with

if TYPE_CHECKING:
    from gilx import GilUsage

pytestmark = pytest.mark.any_python

ONE = usage_of(sums(500, 500), program="one")
UNKNOWN = Ratio(*[0.0] * 8)


def worker(held: int, free: int, name: str = "worker", **changes: Any) -> GilUsage:
    return usage_of(sums(held, free, **changes), program=name)


def together(*usages: GilUsage, notes: tuple[str, ...] = ()) -> ClusterUsage:
    return ClusterUsage.of({f"tcp://{n}": one for n, one in enumerate(usages)}, notes)


def test_seconds_add_up_and_shares_are_means_over_the_workers_time() -> None:
    usage = together(worker(900, 100), worker(0, 3000))
    assert usage.wall == pytest.approx(4.0)
    assert usage.locked.value == pytest.approx(0.225)
    assert usage.held_seconds.value == pytest.approx(0.9)
    assert usage.held_seconds.high == pytest.approx(4.0 * usage.locked.high)
    assert together(worker(1000, 0), worker(1000, 0)).locked.value == 1


def test_share_of_workers_that_hold_all_the_time_is_not_above_1() -> None:
    usage = together(*[worker(1000, 0)] * 5)
    assert usage.locked.value == usage.locked.high == 1
    assert usage.held_seconds.value == pytest.approx(5.0)


def test_waits_add_up_and_are_unknown_if_one_is() -> None:
    samples = 1000
    waiters = Ratio(
        *(500.0 * SLICE, samples * SLICE, 500.0 * SLICE**2, 500.0 * SLICE**2),
        *(samples * SLICE**2, 100.0 * SLICE**2, 0.0, 0.0),
    )
    one = worker(500, 500, waiters=waiters, most_waiters=1.0)
    assert together(one, one).waited.value == pytest.approx(1.0)
    assert "threads waited 1 s for the GIL" in str(together(one, one))
    assert not together(one, worker(1, 999, waiters=UNKNOWN)).waited.known


def random_worker(draw: random.Random, share: float, samples: int) -> GilUsage:
    """Return the usage of a worker whose samples are drawn at random."""
    slices = [draw.random() < share for _ in range(samples)]
    held = sum(slices)
    steps = sum(a != b for a, b in pairwise(slices))
    square = SLICE**2
    locked = Ratio(
        *(held * SLICE, samples * SLICE, held * square, held * square),
        *(samples * square, steps * square, 0.0, 0.0),
    )
    made = sums(held, samples - held, locked=locked)
    return replace(ONE, sums=made, **made.figures())


def test_interval_covers_the_mean_of_workers_that_differ() -> None:
    """Simulated, the same samples every time."""
    draw = random.Random(28)
    shares, samples = (0.03, 0.5, 0.5, 0.97, 0.0), (400, 200, 800, 400, 400)
    time = sum(samples)
    truth = sum(a * b for a, b in zip(shares, samples, strict=True)) / time
    covered = widths = plain_widths = 0.0
    runs = 1500
    for _ in range(runs):
        workers = [
            random_worker(draw, *each) for each in zip(shares, samples, strict=True)
        ]
        locked = together(*workers).locked
        covered += locked.low <= truth <= locked.high
        widths += locked.high - locked.low
        plain_widths += sum(
            (one.locked.high - one.locked.low) * one.wall for one in workers
        ) / (time * SLICE / 1e9)
    assert 0.935 <= covered / runs < 1.0
    assert widths < 0.7 * plain_widths


def test_worker_with_late_samples_only_widens_the_interval() -> None:
    good, late = worker(500, 500), worker(500, 500, unknown=900.0 * SLICE)
    assert together(good, late).locked.high > together(good, good).locked.high + 0.1


def test_site_of_several_workers_is_one_with_the_share_of_all_their_time() -> None:
    one = usage_with(found(400), program="one")
    other = usage_with(found(200), found(100, line=43, function="other"), program="other")
    first, second = together(one, other).sites
    assert (first.function, first.line) == ("extract", 41)
    assert first.held.value == pytest.approx(0.3)
    assert first.held.low < 0.3 < first.held.high
    assert first.samples == 600
    assert second.held.value == pytest.approx(0.05)


def test_site_without_samples_in_one_worker_may_have_been_missed_there() -> None:
    one, other = usage_with(found(400)), usage_with()
    (site,) = together(one, other).sites
    alone = one.sites[0].held
    assert site.held.value == pytest.approx(alone.value / 2)
    assert site.held.high - site.held.value > (alone.high - alone.value) / 2


def test_worker_whose_stacks_could_not_be_read_counts_for_no_site() -> None:
    other = replace(usage_with(), sites_missing="there is no memory")
    (site,) = together(usage_with(found(400)), other).sites
    assert site.held.value == pytest.approx(0.4)


def test_function_that_was_defined_twice_is_one_place() -> None:
    twice = usage_with(found(100), found(200))
    (site,) = together(twice, usage_with()).sites
    assert site.held.value == pytest.approx(0.15)
    assert site.samples == 300


def test_lines_join_the_sites_of_all_workers() -> None:
    one = usage_with(found(300), found(100, column=20, end_column=25))
    (line,) = together(one, usage_with(found(200))).lines()
    assert line.held.value == pytest.approx(0.3)
    assert not together().lines()


def test_worker_without_a_gil_counts_for_no_share() -> None:
    free = worker(0, 1000, "free", own=UNKNOWN, locked=UNKNOWN)
    usage = together(worker(500, 500), free)
    assert usage.locked.value == pytest.approx(0.5)
    assert usage.wall == pytest.approx(1.0)
    assert len(usage.by_worker) == 2
    assert not together(free).locked.known
    assert str(together(free)).startswith("no worker with a GIL was watched")
    assert "free: runs for 1 s without a GIL" in str(usage)


def test_json_and_back() -> None:
    usage = together(usage_with(found(400)), worker(10, 990), notes=("worker b ended",))
    assert ClusterUsage.from_json(usage.to_json()) == usage
    assert ClusterUsage.from_json(together().to_json()) == together()


@pytest.mark.parametrize(
    ("field", "value"),
    [("locked", {"value": 0.9, "low": 0.8, "high": 1.0}), ("wall", 3.0), ("sites", [])],
)
def test_json_with_figures_that_the_workers_do_not_have_is_refused(
    field: str, value: object
) -> None:
    made = json.loads(together(usage_with(found(400)), worker(10, 990)).to_json())
    with pytest.raises(
        ArgumentError, match=rf"text\.{field}: expected .* as the workers"
    ):
        ClusterUsage.from_json(json.dumps(made | {field: value}))


def test_json_with_another_share_of_a_site_is_refused() -> None:
    made = json.loads(together(usage_with(found(400))).to_json())
    made["sites"][0]["held"]["value"] = 0.39
    with pytest.raises(ArgumentError, match=r"text\.sites\[0\]: expected figures"):
        ClusterUsage.from_json(json.dumps(made))


def test_text_leads_with_all_workers_and_ends_with_the_notes() -> None:
    one = usage_with(found(490), held=500, free=500, program="worker a")
    usage = together(one, worker(10, 990, "worker b"), notes=("worker c ended",))
    first, *rest = str(usage).splitlines()
    assert first == (
        "2 workers hold their GILs for 26 % of 2 s all together, nearly all of it in"
        " features/nowhere.py:41; the one that holds it most is worker a, for 50 %"
    ).replace("features/nowhere.py", "nowhere/features.py")
    assert rest[0].split()[:3] == ["24", "%", "nowhere/features.py:41"]
    assert any(row.startswith("  worker a: 50 % (") for row in rest)
    assert rest[-1] == "  worker c ended"
    assert "<td" in usage._repr_html_()


def test_text_of_one_worker_and_of_many() -> None:
    assert str(together(worker(500, 500))).startswith(
        "worker holds its GIL for 50 % of 1 s"
    )
    assert "  2 more workers\n" in f"{together(*[worker(1, 999)] * 14)}\n"
    short = str(together(worker(1, 1)))
    assert short.startswith("inconclusive: too short")


def test_notes_can_be_printed() -> None:
    assert together(notes=("a\x1b[31m",)).notes == (r"a\x1b[31m",)


def test_figure_without_workers_is_unknown() -> None:
    assert together().locked == together().held_seconds == Estimate.unknown()
    assert together().wall == 0
