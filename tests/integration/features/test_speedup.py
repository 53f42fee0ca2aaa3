"""Speedups: the measurement, the ceiling, and the causes of lost speedup."""

from __future__ import annotations

import hashlib
import math
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import gilx
from gilx import ckernels
from gilx._compat import gil_enabled
from gilx.speedup.losses import NAMES
from gilx.system.environment import usable_cpus
from tests.markers import needs_watch
from tests.trying import first_that

from .conftest import MS
from .interface import A_A, bounds, command, figure, measure

if TYPE_CHECKING:
    from pathlib import Path

digest = partial(hashlib.sha256, bytes(300_000))


def only_row(report: gilx.Report) -> Any:
    (row,) = report.rows
    return row


def test_measure_states_an_interval_for_every_figure(report: gilx.Report) -> None:
    assert [row.variant for row in report.rows] == ["c-gil", "c-nogil"]
    for row in report.rows:
        assert (row.target, row.pool, row.workers) == ("levenshtein", "threads", 2)
        assert row.unit == "cells"
        assert row.reading
        assert row.comparison.interval_kind == "preset"
        assert row.comparison.blocks == 6
        assert {len(times) for times in row.comparison.samples.values()} == {6}
        for name in ("speedup", "ceiling", "ceiling_fraction"):
            low, high = bounds(row, name)
            assert 0 < low <= figure(row, name) <= high < math.inf
        # From the raw samples of the blocks, as anyone would compute it.
        ratios = sorted(
            one / two
            for one, two in zip(
                row.comparison.samples["serial"],
                row.comparison.samples["parallel"],
                strict=True,
            )
        )
        assert ratios[0] <= figure(row, "speedup") <= ratios[-1]
        assert figure(row, "efficiency") == pytest.approx(figure(row, "speedup") / 2)


def test_measure_states_what_the_machine_achieved(report: gilx.Report) -> None:
    for row in report.rows:
        assert row.ceiling_kind == "native threads on the same kernel"
    sent = only_row(measure(digest, repeat=3))
    assert sent.ceiling_kind == "the same calls in processes"
    kept = only_row(measure(lambda: digest(), repeat=3))  # noqa: PLW0108 - not to be sent
    assert kept.ceiling_kind.startswith("other work")


def test_losses_add_up_to_the_missing_speedup(report: gilx.Report) -> None:
    for row in report.rows:
        assert [loss.cause for loss in row.losses] == list(NAMES)
        assert all(loss.source for loss in row.losses)
        missing = math.fsum(loss.amount for loss in row.losses)
        assert missing == pytest.approx(2 - figure(row, "speedup"), abs=1e-9)


@pytest.mark.slow
@needs_watch
@pytest.mark.skipif(usable_cpus() < 2, reason="threads need CPUs to wait for the GIL")
def test_losses_blame_the_gil_where_it_was_held() -> None:
    held = partial(ckernels.spin, MS, 0, 10 * MS)

    def loss(row: Any) -> float:
        return math.fsum(loss.amount for loss in row.losses if loss.cause == "GIL")

    def blames(row: Any) -> bool:
        is_held = row.held.value > 0.5 and bounds(row, "speedup")[0] < 1.5
        return is_held and loss(row) > 0.2

    first_that(blames, lambda: only_row(measure(held, budget=0.5)))
    sleep = partial(time.sleep, 0.01)
    first_that(lambda row: loss(row) < 0.2, lambda: only_row(measure(sleep, budget=0.5)))


@pytest.mark.slow
def test_cpu_overlap_tells_held_calls_from_released_ones() -> None:
    if usable_cpus() < 2:
        pytest.skip("calls can't overlap on one CPU")

    def measured(hold: int, release: int) -> Any:
        call = partial(ckernels.spin, hold, release, 60 * MS)
        return only_row(measure(call, repeat=1, blocks=3, budget=1))

    for _ in range(2):
        held, released = measured(MS, 0), measured(0, MS)
        apart, together = held.comparison.cpu_overlap, released.comparison.cpu_overlap
        if apart is None or together is None:
            continue
        if gil_enabled():
            assert apart < 0.75, held
        if together > 0.75:
            return
    pytest.skip("this machine is busy: calls that could overlap did not")


def test_a_a_comparison_finds_no_difference(tmp_path: Path) -> None:
    def finds_none(row: Any) -> bool:
        low, high = bounds(row, "speedup")
        return low <= 1 <= high

    row = first_that(finds_none, lambda: only_row(measure(digest, a_a=True, blocks=9)))
    assert row.is_aa
    assert row.losses == ()
    assert "no difference" in row.reading
    words = ("hashlib:sha256", f"{bytes(9000)!r}", "--blocks", "6", "--budget", "0.2")
    done = command("measure", *words, A_A, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Compared with itself" in done.stdout


def test_grain_is_the_smallest_that_beats_one_thread(tmp_path: Path) -> None:
    squares = [0] * 4096

    def square(start: int, stop: int) -> None:
        squares[start:stop] = [n * n for n in range(start, stop)]

    found = gilx.grain(square, items=len(squares), workers=2, budget=0.3)
    assert [row.grain for row in found.rows] == sorted(row.grain for row in found.rows)
    assert figure(found, "region") > 0
    assert found.expected > 0
    for row in found.rows:
        low, high = bounds(row, "speedup")
        assert low <= figure(row, "speedup") <= high
    wins = [bounds(row, "speedup")[0] > 1 for row in found.rows]
    losing = [row.grain for row, won in zip(found.rows, wins, strict=True) if not won]
    winning = [row.grain for row in found.rows if row.grain > max(losing, default=0)]
    assert found.grain == (winning[0] if winning else None)
    assert squares[3] == 9

    done = command("grain", "collatz", "--budget", "0.3", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert gilx.Grain.from_json(done.stdout).target == "collatz"
