"""Measuring one row of a report: calibration, the GIL, blocks."""

from __future__ import annotations

import math
from contextlib import closing
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING

from gilx._compat import gil_enabled
from gilx.errors import WatchUnavailableError
from gilx.estimate import Estimate
from gilx.formatting import duration, percent
from gilx.pools import SerialPool
from gilx.sampling.probe import probe, probe_warm
from gilx.speedup.arms import CONTROL, Arms
from gilx.speedup.blocks import AsItself
from gilx.speedup.call_processes import NoProcessesError
from gilx.speedup.comparison import RunningComparison
from gilx.speedup.comparison_warnings import (
    TOO_SHORT,
    call_warnings,
    drift_warnings,
    machine_warnings,
)
from gilx.speedup.losses import NO_COSTS, KnownCosts
from gilx.speedup.report import ReportRow
from gilx.speedup.scaling_decision import EFFICIENCY, HeldAlone, ScalingDecision
from gilx.system.environment import usable_cpus

if TYPE_CHECKING:
    from gilx.pools import Pool
    from gilx.speedup.comparison import Comparison
    from gilx.speedup.measure_options import MeasureOptions
    from gilx.speedup.scaling_decision import Outcome
    from gilx.speedup.targets import Target
    from gilx.speedup.waits_together import WaitsTogether

_BLOCKS = 20  # as many are aimed at where nothing says how many
_MOST_BLOCKS = 10_000
_SHORTEST = 2e-3  # seconds of a serial sample
_LONGEST = 0.06  # seconds for which each worker's part should last, where there is time
_PROBE = 0.5  # seconds
_TOGETHER = 0.4  # seconds for which calls at once are watched without a GIL
_MOST_AT_ONCE = 10_000_000
_AGAIN = 2  # times: what fits into the budget so often is tried again once it is warm


class RowMeter:
    """Measures one target and variant on one pool.

    Parameters
    ----------
    target : Target
        What to measure.
    pool : Pool
        Where; it stays open.
    options : MeasureOptions
        How.
    budget : float
        Seconds that the row may take.
    where : str
        What to show before its name while it is measured.

    """

    def __init__(
        self,
        target: Target,
        pool: Pool,
        options: MeasureOptions,
        budget: float,
        where: str,
    ) -> None:
        self._target = target
        self._pool = pool
        self._workers = pool.workers
        self._options = options
        self._budget = budget
        self._where = where
        self._notes: list[str] = []
        self._serial = SerialPool()
        self._without_native = False
        self._blocks = options.blocks  # None: as many as it takes
        self._repeat = 1
        self._slowdown = 1.0
        self._waits: WaitsTogether | None = None

    def measured(self) -> ReportRow:
        """Measure, and return the finished row."""
        options, target = self._options, self._target
        begin = perf_counter()
        first, repeat, each = self._calibrate()
        self._repeat = repeat
        sample = each * repeat  # seconds of the serial arm
        spent = perf_counter() - begin
        block = self._block_seconds(sample, each, repeat)
        if options.blocks is None and block > self._budget:
            return self._not_compared(each, sample, spent + block)
        with Arms(target, self._pool, ceiling=not options.aa) as arms:
            begin = perf_counter()
            repeat = self._repeat = self._repeat_at_once(arms, repeat, each)
            sample = each * repeat
            block = self._block_seconds(sample, each, repeat)
            if options.blocks is None and block > self._budget:
                return self._not_compared(each, sample, spent + block)
            # A number that is known before anything was compared is one set beforehand,
            # and then fewer blocks make an interval. Where there is time for many, they
            # may stop.
            budget = max(0.0, self._budget - spent - (perf_counter() - begin))
            likely = int(min(_MOST_BLOCKS, budget / block)) - 1
            if options.blocks is None and likely < _BLOCKS:
                self._blocks = max(1, likely)
            costs = NO_COSTS if options.aa else self._costs(arms, repeat, each)
            begin = perf_counter()
            while True:
                comparison = RunningComparison(self._workers, costs)
                left = max(0.0, budget - (perf_counter() - begin))
                try:
                    self._compare(arms, comparison, repeat, sample, block, left)
                    break
                except NoProcessesError:
                    pass  # the next blocks are beside another ceiling
        if arms.reason:
            self._notes.append(f"no ceiling by processes: {arms.reason}")
        if arms.missing:
            self._notes.append(f"no native threads to compare with: {arms.missing}")
            self._without_native = True
        return self._row(comparison, arms.kind, first)

    def _not_compared(self, each: float, sample: float, block: float) -> ReportRow:
        """Return a row without a comparison: the budget is too small for a block."""
        self._notes.append(
            f"one call takes {duration(each)}, so that one block takes about"
            f" {duration(block)}, more than the budget of {duration(self._budget)} has:"
            " nothing was compared"
        )
        row = self._row(RunningComparison(self._workers), "")
        serial = sample * self._target.parts(self._workers)
        return replace(row, comparison=replace(row.comparison, serial_seconds=serial))

    # ---- how much to do ----------------------------------------------------------------

    def _block_seconds(self, sample: float, each: float, repeat: int) -> float:
        """Return how long a block takes, if workers are no faster than is known."""
        work = sample * self._target.parts(self._workers)
        if self._options.aa:
            return sample + work
        block = sample + (1 + self._slowdown) * work
        if self._target.variant not in (None, "c-nogil"):
            block += sample  # the ceiling has a serial run of its own
        if self._single(repeat):
            block += each * (1 + self._slowdown * self._target.parts(self._workers))
        return block + 2 * CONTROL * sample

    def _single(self, repeat: int) -> bool:
        """Return whether single calls are timed."""
        return self._target.variant is None and repeat > 1 and not self._options.aa

    def _calibrate(self) -> tuple[float, int, float]:
        """Return the seconds of the first call, M, and the serial seconds of one M."""
        options, target = self._options, self._target
        blocks = (options.blocks or _BLOCKS) + 1
        sample = self._budget / blocks / self._block_seconds(1.0, 0.0, 1)
        longest = _LONGEST * self._workers / target.parts(self._workers)
        sample = max(_SHORTEST, min(sample, longest))
        self._show("calibrating")
        try:
            self._pool.settle()
            first = target.timed(self._serial, 1)
            again = first < self._budget / _AGAIN
            if options.repeat is None:
                repeat, each = target.repeats(
                    self._serial, sample, None if again else first
                )
            else:
                repeat = options.repeat
                each = target.timed(self._serial, 1) if again else first
        except Exception as error:
            error.add_note(f"gilx: raised by {target.name} when called alone")
            raise
        return first, repeat, each

    def _repeat_at_once(self, arms: Arms, repeat: int, each: float) -> int:
        """Return M, which is less if calls at once are far slower."""
        if not self._single(repeat):
            return repeat
        try:
            self._slowdown = arms.slowdown(each, self._most_calls())
        except Exception as error:
            error.add_note(f"gilx: raised while {self._target.name} was measured")
            raise
        if self._options.repeat is not None:
            return repeat
        fewest = math.ceil(_SHORTEST / each)
        return min(repeat, max(fewest, int(repeat / self._slowdown)))

    # ---- blocks ------------------------------------------------------------------------

    def _compare(
        self,
        arms: Arms,
        comparison: RunningComparison,
        repeat: int,
        sample: float,
        block: float,
        budget: float,
    ) -> None:
        """Add blocks to a comparison until there are enough."""
        options = self._options
        likely = self._blocks or max(1, int(min(_MOST_BLOCKS, budget / block)))
        # Who gave the number of blocks gets them. If it was set here and the machine
        # becomes slow, it ends at twice the budget: then the number was not preset.
        beyond = math.inf if options.blocks else 2 * budget
        blocks = arms.blocks(
            repeat,
            seconds=sample,
            budget=beyond if self._blocks else budget,
            seed=options.seed,
            warm_up=block < budget / 4,
            control=not options.aa,
            single=self._single(repeat),
        )
        most = "" if self._blocks else "up to "
        try:
            with AsItself(), closing(blocks):
                for number in range(1, (self._blocks or _MOST_BLOCKS) + 1):
                    self._show(f"block {number} of {most}{likely}")
                    if (latest := next(blocks, None)) is None:
                        break
                    comparison.add(latest)
                    if not self._blocks and self._precise(comparison.speedup.ratio()):
                        break
        except NoProcessesError:
            raise
        except Exception as error:
            error.add_note(f"gilx: raised while {self._target.name} was measured")
            raise
        if self._blocks and comparison.blocks < self._blocks:
            self._blocks = None

    def _precise(self, speedup: Estimate) -> bool:
        """Return whether the interval of the speedup is as narrow as asked for."""
        return _half_width(speedup) <= math.log1p(self._options.precision)

    def _show(self, text: str) -> None:
        if self._options.progress is not None:
            words = [self._target.name, self._target.variant, self._pool.name]
            name = " ".join(word for word in words if word)
            workers = f"{self._workers} worker{'s' if self._workers != 1 else ''}"
            self._options.progress(f"{self._where}{name}, {workers}: {text}")

    # ---- what explains losses ----------------------------------------------------------

    def _costs(self, arms: Arms, repeat: int, each: float) -> KnownCosts:
        held = self._held(repeat)
        usage = None if held is None else self._target.usage
        lines = () if usage is None else usage.lines()
        # A note says why the GIL could not be watched: once is enough.
        watchable = held is not None or not gil_enabled()
        together = self._waits = self._together(arms, each) if watchable else None
        return KnownCosts(held, arms.empty_region(), self._pool.own_gils, lines, together)

    def _together(self, arms: Arms, each: float) -> WaitsTogether | None:
        """Return what calls at once wait for but a GIL, if it matters.

        The pool waits between regions, so that there has to be one that is long.
        """
        target = self._target
        if target.variant is not None or self._pool.name != "threads":
            return None
        if self._workers == 1:
            return None
        seconds = min(_TOGETHER, self._budget / 10)
        if self._slowdown > 1:
            each *= self._slowdown * target.parts(self._workers)
        calls = max(1, min(self._most_calls(), math.ceil(seconds / each)))
        if not seconds / 4 < calls * each < self._budget / 4:
            return None
        self._show("what do threads wait for?")
        try:
            found, missing = arms.waits_together(calls)
            if missing:  # the CPUs may have been busy for that moment
                found, missing = arms.waits_together(calls)
        except Exception as error:
            error.add_note(f"gilx: raised while {target.name} was measured")
            raise
        if missing:
            self._notes.append(f"it is not known what threads wait for: {missing}")
        return found

    def _most_calls(self) -> int:
        """Return how many calls in a row can be prepared for each worker."""
        return self._repeat if self._options.setup is not None else _MOST_AT_ONCE

    def _held(self, repeat: int) -> float | None:
        """Return the hold fraction of one call alone, if it is known and matters."""
        target, options = self._target, self._options
        if self._pool.own_gils or self._workers == 1 or not gil_enabled():
            return None
        if target.usage is None:
            self._show("watching the GIL")
            self._pool.settle()
            fn, arguments = target.call()
            try:
                if options.setup is None:
                    budget = min(_PROBE, self._budget / 10)
                    target.usage = probe_warm(fn, arguments, 0.05, budget)
                else:  # what the setup provides is enough for so many calls
                    target.prepare(repeat)
                    target.usage = probe(fn, *arguments, repeat=repeat, warmup=False)
            except WatchUnavailableError as error:
                self._notes.append(f"the GIL could not be watched: {error}")
                return None
        usage = target.usage
        if usage.inconclusive_reason:
            if not usage.inconclusive_reason.startswith("too short"):
                self._notes.append(
                    f"the GIL could not be watched: {usage.inconclusive_reason}"
                )
            return None
        return usage.held.value if usage.held.known else None

    # ---- the row -----------------------------------------------------------------------

    def _row(
        self, comparison: RunningComparison, kind: str, first: float | None = None
    ) -> ReportRow:
        target = self._target
        result = comparison.result(ceiling_kind=kind, preset=self._blocks is not None)
        if first is not None:
            self._notes += self._warnings(comparison, result, first)
        usage = target.usage
        return ReportRow(
            target=target.name,
            variant=target.variant,
            pool=self._pool.name,
            repeat=self._repeat,
            throughput=None
            if result.seconds is None
            else target.units(self._workers) * self._repeat / result.seconds,
            unit=target.unit,
            held=Estimate.unknown()
            if usage is None or usage.inconclusive_reason or self._pool.own_gils
            else usage.held,
            outcome=self._outcome(comparison),
            comparison=result,
            notes=tuple(self._notes),
        )

    def _outcome(self, comparison: RunningComparison) -> Outcome | None:
        """Return the verdict of the rules that `gilx.testing.assert_scales` has."""
        if self._options.aa or self._workers == 1:
            return None
        if self._without_native:
            return "inconclusive"
        # Where a check would not judge, neither is it judged here.
        if self._workers > usable_cpus() or self._call_seconds(comparison) < TOO_SHORT:
            return "inconclusive"
        usage = None if self._pool.own_gils else self._target.usage
        evidence = None
        if usage is not None:
            evidence = HeldAlone(usage, 1 / (self._workers * EFFICIENCY))
            if evidence.side > 0:
                return "fail"
        decision = ScalingDecision(comparison, EFFICIENCY, evidence, self._waits)
        return decision.decision() or "inconclusive"

    def _call_seconds(self, comparison: RunningComparison) -> float:
        """Return how long a call takes on one worker; infinity if none was timed."""
        seconds = comparison.seconds["serial"].median
        parts = self._repeat * self._target.parts(self._workers)
        return math.inf if seconds is None else seconds / parts

    def _warnings(
        self, comparison: RunningComparison, figures: Comparison, first: float
    ) -> list[str]:
        warnings = []
        if self._target.variant is None:
            later = self._call_seconds(comparison)
            warnings += call_warnings(first, later)
            if later < TOO_SHORT:
                warnings.append(
                    f"too short to judge: a call takes {duration(later)}, hardly more"
                    " than calling anything does"
                )
        warnings += machine_warnings(comparison, figures) + drift_warnings(comparison)
        speedup = figures.speedup
        if not speedup.bounded:
            blocks = f"{comparison.blocks} block{'s' if comparison.blocks != 1 else ''}"
            warnings.append(f"{blocks}: too few for an interval")
        elif self._options.blocks is None and not self._precise(speedup):
            width = math.expm1(_half_width(speedup))
            warnings.append(
                f"the budget ran out at \u00b1{percent(width)},"
                f" before \u00b1{percent(self._options.precision)} was reached"
            )
        return warnings


def _half_width(ratio: Estimate) -> float:
    """Return half the width of a ratio's interval, on its logarithm."""
    return math.log(ratio.high / ratio.low) / 2 if ratio.low > 0 else math.inf
