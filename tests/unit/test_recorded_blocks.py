"""Recorded blocks of scaling checks: the rules of today reach the recorded verdicts."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.recorded_blocks import Recording, replay, replay_measure

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


def test_measure_says_what_a_check_says() -> None:
    """Both reach the same outcome from the blocks that a check needed."""
    trials = Recording.read(FILE.read_bytes()).trials[::4]  # all of them take long
    differing = [
        (number, said, measured)
        for number, trial in enumerate(trials)
        if (said := replay(trial)).without_watch != (measured := replay_measure(trial))
    ]
    assert differing == []
