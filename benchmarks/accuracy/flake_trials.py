"""Questions and results of `flake.py`, as a file from which it can continue."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003 - for annotations alone
from typing import Literal, NamedTuple, get_args

from flake_calls import Kind  # noqa: TC002 - JSON is read by annotations

from gilx.records import Record
from gilx.system.environment import describe

__all__ = ["CHECKS", "NAIVE", "Cell", "Check", "Found", "Trial", "Truth"]

Check = Literal["naive", "releases", "scales", "measures"]
CHECKS: tuple[Check, ...] = get_args(Check)

RELEASED = 0.9
EFFICIENCY = 0.8
NAIVE = 1.5
_LEFT_OUT = 0.05
_AS_LONG = 0.3  # how far a call's length may be from what it is called


@dataclass(frozen=True)
class Cell:
    """One question, and the load under which it is asked."""

    kind: Kind
    length: int
    neighbours: int
    check: Check
    cpus: int


class Trial(NamedTuple):
    """One answer, which is a list in the file."""

    outcome: str
    seconds: float
    """Until the answer."""
    block: float | None = None
    """Seconds that a block took, of an assertion on scaling."""
    figure: float | None = None
    """The naive speedup, the hold fraction, or the share of the ceiling."""
    reason: str = ""

    def kept(self) -> Trial:
        """Return what is kept of it in a file: the digits and the words that matter."""
        block, figure = (
            None if each is None else round(each, 4) for each in (self.block, self.figure)
        )
        reason = self.reason if self.outcome == "inconclusive" else ""
        return Trial(self.outcome, round(self.seconds, 3), block, figure, reason)


@dataclass(frozen=True)
class Truth:
    """Result of a long run of a kind and length on the idle machine."""

    kind: Kind
    length: int
    """In milliseconds, as it is called."""
    seconds: float
    """True duration of a call."""
    held: float
    speedup: float
    of_ceiling: float

    def __post_init__(self) -> None:
        """Refuse calls whose name would be wrong.

        Raises
        ------
        ValueError
            The call is much shorter or longer.

        """
        if abs(self.seconds * 1e3 / self.length - 1) > _AS_LONG:
            takes = f"{self.seconds * 1e3:.1f} ms"
            raise ValueError(
                f"a call {self.kind} of {self.length} ms takes {takes} here: was"
                " something else running?"
            )

    def answer(self, check: Check) -> str | None:
        """Return the right answer; None if it is too close to the threshold."""
        value, limit = {
            "naive": (self.speedup, NAIVE),
            "releases": (1 - self.held, RELEASED),
            "scales": (self.of_ceiling, EFFICIENCY),
            "measures": (self.of_ceiling, EFFICIENCY),
        }[check]
        if abs(value - limit) <= _LEFT_OUT:
            return None
        return "pass" if value > limit else "fail"


@dataclass
class Found:
    """All answers."""

    machine: str = field(default_factory=describe)
    """Where they were found: those of another one are not to be pooled with them."""
    truths: dict[tuple[Kind, int], Truth] = field(default_factory=dict)
    trials: dict[Cell, list[Trial]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Found:
        """Return what is in a file; nothing if there is none.

        Raises
        ------
        ValueError
            It was found on another machine, or with other versions.

        """
        if not path.exists():
            return cls()
        stored = _Stored.from_json(path.read_text())
        if _machine(stored.machine) != _machine(describe()):
            raise ValueError(f"{path} is of another machine: {stored.machine}")
        return cls(
            stored.machine,
            {(truth.kind, truth.length): truth for truth in stored.truths},
            {cell: list(trials) for cell, trials in stored.trials},
        )

    def write(self, path: Path) -> None:
        """Replace the file, whole or not at all."""
        stored = _Stored(
            self.machine,
            tuple(self.truths.values()),
            tuple(
                (cell, tuple(trial.kept() for trial in trials))
                for cell, trials in self.trials.items()
            ),
        )
        new = path.with_suffix(".new")
        new.write_text(stored.to_json() + "\n")
        new.replace(path)

    def answer(self, cell: Cell) -> str | None:
        """Return the right answer; None if it is not known, or too close."""
        truth = self.truths.get((cell.kind, cell.length))
        return None if truth is None else truth.answer(cell.check)


@dataclass(frozen=True)
class _Stored(Record, schema="gilx.benchmarks.flake", version=3):
    machine: str
    truths: tuple[Truth, ...]
    trials: tuple[tuple[Cell, tuple[Trial, ...]], ...]


def _machine(described: str) -> str:
    """Return what has to be the same for answers to be pooled: not the CPUs in use."""
    return re.sub(r"\d+ usable CPUs?", "", described)
