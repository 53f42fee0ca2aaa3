"""Whether calls in threads are as fast as the machine lets them be."""

from __future__ import annotations

import math
from contextlib import ExitStack
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any

from gilx.environment import gil_enabled, usable_cpus
from gilx.errors import WatchUnavailableError, at_least, number_between
from gilx.gilwatch.usage import percent
from gilx.meter import ceiling as ceilings
from gilx.meter.blocks import calls_needed, time_blocks
from gilx.meter.processes import NoProcessesError
from gilx.meter.workers import Calls, Sample, take_sample
from gilx.pools import SerialPool, start
from gilx.pools.base import Region
from gilx.testing.call import Call, Limited, limits, raising, seconds_above_zero
from gilx.testing.release import watched, why_held
from gilx.testing.verdict import Block, Outcome, ReleaseEvidence, ScalingEvidence, Verdict
from gilx.testing.witnesses import ALPHA, Witnesses
from gilx.text import duration

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gilx.meter.ceiling import Ceiling
    from gilx.pools import Pool

__all__ = ["judge_scaling", "not_scaled"]

# Seconds that each worker's calls should last in a block, at least: some turns of the
# scheduler (4 ms). Longer blocks tell little more each, and fewer fit into the time.
_PART = 0.02
_TOO_SHORT = 1e-6
_MOST_BLOCKS = 1000
_FEWEST_BLOCKS = 13  # that all agree


def judge_scaling(
    fn: Callable[..., object],
    *args: Any,  # noqa: ANN401 - whatever fn takes
    workers: int = 2,
    efficiency: float = 0.8,
    budget: float = 30.0,
    setup: Callable[[], object] | None = None,
    limit_threads: int | None = None,
) -> Verdict:
    """Say whether calls in several threads are as fast as the machine lets them be.

    As `gilx.testing.assert_scales`, but what was found is returned, whatever it is.
    """
    judge = _judge(fn, args, workers, efficiency, budget, setup, limit_threads)
    with limits(limit_threads):
        return judge.verdict()


def not_scaled(
    fn: Callable[..., object],
    *args: Any,  # noqa: ANN401 - whatever fn takes
    why: str,
    workers: int = 2,
    efficiency: float = 0.8,
    budget: float = 30.0,
    setup: Callable[[], object] | None = None,
    limit_threads: int | None = None,
) -> Verdict:
    """Return the verdict where nothing should be timed: inconclusive, for that reason.

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
        Call(fn, args, setup),
        at_least("workers", workers, 2),
        number_between("efficiency", efficiency, 0, 1, above=True),
        seconds_above_zero("budget", budget),
        None if limit_threads is None else at_least("limit_threads", limit_threads, 1),
    )


class _Judge:
    """One call while it is judged."""

    def __init__(
        self,
        call: Call,
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
        self._kind = ""
        self._release: ReleaseEvidence | None = None
        self._blocks: list[Block] = []
        self._notes: list[str] = []

    def _left(self) -> float:
        return self._budget - (perf_counter() - self._begin)

    def refused(self, why: str) -> Verdict:
        """Return that nothing was timed, and why."""
        return self._end("inconclusive", why)

    def verdict(self) -> Verdict:
        """Judge it."""
        workers, cpus = self._workers, usable_cpus()
        if workers > cpus:
            return self._end(
                "inconclusive",
                f"{workers} workers need as many CPUs, and this process may use"
                f" {cpus} only",
            )
        if (held := self._held()) is not None:
            return held
        with raising(self._call.name):
            self._calibrate()
        assert self._each is not None
        if self._each < _TOO_SHORT:
            return self._end(
                "inconclusive",
                f"too short: a call takes {duration(self._each)}, hardly more than"
                " calling does",
            )
        # Serially, in threads and in processes, at best.
        need = 3 * self._each * self._calls * _FEWEST_BLOCKS
        if need > self._left():
            return self._end(
                "inconclusive",
                f"too long: a call takes {duration(self._each)}, and {_FEWEST_BLOCKS}"
                f" blocks at least {duration(need)} (budget: {duration(self._budget)})",
            )
        self._sample()
        return self._decided()

    def _held(self) -> Verdict | None:
        """Watch calls alone; return a verdict if they hold the GIL for too long."""
        if not gil_enabled():
            return None
        limit = 1 / (self._workers * self._efficiency)
        if limit >= 1:  # what holds the GIL all the time could do that
            return None
        try:
            found = watched(self._call, limit, self._budget / 5)
        except WatchUnavailableError as error:
            self._notes.append(f"without the watch: {error}")
            return None
        self._release = found
        self._first = found.first_seconds
        if found.side <= 0 or found.held is None:
            return None
        low, _ = found.held_interval
        return self._end(
            "fail",
            f"one call alone holds the GIL for {percent(found.held)} of its time, at"
            f" least {percent(low)}, so that {self._workers} threads are at most"
            f" {1 / low:.2f} times as fast as one; asked for:"
            f" {self._workers * self._efficiency:g} times",
            why_held(found),
        )

    def _calibrate(self) -> None:
        """Find out how many calls in a row last long enough."""
        if self._first is None:
            self._first = self._call.timed(1)
        known = self._release
        each = known.call_seconds if known is not None and known.calls else 0.0
        if each < _PART / 4:
            _, each = calls_needed(self._call.timed, _PART)
        self._each = each
        self._calls = max(1, min(self._call.most, math.ceil(_PART / max(each, 1e-9))))

    def _sample(self) -> None:
        workers, call = self._workers, self._call
        with ExitStack() as stack:
            threads = stack.enter_context(start("threads", workers))
            ceiling = self._ceiling()
            stack.callback(ceiling.close)
            with raising(call.name):
                try:
                    self._time(threads, ceiling)
                except NoProcessesError as error:
                    # What a process can't do it may find out late.
                    self._blocks.clear()
                    ceiling.close()
                    ceiling = self._computing(error)
                    stack.callback(ceiling.close)
                    self._time(threads, ceiling)

    def _ceiling(self) -> Ceiling:
        call, calls = self._call, self._calls
        setup = partial(call.prepare, calls) if call.has_setup else None
        make = call.make
        if self._limit_threads is not None:
            make = Limited(make, self._limit_threads)
        try:
            found = ceilings.in_processes(make, setup, self._workers, calls)
        except NoProcessesError as error:
            return self._computing(error)
        self._kind = found.kind
        return found

    def _computing(self, why: NoProcessesError) -> Ceiling:
        assert self._each is not None
        self._notes.append(f"the ceiling is other work, no processes: {why}")
        found = ceilings.computing(self._workers, self._calls * self._each)
        self._kind = found.kind
        return found

    def _time(self, threads: Pool, ceiling: Ceiling) -> None:
        """Make blocks until it is clear, or the budget is spent."""
        workers, call, calls = self._workers, self._call, self._calls
        work = Calls(call.make, call.name)
        alone = [Region(work, "call", (), calls, "static")]
        together = [Region(work, "call", (), workers * calls, "static")]
        arms: dict[str, Callable[[], Sample]] = {
            "serial": partial(take_sample, SerialPool(), alone),
            "parallel": partial(take_sample, threads, together),
            "ceiling": ceiling.sample or partial(_timed, ceiling.parallel),
        }
        if ceiling.serial is not None:
            arms["ceiling serial"] = partial(_timed, ceiling.serial)

        def settle() -> None:
            threads.settle()
            ceiling.settle()
            call.prepare(workers * calls)

        def enough(samples: Mapping[str, Sequence[Sample]]) -> bool:
            self._blocks.append(_block({arm: s[-1] for arm, s in samples.items()}))
            return bool(self._witnesses().decision())

        time_blocks(
            arms,
            _MOST_BLOCKS,
            settle=settle,
            enough=enough,
            budget=self._left(),
            warm_up=True,
        )

    def _witnesses(self) -> Witnesses:
        return Witnesses(self._blocks, self._workers, self._efficiency, self._release)

    def _decided(self) -> Verdict:
        found = self._witnesses()
        decision = found.decision()
        advice = found.advice() if decision == "fail" else ""
        return self._end(decision or "inconclusive", found.reason(), advice)

    def _end(self, outcome: Outcome, reason: str, advice: str = "") -> Verdict:
        found = self._witnesses()
        evidence = ScalingEvidence(
            workers=self._workers,
            efficiency=self._efficiency,
            calls=self._calls,
            call_seconds=self._each,
            first_seconds=self._first,
            speedup=found.speedup,
            ceiling=found.ceiling,
            ceiling_kind=self._kind,
            of_ceiling=found.reached,
            of_ceiling_interval=found.reached_interval,
            unhindered=found.unhindered,
            unhindered_interval=found.unhindered_interval,
            concurrency=found.concurrency,
            level=1 - 2 * ALPHA,
            release=self._release,
            blocks=tuple(self._blocks),
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


def _timed(arm: Callable[[], float]) -> Sample:
    return Sample(arm(), 0.0, steal=None, throttled=None, regions=1)


def _block(samples: Mapping[str, Sample]) -> Block:
    serial, parallel = samples["serial"], samples["parallel"]
    ceiling, own = samples["ceiling"], samples.get("ceiling serial")
    return Block(
        serial=serial.seconds,
        parallel=parallel.seconds,
        ceiling=ceiling.seconds,
        ceiling_serial=None if own is None else own.seconds,
        serial_cpu=serial.worker_cpu,
        parallel_cpu=parallel.worker_cpu,
        ceiling_cpu=ceiling.worker_cpu,
        serial_own=serial.longest,
        parallel_own=parallel.longest,
        ceiling_own=ceiling.longest,
        serial_wait=serial.wait,
        parallel_wait=parallel.wait,
        ceiling_wait=ceiling.wait,
        process_cpu=parallel.cpu,
        steal=parallel.steal,
        throttled=parallel.throttled,
    )
