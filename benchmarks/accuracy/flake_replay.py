"""Scaling checks replayed on recorded blocks, drawn anew: how often rules are wrong.

A replayed check has the watch of calls alone and the watches of calls at once of a
recorded trial (`record_blocks.py`), and blocks of trials of the same kind, length and
number of neighbours. They are drawn in runs of `RUN` that were made one after the other,
since a busy machine stays as it is for some blocks (moving blocks bootstrap: Künsch, The
jackknife and the bootstrap for general stationary observations, Annals of Statistics 17,
1989). The clock of a check advances by what its blocks took.
"""

from __future__ import annotations

import random
import sys
from collections import Counter, defaultdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Self

sys.path.append(str(Path(__file__).parents[2]))  # for the tests' reader of the file

from tests.unit.recorded_blocks import (
    EFFICIENCY,
    WORKERS,
    RecordedArms,
    Recording,
    given,
    instead,
)

from gilx.formatting import format_table
from gilx.testing import scaling_verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from tests.unit.recorded_blocks import Trial

    from gilx.speedup.comparison import Block
    from gilx.speedup.waits_together import TogetherWatch
    from gilx.testing import Verdict

RUN = 5
BUDGET = 30.0  # seconds
OVERHEAD = 0.005  # seconds of an arm in addition to its calls
FIXED = 0.5  # seconds of what comes before the blocks
WATCHED = 0.25  # seconds of a watch of calls at once


class Clock:
    """Stands in for `time.perf_counter`."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now


class DrawnArms(RecordedArms):
    """Arms whose blocks are drawn from those of several trials."""

    def __init__(
        self, watch: Trial, lengths: list[list[list[Block]]], draw: random.Random
    ) -> None:
        super().__init__(watch)
        self._lengths, self._draw = lengths, draw
        self.clock = Clock()
        self._tries = 0

    def watch_together(self, watching: TogetherWatch, repeat: int) -> None:
        """Have the next recorded watch."""
        self.clock.now += WATCHED
        super().watch_together(watching, repeat)

    def blocks(self, _calls: int, **options: float) -> Iterator[Block]:
        """Yield blocks until the budget is spent."""
        sources = self._lengths[min(self._tries, len(self._lengths) - 1)]
        self._tries += 1
        end = self.clock.now + options["budget"]
        while True:
            source = self._draw.choice(sources)
            first = self._draw.randrange(max(1, len(source) - RUN + 1))
            for block in source[first : first + RUN]:
                self.clock.now += _seconds(block)
                if self.clock.now > end:
                    return
                self.count += 1
                yield block

    @classmethod
    def of(cls, trials: Sequence[Trial], draw: random.Random) -> Callable[[], Self]:
        """Return what makes arms from trials of one kind, length and neighbours."""
        lengths: list[list[list[Block]]] = []
        for trial in trials:
            for place, blocks in enumerate(trial.blocks()):
                if place == len(lengths):
                    lengths.append([])
                if blocks:
                    lengths[place].append(blocks)
        watched = [trial for trial in trials if trial.waits]
        return lambda: cls(draw.choice(watched or trials), lengths, draw)


def _seconds(block: Block) -> float:
    # The serial run did the work of one worker.
    alone = block["serial"].seconds / WORKERS
    others = [block[arm].seconds for arm in block if arm != "serial"]
    return alone + sum(others) + OVERHEAD * len(block)


def judged(arms: DrawnArms, trial: Trial) -> Verdict:
    """Return the verdict on a replayed check."""
    release = trial.release
    replaced = {
        "Arms": given(arms),
        "watch_until_clear": given(release),
        "gil_enabled": given(value=True),
        "usable_cpus": given(WORKERS),
        "calls_needed": given((1, release.call_seconds)),
        "perf_counter": arms.clock,
    }
    arms.clock.now = FIXED
    with instead(scaling_verdict, replaced):
        return scaling_verdict.judge_scaling(
            _nothing, workers=WORKERS, efficiency=EFFICIENCY, budget=BUDGET
        )


def _nothing() -> None:
    """Stand in for the call, which was made when it was recorded."""


def replayed(
    files: Sequence[Path],
    each: int,
    answers: Mapping[tuple[Any, int], str | None],
    kinds: Sequence[str],
) -> str:
    """Return a table of replayed checks, the same number of each cell.

    Parameters
    ----------
    files : sequence of Path
        What `record_blocks.py` wrote.
    each : int
        How many checks of each cell.
    answers : dict
        For kinds and lengths the right answer; None if it is too close.
    kinds : sequence of str
        Kinds of calls.

    """
    cells: defaultdict[tuple[str, int, int], list[Trial]] = defaultdict(list)
    for file in files:
        for trial in Recording.read(file.read_bytes()).trials:
            if trial.kind in kinds:
                cells[trial.kind, trial.length, trial.neighbours].append(trial)
    rows: list[list[str]] = []
    sums: Counter[str] = Counter()
    for cell, trials in sorted(cells.items()):
        should = answers[cell[:2]]
        if should is None:
            continue
        draw = random.Random(str(cell))
        make = DrawnArms.of(trials, draw)
        found: Counter[str] = Counter()
        seconds: list[float] = []
        for _ in range(each):
            verdict = judged(make(), draw.choice(trials))
            outcome = verdict.outcome
            kept = outcome in (should, "inconclusive")
            found[outcome if kept else "wrong"] += 1
            seconds.append(verdict.seconds)
        sums += found
        rows.append(_row(f"{cell[0]} {cell[1]} ms, {cell[2]}", should, found, seconds))
    rows.append(_row("all", "", sums, []))
    heads = ["call, neighbours", "should", "replayed", "wrong", "open", "seconds"]
    return format_table(heads, rows)


def _row(
    name: str, should: str, found: Counter[str], seconds: Sequence[float]
) -> list[str]:
    total = found.total()
    return [
        *(name, should, str(total), str(found["wrong"])),
        f"{100 * found['inconclusive'] / max(1, total):.1f} %",
        f"{median(seconds):.2f}" if seconds else "",
    ]
