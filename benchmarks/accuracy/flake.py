"""Rate of wrong assertions about the GIL, on an idle machine and on a busy one.

Calls of known kinds and lengths (`flake_calls.py`), beside 0, 1 or 2 processes that only
compute, are judged again and again by

* ``naive``: "two threads are more than 1.5 times as fast as one", timed once;
* ``releases``: `gilx.testing.judge_release`, at least 90 % released;
* ``scales``: `gilx.testing.judge_scaling`, two workers, at least 80 % of the ceiling;
* ``measures``: the outcome of a row of `gilx.measure`, by the same rules, after 3 s.

What is right comes from a long run of each on the idle machine; what is then within 0.05
of the threshold is left out. Run it with nothing else running, and again under
``taskset -c 0``, in pieces::

    python benchmarks/accuracy/flake.py --file FILE --reference
    python benchmarks/accuracy/flake.py --file FILE [--seconds N] [--checks C] [--kinds K]
    python benchmarks/accuracy/flake.py --file FILE --table
    python benchmarks/accuracy/flake.py --file FILE --replay BLOCKS… [--count N]

A piece reads what was found before, goes on with the cells that have the fewest trials
and adds to the file; so the pieces of several days can be pooled. `flake.json` and
`flake_scales.json`, beside this, have the figures of the docs. Answers of another
machine are refused; those of other code of `gilx.testing` want a new file, too.
``--replay`` makes checks of recorded blocks, `flake_replay.py`, with the right answers of
a file.
"""

from __future__ import annotations

import argparse
import json
import random
import time
import timeit
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple
from itertools import product
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from aa_comparison import neighbours
from flake_calls import KINDS, LENGTHS, Work
from flake_replay import replayed
from flake_trials import (
    CHECKS,
    EFFICIENCY,
    NAIVE,
    RELEASED,
    Cell,
    Check,
    Found,
    Trial,
    Truth,
)

import gilx
from gilx.formatting import format_table
from gilx.system.environment import usable_cpus
from gilx.testing import ReleaseEvidence, ScalingEvidence, judge_release, judge_scaling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilx.testing import Verdict

NEIGHBOURS = (0, 1, 2)
RELEASE_GOAL = 0.5  # seconds
MEASURED = 3.0  # seconds
FEWEST = 60  # trials of a cell
TURN = 20.0  # seconds for which the neighbours stay the same
REFERENCE_BLOCKS = 40
REFERENCE_SECONDS = 8.0


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


def try_once(cell: Cell, work: Work) -> tuple[Trial, Verdict | None]:
    """Ask once; return the answer, and the verdict if it is one of gilx's."""
    begin = time.perf_counter()
    if cell.check == "naive":
        outcome, speedup = naive(work)
        return Trial(outcome, time.perf_counter() - begin, figure=speedup), None
    if cell.check == "releases":
        found = judge_release(work, at_least=RELEASED)
        assert isinstance(found.evidence, ReleaseEvidence)
        share = found.evidence.held
        held = share.value if share.known else None
        return Trial(found.outcome, found.seconds, None, held, found.reason), found
    if cell.check == "measures":
        [row] = gilx.measure(work, workers=2, budget=MEASURED).rows
        assert row.outcome is not None
        share = row.ceiling_fraction
        figure = share.value if share.known else None
        seconds = time.perf_counter() - begin
        return Trial(row.outcome, seconds, figure=figure, reason=row.reading), None
    found = judge_scaling(work, workers=2, efficiency=EFFICIENCY)
    assert isinstance(found.evidence, ScalingEvidence)
    comparison = found.evidence.comparison
    # The serial run does a part of the work only.
    arms = {**comparison.samples, "serial": ()}
    alone = [
        seconds / comparison.workers for seconds in comparison.samples.get("serial", ())
    ]
    blocks = [
        sum(times) for times in zip(alone, *filter(None, arms.values()), strict=True)
    ]
    block = median(blocks) if blocks else None
    share = comparison.ceiling_fraction
    figure = share.value if share.known else None
    return Trial(found.outcome, found.seconds, block, figure, found.reason), found


def truth_of(work: Work) -> Truth:
    """Return what a long run says: nothing else may run."""
    work()
    seconds = median(timeit.repeat(work, number=1, repeat=5))
    held = gilx.probe(work, budget=2).held.value
    [row] = gilx.measure(
        work, workers=2, blocks=REFERENCE_BLOCKS, budget=REFERENCE_SECONDS
    ).rows
    speedup, share = row.speedup.value, row.ceiling_fraction.value
    return Truth(work.kind, work.length, seconds, held, speedup, share)


class Asking:
    """Trials, taken where there are fewest, until the time is over.

    Parameters
    ----------
    file : Path
        What was found, which is written again after each turn.
    cells : sequence of Cell
        What to ask.
    seconds : float
        For how long.
    verdicts : Path, optional
        A file to which verdicts are added, one JSON text a line.

    """

    def __init__(
        self, file: Path, cells: Sequence[Cell], seconds: float, verdicts: Path | None
    ) -> None:
        self._file, self._cells, self._verdicts = file, cells, verdicts
        self._found = Found.read(file)
        # Before neighbours start: the sizes of calls follow from times.
        self._works = {cell: Work.lasting(cell.kind, cell.length) for cell in cells}
        self._end = time.monotonic() + seconds
        self._draw = random.Random()

    def ask(self) -> Found:
        """Take them; return all that is known."""
        while (first := self._next(self._cells)) is not None:
            beside = [cell for cell in self._cells if cell.neighbours == first.neighbours]
            turn = min(self._end, time.monotonic() + TURN)
            with neighbours(first.neighbours):
                while time.monotonic() < turn:
                    cell = self._next(beside)
                    if cell is None:
                        break
                    self._try(cell)
            self._found.write(self._file)
        return self._found

    def _next(self, cells: Sequence[Cell]) -> Cell | None:
        """Return one of those asked least often; None if there is time for none."""
        left = self._end - time.monotonic()
        tried = self._found.trials
        choice = [
            cell
            for cell in cells
            if 1.2 * max((t.seconds for t in tried.get(cell, [])), default=0) + 1 < left
        ]
        if not choice:
            return None
        return min(
            choice, key=lambda cell: (len(tried.get(cell, [])), self._draw.random())
        )

    def _try(self, cell: Cell) -> None:
        trial, verdict = try_once(cell, self._works[cell])
        self._found.trials.setdefault(cell, []).append(trial)
        if verdict is not None and self._verdicts is not None:
            line = {"cell": astuple(cell), "verdict": json.loads(verdict.to_json())}
            with self._verdicts.open("a") as file:
                file.write(json.dumps(line) + "\n")


def table(found: Found) -> str:
    """Return what was found, in words and figures."""
    lines = [found.machine, "", "right answers:"]
    rows = [
        [
            f"{truth.kind} {truth.length} ms",
            f"{truth.seconds * 1e3:.1f} ms",
            f"{truth.held:.3f}",
            f"{truth.speedup:.2f}",
            f"{truth.of_ceiling:.2f}",
            *(truth.answer(check) or "left out" for check in CHECKS),
        ]
        for truth in found.truths.values()
    ]
    heads = ["call", "takes", "held", "speedup", "of ceiling", *CHECKS]
    lines += [format_table(heads, rows)]
    for cpus in sorted({cell.cpus for cell in found.trials}, reverse=True):
        for check in CHECKS:
            here = [c for c in found.trials if c.check == check and c.cpus == cpus]
            if here:
                lines += ["", f"{check}, {cpus} usable CPU{'s' if cpus > 1 else ''}:"]
                lines.append(_of_check(found, sorted(here, key=_place)))
    return "\n".join(lines)


def _of_check(found: Found, cells: Sequence[Cell]) -> str:
    rows: list[list[str]] = []
    for cell in cells:
        name = f"{cell.kind} {cell.length} ms, {cell.neighbours}"
        known = (cell.kind, cell.length) in found.truths
        right = found.answer(cell) or ("left out" if known else "not known")
        rows.append([name, right, *_figures(found, [cell])])
    counted = [c for c in cells if c.kind in COUNTED and found.answer(c) is not None]
    for least, others in product(LENGTHS[:2], NEIGHBOURS):
        these = [c for c in counted if c.neighbours == others and c.length >= least]
        if these:
            name = f"all of {least} ms and more, {others}"
            rows.append([name, "", *_figures(found, these)])
    if counted:
        rows.append(["all", "", *_figures(found, counted)])
    few = sum(len(found.trials[cell]) < FEWEST for cell in counted)
    note = f"\n{few} of {len(counted)} cells have fewer than {FEWEST} trials"
    return format_table(_HEADS, rows) + (note if few else "")


# The others are traps, of which an assertion may rather be undecided.
COUNTED = ("released", "held", "half", "memory")

_HEADS = [
    *("call, neighbours", "should", "trials", "right", "wrong", "open", "seconds"),
    "of goal",
]


def _place(cell: Cell) -> tuple[int, int, int]:
    return KINDS.index(cell.kind), cell.length, cell.neighbours


def _figures(found: Found, cells: Sequence[Cell]) -> list[str]:
    """Return trials, right, wrong, open; the median time, and that over its goal.

    The goal is 0.5 s for a release, and for scaling 2 s or 16 blocks, if that is more;
    without a block, as where the GIL decides, a verdict has none.
    """
    trials = [
        (trial, found.answer(cell)) for cell in cells for trial in found.trials[cell]
    ]
    total = len(trials)
    right = sum(trial.outcome == should for trial, should in trials)
    undecided = sum(trial.outcome == "inconclusive" for trial, _ in trials)
    known = all(should is not None for _, should in trials)
    scales = cells[0].check == "scales"
    pairs = [
        (t.seconds, max(2.0, 16 * t.block) if t.block is not None else RELEASE_GOAL)
        for t, _ in trials
        if scales == (t.block is not None)
    ]
    return [
        str(total),
        str(right) if known else "",
        str(total - right - undecided) if known else "",
        f"{100 * undecided / total:.1f} %",
        f"{median(trial.seconds for trial, _ in trials):.2f}",
        f"{median(took / goal for took, goal in pairs):.2f}"
        if pairs and cells[0].check in ("releases", "scales")
        else "",
    ]


def main() -> None:
    """Take trials, and print what all of them found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=50.0)
    parser.add_argument("--checks", nargs="+", choices=CHECKS, default=CHECKS)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--lengths", nargs="+", type=int, default=LENGTHS)
    parser.add_argument("--neighbours", nargs="+", type=int, default=NEIGHBOURS)
    parser.add_argument("--verdicts", type=Path, help="add verdicts, whole, to this file")
    parser.add_argument("--reference", action="store_true", help="only find out truths")
    parser.add_argument("--table", action="store_true", help="only print the table")
    parser.add_argument("--replay", nargs="+", type=Path, help="recorded blocks")
    parser.add_argument("--count", type=int, default=2800, help="replayed checks a cell")
    options = parser.parse_args()

    found = Found.read(options.file)
    if options.replay:
        right = {call: truth.answer("scales") for call, truth in found.truths.items()}
        print(replayed(options.replay, options.count, right, options.kinds))
        return
    if options.reference:
        end = time.monotonic() + options.seconds
        for kind, length in product(options.kinds, options.lengths):
            if (kind, length) not in found.truths and time.monotonic() < end:
                found.truths[kind, length] = truth_of(Work.lasting(kind, length))
                found.write(options.file)
    elif not options.table:
        checks: Sequence[Check] = options.checks
        cells = [
            Cell(*asked, usable_cpus())
            for asked in product(
                options.kinds, options.lengths, options.neighbours, checks
            )
        ]
        found = Asking(options.file, cells, options.seconds, options.verdicts).ask()
    print(table(found))


if __name__ == "__main__":
    main()
