"""The figures of a row, from the samples of its blocks."""

from __future__ import annotations

import math
import os
import statistics
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from gilx.estimate import Estimate
from gilx.formatting import duration
from gilx.speedup.losses import KnownCosts, split
from gilx.speedup.report import Loss, ReportRow
from gilx.speedup.row_warnings import doubts_of_row
from gilx.speedup.statistics import (
    anytime_interval,
    log_ratios,
    preset_interval,
)
from gilx.speedup.timings import concurrency
from gilx.system.environment import usable_cpus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gilx.speedup.targets import Target
    from gilx.speedup.timings import Sample

__all__ = ["Found", "logs_of", "nothing_compared", "precise", "row_of"]


@dataclass(frozen=True)
class Found:
    """What was found out for one row, before figures are made of it."""

    subject: Target
    pool: str
    own_gils: bool
    """Whether each of the pool's workers has a GIL of its own."""
    workers: int
    first: float
    """Seconds of the first call of all."""
    repeat: int
    preset: bool
    """Whether the number of blocks was set before the first one."""
    precision: float | None
    """Half the width that the interval should have; None if the blocks were given."""
    samples: Mapping[str, Sequence[Sample]] = field(default_factory=dict)
    """Of each arm, in the order of the blocks."""
    ceiling_kind: str = ""
    """Empty for a comparison of a thing with itself, which has none."""
    held: float | None = None
    """Hold fraction of one call alone, if known."""
    empty_region: float = 0.0
    """Seconds that a region without work takes on the pool."""
    notes: tuple[str, ...] = ()


def logs_of(
    samples: Mapping[str, Sequence[Sample]], numerator: str, denominator: str
) -> list[float]:
    """Return the log ratios of two arms."""
    return log_ratios(
        [sample.seconds for sample in samples[numerator]],
        [sample.seconds for sample in samples[denominator]],
    )


def precise(interval: tuple[float, float], precision: float) -> bool:
    """Return whether half the width of a ratio's interval is within so much of it."""
    low, high = interval
    return low > 0 and math.log(high / low) / 2 <= math.log1p(precision)


def row_of(found: Found) -> ReportRow:
    """Return what the samples show."""
    samples, subject = found.samples, found.subject
    serial, parallel = samples["serial"], samples["parallel"]
    logs = logs_of(samples, "serial", "parallel")
    speedup = _median(logs, found)
    limits: list[float] = []
    if found.ceiling_kind:
        # c-nogil's own serial run is the native team's, too.
        own = "ceiling serial" in samples
        limits = logs_of(samples, "ceiling serial" if own else "serial", "ceiling")
    ceiling = _median(limits, found)
    fraction = _median(
        [a - b for a, b in zip(logs, limits, strict=True)] if limits else [], found
    )
    singles: list[float] = []
    if "single serial" in samples:
        singles = logs_of(samples, "single serial", "single parallel")
    single = _median(singles, found)
    control = math.nan
    losses: tuple[Loss, ...] = ()
    if found.ceiling_kind:
        control = _median(logs_of(samples, "control serial", "control"), found).value
        known = KnownCosts(
            found.held,
            found.empty_region,
            ceiling.value,
            found.ceiling_kind,
            control,
            found.own_gils,
        )
        losses = split(serial, parallel, found.workers, speedup.value, known)
    overlap, doubt = _concurrency(found)
    seconds = statistics.median(s.seconds for s in parallel)
    every = [sample for arm in samples.values() for sample in arm]
    row = replace(
        _nothing(found),
        blocks=len(serial),
        serial_seconds=statistics.median(s.seconds for s in serial),
        seconds=seconds,
        throughput=subject.units(found.workers, found.repeat) / seconds,
        speedup=speedup,
        interval_kind="preset" if found.preset else "anytime",
        single_speedup=single,
        ceiling=ceiling,
        ceiling_kind=found.ceiling_kind,
        ceiling_fraction=fraction,
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
        held=found.held,
        losses=losses,
        samples={name: tuple(s.seconds for s in arm) for name, arm in samples.items()},
    )
    doubts = doubts_of_row(row, samples, first=found.first)
    if subject.doubt:
        doubts.insert(0, subject.doubt)
    return replace(row, notes=(*found.notes, *doubts, *_width(row, found)))


def nothing_compared(
    found: Found, serial: float, needed: float, budget: float
) -> ReportRow:
    """Return a row that says why nothing was compared.

    Parameters
    ----------
    found : Found
        What was found out, without samples.
    serial, needed, budget : float
        Seconds that a serial sample takes, those that a block needs, and those it has.

    """
    calls = found.repeat * (found.workers if found.subject.variant is None else 1)
    note = (
        f"one call takes {duration(serial / calls)}, so that one block takes about"
        f" {duration(needed)}, more than the budget of {duration(budget)} has: nothing"
        " was compared"
    )
    row = _nothing(found)
    return replace(row, serial_seconds=serial, notes=(*found.notes, note))


def _nothing(found: Found) -> ReportRow:
    """Return a row without figures."""
    nan = math.nan
    return ReportRow(
        target=found.subject.name,
        variant=found.subject.variant,
        pool=found.pool,
        workers=found.workers,
        blocks=0,
        repeat=found.repeat,
        serial_seconds=nan,
        seconds=nan,
        throughput=nan,
        unit=found.subject.unit,
        speedup=Estimate.unknown(),
        interval_kind="anytime",
        single_speedup=Estimate.unknown(),
        ceiling=Estimate.unknown(),
        ceiling_kind="",
        ceiling_fraction=Estimate.unknown(),
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
    )


def _median(logs: Sequence[float], found: Found) -> Estimate:
    """Return the median ratio."""
    if not logs:
        return Estimate.unknown()
    interval = preset_interval if found.preset else anytime_interval
    return Estimate(math.exp(statistics.median(logs)), *interval(logs))


def _width(row: ReportRow, found: Found) -> list[str]:
    """Return what is to be said of how wide the interval is."""
    low, high = row.speedup.interval
    if not math.isfinite(high):
        blocks = f"{row.blocks} block{'s' if row.blocks != 1 else ''}"
        return [f"{blocks}: too few for an interval"]
    if found.precision is None or precise(row.speedup.interval, found.precision):
        return []
    half_width = math.expm1(math.log(high / low) / 2)
    return [
        f"the budget ended it at \u00b1{half_width:.1%}, not \u00b1{found.precision:.1%}"
    ]


def _concurrency(found: Found) -> tuple[float | None, str]:
    """Return the median over the blocks, or what most blocks lack."""
    if not found.ceiling_kind or found.workers == 1:
        return None, "one worker"
    cpus = usable_cpus()
    each = [
        concurrency(alone, together, found.workers, cpus)
        for alone, together in zip(
            found.samples["serial"], found.samples["parallel"], strict=True
        )
    ]
    told = [value for value, _ in each if value is not None]
    if 2 * len(told) > len(each):
        return statistics.median(told), ""
    return None, statistics.mode(doubt for _, doubt in each if doubt)


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
