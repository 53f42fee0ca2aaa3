"""Record the blocks of scaling checks, so that a change of the rules can be replayed.

Each trial watches a call of known kind, alone and in threads at once, then times blocks
of it in threads and in processes, beside 0, 1 or 2 processes that only compute. Unlike a
check, a trial does not stop when the answer is known: other rules may need more blocks.
The file also holds the verdicts that today's rules reach from the recorded blocks, with
what the watch saw and without it.
`tests/unit/recorded_blocks.py` reads the file and replays it. Run this with nothing else
running; what the file holds already is kept::

    python benchmarks/accuracy/record_blocks.py --minutes 25 FILE
"""

from __future__ import annotations

import argparse
import math
import random
import sys
import time
from itertools import islice, product
from pathlib import Path

from aa_comparison import neighbours
from flake_calls import KINDS, Work

from gilx.pools import start
from gilx.speedup.arms import Arms
from gilx.speedup.comparison import Block, RunningComparison
from gilx.speedup.prepared_call import PreparedCall
from gilx.speedup.scaling_decision import ScalingDecision
from gilx.speedup.targets import CallableTarget
from gilx.speedup.waits_together import TogetherWatch
from gilx.testing.release_verdict import watch_until_clear

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT))  # for the tests' reader of the file

from tests.unit.recorded_blocks import (  # noqa: E402
    EFFICIENCY,
    WORKERS,
    RecordedRelease,
    RecordedWaits,
    Recording,
    Trial,
    columns_of,
    replay,
)

LENGTHS = (2, 20, 200)
NEIGHBOURS = (0, 1, 2)
TURN = 60.0  # seconds for which the neighbours stay the same
WATCHES, WATCHED = 3, 0.2  # of calls at once, and the seconds of each
SHORT, LONG = 0.02, 0.1  # seconds of the calls of one worker in a block, as in a check
SHORT_BLOCKS, LONG_BLOCKS = 30, 20
SECONDS = 5.0  # of blocks of one length, at most


def promising(blocks: list[Block]) -> bool:
    """Return whether more of such blocks may show enough."""
    comparison = RunningComparison(WORKERS)
    for block in blocks:
        comparison.add(block)
    return ScalingDecision(comparison, EFFICIENCY, None).promising


def record(work: Work, count: int) -> Trial:
    """Make one trial beside so many neighbours, which run already."""
    call = PreparedCall(work, (), None)
    release = watch_until_clear(call, 1 / (WORKERS * EFFICIENCY), 6.0, warmup=15.0)
    each = release.call_seconds
    made: list[dict[str, tuple[float | None, ...]]] = []
    waits: list[RecordedWaits | None] = []
    watching = TogetherWatch()
    with start("threads", WORKERS) as pool, Arms(CallableTarget(call), pool) as arms:
        for _ in range(WATCHES):
            arms.watch_together(watching, max(1, math.ceil(WATCHED / each)))
            waits.append(RecordedWaits.of(watching))

        def blocks(seconds: float, count: int) -> list[Block]:
            calls = max(1, math.ceil(seconds / each))
            timed = arms.blocks(calls, seconds=calls * each, budget=SECONDS)
            return list(islice(timed, count))

        short = blocks(SHORT, SHORT_BLOCKS)
        made.append(columns_of(short))
        if not all(promising(short[i : i + 10]) for i in range(0, len(short), 10)):
            made.append(columns_of(blocks(LONG, LONG_BLOCKS)))
        ceiling = arms.kind
    recorded = RecordedRelease.of(release)
    return Trial(
        work.kind, work.length, count, ceiling, recorded, tuple(made), tuple(waits)
    )


def main() -> None:
    """Record trials of all kinds until the time is over, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--minutes", type=float, default=25.0)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--lengths", nargs="+", type=int, default=LENGTHS)
    options = parser.parse_args()
    end = time.monotonic() + 60 * options.minutes
    trials: list[Trial] = []
    if options.file.exists():
        trials += Recording.read(options.file.read_bytes()).trials
    # Before neighbours start: the sizes of calls follow from times.
    works = [Work.lasting(*cell) for cell in product(options.kinds, options.lengths)]
    waiting: dict[int, list[Work]] = {count: [] for count in NEIGHBOURS}
    while time.monotonic() < end:
        for count in NEIGHBOURS:
            turn = min(end, time.monotonic() + TURN)
            with neighbours(count):
                while time.monotonic() < turn:
                    if not waiting[count]:
                        waiting[count] = random.sample(works, len(works))
                    trials.append(record(waiting[count].pop(), count))
        print(len(trials), "trials", flush=True)
    recording = Recording.judged(trials)
    options.file.write_bytes(recording.packed())
    for verdict, trial in zip(recording.verdicts, recording.trials, strict=True):
        assert verdict == replay(trial)


if __name__ == "__main__":
    main()
