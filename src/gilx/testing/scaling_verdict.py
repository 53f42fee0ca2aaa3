"""Verdicts on scaling: calls in threads against what the machine achieves."""

from __future__ import annotations

import importlib
import math
from contextlib import closing, suppress
from functools import partial
from itertools import islice
from time import perf_counter
from typing import TYPE_CHECKING, Any

from gilx._compat import gil_enabled
from gilx.errors import (
    NotCompiledError,
    WatchUnavailableError,
    WorkersUnavailableError,
    above_zero,
    at_least,
    number_between,
)
from gilx.estimate import Estimate
from gilx.formatting import duration, percent
from gilx.pools import start
from gilx.speedup.arms import Arms
from gilx.speedup.blocks import AsItself, calls_needed
from gilx.speedup.call_processes import NoProcessesError
from gilx.speedup.comparison import RunningComparison
from gilx.speedup.comparison_warnings import TOO_SHORT, call_warnings, drift_warnings
from gilx.speedup.losses import KnownCosts
from gilx.speedup.prepared_call import PreparedCall, raising
from gilx.speedup.scaling_decision import (
    ALPHA,
    EFFICIENCY,
    FEWEST_BLOCKS,
    Outcome,
    ScalingDecision,
)
from gilx.speedup.targets import CallableTarget
from gilx.speedup.thread_limits import limits
from gilx.speedup.waits_together import TogetherWatch
from gilx.system.environment import usable_cpus
from gilx.testing.release_verdict import watch_until_clear, why_held
from gilx.testing.scaling_causes import cause_of_waits
from gilx.testing.verdict import ReleaseEvidence, ScalingEvidence, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gilx.speedup.comparison import Block

# Seconds that each worker's calls should last in a block, at least. If each
# worker has a CPU, short blocks show as much as long ones, and more of them fit
# into the time. If not every worker has a CPU, only samples or the CPU overlap can
# decide, and the overlap needs longer blocks, since it includes the beginning and the end
# of a worker's calls.
_PART = 0.02
_LONG_PART = 0.1
_TOGETHER = 0.2  # seconds for which simultaneous calls are watched, each time
_WATCHED = 0.2  # most time of watches, as a share of that of the blocks
_COLD = 0.05  # seconds: before blocks of less, one block only warms up
_TRIED = 10  # blocks until it is decided whether more of the same length are of use
_MOST_BLOCKS = 10_000


def judge_scaling(
    fn: Callable[..., object],
    *args: Any,  # noqa: ANN401 - whatever fn takes
    workers: int = 2,
    efficiency: float = EFFICIENCY,
    budget: float = 30.0,
    setup: Callable[[], object] | None = None,
    limit_threads: int | None = None,
) -> Verdict:
    """Return whether calls in several threads reach the speedup that this machine does.

    Like `gilx.testing.assert_scales`, but the verdict is returned, whatever it is.
    """
    judge = _judge(fn, args, workers, efficiency, budget, setup, limit_threads)
    try:
        with limits(limit_threads):
            return judge.verdict()
    except WorkersUnavailableError as error:
        return judge.refused(str(error))


def not_scaled(
    fn: Callable[..., object],
    *args: Any,  # noqa: ANN401 - whatever fn takes
    why: str,
    workers: int = 2,
    efficiency: float = EFFICIENCY,
    budget: float = 30.0,
    setup: Callable[[], object] | None = None,
    limit_threads: int | None = None,
) -> Verdict:
    """Return an inconclusive verdict, with the reason that nothing should be timed.

    Arguments are checked as `judge_scaling` does; nothing is called.
    """
    judge = _judge(fn, args, workers, efficiency, budget, setup, limit_threads)
    return judge.refused(why)


def _judge(
    fn: Callable[..., object],
    args: tuple[Any, ...],
    workers: int,
    efficiency: float,
    budget: float,
    setup: Callable[[], object] | None,
    limit_threads: int | None,
) -> _Judge:
    return _Judge(
        PreparedCall(fn, args, setup),
        at_least("workers", workers, 2),
        number_between("efficiency", efficiency, 0, 1, above=True),
        above_zero("budget", budget),
        None if limit_threads is None else at_least("limit_threads", limit_threads, 1),
    )


class _Judge:
    """One call while it is judged."""

    def __init__(
        self,
        call: PreparedCall,
        workers: int,
        efficiency: float,
        budget: float,
        limit_threads: int | None,
    ) -> None:
        self._begin = perf_counter()
        self._call = call
        self._workers = workers
        self._efficiency = efficiency
        self._budget = budget
        self._limit_threads = limit_threads
        self._calls = 0
        self._each: float | None = None
        self._first: float | None = None
        self._slowdown = 1.0
        self._kind = ""
        self._release: ReleaseEvidence | None = None
        self._together = TogetherWatch()
        self._watchable = True
        self._comparison = RunningComparison(workers)
        self._notes: list[str] = []

    def _left(self) -> float:
        return self._budget - (perf_counter() - self._begin)

    def refused(self, why: str) -> Verdict:
        """Return an inconclusive verdict with this reason; nothing was timed."""
        return self._end("inconclusive", why)

    def verdict(self) -> Verdict:
        """Return the verdict on the call."""
        if obstacle := self._obstacle():
            # Make the call once, so that an error in it is raised, not hidden by a skip.
            with raising(self._call.name):
                self._first = self._call.timed(1)
            return self._end("inconclusive", obstacle)
        if (held := self._held()) is not None:
            return held
        each = self._call_seconds()
        if each < TOO_SHORT:
            return self._end(
                "inconclusive",
                f"too short: a call takes {duration(each)}, hardly more than an empty"
                " call",
            )
        calls, more = self._in_a_row(_PART), self._in_a_row(_LONG_PART)
        if each * calls < _PART / 2:
            return self._end(
                "inconclusive",
                f"too short: a call takes {duration(each)}; setup can prepare arguments"
                f" for at most {calls} calls, which take {duration(each * calls)} in a"
                f" row; asked for: at least {duration(_PART / 2)}",
            )
        # A block has these calls alone, in threads, and in processes.
        need = 3 * each * calls * FEWEST_BLOCKS
        if need > self._left():
            return self._end(
                "inconclusive",
                f"too long: a call takes {duration(each)}, and {FEWEST_BLOCKS} blocks"
                f" take at least {duration(need)} (budget: {duration(self._budget)}, of"
                f" which {duration(self._left())} is left)",
            )
        target = CallableTarget(self._call, self._limit_threads)
        with (
            raising(self._call.name),
            AsItself(),
            start("threads", self._workers) as pool,
            Arms(target, pool) as arms,
        ):
            if calls > 1:  # otherwise a slowdown can't reduce their number
                self._slowdown = arms.slowdown(each, calls)
                calls, more = self._in_a_row(_PART), self._in_a_row(_LONG_PART)
            self._watch_together(arms, each)
            longer = self._sample(arms, calls, each, last=more == calls)
            if longer and self._left() > 0:
                self._sample(arms, more, each, last=True)
        self._kind = arms.kind
        if arms.reason:
            self._notes.append(
                f"the ceiling is that of other work, not of processes: {arms.reason}"
            )
        return self._decided()

    def _obstacle(self) -> str:
        """Return why nothing can be judged here; empty if something can."""
        cpus = usable_cpus()
        if self._workers > cpus:
            return (
                f"{self._workers} workers need {self._workers} CPUs, but this process may"
                f" use only {cpus}"
            )
        try:
            importlib.import_module("gilx.ckernels")
        except NotCompiledError as error:
            return str(error)
        return ""

    def _held(self) -> Verdict | None:
        """Watch calls alone; return a verdict if they hold the GIL for too long."""
        limit = 1 / (self._workers * self._efficiency)
        # A limit of 1 or more is not exceeded by calls that hold the GIL all the time.
        if not gil_enabled() or limit >= 1:
            return None
        try:
            found = watch_until_clear(
                self._call, limit, self._budget / 5, warmup=self._budget / 2
            )
        except WatchUnavailableError as error:
            self._watchable = False
            self._notes.append(f"the GIL could not be watched: {error}")
            return None
        self._release = found
        self._first = found.first_seconds
        self._each = found.call_seconds
        if found.side <= 0:
            return None
        low = found.held.low
        held_in = "" if found.usage is None else found.usage.where_held()
        where = f", {held_in}" if held_in else ""
        return self._end(
            "fail",
            f"one call alone holds the GIL for {percent(found.held.value)} of its time"
            f" (at least {percent(low)}){where}; so {self._workers} threads are at most"
            f" {1 / low:.2f} times as fast as one (asked for:"
            f" {self._workers * self._efficiency:g} times)",
            why_held(found),
        )

    def _watch_together(self, arms: Arms, each: float) -> None:
        """Watch simultaneous calls, if there is time for it."""
        if self._slowdown > 1:
            each *= self._slowdown * self._workers
        calls = max(1, min(self._call.most, math.ceil(_TOGETHER / each)))
        if self._watchable and each * calls <= self._left() / 10:
            arms.watch_together(self._together, calls)

    def _call_seconds(self) -> float:
        """Find out how long a call takes."""
        if self._each is None or self._each < _PART / 4:
            with raising(self._call.name):
                if self._first is None:
                    self._first = self._call.timed(1)
                _, self._each = calls_needed(self._call.timed, _PART)
        return self._each

    def _in_a_row(self, seconds: float) -> int:
        assert self._each is not None
        return max(
            1, min(self._call.most, math.ceil(seconds / self._each / self._slowdown))
        )

    def _sample(self, arms: Arms, calls: int, each: float, *, last: bool) -> bool:
        """Make blocks until the verdict is clear, more are of no use, or time is over.

        Return whether blocks should be longer. Only blocks of one length and with one
        ceiling decide; earlier ones are dropped. There are at most two such sequences, so
        each figure may be wrong in at most twice as many cases as in one.
        """
        self._calls = calls
        while True:
            held = self._release.held.value if self._release is not None else math.nan
            costs = KnownCosts(
                None if math.isnan(held) else held,
                arms.empty_region(),
                own_gils=False,
                together=self._together.waits,
            )
            self._comparison = RunningComparison(self._workers, costs)
            left = max(0.0, self._left())
            blocks = arms.blocks(
                calls,
                seconds=calls * each,
                budget=left,
                warm_up=calls * each < _COLD or not self._together.seconds,
            )
            # Another ceiling is used next if the calls do not run in processes.
            with suppress(NoProcessesError), closing(blocks):
                return self._add(blocks, partial(self._watch_more, arms, each), last=last)

    def _watch_more(self, arms: Arms, each: float, seconds: float) -> None:
        """Watch simultaneous calls again, if their waits are still undecided."""
        decision = self._decision(self._comparison)
        if decision.hindrance == 0 and self._together.seconds < _WATCHED * seconds:
            self._watch_together(arms, each)

    def _add(
        self,
        blocks: Iterable[Block],
        watch_more: Callable[[float], None],
        *,
        last: bool,
    ) -> bool:
        comparison = self._comparison
        latest = RunningComparison(self._workers)
        begin = perf_counter()
        for block in islice(blocks, _MOST_BLOCKS):
            comparison.add(block)
            latest.add(block)
            watch_more(perf_counter() - begin)
            decision = self._decision(comparison)
            if decision.decision() is not None:
                break
            if comparison.blocks % _TRIED:
                continue
            if decision.own_threads:
                break
            if not (last or self._decision(latest).promising):
                return True
            latest = RunningComparison(self._workers)
        return False

    def _decision(self, comparison: RunningComparison) -> ScalingDecision:
        waits = self._together.waits
        return ScalingDecision(comparison, self._efficiency, self._release, waits)

    def _decided(self) -> Verdict:
        self._notes += call_warnings(self._first, self._each)
        self._notes += drift_warnings(self._comparison)
        if self._together.missing:
            missing = self._together.missing
            self._notes.append(f"it is not known what threads wait for: {missing}")
        found = self._decision(self._comparison)
        decision = found.decision()
        reason, advice = found.reason(), ""
        if decision == "fail":
            comparison = self._comparison.result(ceiling_kind=self._kind)
            cause = cause_of_waits(self._together.waits, comparison)
            advice = cause or found.advice()
        return self._end(decision or "inconclusive", reason, advice)

    def _end(self, outcome: Outcome, reason: str, advice: str = "") -> Verdict:
        evidence = ScalingEvidence(
            efficiency=self._efficiency,
            calls=self._calls,
            call_seconds=self._each,
            first_seconds=self._first,
            release=self._release,
            hindered=Estimate.unknown()
            if self._together.waits is None
            else self._together.waits.hindered,
            comparison=self._comparison.result(
                ceiling_kind=self._kind, level=1 - 2 * ALPHA
            ),
        )
        return Verdict(
            outcome,
            reason,
            evidence,
            "scales",
            self._call.name,
            perf_counter() - self._begin,
            advice,
            tuple(self._notes),
        )
