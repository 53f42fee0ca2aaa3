"""What a check found: pass, fail or inconclusive, why, and by what evidence."""

from __future__ import annotations

import unittest
from dataclasses import dataclass

from gilx.estimate import Estimate  # noqa: TC001 - records are read by it
from gilx.records import from_json, to_json
from gilx.speedup.comparison import Comparison  # noqa: TC001 - records are read by it
from gilx.speedup.scaling_decision import Outcome

__all__ = [
    "Failure",
    "Inconclusive",
    "Outcome",
    "ReleaseEvidence",
    "ScalingEvidence",
    "Verdict",
]

_SCHEMA = "gilx.verdict"
_VERSION = 1

# What more looks don't make less: the watch's own error, where half of the time is held.
_ERROR = 0.01


@dataclass(frozen=True)
class ReleaseEvidence:
    """What was seen of the GIL. Times are in seconds, shares from 0 to 1."""

    limit: float
    """The hold fraction that divides pass and fail."""
    held: Estimate
    """Hold fraction, with its interval at `level`; unknown where nothing was seen."""
    level: float
    """How surely the hold fraction is in its interval, at this one of several looks."""
    longest_hold: tuple[float, float]
    """Bounds of the longest hold."""
    where: str
    """Where in a call the GIL was held, if that was in one place."""
    calls: int
    call_seconds: float
    """Wall time of one call."""
    first_seconds: float
    """Wall time of the first call, which warms up."""
    watched: float
    """Wall time of all calls that were watched."""
    cpu: float
    """CPU time of the process, the sampler's left out, while they were."""
    stages: int
    """How often it was decided whether to go on."""
    looks: int
    late: int
    unknown: float
    """Share of the time for which there is no good look."""
    backend: str
    """How the GIL was found; empty where it was not."""
    doubt: str
    """Why nothing can be concluded; empty if something can."""

    @property
    def reason(self) -> str:
        return self.doubt

    @property
    def side(self) -> int:
        """1 if more than the limit was held, -1 if less, 0 if that is open."""
        if self.doubt or not self.held.known:
            return 0
        error = 4 * _ERROR * self.limit * (1 - self.limit)
        above, below = self.limit + error, self.limit - error
        return int(self.held.low > above) - int(self.held.high < below)


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
class Verdict:
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

    def to_json(self) -> str:
        """Return the verdict as JSON text, which `from_json` reads."""
        return to_json(self, _SCHEMA, _VERSION)

    @classmethod
    def from_json(cls, text: str) -> Verdict:
        """Return the verdict that `to_json` wrote.

        Raises
        ------
        ArgumentError
            The text is no such thing, or was written by a gilx too new for this one.

        """
        return from_json(cls, text, _SCHEMA, _VERSION)

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
