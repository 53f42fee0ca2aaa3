"""Recorded blocks of scaling checks: the rules of today reach the recorded verdicts."""

from __future__ import annotations

from pathlib import Path

import pytest

from gilx.estimate import Estimate
from gilx.speedup.comparison import Block  # noqa: TC001 - parametrized by it
from tests.unit.recorded_blocks import (
    Outcomes,
    RecordedRelease,
    Recording,
    Trial,
    columns_of,
    replay,
    replay_measure,
)
from tests.unit.test_scaling_decision import block

pytestmark = pytest.mark.any_python

# `python benchmarks/accuracy/record_blocks.py --minutes 25 FILE` writes such a file.
FILE = Path(__file__).parents[1] / "data" / "recorded_blocks.json.gz"


def test_rules_reach_the_recorded_verdicts() -> None:
    recording = Recording.read(FILE.read_bytes())
    assert len(recording.trials) > 100
    differing = [
        (number, trial.kind, trial.length, trial.neighbours, recorded, now)
        for number, (trial, recorded) in enumerate(
            zip(recording.trials, recording.verdicts, strict=True)
        )
        if (now := replay(trial)) != recorded
    ]
    assert differing == []


@pytest.mark.parametrize(
    ("blocks", "outcome", "count"),
    [
        ([block(1.0, 1.0)] * 20, "pass", 13),
        ([block(0.5, 0.5)] * 20, "fail", 13),
        ([block(1.0, 0.5)] * 20, "inconclusive", 20),
    ],
)
def test_replay_stops_where_a_check_would(
    blocks: list[Block], outcome: str, count: int
) -> None:
    columns = columns_of(blocks)
    release = RecordedRelease(0.625, Estimate(0.1, 0.0, 0.2), call_seconds=0.02)
    kind = "the same calls in processes"
    trial = Trial("released", 2, 0, kind, release, (columns,))
    recording = Recording.read(Recording.judged([trial]).packed())
    [again] = recording.trials[0].blocks()
    assert columns_of(again) == columns
    assert recording.verdicts == (replay(trial),)
    assert replay(trial) == Outcomes(outcome, outcome, count)


def test_measure_says_what_a_check_says() -> None:
    """Both reach the same outcome from the blocks that a check needed."""
    trials = Recording.read(FILE.read_bytes()).trials[::4]  # all of them take long
    differing = [
        (number, said, measured)
        for number, trial in enumerate(trials)
        if (said := replay(trial)).without_watch != (measured := replay_measure(trial))
    ]
    assert differing == []
