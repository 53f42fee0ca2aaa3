"""Reports in words: the table, and what a row means."""

from __future__ import annotations

import html
import math
from typing import TYPE_CHECKING

from gilx.formatting import (
    between,
    duration,
    percent,
    table_with_remarks,
    times,
    wrapped,
)
from gilx.sampling.site_words import where_held
from gilx.sampling.sites import Site
from gilx.system.diagnostics import examine

if TYPE_CHECKING:
    from gilx.speedup.losses import Loss
    from gilx.speedup.report import Report, ReportRow

COLUMNS = (
    *("target", "pool", "workers", "time", "speedup", "95 %", "ceiling", "of ceiling"),
    "reading",
)

_ALL = 0.95  # a hold fraction, or a share of the ceiling, that is said to be all
_LITTLE = 0.1  # of a worker: losses below that are not spoken of
_NO_SPEEDUP = 1.2
_PROCESSES_PAY = 1.2  # the speedup of processes from which on they are advised
_SCALES = "scales: the workers run side by side"
_WIDE = 0.25  # half-widths of intervals, relative, above which nothing is said


def cells(row: ReportRow) -> tuple[str, ...]:
    """Return a row's cells, one for each of `COLUMNS`."""
    return (
        row.name,
        row.pool,
        str(row.workers),
        duration(row.seconds),
        times(row.speedup.value),
        between(*row.speedup.interval),
        times(row.ceiling.value),
        f"{row.ceiling_fraction.value:.0%}".replace("%", " %")
        if row.ceiling_fraction.known
        else "-",
        row.reading,
    )


def text_of(report: Report) -> str:
    """Return a report as a plain table, each row followed by what it means."""
    table = table_with_remarks(
        COLUMNS[:-1],
        [cells(row)[:-1] for row in report.rows],
        [remarks_of(row) for row in report.rows],
        right=range(2, 8),
    )
    lines = [*wrapped(report.environment.summary()), "", table]
    warnings = warnings_of(report)
    if warnings:
        lines += ["", "Warnings about these figures:"]
        for words in warnings:
            lines += wrapped(words, "* ", "  ", whole_words=True)
    return "\n".join(lines)


def html_table_of(report: Report) -> str:
    """Return a report as a table of HTML, for notebooks."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in COLUMNS)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in cells(row)) + "</tr>"
        for row in report.rows
    )
    return (
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        f"<p>{html.escape(report.environment.summary())}</p>"
        + "".join(f"<p>{html.escape(words)}</p>" for words in warnings_of(report))
    )


def warnings_of(report: Report) -> list[str]:
    """Return the warnings about the machine and its conditions, a sentence each."""
    found = examine(report.environment, report.conditions)
    return [str(finding) for finding in found if finding.is_warning]


def remarks_of(row: ReportRow) -> list[str]:
    """Return what a row means, what is missing, how it was measured, and its notes."""
    remarks = [row.reading]
    if row.losses and row.workers > 1 and row.speedup.known:
        missing = row.workers - row.speedup.value
        parts = [
            f"{loss.cause} {loss.amount:+.2f}"
            for loss in sorted(row.losses, key=lambda loss: -abs(loss.amount))
            if abs(loss.amount) >= 0.005
        ]
        remarks.append(f"missing {missing:.2f} of {row.workers}: {', '.join(parts)}")
    if row.comparison.blocks:
        remarks.append(_made_of(row))
    return remarks + [f"note: {note}" for note in row.notes]


def _made_of(row: ReportRow) -> str:
    """Return how a row was measured, and its less important figures."""
    made = row.comparison
    words = [f"{made.blocks} block{'s' if made.blocks != 1 else ''}, M = {row.repeat}"]
    if row.throughput is not None:
        words.append(f"{row.throughput:.3g} {row.unit}/s")
    cpu, serial = duration(made.cpu_seconds), duration(made.serial_cpu_seconds)
    words.append(f"CPU {cpu} (serial {serial})")
    if made.single_speedup.known:
        words.append(
            f"single calls {times(made.single_speedup.value)}"
            f" ({between(*made.single_speedup.interval)})"
        )
    if made.control is not None:
        words.append(f"control {times(made.control)}")
    if made.cpu_overlap is not None:
        words.append(f"CPU overlap {percent(made.cpu_overlap)}")
    if row.held.known:
        words.append(f"held {percent(row.held.value)}")
    if made.run_queue_wait is not None:
        words.append(f"run queue {duration(made.run_queue_wait)}")
    if made.voluntary_switches is not None and made.involuntary_switches is not None:
        words.append(
            f"switches {made.voluntary_switches:.3g} + {made.involuntary_switches:.3g}"
        )
    if row.ceiling_kind:
        words.append(f"ceiling: {row.ceiling_kind}")
    if row.outcome is not None:
        words.append(f"assert_scales: {row.outcome}")
    return "; ".join(words)


def reading_of(row: ReportRow) -> str:
    """Return what a row means, in plain words."""
    if not row.speedup.known:
        return "nothing could be compared"
    if row.is_aa:
        return _of_null(row)
    if row.workers == 1:
        return "one worker: shows what the pool costs"
    return _of_many(row)


def _of_many(row: ReportRow) -> str:
    low, high = row.speedup.interval
    if row.held.known and row.held.value >= _ALL and row.speedup.value < _NO_SPEEDUP:
        return _of_the_gil(row)  # no number of blocks would show it faster
    if not math.isfinite(high):
        return "too few blocks to tell: a longer budget, or shorter calls, would"
    if math.log(max(high, 1e-9) / max(low, 1e-9)) / 2 > _WIDE:
        return "too noisy to tell: the machine's speed changes by more than is compared"
    if not row.losses:
        unknown = "does not fully scale; the reason is unknown without a ceiling"
        return _SCALES if _scales(row) else unknown
    return _limit(row)


def _scales(row: ReportRow) -> bool:
    """Return whether hardly anything is missing to the number of workers."""
    return row.workers - row.speedup.value <= max(_LITTLE, 0.05 * row.workers)


def _of_null(row: ReportRow) -> str:
    low, high = row.speedup.interval
    if not math.isfinite(high):
        return "compared with itself: too few blocks to tell"
    if low <= 1 <= high:
        return "compared with itself: no difference, as it should be"
    return (
        "compared with itself, it differs: by chance (1 of 20 does), or because the"
        " machine or the callable changes"
    )


def _limit(row: ReportRow) -> str:
    """Return what limits a row whose figures are precise enough."""
    main = max(row.losses, key=lambda loss: loss.amount)
    if _scales(row) or main.amount < _LITTLE:
        return _SCALES
    if main.cause == "GIL":
        return _of_the_gil(row)
    # The ceiling was as low: then it is not for want of parallel calls.
    fraction = row.ceiling_fraction
    no_better = fraction.high >= _ALL or fraction.value >= _ALL
    native = "native threads" if "native" in row.ceiling_kind else "processes"
    if main.cause == "more CPU work":
        if no_better and "other work" not in row.ceiling_kind:
            return f"limited by memory bandwidth or caches: {native} do no better"
        return (
            "the same work takes more CPU time in parallel: memory, caches, or a lock"
            f" that spins; {native} do better"
        )
    if no_better and main.cause in ("machine", "unexplained"):
        return f"limited by the machine and its neighbours: {native} do no better"
    return {
        "stops": f"all threads are stopped again and again{_first_line(main)}: garbage"
        " collection, changes of types, or calls that stop late",
        "locks": f"threads wait for locks other than the GIL{_first_line(main)}: let each"
        " thread have objects of its own",
        "input and output": "threads wait longer for input and output than one does"
        " alone: a device or another program is the limit",
        "shared memory": "the same work takes more CPU time in threads than in processes,"
        " and no lock was found: memory that threads share, or reference counts",
        "dispatch": "too short: much of the time goes into handing the work out",
        "imbalance": "some workers end long before others: split the work finer",
        "machine": "the machine was busy: workers waited for a CPU",
        "unexplained": "does not scale, and not because of the GIL as far as can be seen:"
        " a lock of its own, or input and output",
        # Read from a file, it may have a name that is not known here.
    }.get(main.cause, f"the largest loss is {main.cause}")


def _first_line(loss: Loss) -> str:
    """Return the first line of a loss in words, or ''."""
    site = next(iter(loss.sites), None)
    if site is None:
        return ""
    return f", first in {site.place} `{site.text}`" if site.text else f" in {site.place}"


def _of_the_gil(row: ReportRow) -> str:
    if not row.held.known:
        return "workers wait for the GIL"
    if row.held.value >= _ALL:
        processes = (
            row.ceiling.value >= _PROCESSES_PAY and "processes" in row.ceiling_kind
        )
        return f"holds the GIL all the time{_place(row)}: threads cannot help" + (
            ", processes would" if processes else ""
        )
    held = f"{row.held.value:.0%}".replace("%", " %")
    if row.held.value * row.workers > 1:
        return (
            f"holds the GIL for {held} of its time{_place(row)}: threads can't make it"
            f" more than {1 / row.held.value:.2g} times as fast"
        )
    return (
        f"workers wait for the GIL, although a call holds it for {held} of its time only:"
        " it is taken often, or at the same moments"
    )


def _place(row: ReportRow) -> str:
    """Return the lines that hold the GIL for most of the held time, in words, or ''."""
    lines = [line for loss in row.losses for line in loss.sites if isinstance(line, Site)]
    where = where_held(lines, held=row.held.value)
    return f", {where}" if where else ""
