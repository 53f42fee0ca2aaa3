"""What a check found: pass, fail or inconclusive, why, and by what evidence."""

from __future__ import annotations

import unittest
from dataclasses import dataclass

from gilx.errors import ArgumentError
from gilx.estimate import Estimate
from gilx.records import Record
from gilx.sampling.hold_fraction import hold_side
from gilx.sampling.usage import GilUsage  # noqa: TC001 - records are read by it
from gilx.speedup.comparison import Comparison  # noqa: TC001 - records are read by it
from gilx.speedup.scaling_decision import Outcome  # noqa: TC001 - likewise


@dataclass(frozen=True)
class ReleaseEvidence:
    """Evidence about the hold fraction of a call. Times are in seconds."""

    limit: float
    """The hold fraction that divides pass and fail."""
    level: float
    """How surely the hold fraction is in its interval, at this stage of several."""
    stages: int
    """Number of times that it was decided whether to go on."""
    first_seconds: float
    """Wall time of the first call, which warms up."""
    usage: GilUsage | None
    """Usage of the GIL by the calls that count; None if there is nothing to watch."""
    reason: str
    """Reason that nothing can be concluded from `held`; empty if something can."""

    @property
    def held(self) -> Estimate:
        """Hold fraction, with its bounds at `level`; unknown without a usage."""
        return Estimate.unknown() if self.usage is None else self.usage.bounds(self.level)

    @property
    def side(self) -> int:
        """1 if more than the limit was held, -1 if less, 0 if that is open."""
        return 0 if self.reason else hold_side(self.held, self.limit)

    @property
    def call_seconds(self) -> float:
        """Wall time of one call; 0 without a usage."""
        return 0.0 if self.usage is None else self.usage.wall / self.usage.repeats

    @property
    def longest_hold(self) -> Estimate:
        """Longest hold, in seconds; unknown without a usage."""
        return Estimate.unknown() if self.usage is None else self.usage.longest_hold

    @property
    def where(self) -> str:
        """Where in a single call the GIL was held, if that was in one place."""
        return "" if self.usage is None else self.usage.where

    def _check(self, where: str) -> None:
        if self.usage is not None and not 0 < self.level < 1:
            raise ArgumentError(
                f"{where}.level: expected above 0 and below 1, got {self.level}"
            )


@dataclass(frozen=True)
class ScalingEvidence:
    """How far threads were as fast as the machine let them be. Times are in seconds."""

    efficiency: float
    """The share of the ceiling that was asked for."""
    calls: int
    """In a row, by each worker, in each block."""
    call_seconds: float | None
    first_seconds: float | None
    """Wall time of the first call, which warms up."""
    release: ReleaseEvidence | None
    """What the watch saw of calls alone; None where there is nothing to watch."""
    comparison: Comparison
    """What the blocks show; its intervals are right whenever one stops."""


@dataclass(frozen=True)
class Verdict(Record, schema="gilx.verdict", version=3):
    """What a check found."""

    outcome: Outcome
    reason: str
    """A sentence."""
    evidence: ReleaseEvidence | ScalingEvidence
    what: str
    """What was asked: releases_gil, holds_gil or scales."""
    target: str
    """What was called."""
    seconds: float
    """How long it took to find out."""
    advice: str = ""
    """What likely causes a failure, and what to look at."""
    notes: tuple[str, ...] = ()
    """What else should be known of the call or the machine."""

    def __str__(self) -> str:
        lines = [f"{self.target}: {self.outcome}: {self.reason}"]
        if self.advice:
            lines.append(f"  likely: {self.advice}")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


class Inconclusive(unittest.SkipTest):
    """Nothing could be told: unittest and pytest skip the test, with the reason."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(f"gilx: {verdict}")
        self.verdict = verdict

    def __reduce__(self) -> tuple[type[Inconclusive], tuple[Verdict]]:
        return type(self), (self.verdict,)


class Failure(AssertionError):  # noqa: N818 - what a failed assertion raises
    """What was asserted is not so."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(f"gilx: {verdict}")
        self.verdict = verdict

    def __reduce__(self) -> tuple[type[Failure], tuple[Verdict]]:
        return type(self), (self.verdict,)
