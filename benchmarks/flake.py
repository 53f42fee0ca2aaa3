"""How often assertions about the GIL are wrong, on an idle machine and on a busy one.

Calls of known kinds and lengths (`flake_calls.py`), beside 0, 1 or 2 processes that only
compute, are judged again and again by

* ``naive``: "two threads are more than 1.5 times as fast as one", timed once;
* ``releases``: `gilx.testing.judge_release`, at least 90 % released;
* ``scales``: `gilx.testing.judge_scaling`, two workers, at least 80 % of the ceiling.

What is right comes from a long run of each on the idle machine; what is then within 0.05
of the threshold is left out. Run it with nothing else running, and again under
``taskset -c 0``, in pieces::

    python benchmarks/flake.py --file FILE --reference
    python benchmarks/flake.py --file FILE [--seconds N] [--checks ...] [--kinds ...]
    python benchmarks/flake.py --file FILE --table

A piece reads what was found before, goes on with the cells that have the fewest trials
and adds to the file; so the pieces of several days can be pooled.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Literal, get_args

from flake_calls import KINDS, LENGTHS, Kind, Work
from null import neighbours

import gilx
from gilx.cli.table import format_table
from gilx.environment import describe, usable_cpus
from gilx.testing import Block, ScalingEvidence, judge_release, judge_scaling

if TYPE_CHECKING:
    from collections.abc import Iterable

Check = Literal["naive", "releases", "scales"]
CHECKS: tuple[Check, ...] = get_args(Check)

NEIGHBOURS = (0, 1, 2)
NAIVE = 1.5
RELEASED = 0.9
EFFICIENCY = 0.8
LEFT_OUT = 0.05
TURN = 20.0  # seconds for which the neighbours stay the same
REFERENCE_BLOCKS = 40
REFERENCE_SECONDS = 8.0


@dataclass(frozen=True)
class Trial:
    """One answer."""

    kind: str
    length: int
    neighbours: int
    check: str
    cpus: int
    outcome: str
    seconds: float
    """Until the answer."""
    block: float | None = None
    """Seconds that a block took, of a verdict on scaling."""
    figure: float | None = None
    """The naive speedup, the hold fraction, or the share of the ceiling."""
    reason: str = ""
    blocks: list[list[float | None]] | None = None
    """Of a verdict on scaling: seconds of the serial, parallel and ceiling arms, with and
    without waits for a CPU, and CPU time of the first two."""

    @property
    def cell(self) -> tuple[str, int, int, str, int]:
        """What was asked, and where."""
        return self.kind, self.length, self.neighbours, self.check, self.cpus


@dataclass(frozen=True)
class Truth:
    """What a long run on the idle machine found of a kind and length."""

    kind: str
    length: int
    held: float
    speedup: float
    of_ceiling: float

    def answer(self, check: str) -> str | None:
        """Return the right answer; None if it is too close to the threshold."""
        if check == "releases":
            value, limit = 1 - self.held, RELEASED
        else:
            value, limit = self.of_ceiling, EFFICIENCY
        if abs(value - limit) <= LEFT_OUT:
            return None
        return "pass" if value > limit else "fail"


@dataclass
class Found:
    """All that is in the file."""

    truths: list[Truth]
    trials: list[Trial]

    @classmethod
    def read(cls, path: Path) -> Found:
        """Return what is there; nothing if there is no file."""
        if not path.exists():
            return cls([], [])
        found = json.loads(path.read_text())
        return cls(
            [Truth(**each) for each in found["truths"]],
            [Trial(**each) for each in found["trials"]],
        )

    def write(self, path: Path) -> None:
        """Replace the file, whole or not at all."""
        text = json.dumps(
            {
                "truths": [asdict(each) for each in self.truths],
                "trials": [asdict(each) for each in self.trials],
            }
        )
        new = path.with_suffix(".new")
        new.write_text(text)
        new.replace(path)


def naive(work: Work) -> tuple[str, float]:
    """Return the answer that people's tests give, and their speedup."""
    begin = time.perf_counter()
    for _ in range(2):
        work()
    alone = time.perf_counter() - begin
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: work(), range(4)))  # warm
        begin = time.perf_counter()
        for call in [pool.submit(work) for _ in range(2)]:
            call.result()
        together = time.perf_counter() - begin
    speedup = alone / together
    return ("pass" if speedup > NAIVE else "fail"), speedup


def try_once(work: Work, check: str, others: int) -> Trial:
    """Ask once."""
    cell = work.kind, work.length, others, check, usable_cpus()
    begin = time.perf_counter()
    if check == "naive":
        outcome, speedup = naive(work)
        return Trial(*cell, outcome, time.perf_counter() - begin, figure=speedup)
    if check == "releases":
        found = judge_release(work, at_least=RELEASED)
        held = getattr(found.evidence, "held", None)
        return Trial(*cell, found.outcome, found.seconds, None, held, found.reason)
    found = judge_scaling(work, workers=2, efficiency=EFFICIENCY)
    assert isinstance(found.evidence, ScalingEvidence)
    share, blocks = found.evidence.of_ceiling, found.evidence.blocks
    raw = [
        [None if x is None else round(x, 6) for x in _times(block)] for block in blocks
    ]
    block = median(b.serial + b.parallel + b.ceiling for b in blocks) if blocks else None
    return Trial(*cell, found.outcome, found.seconds, block, share, found.reason, raw)


def _times(block: Block) -> list[float | None]:
    return [
        *(block.serial, block.parallel, block.ceiling),
        *(block.serial_own, block.parallel_own, block.ceiling_own),
        *(block.serial_cpu, block.parallel_cpu),
    ]


def truth_of(work: Work) -> Truth:
    """Return what a long run says: nothing else may run."""
    held = gilx.probe(work, budget=2).held
    [row] = gilx.measure(
        work, workers=2, blocks=REFERENCE_BLOCKS, budget=REFERENCE_SECONDS
    ).rows
    assert row.speedup is not None
    assert row.of_ceiling is not None
    return Truth(work.kind, work.length, held, row.speedup, row.of_ceiling)


def go_on(
    found: Found, cells: list[tuple[Kind, int, int, Check]], seconds: float
) -> None:
    """Ask again where that was done least often, for so many seconds."""
    draw = random.Random()
    end = time.monotonic() + seconds
    cpus = usable_cpus()
    counts = dict.fromkeys(cells, 0)
    longest = dict.fromkeys(cells, 0.0)
    for trial in found.trials:
        cell = trial.cell[:4]
        if cell in counts and trial.cpus == cpus:
            counts[cell] += 1
            longest[cell] = max(longest[cell], trial.seconds)
    while True:
        left = end - time.monotonic()
        open_cells = [cell for cell in cells if 1.2 * longest[cell] + 1 < left]
        if not open_cells:
            return
        first = min(open_cells, key=lambda cell: (counts[cell], draw.random()))
        others = first[2]
        turn = time.monotonic() + min(TURN, left)
        with neighbours(others):
            while time.monotonic() < turn:
                left = end - time.monotonic()
                here = [
                    cell
                    for cell in cells
                    if cell[2] == others and 1.2 * longest[cell] + 1 < left
                ]
                if not here:
                    break
                cell = min(here, key=lambda cell: (counts[cell], draw.random()))
                trial = try_once(Work(cell[0], cell[1]), cell[3], others)
                found.trials.append(trial)
                counts[cell] += 1
                longest[cell] = max(longest[cell], trial.seconds)


def table(found: Found) -> str:
    """Return what was found, in words and figures."""
    truths = {(truth.kind, truth.length): truth for truth in found.truths}
    lines = [describe(), "", "right answers:"]
    rows = [
        [
            f"{truth.kind} {truth.length} ms",
            f"{truth.held:.3f}",
            f"{truth.speedup:.2f}",
            f"{truth.of_ceiling:.2f}",
            *(truth.answer(check) or "left out" for check in CHECKS[1:]),
        ]
        for truth in found.truths
    ]
    heads = ["call", "held", "speedup", "of ceiling", *CHECKS[1:]]
    lines += [format_table(heads, rows)]
    cells: dict[tuple[str, int, int, str, int], list[Trial]] = {}
    for trial in found.trials:
        cells.setdefault(trial.cell, []).append(trial)
    for cpus in sorted({cell[-1] for cell in cells}, reverse=True):
        for check in CHECKS:
            these = {
                cell: trials
                for cell, trials in cells.items()
                if cell[3] == check and cell[4] == cpus
            }
            if these:
                lines += ["", f"{check}, {cpus} usable CPU{'s' if cpus > 1 else ''}:"]
                lines.append(_of_check(these, truths, check))
    return "\n".join(lines)


def _of_check(
    cells: dict[tuple[str, int, int, str, int], list[Trial]],
    truths: dict[tuple[str, int], Truth],
    check: str,
) -> str:
    rows: list[list[str]] = []
    for cell in sorted(cells, key=_place):
        truth = truths.get(cell[:2])
        right = None if truth is None else truth.answer(check)
        name = f"{cell[0]} {cell[1]} ms, {cell[2]}"
        rows.append([name, right or "left out", *_figures(cells[cell], right)])
    for others in NEIGHBOURS:
        for least in (LENGTHS[0], LENGTHS[1]):
            outcomes = []
            for cell, trials in cells.items():
                truth = truths.get(cell[:2])
                right = None if truth is None else truth.answer(check)
                if cell[2] == others and cell[1] >= least and right is not None:
                    outcomes += [(trial, right) for trial in trials]
            if outcomes:
                rows.append(
                    [f"all of {least} ms and more, {others}", "", *_sum(outcomes)]
                )
    heads = ["call, neighbours", "should", "trials", "right", "wrong", "open", "median s"]
    return format_table(heads, rows)


def _place(cell: tuple[str, int, int, str, int]) -> tuple[int, int, int]:
    kinds: tuple[str, ...] = KINDS
    return kinds.index(cell[0]), cell[1], cell[2]


def _figures(trials: list[Trial], right: str | None) -> list[str]:
    if right is None:
        return [str(len(trials)), "", "", "", f"{_median_seconds(trials):.2f}"]
    return _sum([(trial, right) for trial in trials])


def _sum(outcomes: list[tuple[Trial, str]]) -> list[str]:
    total = len(outcomes)
    right = sum(trial.outcome == should for trial, should in outcomes)
    undecided = sum(trial.outcome == "inconclusive" for trial, _ in outcomes)
    return [
        str(total),
        str(right),
        str(total - right - undecided),
        f"{100 * undecided / total:.1f} %",
        f"{_median_seconds([trial for trial, _ in outcomes]):.2f}",
    ]


def _median_seconds(trials: Iterable[Trial]) -> float:
    return median(trial.seconds for trial in trials)


def main() -> None:
    """Take trials, and print what all of them found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=50.0)
    parser.add_argument("--checks", nargs="+", choices=CHECKS, default=CHECKS)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--lengths", nargs="+", type=int, default=LENGTHS)
    parser.add_argument("--neighbours", nargs="+", type=int, default=NEIGHBOURS)
    parser.add_argument("--reference", action="store_true", help="only find out truths")
    parser.add_argument("--table", action="store_true", help="only print the table")
    options = parser.parse_args()

    found = Found.read(options.file)
    if options.reference:
        end = time.monotonic() + options.seconds
        known = {(truth.kind, truth.length) for truth in found.truths}
        for kind in options.kinds:
            for length in options.lengths:
                if (kind, length) not in known and time.monotonic() < end:
                    found.truths.append(truth_of(Work(kind, length)))
                    found.write(options.file)
    elif not options.table:
        cells: list[tuple[Kind, int, int, Check]] = [
            (kind, length, others, check)
            for kind in options.kinds
            for length in options.lengths
            for others in options.neighbours
            for check in options.checks
        ]
        go_on(found, cells, options.seconds)
        found.write(options.file)
    print(table(found))


if __name__ == "__main__":
    main()
