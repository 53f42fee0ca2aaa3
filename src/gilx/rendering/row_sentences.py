"""Sentences on a row of a report: one diagnosis and one advice for each case."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gilx.sampling.site_words import where_held
from gilx.sampling.sites import Site

if TYPE_CHECKING:
    from gilx.speedup.losses import Loss
    from gilx.speedup.report import ReportRow

_ALL = 0.95  # a hold fraction, or a share of the ceiling, that counts as all
_LITTLE = 0.1  # of a worker: smaller losses are not mentioned
_NO_SPEEDUP = 1.2
_PROCESSES_PAY = 1.2  # the speedup of processes from which on they are advised
_WIDE = 0.25  # half-widths of intervals, relative, above which nothing is concluded

SENTENCES = {
    "nothing": ("No times could be compared.", "The notes say why."),
    "A/A: no difference": (
        "Compared with itself, the call shows no difference, as it should be.",
        "",
    ),
    "A/A: few blocks": (
        "Compared with itself: there are too few blocks for a conclusion.",
        "Use a longer budget, or shorter calls.",
    ),
    "A/A: difference": (
        (
            "Compared with itself, the call shows a difference: by chance (as 1 in"
            " 20 does), or because the machine or the call changes."
        ),
        "Repeat it; if the difference stays, do not trust other comparisons here.",
    ),
    "one worker": ("One worker shows the cost of the pool.", ""),
    "few blocks": (
        "There are too few blocks for a conclusion.",
        "Use a longer budget, or shorter calls.",
    ),
    "noise": (
        (
            "The times are too noisy for a conclusion: the machine's speed changes by"
            " more than the difference."
        ),
        "Measure when the machine is idle, or use a longer budget.",
    ),
    "scales": ("The call scales: the workers run side by side.", ""),
    "no ceiling": (
        "The call does not fully scale; the cause is unknown without a ceiling.",
        "Run gilx probe to see whether it holds the GIL.",
    ),
    "GIL: all": (
        "The call holds the GIL all the time{place}: threads cannot help.",
        "Release the GIL in the code that computes.",
    ),
    "GIL: all, processes": (
        "The call holds the GIL all the time{place}: threads cannot help.",
        "Release the GIL in the code that computes, or use processes.",
    ),
    "GIL: part": (
        (
            "The call holds the GIL for {held} of its time{place}: threads cannot make"
            " it more than {most} times as fast."
        ),
        "Release the GIL there, or do less work there.",
    ),
    "GIL: waits": (
        (
            "Workers wait for the GIL, although a call holds it for only {held} of its"
            " time: they take it often, or at the same moments."
        ),
        "Do more work each time that the GIL is released.",
    ),
    "GIL: unknown": ("Workers wait for the GIL.", "Run gilx probe to see in which line."),
    "memory": (
        "The call is limited by memory bandwidth or caches: {native} do no better.",
        "Work on parts of the data that fit the caches.",
    ),
    "CPU work": (
        (
            "The same work takes more CPU time in parallel, because of memory, caches,"
            " or a lock that spins; {native} do better."
        ),
        "Let each thread have data of its own.",
    ),
    "busy": (
        "The call is limited by the machine and other work on it: {native} do no better.",
        "Measure when the machine is idle.",
    ),
    "stops": (
        (
            "All threads are stopped again and again{line}: garbage collection, changes"
            " of types, or calls that stop late."
        ),
        "Create fewer objects that the garbage collector tracks, and change no types.",
    ),
    "locks": (
        "Threads wait for locks{other}{line}.",
        "Let each thread have objects of its own.",
    ),
    "input and output": (
        "Threads wait longer for input and output than one thread does alone.",
        "Look at the device or the other program, which is the limit.",
    ),
    "shared memory": (
        (
            "The same work takes more CPU time in threads than in processes, without a"
            " lock: the cause is memory that threads share, or reference counts."
        ),
        "Let each thread have objects of its own.",
    ),
    "dispatch": (
        "The calls are too short: much of the time goes into handing out the work.",
        "Give each worker more work; gilx grain finds out how much pays.",
    ),
    "imbalance": (
        "Some workers end long before others.",
        "Split the work into smaller parts.",
    ),
    "machine": (
        "The machine was busy: workers waited for a CPU.",
        "Measure when the machine is idle.",
    ),
    "unexplained": (
        (
            "The call does not scale, and nothing shows that the GIL is the cause: it may"
            " be a lock of the call's own, or input and output."
        ),
        "Run gilx probe --verbose to see where threads wait.",
    ),
    # A row from a file may have a cause that is not known here.
    "other": ("The largest loss is {cause}.", ""),
}
"""Diagnosis and advice by case; the advice is empty if nothing has to be done."""


def reading_of(row: ReportRow) -> str:
    """Return the diagnosis of a row, in one sentence."""
    return _sentences(row)[0]


def advice_of(row: ReportRow) -> str:
    """Return the advice on a row, in one sentence; empty if nothing has to be done."""
    return _sentences(row)[1]


def _sentences(row: ReportRow) -> tuple[str, str]:
    case = case_of(row)
    cause = main_loss(row)
    words = {
        "place": _place(row),
        "held": f"{row.held.value:.0%}".replace("%", " %"),
        "most": f"{1 / row.held.value:.2g}" if row.held.value > 0 else "",
        "native": "native threads" if "native" in row.ceiling_kind else "processes",
        # Without a GIL, a held share is unknown.
        "other": " other than the GIL" if row.held.known else "",
        "line": _first_line(cause) if cause is not None else "",
        "cause": cause.cause if cause is not None else "",
    }
    diagnosis, advice = SENTENCES[case]
    return diagnosis.format(**words), advice


def case_of(row: ReportRow) -> str:
    """Return the key in `SENTENCES` for a row."""
    if not row.speedup.known:
        return "nothing"
    if row.is_aa:
        return _case_of_aa(row)
    if row.workers == 1:
        return "one worker"
    if row.held.known and row.held.value >= _ALL and row.speedup.value < _NO_SPEEDUP:
        return _case_of_gil(row)  # no number of blocks would show it faster
    return _case_of_many(row)


def _case_of_many(row: ReportRow) -> str:
    low, high = row.speedup.interval
    if not math.isfinite(high):
        return "few blocks"
    if math.log(max(high, 1e-9) / max(low, 1e-9)) / 2 > _WIDE:
        return "noise"
    if not row.losses:
        return "scales" if _scales(row) else "no ceiling"
    return _case_of_losses(row)


def main_loss(row: ReportRow) -> Loss | None:
    """Return the largest loss, or None if no losses are known."""
    return max(row.losses, key=lambda loss: loss.amount, default=None)


def _scales(row: ReportRow) -> bool:
    """Return whether the speedup is hardly below the number of workers."""
    return row.workers - row.speedup.value <= max(_LITTLE, 0.05 * row.workers)


def _case_of_aa(row: ReportRow) -> str:
    low, high = row.speedup.interval
    if not math.isfinite(high):
        return "A/A: few blocks"
    return "A/A: no difference" if low <= 1 <= high else "A/A: difference"


def _case_of_losses(row: ReportRow) -> str:
    """Return the case of a row whose figures are precise enough."""
    main = max(row.losses, key=lambda loss: loss.amount)
    if _scales(row) or main.amount < _LITTLE:
        return "scales"
    if main.cause == "GIL":
        return _case_of_gil(row)
    # If the ceiling is as low as the speedup, that calls do not run in parallel is not
    # the cause.
    fraction = row.ceiling_fraction
    no_better = fraction.high >= _ALL or fraction.value >= _ALL
    if main.cause == "more CPU work":
        is_memory = no_better and "other work" not in row.ceiling_kind
        return "memory" if is_memory else "CPU work"
    if no_better and main.cause in ("machine", "unexplained"):
        return "busy"
    return main.cause if main.cause in SENTENCES else "other"


def _case_of_gil(row: ReportRow) -> str:
    if not row.held.known:
        return "GIL: unknown"
    if row.held.value >= _ALL:
        processes = (
            row.ceiling.value >= _PROCESSES_PAY and "processes" in row.ceiling_kind
        )
        return "GIL: all, processes" if processes else "GIL: all"
    return "GIL: part" if row.held.value * row.workers > 1 else "GIL: waits"


def _first_line(loss: Loss) -> str:
    """Return the first line of a loss in words, or ''."""
    site = next(iter(loss.sites), None)
    if site is None:
        return ""
    return f", first in {site.place} `{site.text}`" if site.text else f" in {site.place}"


def _place(row: ReportRow) -> str:
    """Return the lines that hold the GIL for most of the held time, in words, or ''."""
    lines = [line for loss in row.losses for line in loss.sites if isinstance(line, Site)]
    where = where_held(lines, held=row.held.value)
    return f", {where}" if where else ""
