"""How much faster, really, against what the machine could give, and where it went."""

from __future__ import annotations

import math
import os
import statistics
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING

from gilx import kernels
from gilx.environment import gil_enabled, usable_cpus
from gilx.errors import (
    ArgumentError,
    WatchUnavailableError,
    at_least,
    number_between,
    one_of,
    real_at_least,
)
from gilx.gilwatch.probe import probe
from gilx.kernels.base import Kernel
from gilx.meter.blocks import time_blocks
from gilx.meter.ceiling import computing
from gilx.meter.losses import Known, split
from gilx.meter.processes import NoProcessesError
from gilx.meter.report import Environment, Loss, Report, ReportRow
from gilx.meter.statistics import (
    NOTHING_KNOWN,
    anytime_interval,
    log_ratios,
    preset_interval,
)
from gilx.meter.subjects import CallSubject, KernelSubject, Subject
from gilx.meter.workers import Calls, Sample, concurrency, own_threads, take_sample
from gilx.pools import Pool, SerialPool, start
from gilx.pools import names as pool_names
from gilx.pools.base import Region
from gilx.text import duration

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gilx.meter.ceiling import Ceiling

__all__ = ["measure"]

_BLOCKS = 20  # as many are aimed at where nothing says how many
_MOST_BLOCKS = 10_000
_SHORTEST = 2e-3  # seconds of a serial sample
_LONGEST = 0.06  # seconds for which each worker's part should last, where there is time
_CONTROL = 0.2  # of the serial sample: how long the control takes
_TOO_SHORT = 1e-6  # a call that takes no longer can't be told from making calls
_PROBE = 0.5  # seconds
_EMPTY_REGIONS = 15
_AGAIN = 5  # times: what fits into the budget so often is tried again once it is warm
# Times that grow or shrink this clearly with the block number do so for a reason.
_DRIFT = 0.8
_DRIFT_CHANGE = 1.2
_MUCH_STOLEN = 0.02
_MUCH_SLOWER = 10


def measure(
    target: str | Kernel | Callable[[], object],
    *,
    variants: Sequence[str] | None = None,
    pools: Sequence[str | Pool] = ("threads",),
    workers: int | Sequence[int] | None = None,
    precision: float = 0.02,
    budget: float = 10.0,
    blocks: int | None = None,
    repeat: int | None = None,
    setup: Callable[[], object] | None = None,
    null: bool = False,
    progress: Callable[[str], None] | None = None,
    size: int | None = None,
    seed: int = 0,
) -> Report:
    """Measure how much faster workers are than one, and what limits them.

    A kernel's problem is computed by one worker and split among several. Of a callable,
    N workers make the same call, M times in a row, all at once; that is compared with N M
    calls in a row. Both are timed in blocks in random order, together with a ceiling:
    what the machine gives at the same time to who needs no GIL.

    Parameters
    ----------
    target : str, Kernel or callable
        A kernel, or its name; or anything to call without arguments (bind them with
        `functools.partial`). It must be safe to call from several threads at once.
    variants : sequence of str, optional
        Which variants of a kernel; by default c-gil and c-nogil.
    pools : sequence of str or Pool
        Where to run it, see ``gilx.pools.names()``. An open pool stays open.
    workers : int or sequence of int, optional
        How many workers, each at least 1; by default the CPUs that this process may use.
        A pool that was handed in knows its own.
    precision : float
        Half the width that the interval of the speedup should have, relative: 0.001 to
        0.5. When it is reached, no more blocks are made.
    budget : float
        Seconds that all blocks together may take, above 0.
    blocks : int, optional
        Make exactly so many blocks, at least 1, whatever they show; the budget then
        decides only how long a sample is.
    repeat : int, optional
        M, at least 1; by default as many as make samples well longer than what timing
        and handing out work cost. With 1 it is what a single use gives.
    setup : callable, optional
        Called before every sample, outside of what is timed: to restore what N M calls
        use up. In other processes too. M is 1 then, unless given.
    null : bool
        Compare the serial run with itself instead: what comes out when there is no
        difference.
    progress : callable, optional
        Called with a line of text between blocks.
    size, seed : int
        Which problem of a kernel, see `Kernel.problem`.

    Returns
    -------
    Report
        A row for each variant, pool and number of workers. Its intervals hold at 95 %:
        where the number of blocks was given, or set before the first one since there is
        time for few only, those of that number; otherwise those that are right whenever
        one stops (see `gilx.meter.statistics`).

    Raises
    ------
    ArgumentError
        An argument is not as described; the message names it and what is valid.
    BaseException
        Whatever the callable raises, as itself, with a note.

    """
    settings = _Settings(
        precision=number_between("precision", precision, 0.001, 0.5),
        budget=_above_zero("budget", budget),
        blocks=None if blocks is None else at_least("blocks", blocks, 1),
        repeat=_repeat(repeat, setup),
        setup=setup,
        null=null,
        progress=progress,
        seed=at_least("seed", seed, 0),
    )
    if setup is not None and not callable(setup):
        raise ArgumentError(f"setup: expected something to call, got {setup!r}")
    subjects = _subjects(target, variants, size, settings)
    places = _places(pools, workers, null=null, kernel=subjects[0].variant is not None)
    environment = Environment.now()
    rows: list[ReportRow] = []
    cases = [(subject, *place) for subject in subjects for place in places]
    left = settings.budget
    for number, (subject, pool, count) in enumerate(cases):
        begin = perf_counter()
        with ExitStack() as stack:
            if isinstance(pool, str):
                pool = stack.enter_context(start(pool, count))  # noqa: PLW2901 - opened
            share = max(left, settings.budget / 10) / (len(cases) - number)
            where = f"{number + 1} of {len(cases)}: " if len(cases) > 1 else ""
            rows.append(_Row(subject, pool, count, settings, share, where).measured())
        left -= perf_counter() - begin
    if progress is not None:
        progress("")
    return Report(tuple(rows), environment, settings.precision, settings.budget)


@dataclass(frozen=True)
class _Settings:
    precision: float
    budget: float
    blocks: int | None
    repeat: int | None
    setup: Callable[[], object] | None
    null: bool
    progress: Callable[[str], None] | None
    seed: int


def _subjects(
    target: str | Kernel | Callable[[], object],
    variants: Sequence[str] | None,
    size: int | None,
    settings: _Settings,
) -> list[Subject]:
    """Return what to measure, everything about it checked."""
    if isinstance(target, str):
        target = kernels.get(one_of("target", target, kernels.names()))
    if isinstance(target, Kernel):
        names = ("c-gil", "c-nogil") if variants is None else variants
        if isinstance(names, str) or not isinstance(names, Sequence) or not names:
            raise ArgumentError(
                f"variants: expected a sequence of {', '.join(target.variants)}; got"
                f" {names!r}"
            )
        for name in names:
            one_of("variants", name, target.variants)
        sizes = {
            name: target.python_size if name == "python" and size is None else size
            for name in names
        }
        # Variants that compute the same problem share it: it is in the caches, or not,
        # for all of them.
        problems = {
            number: target.problem(number, settings.seed)
            for number in dict.fromkeys(sizes.values())
        }
        return [KernelSubject(problems[sizes[name]], name) for name in names]
    if not callable(target):
        raise ArgumentError(
            f"target: expected a kernel, its name or something to call; got {target!r}"
        )
    for name, given in (("variants", variants), ("size", size)):
        if given is not None:
            raise ArgumentError(f"{name}: expected None, since target is no kernel")
    return [CallSubject(target, settings.setup)]


# Pools whose workers share all memory with the caller, as calls of any function need.
_FOR_CALLS = ("serial", "threads")


def _places(
    given: Sequence[str | Pool],
    workers: int | Sequence[int] | None,
    *,
    null: bool,
    kernel: bool,
) -> list[tuple[str | Pool, int]]:
    """Return pools with numbers of workers, everything checked before one is started."""
    if null:
        return [("serial", 1)]
    if workers is None:
        counts = [usable_cpus()]
    elif isinstance(workers, Sequence) and workers:
        counts = [at_least("workers", count, 1) for count in workers]
    else:
        counts = [at_least("workers", workers, 1)]
    if isinstance(given, (str, Pool)) or not isinstance(given, Sequence) or not given:
        raise ArgumentError(f"pools: expected a sequence of pools, got {given!r}")
    places: list[tuple[str | Pool, int]] = []
    for pool in given:
        name = (
            pool.name if isinstance(pool, Pool) else one_of("pools", pool, pool_names())
        )
        if not kernel and name not in _FOR_CALLS:
            raise ArgumentError(
                f"pools: expected {' or '.join(_FOR_CALLS)} for a callable, got {name}:"
                " it runs kernels only"
            )
        if isinstance(pool, Pool):
            places.append((pool, pool.workers))
            continue
        places += [(pool, count) for count in ([1] if pool == "serial" else counts)]
    return places


def _repeat(given: int | None, setup: object) -> int | None:
    if given is not None:
        return at_least("repeat", given, 1)
    return None if setup is None else 1


def _above_zero(name: str, given: float) -> float:
    number = real_at_least(name, given, 0)
    if number == 0:
        raise ArgumentError(f"{name}: expected above 0, got {given!r}")
    return number


class _Row:
    """One row while it is measured."""

    def __init__(
        self,
        subject: Subject,
        pool: Pool,
        workers: int,
        settings: _Settings,
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
        self._first = 0.0  # seconds of the first call
        self._control: Ceiling | None = None
        self._blocks = settings.blocks  # None: as many as it takes

    def measured(self) -> ReportRow:
        """Measure, and return the finished row."""
        settings, workers = self._settings, self._workers
        wanted = settings.blocks or _BLOCKS
        arms = self._arms()
        sample = self._budget / (wanted + 1) / arms
        sample = max(_SHORTEST, min(sample, workers * _LONGEST))
        begin = perf_counter()
        self._show("calibrating")
        try:
            self._settle()
            first = self._first = self._subject.once(self._serial)
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
        spent = perf_counter() - begin
        block = arms * each * repeat
        if not settings.null:
            # The control runs serially and, at worst, no faster in parallel; single calls
            # take one call's share of the arms.
            block += 2 * _CONTROL * each * repeat
            block += 2 * each if self._subject.variant is None and repeat > 1 else 0.0
        if settings.blocks is None and block > self._budget:
            return self._nothing(repeat, each, spent + block)
        # A number that is known before anything was compared is one set beforehand, and
        # then fewer blocks make an interval. Where there is time for many, they may stop.
        likely = int((self._budget - spent) / block) - 1
        if settings.blocks is None and likely < _BLOCKS:
            self._blocks = max(1, likely)
        if settings.null:
            samples = self._sample(repeat, block, self._budget - spent, None)
            return self._row(repeat, samples, None)
        ceiling = self._subject.ceiling(workers, repeat, each * repeat)
        self._control = computing(workers, each * repeat * _CONTROL)
        try:
            samples = self._sample(repeat, block, self._budget - spent, ceiling)
        except NoProcessesError as error:
            # What a process can't do it may find out late: what was sampled is lost.
            ceiling.close()
            self._subject.doubt = f"no ceiling by processes: {error}"
            ceiling = computing(workers, each * repeat)
            samples = self._sample(repeat, block, self._budget - spent, ceiling)
        finally:
            ceiling.close()
            self._control.close()
        return self._row(repeat, samples, ceiling)

    def _sample(
        self, repeat: int, block: float, budget: float, ceiling: Ceiling | None
    ) -> Mapping[str, Sequence[Sample]]:
        """Return the samples of each arm."""
        settings = self._settings
        alone = self._subject.work(self._workers, repeat, parallel=False)
        placed = self._subject.placed(self._pool)
        together = placed.work(self._workers, repeat, parallel=True)
        arms: dict[str, Callable[[], Sample]] = {
            "serial": partial(take_sample, self._serial, alone),
            "parallel": partial(take_sample, self._pool, together),
        }
        if self._subject.variant is None and repeat > 1 and not settings.null:
            alone, together = (
                self._subject.work(self._workers, 1, parallel=parallel)
                for parallel in (False, True)
            )
            arms["single serial"] = partial(take_sample, self._serial, alone)
            arms["single parallel"] = partial(take_sample, self._pool, together)
        if ceiling is not None:
            arms["ceiling"] = partial(_timed, ceiling.parallel)
            if ceiling.serial is not None:
                arms["ceiling serial"] = partial(_timed, ceiling.serial)
        control = self._control
        if control is not None and control.serial is not None:
            arms["control"] = partial(_timed, control.parallel)
            arms["control serial"] = partial(_timed, control.serial)
        budget = max(0.0, budget)
        likely = self._blocks or max(1, min(_MOST_BLOCKS, int(budget / block)))

        def between(done: int) -> None:
            self._show(f"block {done + 1} of {'' if self._blocks else 'up to '}{likely}")

        def settle() -> None:
            self._settle()
            if ceiling is not None:
                ceiling.settle()
            if control is not None:
                control.settle()

        try:
            # Who gave the number of blocks gets them. If it was set here and the machine
            # becomes slow, it ends at twice the budget: then the number was not preset.
            beyond = math.inf if settings.blocks else 2 * budget
            samples = time_blocks(
                arms,
                self._blocks or _MOST_BLOCKS,
                seed=settings.seed,
                between=between,
                settle=settle,
                enough=None if self._blocks else self._enough,
                budget=beyond if self._blocks else budget,
                warm_up=block < budget / 4,
            )
            if self._blocks and len(samples["serial"]) < self._blocks:
                self._blocks = None
        except Exception as error:
            error.add_note(f"gilx: raised while {self._subject.name} was measured")
            raise
        return samples

    def _settle(self) -> None:
        self._pool.settle()
        if self._settings.setup is not None:
            self._settings.setup()

    def _show(self, text: str) -> None:
        if self._settings.progress is not None:
            words = [self._subject.name, self._subject.variant, self._pool.name]
            name = " ".join(word for word in words if word)
            self._settings.progress(
                f"{self._where}{name}, {_workers(self._workers)}: {text}"
            )

    def _enough(self, samples: Mapping[str, Sequence[Sample]]) -> bool:
        logs = _logs(samples, "serial", "parallel")
        low, high = anytime_interval(logs)
        return low > 0 and self._precise(low, high)

    def _precise(self, low: float, high: float) -> bool:
        return math.log(high / low) / 2 <= math.log1p(self._settings.precision)

    def _arms(self) -> int:
        """Return how many serial samples all arms of a block are as long as, at most."""
        if self._settings.null:
            return 2
        return 3 if self._subject.variant in (None, "c-nogil") else 4

    def _row(
        self,
        repeat: int,
        samples: Mapping[str, Sequence[Sample]],
        ceiling: Ceiling | None,
    ) -> ReportRow:
        """Return what the samples show."""
        serial, parallel = samples["serial"], samples["parallel"]
        preset = self._blocks is not None
        interval = preset_interval if preset else anytime_interval
        logs = _logs(samples, "serial", "parallel")
        speedup = math.exp(statistics.median(logs))
        limit, limit_interval = math.nan, NOTHING_KNOWN
        share, share_interval = math.nan, NOTHING_KNOWN
        if ceiling is not None:
            reference = "ceiling serial" if ceiling.serial is not None else "serial"
            limits = _logs(samples, reference, "ceiling")
            shares = [a - b for a, b in zip(logs, limits, strict=True)]
            limit, limit_interval = math.exp(statistics.median(limits)), interval(limits)
            share, share_interval = math.exp(statistics.median(shares)), interval(shares)
        single, single_interval = math.nan, NOTHING_KNOWN
        if "single serial" in samples:
            singles = _logs(samples, "single serial", "single parallel")
            single = math.exp(statistics.median(singles))
            single_interval = interval(singles)
        overlap, doubt = self._concurrency(serial, parallel)
        held = None if self._settings.null else self._held(repeat)
        losses: tuple[Loss, ...] = ()
        control = math.nan
        if not self._settings.null:
            controls = _logs(samples, "control serial", "control")
            control = math.exp(statistics.median(controls))
            known = Known(
                held,
                self._empty_region() if parallel[0].worker_cpu is not None else 0.0,
                limit,
                "" if ceiling is None else ceiling.kind,
                control,
            )
            losses = split(serial, parallel, self._workers, speedup, known)
        seconds = statistics.median(s.seconds for s in parallel)
        every = [sample for arm in samples.values() for sample in arm]
        row = ReportRow(
            target=self._subject.name,
            variant=self._subject.variant,
            pool=self._pool.name,
            workers=self._workers,
            blocks=len(serial),
            repeat=repeat,
            serial_seconds=statistics.median(s.seconds for s in serial),
            seconds=seconds,
            throughput=self._subject.units(self._workers, repeat) / seconds,
            unit=self._subject.unit,
            speedup=speedup,
            speedup_interval=interval(logs),
            interval_kind="preset" if preset else "anytime",
            single_speedup=single,
            single_interval=single_interval,
            efficiency=speedup / self._workers,
            ceiling=limit,
            ceiling_interval=limit_interval,
            ceiling_kind="" if ceiling is None else ceiling.kind,
            of_ceiling=share,
            of_ceiling_interval=share_interval,
            control=control,
            concurrency=overlap,
            concurrency_doubt=doubt,
            serial_cpu_seconds=statistics.median(s.cpu for s in serial),
            cpu_seconds=statistics.median(s.cpu for s in parallel),
            voluntary_switches=_mean([s.voluntary for s in parallel]),
            involuntary_switches=_mean([s.involuntary for s in parallel]),
            run_queue_wait=_mean([s.wait for s in parallel]),
            steal=_share_stolen(every),
            throttled=_sum([s.throttled for s in every]),
            held=held,
            losses=losses,
            samples={
                name: tuple(s.seconds for s in arm) for name, arm in samples.items()
            },
        )
        self._doubts(row, samples)
        return replace(row, notes=tuple(self._notes))

    def _concurrency(
        self, serial: Sequence[Sample], parallel: Sequence[Sample]
    ) -> tuple[float | None, str]:
        """Return the median over the blocks, or what most blocks lack."""
        if self._settings.null or self._workers == 1:
            return None, "one worker"
        cpus = usable_cpus()
        found = [
            concurrency(alone, together, self._workers, cpus)
            for alone, together in zip(serial, parallel, strict=True)
        ]
        told = [value for value, _ in found if value is not None]
        if 2 * len(told) > len(found):
            return statistics.median(told), ""
        return None, statistics.mode(doubt for _, doubt in found if doubt)

    def _held(self, repeat: int) -> float | None:
        """Return the hold fraction of one call alone, if it can be told."""
        subject = self._subject
        if subject.held is not None or not gil_enabled() or self._workers == 1:
            return subject.held
        self._show("who holds the GIL?")
        self._settle()
        fn, arguments = subject.call()
        try:
            usage = probe(
                fn,
                *arguments,
                # What a setup provides is enough for so many calls.
                repeat=None if self._settings.setup is None else repeat,
                precision=0.05,
                budget=min(_PROBE, self._budget / 10),
            )
        except WatchUnavailableError as error:
            self._notes.append(f"the GIL could not be watched: {error}")
            return None
        if usage.doubt and not usage.doubt.startswith("too short"):
            self._notes.append(f"the GIL could not be watched: {usage.doubt}")
            return None
        subject.held = None if math.isnan(usage.held) else usage.held
        return subject.held

    def _empty_region(self) -> float:
        """Return how long a region takes in which nothing is done, in seconds."""
        nothing = Calls(_nothing, "nothing")
        region = Region(nothing, "call", (), self._workers, "static")
        self._settle()
        return statistics.median(
            take_sample(self._pool, [region]).seconds for _ in range(_EMPTY_REGIONS)
        )

    def _doubts(self, row: ReportRow, samples: Mapping[str, Sequence[Sample]]) -> None:
        """Note what makes a row doubtful."""
        notes, cpus = self._notes, usable_cpus()
        if self._subject.doubt:
            notes.append(self._subject.doubt)
        if row.variant is None:
            call = row.serial_seconds / row.workers / row.repeat
            if self._first > max(_MUCH_SLOWER * call, _SHORTEST):
                notes.append(
                    f"the first call took {duration(self._first)}, later ones"
                    f" {duration(call)}: if it keeps results, little is left to measure"
                )
            if call < _TOO_SHORT:
                notes.append(
                    f"too short to judge: a call takes {duration(call)}, hardly more than"
                    " calling anything does"
                )
        if any(
            2 * sum(map(own_threads, samples[arm])) > row.blocks
            for arm in ("serial", "parallel")
        ):
            notes.append(
                "the process used more CPU time than the workers did: the target has"
                " threads of its own, so that more workers share the CPUs with them"
            )
        if row.workers > cpus:
            notes.append(
                f"{row.workers} workers on {cpus} usable CPU{'s' if cpus != 1 else ''}"
            )
        if row.throttled:
            notes.append(f"a control group's quota stopped the process {row.throttled}x")
        if row.steal is not None and row.steal > _MUCH_STOLEN:
            notes.append(f"the hypervisor gave {row.steal:.0%} of the CPU time to others")
        times = [sample.seconds for sample in samples["serial"]]
        if len(times) >= _BLOCKS // 2:
            drift = _rank_correlation(times)
            half = len(times) // 2
            change = statistics.median(times[half:]) / statistics.median(times[:half])
            if abs(drift) > _DRIFT and abs(math.log(change)) > math.log(_DRIFT_CHANGE):
                notes.append(
                    f"calls became {'slower' if drift > 0 else 'faster'} from block to"
                    " block: the target keeps state, or the machine changed"
                )
        low, high = row.speedup_interval
        if not math.isfinite(high):
            notes.append(
                f"{row.blocks} block{'s' if row.blocks != 1 else ''}: too few for an"
                " interval"
            )
        elif self._settings.blocks is None and not (low > 0 and self._precise(low, high)):
            half_width = math.expm1(math.log(high / low) / 2)
            notes.append(
                f"the budget ended it at \u00b1{half_width:.1%}, not"
                f" \u00b1{self._settings.precision:.1%}"
            )

    def _nothing(self, repeat: int, each: float, needed: float) -> ReportRow:
        """Return a row that says why nothing was compared."""
        count = self._workers if self._subject.variant is None else 1
        self._notes.append(
            f"one call takes {duration(each / count)}, so that one block takes about"
            f" {duration(needed)}, more than the budget of {duration(self._budget)} has:"
            " nothing was compared"
        )
        nan = math.nan
        return ReportRow(
            target=self._subject.name,
            variant=self._subject.variant,
            pool=self._pool.name,
            workers=self._workers,
            blocks=0,
            repeat=repeat,
            serial_seconds=each * repeat,
            seconds=nan,
            throughput=nan,
            unit=self._subject.unit,
            speedup=nan,
            speedup_interval=NOTHING_KNOWN,
            interval_kind="anytime",
            single_speedup=nan,
            single_interval=NOTHING_KNOWN,
            efficiency=nan,
            ceiling=nan,
            ceiling_interval=NOTHING_KNOWN,
            ceiling_kind="",
            of_ceiling=nan,
            of_ceiling_interval=NOTHING_KNOWN,
            control=nan,
            concurrency=None,
            concurrency_doubt="nothing was compared",
            serial_cpu_seconds=nan,
            cpu_seconds=nan,
            voluntary_switches=None,
            involuntary_switches=None,
            run_queue_wait=None,
            steal=None,
            throttled=None,
            held=None,
            losses=(),
            notes=tuple(self._notes),
        )


def _nothing() -> None:
    pass


def _timed(run: Callable[[], float]) -> Sample:
    return Sample(seconds=run(), cpu=math.nan, steal=None, throttled=None, regions=1)


def _logs(
    samples: Mapping[str, Sequence[Sample]], numerator: str, denominator: str
) -> list[float]:
    """Return the log ratios of two arms."""
    return log_ratios(
        [sample.seconds for sample in samples[numerator]],
        [sample.seconds for sample in samples[denominator]],
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _sum(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _share_stolen(samples: Sequence[Sample]) -> float | None:
    known = [(s.steal, s.seconds) for s in samples if s.steal is not None]
    if not known:
        return None
    cpus = os.cpu_count() or 1
    return sum(steal for steal, _ in known) / cpus / sum(time for _, time in known)


def _rank_correlation(values: Sequence[float]) -> float:
    """Return Spearman's correlation of the values with their places."""
    ranks = [0.0] * len(values)
    for rank, place in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        ranks[place] = float(rank)
    return statistics.correlation(ranks, [float(i) for i in range(len(values))])


def _workers(count: int) -> str:
    return f"{count} worker{'s' if count != 1 else ''}"
