"""Measuring one row of a report: calibration, blocks, and who holds the GIL."""

from __future__ import annotations

import math
import statistics
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from gilx._compat import gil_enabled
from gilx.errors import WatchUnavailableError
from gilx.pools import SerialPool
from gilx.sampling.probe import probe, probe_warm
from gilx.speedup.analysis import Found, nothing_compared, precise, row_of
from gilx.speedup.blocks import AsItself, interleaved, samples_of
from gilx.speedup.call_processes import NoProcessesError
from gilx.speedup.ceilings import computing
from gilx.speedup.statistics import RunningMedian
from gilx.speedup.timings import Sample, take_sample

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from gilx.pools import Pool
    from gilx.speedup.ceilings import Ceiling
    from gilx.speedup.measure_options import MeasureOptions
    from gilx.speedup.report import ReportRow
    from gilx.speedup.targets import Target

__all__ = ["RowMeter"]

_BLOCKS = 20  # as many are aimed at where nothing says how many
_MOST_BLOCKS = 10_000
_SHORTEST = 2e-3  # seconds of a serial sample
_LONGEST = 0.06  # seconds for which each worker's part should last, where there is time
_CONTROL = 0.2  # of the serial sample: how long the control takes
_PROBE = 0.5  # seconds
_EMPTY_REGIONS = 15
_AGAIN = 2  # times: what fits into the budget so often is tried again once it is warm


class RowMeter:
    """Measures one target and variant on one pool.

    Parameters
    ----------
    subject : Target
        What to measure.
    pool : Pool
        Where; it stays open.
    workers : int
        How many workers it has.
    settings : MeasureOptions
        How.
    budget : float
        Seconds that the row may take.
    where : str
        What to show before its name while it is measured.

    """

    def __init__(
        self,
        subject: Target,
        pool: Pool,
        workers: int,
        settings: MeasureOptions,
        budget: float,
        where: str,
    ) -> None:
        self._subject = subject
        self._pool = pool
        self._workers = workers
        self._settings = settings
        self._budget = budget
        self._where = where
        self._notes: list[str] = []
        self._serial = SerialPool()
        self._blocks = settings.blocks  # None: as many as it takes

    def measured(self) -> ReportRow:
        """Measure, and return the finished row."""
        settings = self._settings
        begin = perf_counter()
        first, repeat, each = self._calibrate()
        spent = perf_counter() - begin
        sample = each * repeat  # seconds of the serial arm
        block = self._arms() * sample
        if not settings.null:
            # The control runs serially and, at worst, no faster in parallel; single calls
            # take one call's share of the arms.
            block += 2 * _CONTROL * sample
            block += 2 * each if self._subject.variant is None and repeat > 1 else 0.0
        found = self._found(first, repeat)
        if settings.blocks is None and block > self._budget:
            return nothing_compared(found, sample, spent + block, self._budget)
        # A number that is known before anything was compared is one set beforehand, and
        # then fewer blocks make an interval. Where there is time for many, they may stop.
        budget = self._budget - spent
        likely = int(budget / block) - 1
        if settings.blocks is None and likely < _BLOCKS:
            self._blocks = max(1, likely)
        if settings.null:
            samples = self._sample(repeat, block, budget, {}, [])
            return row_of(replace(self._found(first, repeat), samples=samples))
        ceiling, samples = self._beside_ceilings(repeat, sample, block, budget)
        accounted = samples["parallel"][0].worker_cpu is not None
        return row_of(
            replace(
                self._found(first, repeat),
                samples=samples,
                ceiling_kind=ceiling.kind,
                held=self._held(repeat),
                empty_region=self._empty_region() if accounted else 0.0,
                notes=tuple(self._notes),
            )
        )

    def _found(self, first: float, repeat: int) -> Found:
        settings = self._settings
        return Found(
            subject=self._subject,
            pool=self._pool.name,
            own_gils=self._pool.own_gils,
            workers=self._workers,
            first=first,
            repeat=repeat,
            preset=self._blocks is not None,
            precision=settings.precision if settings.blocks is None else None,
        )

    # ---- how much to do ----------------------------------------------------------------

    def _arms(self) -> int:
        """Return how many serial samples all arms of a block are as long as, at most."""
        if self._settings.null:
            return 2
        return 3 if self._subject.variant in (None, "c-nogil") else 4

    def _calibrate(self) -> tuple[float, int, float]:
        """Return the seconds of the first call, M, and the serial seconds of one M."""
        settings, workers = self._settings, self._workers
        sample = self._budget / ((settings.blocks or _BLOCKS) + 1) / self._arms()
        sample = max(_SHORTEST, min(sample, workers * _LONGEST))
        self._show("calibrating")
        try:
            self._settle()
            first = self._subject.once(self._serial)
            again = first < self._budget / _AGAIN
            if again:
                self._settle()
            if settings.repeat is None:
                repeat, each = self._subject.repeats(
                    self._serial, workers, sample, None if again else first
                )
            else:
                repeat = settings.repeat
                each = self._subject.once(self._serial) if again else first
                each *= 1 if self._subject.variant else workers
        except Exception as error:
            error.add_note(f"gilx: raised by {self._subject.name} when called alone")
            raise
        return first, repeat, each

    # ---- blocks ------------------------------------------------------------------------

    def _beside_ceilings(
        self, repeat: int, sample: float, block: float, budget: float
    ) -> tuple[Ceiling, Mapping[str, Sequence[Sample]]]:
        """Return the ceiling that there was, and the samples of all arms."""
        workers = self._workers
        with ExitStack() as stack:
            control = computing(workers, sample * _CONTROL)
            stack.callback(control.close)

            def beside(ceiling: Ceiling) -> Mapping[str, Sequence[Sample]]:
                stack.callback(ceiling.close)
                others = {**_arms_of(ceiling, "ceiling"), **_arms_of(control, "control")}
                settle = [ceiling.settle, control.settle]
                return self._sample(repeat, block, budget, others, settle)

            ceiling = self._subject.ceiling(workers, repeat, sample)
            try:
                return ceiling, beside(ceiling)
            except NoProcessesError as error:
                # What a process can't do it may find out late: what was sampled is lost.
                ceiling.close()
                self._subject.doubt = f"no ceiling by processes: {error}"
                other = computing(workers, sample)
                return other, beside(other)

    def _sample(
        self,
        repeat: int,
        block: float,
        budget: float,
        others: Mapping[str, Callable[[], Sample]],
        others_settle: Sequence[Callable[[], None]],
    ) -> Mapping[str, Sequence[Sample]]:
        """Return the samples of each arm, those of others included."""
        settings = self._settings
        arms = self._own_arms(repeat) | dict(others)
        budget = max(0.0, budget)
        likely = self._blocks or max(1, min(_MOST_BLOCKS, int(budget / block)))

        def settle() -> None:
            self._settle()
            for other in others_settle:
                other()

        # Who gave the number of blocks gets them. If it was set here and the machine
        # becomes slow, it ends at twice the budget: then the number was not preset.
        beyond = math.inf if settings.blocks else 2 * budget
        timed = interleaved(
            arms,
            seed=settings.seed,
            settle=settle,
            budget=beyond if self._blocks else budget,
            warm_up=block < budget / 4,
        )
        made: list[dict[str, Sample]] = []
        logs = RunningMedian()
        most = "" if self._blocks else "up to "
        try:
            with AsItself():
                for number in range(1, (self._blocks or _MOST_BLOCKS) + 1):
                    self._show(f"block {number} of {most}{likely}")
                    if (latest := next(timed, None)) is None:
                        break
                    made.append(latest)
                    serial, parallel = latest["serial"], latest["parallel"]
                    logs.add(math.log(serial.seconds / parallel.seconds))
                    if not self._blocks and self._precise(logs):
                        break
        except Exception as error:
            error.add_note(f"gilx: raised while {self._subject.name} was measured")
            raise
        if self._blocks and len(made) < self._blocks:
            self._blocks = None
        return samples_of(made)

    def _precise(self, logs: RunningMedian) -> bool:
        """Return whether the interval of the speedup is as narrow as asked for."""
        low, high = logs.interval()
        return precise((math.exp(low), math.exp(high)), self._settings.precision)

    def _own_arms(self, repeat: int) -> dict[str, Callable[[], Sample]]:
        subject, workers = self._subject, self._workers
        arms: dict[str, Callable[[], Sample]] = {}
        placed = subject.placed(self._pool)
        single = subject.variant is None and repeat > 1 and not self._settings.null
        for name, calls in {"": repeat, **({"single ": 1} if single else {})}.items():
            alone = subject.work(workers, calls, parallel=False)
            together = placed.work(workers, calls, parallel=True)
            arms[f"{name}serial"] = partial(take_sample, self._serial, alone)
            arms[f"{name}parallel"] = partial(take_sample, self._pool, together)
        return arms

    def _settle(self) -> None:
        self._pool.settle()
        if self._settings.setup is not None:
            self._settings.setup()

    def _show(self, text: str) -> None:
        if self._settings.progress is not None:
            words = [self._subject.name, self._subject.variant, self._pool.name]
            name = " ".join(word for word in words if word)
            workers = f"{self._workers} worker{'s' if self._workers != 1 else ''}"
            self._settings.progress(f"{self._where}{name}, {workers}: {text}")

    # ---- what explains losses ----------------------------------------------------------

    def _held(self, repeat: int) -> float | None:
        """Return the hold fraction of one call alone, if it can be told and matters."""
        subject = self._subject
        if self._pool.own_gils or self._workers == 1 or not gil_enabled():
            return None
        if subject.held is not None:
            return subject.held
        self._show("who holds the GIL?")
        self._settle()
        fn, arguments = subject.call()
        try:
            if self._settings.setup is None:
                budget = min(_PROBE, self._budget / 10)
                usage = probe_warm(fn, arguments, 0.05, budget)
            else:  # what the setup provides is enough for so many calls
                usage = probe(fn, *arguments, repeat=repeat, warmup=False)
        except WatchUnavailableError as error:
            self._notes.append(f"the GIL could not be watched: {error}")
            return None
        if usage.doubt and not usage.doubt.startswith("too short"):
            self._notes.append(f"the GIL could not be watched: {usage.doubt}")
            return None
        subject.held = usage.held.value if usage.held.known else None
        return subject.held

    def _empty_region(self) -> float:
        """Return how long a region takes in which nothing is done, in seconds."""
        work = self._subject.placed(self._pool).work(self._workers, 1, parallel=True)
        nothing = replace(work[0], items=0)
        self._settle()
        return statistics.median(
            take_sample(self._pool, [nothing]).seconds for _ in range(_EMPTY_REGIONS)
        )


def _arms_of(ceiling: Ceiling, name: str) -> dict[str, Callable[[], Sample]]:
    arms: dict[str, Callable[[], Sample]] = {name: partial(_timed, ceiling.parallel)}
    if ceiling.serial is not None:
        arms[f"{name} serial"] = partial(_timed, ceiling.serial)
    return arms


def _timed(run: Callable[[], float]) -> Sample:
    return Sample(seconds=run(), cpu=math.nan, steal=None, throttled=None, regions=1)
