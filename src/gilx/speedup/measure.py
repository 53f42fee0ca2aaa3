"""Speedups against what the machine achieves, and causes of what is missing."""

from __future__ import annotations

from contextlib import ExitStack
from time import perf_counter
from typing import TYPE_CHECKING, Any

from gilx.pools import Pool, start
from gilx.speedup.measure_options import cases_of, measure_options, targets_of
from gilx.speedup.report import Report, ReportRow
from gilx.speedup.row_measurement import RowMeter
from gilx.speedup.speedup_prediction import predicted
from gilx.system.conditions import between, snapshot
from gilx.system.environment import Environment, usable_cpus

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gilx.kernels.kernel import Kernel
    from gilx.speedup.speedup_prediction import SpeedupPrediction
    from gilx.speedup.targets import Target


def measure(
    target: str | Kernel | Callable[..., object],
    *args: Any,  # noqa: ANN401 - whatever target takes
    variants: Sequence[str] | None = None,
    pools: Sequence[str | Pool] = ("threads",),
    workers: int | Sequence[int] | None = None,
    precision: float = 0.02,
    budget: float = 10.0,
    blocks: int | None = None,
    repeat: int | None = None,
    setup: Callable[[], object] | None = None,
    aa: bool = False,
    progress: Callable[[str], None] | None = None,
    size: int | None = None,
    seed: int = 0,
) -> Report:
    """Measure how much faster workers are than one, and what limits them.

    A kernel's problem is computed by one worker and split among several. A callable is
    called M times in a row by one worker, and as often by each of N workers at once, so
    that the speedup is N times the ratio of both. They are timed in blocks in random
    order, together with a ceiling: what the machine achieves at the same time for work
    that does not need the GIL.

    Parameters
    ----------
    target : str, Kernel or callable
        A kernel, or its name; or anything to call, which must be safe to call from
        several threads at once.
    *args
        Arguments of the call; bind keywords with `functools.partial`. None for a kernel.
    variants : sequence of str, optional
        Which variants of a kernel; by default c-gil and c-nogil, or those of them that a
        pool can run.
    pools : sequence of str or Pool
        Where to run it, see `gilx.pools.names()`. An open pool stays open.
    workers : int or sequence of int, optional
        How many workers, each 1 to 4096; by default the CPUs that this process may use.
        A pool that was handed in knows its own.
    precision : float
        Half the width that the interval of the speedup should have, relative: 0.001 to
        0.5. When it is reached, no more blocks are made.
    budget : float
        Seconds that all blocks together may take, above 0. No call is ended: one that
        does not return is waited for.
    blocks : int, optional
        Make exactly so many blocks, at least 1, whatever they show; the budget then
        decides only how long a sample is.
    repeat : int, optional
        M, at least 1; by default as many as make samples well longer than what timing
        and handing out work cost, and fewer of calls that take far longer at once. With
        1 it is what a single use gives.
    setup : callable, optional
        Called once for each call, outside of what is timed and up to a thousand calls
        ahead; it returns a tuple, the arguments of that call after `args`, or None. Of a
        kernel, called before each sample. In other processes too. M is 1 then,
        unless given.
    aa : bool
        Make an A/A comparison: compare the serial run with itself. It should find no
        difference.
    progress : callable, optional
        Called with a line of text between blocks.
    size, seed : int
        Which problem of a kernel, see `Kernel.problem`.

    Returns
    -------
    Report
        A row for each variant, pool and number of workers, and for targets with more
        threads than there are CPUs, the speedups that a machine with a CPU for each of
        them is predicted to achieve. Intervals of rows hold at 95 %:
        where the number of blocks was given, or set before the first one since there is
        time for few only, those of that number; otherwise those that are right whenever
        one stops (see ``gilx.speedup.statistics``).

    Raises
    ------
    ArgumentError
        An argument is not as described; the message names it and what is valid.
    BaseException
        Whatever the callable raises, as itself, with a note.

    """
    settings = measure_options(
        precision=precision,
        budget=budget,
        blocks=blocks,
        repeat=repeat,
        setup=setup,
        aa=aa,
        progress=progress,
        seed=seed,
    )
    subjects = targets_of(target, args, variants, size, settings)
    cases = cases_of(subjects, pools, workers, aa=aa, chosen=variants is not None)
    before = snapshot()
    rows: list[ReportRow] = []
    left = settings.budget
    for number, (subject, pool, count) in enumerate(cases):
        begin = perf_counter()
        with ExitStack() as stack:
            if isinstance(pool, str):
                pool = stack.enter_context(start(pool, count))  # noqa: PLW2901 - opened
            share = max(left, settings.budget / 10) / (len(cases) - number)
            where = f"{number + 1} of {len(cases)}: " if len(cases) > 1 else ""
            rows.append(RowMeter(subject, pool, settings, share, where).measured())
        left -= perf_counter() - begin
    predictions = _predictions(cases, progress)
    if progress is not None:
        progress("")
    conditions = between(before, snapshot())
    # After the calls: what they import may have turned the GIL on.
    environment = Environment.here()
    return Report(
        tuple(rows),
        environment,
        conditions,
        settings.precision,
        settings.budget,
        predictions,
    )


def _predictions(
    cases: Sequence[tuple[Target, str | Pool, int]],
    progress: Callable[[str], None] | None,
) -> tuple[SpeedupPrediction, ...]:
    """Return predictions for the targets that have rows with more threads than CPUs."""
    counts: dict[Target, list[int]] = {}
    for subject, pool, count in cases:
        if (pool if isinstance(pool, str) else pool.name) == "threads":
            counts.setdefault(subject, []).append(count)
    predictions = []
    for subject, workers in counts.items():
        if max(workers) > usable_cpus():
            if progress is not None:
                progress(f"{subject.name}: predicting")
            predictions.append(predicted(subject, workers))
    return tuple(predictions)
