"""Recorded blocks of scaling checks, and their replay through the rules of a check.

`benchmarks/accuracy/record_blocks.py` writes the file, and says how the trials were made.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping, Sequence  # noqa: TC003 - reads records
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Self
from unittest import mock

from gilx.estimate import Estimate  # noqa: TC001 - likewise
from gilx.records import from_json, to_json
from gilx.sampling.hold_fraction import hold_side
from gilx.system.environment import describe
from gilx.testing import ReleaseEvidence, Verdict, scaling_verdict
from gilx.testing.verdict import Block

__all__ = [
    "EFFICIENCY",
    "WORKERS",
    "Outcomes",
    "RecordedRelease",
    "Recording",
    "Trial",
    "replay",
]

WORKERS = 2
EFFICIENCY = 0.8
_SCHEMA = "gilx.tests.recorded_blocks"
_VERSION = 1


@dataclass(frozen=True)
class RecordedRelease:
    """Evidence about the hold fraction in the layout of the file.

    It stands in for `gilx.testing.ReleaseEvidence`.
    """

    limit: float
    held: Estimate
    level: float = 1.0
    longest_hold: tuple[float, float] = (0.0, 0.0)
    where: str = ""
    calls: int = 0
    call_seconds: float = 0.0
    first_seconds: float = 0.0
    watched: float = 0.0
    cpu: float = 0.0
    stages: int = 0
    looks: int = 0
    late: int = 0
    unknown: float = 1.0
    backend: str = ""
    doubt: str = ""

    @classmethod
    def of(cls, release: ReleaseEvidence) -> Self:
        """Return evidence from a watch in the layout of the file."""
        usage = release.usage
        assert usage is not None
        of_release = ("limit", "held", "level", "longest_hold", "where", "call_seconds")
        return cls(
            **{name: getattr(release, name) for name in of_release},
            calls=usage.repeats,
            first_seconds=release.first_seconds,
            watched=usage.wall,
            cpu=usage.cpu,
            stages=release.stages,
            looks=usage.looks,
            late=usage.late,
            unknown=usage.unknown,
            backend=usage.backend,
            doubt=release.reason,
        )

    @property
    def reason(self) -> str:
        """Reason that nothing can be concluded from `held`."""
        return self.doubt

    @property
    def side(self) -> int:
        """1 if more than the limit was held, -1 if less, 0 if that is open."""
        return 0 if self.doubt else hold_side(self.held, self.limit)


@dataclass(frozen=True)
class Trial:
    """What was recorded of one call."""

    kind: str
    """How the call treats the GIL: released, held, half (in turns), memory (released, and
    bound by memory)."""
    length: int
    """Of a call, in milliseconds, about."""
    neighbours: int
    """Processes beside it that only compute."""
    ceiling_kind: str
    release: RecordedRelease
    columns: tuple[Mapping[str, tuple[float | None, ...]], ...]
    """Blocks of short and, if those promised nothing, of long rows of calls: each field of
    `gilx.testing.Block`, with a value for every block."""

    def blocks(self) -> list[list[Block]]:
        """Return the blocks of each length."""
        found = []
        for columns in self.columns:
            rows = zip(*columns.values(), strict=True)
            found.append([Block(**dict(zip(columns, row, strict=True))) for row in rows])
        return found


@dataclass(frozen=True)
class Outcomes:
    """The verdict on a trial, and how many blocks it took."""

    watched: str
    without_watch: str
    """As if there were no GIL, so that the blocks alone decide."""
    blocks: int
    """How many blocks were made until the latter."""


@dataclass(frozen=True)
class Recording:
    """All trials, with their verdicts when they were recorded."""

    machine: str
    trials: tuple[Trial, ...]
    verdicts: tuple[Outcomes, ...]

    @classmethod
    def judged(cls, trials: Sequence[Trial]) -> Self:
        """Return trials with the verdicts of today's rules."""
        return cls(describe(), tuple(trials), tuple(replay(trial) for trial in trials))

    def packed(self) -> bytes:
        """Return the bytes of a file, which `read` takes."""
        return gzip.compress(to_json(self, _SCHEMA, _VERSION).encode(), 9, mtime=0)

    @classmethod
    def read(cls, packed: bytes) -> Self:
        """Return what `packed` made."""
        return from_json(cls, gzip.decompress(packed).decode(), _SCHEMA, _VERSION)


class _RecordedArms:
    """Stands in for the arms of a check: its blocks were made long ago."""

    doubt = ""

    def __init__(self, trial: Trial) -> None:
        self.kind = trial.ceiling_kind
        self._blocks = trial.blocks()
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def blocks(self, _calls: int, **_: float) -> Iterator[Block]:
        for block in self._blocks.pop(0) if self._blocks else ():
            self.count += 1
            yield block


def replay(trial: Trial) -> Outcomes:
    """Return the verdict of today's rules on recorded blocks."""
    watched, _ = _judge(trial, gil=True)
    without, blocks = _judge(trial, gil=False)
    return Outcomes(watched.outcome, without.outcome, blocks)


def _judge(trial: Trial, *, gil: bool) -> tuple[Verdict, int]:
    arms = _RecordedArms(trial)
    release = replace(trial.release)

    def given(value: object) -> Callable[..., Any]:
        return lambda *_, **__: value

    with ExitStack() as stack:
        for name, value in {
            "Arms": given(arms),
            "watched": given(release),
            "gil_enabled": given(gil),
            "usable_cpus": given(WORKERS),
            "calls_needed": given((1, release.call_seconds)),
        }.items():
            stack.enter_context(mock.patch.object(scaling_verdict, name, value))
        verdict = scaling_verdict.judge_scaling(
            _nothing, workers=WORKERS, efficiency=EFFICIENCY, budget=1e9
        )
    return verdict, arms.count


def _nothing() -> None:
    """Stand in for the call, which was made when it was recorded."""
