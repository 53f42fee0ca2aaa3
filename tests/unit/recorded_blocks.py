"""Recorded blocks of scaling checks, and their replay through the rules of a check.

`benchmarks/accuracy/record_blocks.py` writes the file, and says how the trials were made.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator, Mapping, Sequence  # noqa: TC003 - reads records
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from types import ModuleType  # noqa: TC003 - likewise
from typing import Any, Self
from unittest import mock

from gilx import measure
from gilx.estimate import Estimate
from gilx.records import Record
from gilx.sampling.hold_fraction import hold_side
from gilx.speedup import row_measurement
from gilx.speedup.comparison import Block  # noqa: TC001 - likewise
from gilx.speedup.timings import Sample
from gilx.speedup.waits_together import TogetherWatch, WaitsTogether
from gilx.system.environment import describe
from gilx.testing import ReleaseEvidence, ScalingEvidence, Verdict, scaling_verdict

__all__ = [
    "COLUMNS",
    "EFFICIENCY",
    "WORKERS",
    "Outcomes",
    "RecordedArms",
    "RecordedRelease",
    "RecordedWaits",
    "Recording",
    "Trial",
    "columns_of",
    "given",
    "instead",
    "replay",
    "replay_measure",
]

WORKERS = 2
EFFICIENCY = 0.8
COLUMNS = {
    "serial": ("serial", "seconds"),
    "parallel": ("parallel", "seconds"),
    "ceiling": ("ceiling", "seconds"),
    "ceiling_serial": ("ceiling serial", "seconds"),
    "serial_cpu": ("serial", "worker_cpu"),
    "parallel_cpu": ("parallel", "worker_cpu"),
    "ceiling_cpu": ("ceiling", "worker_cpu"),
    "serial_own": ("serial", "longest"),
    "parallel_own": ("parallel", "longest"),
    "ceiling_own": ("ceiling", "longest"),
    "serial_wait": ("serial", "wait"),
    "parallel_wait": ("parallel", "wait"),
    "ceiling_wait": ("ceiling", "wait"),
    "process_cpu": ("parallel", "cpu"),
    "steal": ("parallel", "steal"),
    "throttled": ("parallel", "throttled"),
}
"""For each recorded figure of a block the arm and the field of its sample."""


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
    samples: int = 0
    late: int = 0
    unknown: float = 1.0
    backend: str = ""
    inconclusive_reason: str = ""

    @property
    def without_gil(self) -> bool:
        return False

    @property
    def usage(self) -> None:
        """The file has no usages."""

    @classmethod
    def of(cls, release: ReleaseEvidence) -> Self:
        """Return evidence from a watch in the layout of the file."""
        usage = release.usage
        assert usage is not None
        of_release = ("limit", "held", "level", "where", "call_seconds")
        longest = release.longest_hold
        return cls(
            **{name: getattr(release, name) for name in of_release},
            longest_hold=longest.interval if longest.known else (0.0, 0.0),
            calls=usage.repeats,
            first_seconds=release.first_seconds,
            watched=usage.wall,
            cpu=usage.cpu,
            stages=release.stages,
            samples=usage.samples,
            late=usage.late,
            unknown=usage.unknown,
            backend=usage.backend,
            inconclusive_reason=release.reason,
        )

    @property
    def reason(self) -> str:
        """Reason that nothing can be concluded from `held`."""
        return self.inconclusive_reason

    @property
    def side(self) -> int:
        """1 if more than the limit was held, -1 if less, 0 if that is open."""
        return 0 if self.inconclusive_reason else hold_side(self.held, self.limit)


@dataclass(frozen=True)
class RecordedWaits:
    """Waits of workers that called at once, after one of several watches."""

    hindered: Estimate
    waiting_cpu: float
    seconds: float
    """Wall time of this watch and those before."""

    @classmethod
    def of(cls, watching: TogetherWatch) -> Self | None:
        """Return what is known after the latest watch; None if nothing is."""
        waits = watching.waits
        if waits is None or not waits.hindered.known:
            return None
        ends = waits.hindered
        rounded = Estimate(
            *(float(f"{e:.4g}") for e in (ends.value, ends.low, ends.high))
        )
        return cls(rounded, round(waits.waiting_cpu, 4), round(watching.seconds, 3))

    def waits(self) -> WaitsTogether:
        """Return the waits as a check has them."""
        nothing = Estimate(0.0, 0.0, 0.0)
        return WaitsTogether(
            WORKERS, False, nothing, nothing, nothing, False, "", "",
            hindered=self.hindered, blocked=self.hindered, waiting_cpu=self.waiting_cpu,
        )  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """Recorded measurements of one call."""

    kind: str
    """Use of the GIL by the call: released, held, half (in turns), memory (released, and
    bound by memory)."""
    length: int
    """Approximate length of a call, in milliseconds."""
    neighbours: int
    """Number of other processes that only compute."""
    ceiling_kind: str
    release: RecordedRelease
    columns: tuple[Mapping[str, tuple[float | None, ...]], ...]
    """Blocks of short and, if those promised nothing, of long rows of calls: each of
    `COLUMNS`, with a value for every block. Serial figures are those of the calls of one
    worker."""
    waits: tuple[RecordedWaits | None, ...] = ()
    """Results of watches of calls at once; empty if there were none."""

    def blocks(self) -> list[list[Block]]:
        """Return the blocks of each length."""
        return [
            [
                block_of(dict(zip(columns, row, strict=True)))
                for row in zip(*columns.values(), strict=True)
            ]
            for columns in self.columns
        ]


@dataclass(frozen=True)
class Outcomes:
    """The verdict on a trial, and how many blocks it took."""

    watched: str
    without_watch: str
    """Verdict as if there were no GIL, so that the blocks alone decide."""
    blocks: int
    """Number of blocks until the verdict without a watch."""


@dataclass(frozen=True)
class Recording(Record, schema="gilx.tests.recorded_blocks"):
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
        return gzip.compress(self.to_json().encode(), 9, mtime=0)

    @classmethod
    def read(cls, packed: bytes) -> Self:
        """Return what `packed` made."""
        return cls.from_json(gzip.decompress(packed).decode())


def block_of(row: Mapping[str, Any]) -> Block:
    """Return a recorded block."""
    arms: dict[str, dict[str, Any]] = {}
    for column, (arm, field) in COLUMNS.items():
        if row[column] is not None:
            arms.setdefault(arm, {})[field] = row[column]
    block = {arm: Sample(**fields) for arm, fields in arms.items()}
    return {**block, "serial": block["serial"].times(WORKERS)}


def columns_of(blocks: Sequence[Block]) -> dict[str, tuple[float | None, ...]]:
    """Return blocks as they are recorded, with the digits that matter."""

    def figure(block: Block, arm: str, field: str) -> float | None:
        value = getattr(block[arm], field) if arm in block else None
        if value is None:
            return None
        return float(f"{value / WORKERS if arm == 'serial' else value:.4g}")

    return {
        column: tuple(figure(block, *place) for block in blocks)
        for column, place in COLUMNS.items()
    }


class RecordedArms:
    """Stands in for the arms of a check: its blocks were made long ago."""

    reason = missing = ""

    def __init__(self, trial: Trial, most: int | None = None) -> None:
        self.kind = trial.ceiling_kind
        self._blocks = trial.blocks()
        self._most = most
        self._waits = list(trial.waits)
        self._latest: WaitsTogether | None = None
        self.count = 0

    def take(self, lengths: list[list[Block]]) -> None:
        """Replace the blocks, of each length."""
        self._blocks = list(lengths)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def waits_together(self, repeat: int) -> tuple[WaitsTogether | None, str]:
        """Return what the latest watch that counted showed."""
        del repeat
        return self._latest, ""

    def watch_together(self, watching: TogetherWatch, repeat: int) -> None:
        """Move on to the next recorded watch."""
        del repeat
        if self._waits and (found := self._waits.pop(0)) is not None:
            watching.waits = self._latest = found.waits()
            watching.seconds = found.seconds

    def slowdown(self, *_: float) -> float:
        return 1.0

    def empty_region(self) -> float:
        return 0.0

    def blocks(self, _calls: int, **_: float) -> Iterator[Block]:
        for block in self._blocks.pop(0) if self._blocks else ():
            if self.count == self._most:
                return
            self.count += 1
            yield block


def replay(trial: Trial) -> Outcomes:
    """Return the verdict of today's rules on recorded blocks."""
    watched, _ = _judge(trial, gil=True)
    without, blocks = _judge(trial, gil=False)
    return Outcomes(watched.outcome, without.outcome, blocks)


def replay_measure(trial: Trial) -> str | None:
    """Return the outcome that `gilx.measure` has of the blocks that decided a check."""
    verdict, made = _judge(trial, gil=False)
    assert isinstance(verdict.evidence, ScalingEvidence)
    count = verdict.evidence.comparison.blocks
    lengths = trial.blocks()
    # A check that went on with longer blocks forgot the short ones.
    last = lengths[1:] if len(lengths) > 1 and made > count else lengths
    arms = RecordedArms(trial, count)
    arms.take(last)
    waits = trial.waits[0].waits() if trial.waits and trial.waits[0] else None
    with (
        instead(row_measurement, {"Arms": given(arms), "gil_enabled": given(False)}),
        instead(row_measurement.RowMeter, {"_together": given(waits)}),
    ):
        [row] = measure(_nothing, workers=WORKERS, precision=0.001, repeat=1).rows
    assert row.comparison.blocks == count
    return row.outcome


def _judge(trial: Trial, *, gil: bool) -> tuple[Verdict, int]:
    arms = RecordedArms(trial)
    release = replace(trial.release)
    replaced = {
        "Arms": given(arms),
        "watch_until_clear": given(release),
        "gil_enabled": given(gil),
        "usable_cpus": given(WORKERS),
        "calls_needed": given((1, release.call_seconds)),
    }
    with instead(scaling_verdict, replaced):
        verdict = scaling_verdict.judge_scaling(
            _nothing, workers=WORKERS, efficiency=EFFICIENCY, budget=1e9
        )
    return verdict, arms.count


def given(value: object) -> Callable[..., Any]:
    """Return a function that returns a value, whatever it is called with."""
    return lambda *_, **__: value


@contextmanager
def instead(place: ModuleType | type, replaced: Mapping[str, object]) -> Iterator[None]:
    """Replace values in a module or class for a while."""
    with ExitStack() as stack:
        for name, value in replaced.items():
            stack.enter_context(mock.patch.object(place, name, value))
        yield


def _nothing() -> None:
    """Stand in for the call, which was made when it was recorded."""
