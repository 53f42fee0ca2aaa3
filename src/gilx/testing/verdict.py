"""Verdicts of checks: pass, fail or inconclusive, with reasons and evidence."""

from __future__ import annotations

import unittest
from dataclasses import dataclass, field, replace

from gilx.errors import ArgumentError
from gilx.estimate import Estimate
from gilx.records import Record
from gilx.sampling.hold_fraction import hold_side
from gilx.sampling.usage import GilUsage
from gilx.speedup.comparison import Comparison  # noqa: TC001 - records are read by it
from gilx.speedup.scaling_decision import Outcome  # noqa: TC001 - likewise


@dataclass(frozen=True)
class ReleaseEvidence:
    """Evidence about the hold fraction of a call. Times are in seconds.

    Without a GIL, it is the share of the time in which the calling thread was attached.
    """

    limit: float
    """The hold fraction that divides pass and fail."""
    level: float
    """Probability that the hold fraction is in its interval, at this stage of several."""
    stages: int
    """Number of stages, after each of which the check decided whether to go on."""
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
    def without_gil(self) -> bool:
        """True if the evidence is about attached time, since there is no GIL."""
        return self.usage is not None and self.usage.sums.without_gil

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
class LongestHoldEvidence:
    """Evidence about the longest hold of calls. Times are in seconds.

    Calls are watched beside a thread that asks for the GIL again and again.
    """

    limit: float
    """The longest hold that passes."""
    first_seconds: float
    """Wall time of the first call, which warms up."""
    usage: GilUsage | None
    """Usage of the GIL by the calls that count; None if there is nothing to watch."""
    longest_call: float
    """Wall time of the longest call."""
    longest_gap: float
    """Longest time between two moments at which the thread that asks had the GIL."""
    unanswered: float
    """Longest time for which its request certainly went unanswered. The time for which
    threads waited for a CPU is left out, and so is a switch interval."""
    knows_cpu_waits: bool
    """True if the time for which threads waited for a CPU is known. If it is not, no
    request is certain to have gone unanswered."""
    left_out: int
    """Number of other calls, which decided nothing since the machine was busy."""
    reason: str
    """Reason that nothing can be concluded; empty if something can."""

    @property
    def most(self) -> float:
        """Upper bound of the longest hold, which does not depend on samples."""
        return min(self.longest_call, self.longest_gap)

    @property
    def least(self) -> float:
        """Lower bound of the longest hold: samples and a request agree on it."""
        return min(self.unanswered, self.most, self.longest_sampled)

    @property
    def longest_sampled(self) -> float:
        """Lower bound of the longest hold by the samples alone, 0 if there is none.

        It includes times in which the thread that held the GIL had no CPU.
        """
        return self.longest_hold.low if self.longest_hold.known else 0.0

    @property
    def side(self) -> int:
        """1 if the longest hold is over the limit, -1 if it is not, 0 if that is open."""
        if self.reason or self.usage is None:
            return 0
        return int(self.least > self.limit) - int(self.most <= self.limit)

    @property
    def longest_hold(self) -> Estimate:
        """Longest hold by the samples; unknown without a usage."""
        return Estimate.unknown() if self.usage is None else self.usage.longest_hold

    @property
    def calls(self) -> int:
        """Number of calls that count."""
        return 0 if self.usage is None else self.usage.repeats

    @property
    def seconds(self) -> float:
        """Wall time of the calls that count."""
        return 0.0 if self.usage is None else self.usage.wall

    @property
    def call_seconds(self) -> float:
        """Wall time of one call; 0 without a usage."""
        return self.seconds / max(1, self.calls)

    def __add__(self, other: LongestHoldEvidence) -> LongestHoldEvidence:
        usages = [
            evidence.usage for evidence in (self, other) if evidence.usage is not None
        ]
        return replace(
            self,
            usage=GilUsage.total(usages) if usages else None,
            longest_call=max(self.longest_call, other.longest_call),
            longest_gap=max(self.longest_gap, other.longest_gap),
            unanswered=max(self.unanswered, other.unanswered),
            knows_cpu_waits=self.knows_cpu_waits and other.knows_cpu_waits,
            left_out=self.left_out + other.left_out,
        )

    def _check(self, where: str) -> None:
        for name in ("limit", "longest_call", "longest_gap", "unanswered", "left_out"):
            if not getattr(self, name) >= 0:
                raise ArgumentError(
                    f"{where}.{name}: expected at least 0, got {getattr(self, name)}"
                )


@dataclass(frozen=True)
class ScalingEvidence:
    """Speedup of threads against what the machine achieved. Times are in seconds."""

    efficiency: float
    """The share of the ceiling that is required."""
    calls: int
    """Calls in a row, by each worker, in each block."""
    call_seconds: float | None
    first_seconds: float | None
    """Wall time of the first call, which warms up."""
    release: ReleaseEvidence | None
    """Usage of the GIL by calls alone; None if there is nothing to watch."""
    comparison: Comparison
    """Result of the blocks; its intervals hold whenever sampling stops."""
    hindered: Estimate = field(default_factory=Estimate.unknown)
    """Number of workers that waited for the GIL, for another lock or for a stop of all
    threads, on average, while all of them called; its bounds are wrong as rarely as a
    verdict is; without a GIL, in 1 of 20 cases. Unknown if calls at once were not
    watched."""


@dataclass(frozen=True)
class Verdict(Record, schema="gilx.verdict", version=4):
    """Outcome of a check, with its reason and evidence."""

    outcome: Outcome
    reason: str
    """A sentence."""
    evidence: ReleaseEvidence | LongestHoldEvidence | ScalingEvidence
    what: str
    """Name of the check: releases_gil, holds_gil, longest_hold or scales."""
    target: str
    """Name of the callable."""
    seconds: float
    """Seconds that the check took."""
    advice: str = ""
    """Likely cause of a failure, and where to look."""
    notes: tuple[str, ...] = ()
    """Further facts about the call or the machine."""

    def __str__(self) -> str:
        lines = [f"{self.target}: {self.outcome}: {self.reason}"]
        if self.advice:
            lines.append(f"  likely: {self.advice}")
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


class Inconclusive(unittest.SkipTest):
    """The verdict is inconclusive: unittest and pytest skip the test, with the reason."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(f"gilx: {verdict}")
        self.verdict = verdict

    def __reduce__(self) -> tuple[type[Inconclusive], tuple[Verdict]]:
        return type(self), (self.verdict,)


class Failure(AssertionError):  # noqa: N818 - what a failed assertion raises
    """The assertion does not hold."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(f"gilx: {verdict}")
        self.verdict = verdict

    def __reduce__(self) -> tuple[type[Failure], tuple[Verdict]]:
        return type(self), (self.verdict,)
