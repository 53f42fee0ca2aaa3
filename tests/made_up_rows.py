"""Made-up comparisons and rows of reports."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

from gilx import Comparison, Estimate, Loss, ReportRow

__all__ = ["COMPARISON", "ROW", "changed"]

COMPARISON = Comparison(
    workers=2,
    blocks=20,
    level=0.95,
    interval_kind="anytime",
    serial_seconds=0.2,
    seconds=0.19,
    speedup=Estimate(1.05, 1.04, 1.06),
    single_speedup=Estimate.unknown(),
    ceiling=Estimate(1.98, 1.96, 1.99),
    ceiling_kind="the same calls in processes",
    ceiling_fraction=Estimate(0.53, 0.52, 0.54),
    ceiling_fraction_without_waits=Estimate(0.52, 0.51, 0.53),
    control=1.99,
    cpu_overlap=0.51,
    serial_cpu_seconds=0.2,
    cpu_seconds=0.21,
    voluntary_switches=3.5,
    involuntary_switches=1.0,
    run_queue_wait=0.001,
    steal=0.0,
    throttled=None,
    losses=(Loss("GIL", 0.9, "waits"), Loss("unexplained", 0.05, "the rest")),
)
"""Two threads that take turns."""

ROW = ReportRow(
    target="f",
    variant=None,
    pool="threads",
    repeat=3,
    throughput=31.6,
    unit="calls",
    held=Estimate(0.99, 0.98, 1.0),
    outcome="fail",
    comparison=COMPARISON,
    notes=("a <note>",),
)
"""The same, as a row."""

_OF_COMPARISON = {field.name for field in fields(Comparison)}


def changed(row: ReportRow, **changes: Any) -> ReportRow:
    """Return a row with other fields, of its own or of its comparison.

    Figures may be given as numbers; those that are numbers then have no interval.
    """
    inner = {name: changes.pop(name) for name in list(changes) if name in _OF_COMPARISON}
    for given, record in ((changes, row), (inner, row.comparison)):
        for name, value in given.items():
            if isinstance(getattr(record, name), Estimate) and isinstance(value, float):
                given[name] = Estimate(value, 0.0, math.inf)
    return replace(row, **changes, comparison=replace(row.comparison, **inner))
