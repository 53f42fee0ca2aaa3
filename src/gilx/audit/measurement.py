"""Measurements of an audit."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from gilx.audit.comparison import LEAST, compare
from gilx.audit.record import Audit, Line
from gilx.errors import WatchUnavailableError, number_between
from gilx.estimate import Estimate
from gilx.formatting import one_line, printable
from gilx.sampling.probe import probe_warm
from gilx.speedup.measure import measure
from gilx.system.environment import Environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.audit.plan import Plan, PlanEntry, PlannedCall
    from gilx.sampling.usage import GilUsage
    from gilx.speedup.report import ReportRow

_IN_SETUP = re.compile(r"<setup of .*?>:(\d+)", re.DOTALL)
_PRECISION = 0.01  # of the hold fraction
_PROBE = 0.25  # of the budget that goes into the hold fraction


def perform(
    plan: Plan,
    *,
    baseline: Audit | None = None,
    least: float = LEAST,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Audit:
    """Measure every call of a plan: how much of it holds the GIL, and how it scales.

    Parameters
    ----------
    plan : Plan
        What to measure.
    baseline : Audit, optional
        An earlier audit. A line that looks better or worse than in this one is measured
        once more, and the second figures are kept: among many lines some look changed by
        chance, but seldom twice.
    least, force : float, bool
        How to compare with the baseline, as `compare` has them.
    progress : callable, optional
        Called with a line of text between measurements.

    Returns
    -------
    Audit
        A line for each call and size, in the order of the plan. A call that raises is a
        line that says so; the others go on.

    Raises
    ------
    ArgumentError
        The baseline is of another machine, or `least` is out of range.

    """
    least = number_between("least", least, 0, 1)
    environment = Environment.here()
    if baseline is not None:
        # A baseline that can't be used is refused before minutes are spent.
        compare(baseline, Audit((), environment), least=least, force=force)
    cases = [(entry, size) for entry in plan.entries for size in entry.sizes]
    lines = []
    for number, (entry, size) in enumerate(cases, 1):
        where = f"{number} of {len(cases)}, {entry.name}: "
        line = _line(entry, size, where, progress)
        if baseline is not None:
            alone = Audit((line,), environment)
            changes = compare(baseline, alone, least=least, force=force)
            if any(change.verdict in ("better", "worse") for change in changes):
                line = _line(entry, size, f"{where}again: ", progress)
        lines.append(line)
    if progress is not None:
        progress("")
    # Modules that the calls import may have turned the GIL on.
    return Audit(tuple(lines), Environment.here())


def _line(
    entry: PlanEntry,
    size: int | None,
    where: str,
    progress: Callable[[str], None] | None,
) -> Line:
    def show(text: str) -> None:
        if progress is not None and text:
            progress(f"{where}{text}")

    try:
        show("setup")
        call = entry.call(size)
        scaling = tuple(
            _scaling(call, workers, entry.budget, show) for workers in entry.workers
        )
        show("hold fraction")
        usage, reason = _usage(call, entry.budget * _PROBE)
    except Exception as error:
        return Line(
            name=entry.name,
            size=size,
            seconds=math.nan,
            held=Estimate.unknown(),
            longest_hold=Estimate.unknown(),
            where="",
            inconclusive_reason="",
            scaling=(),
            error=one_line(error),
            claim=entry.claim,
        )
    return Line(
        name=entry.name,
        size=size,
        seconds=math.nan if usage is None else usage.wall / usage.repeats,
        held=Estimate.unknown() if usage is None else usage.held,
        longest_hold=Estimate.unknown() if usage is None else usage.longest_hold,
        where="" if usage is None else _place(usage.main_line()[1], entry.setup),
        inconclusive_reason=reason,
        scaling=scaling,
        claim=entry.claim,
    )


def _place(where: str, setup: str) -> str:
    """Return a place, and for a line of a setup its text, which no file has."""
    found = _IN_SETUP.match(where)
    if found is None:
        return where
    text = setup.splitlines()[int(found[1]) - 1].strip()
    return printable(f"setup:{found[1]} `{text}`{where[found.end() :]}")


def _usage(call: PlannedCall, budget: float) -> tuple[GilUsage | None, str]:
    try:
        # The first calls, which may compile or fill a cache, were made for the speedup.
        usage = probe_warm(call, (), _PRECISION, budget)
    except WatchUnavailableError as error:
        return None, str(error)
    return usage, usage.inconclusive_reason


def _scaling(
    call: PlannedCall, workers: int, budget: float, progress: Callable[[str], None]
) -> ReportRow:
    report = measure(
        call, workers=workers, budget=budget * (1 - _PROBE), progress=progress
    )
    return report.rows[0].without_samples()
