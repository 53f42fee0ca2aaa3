"""Advice on a usage of the GIL: one sentence for each case."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gilx.sampling.usage import GilUsage

ADVICE = {
    "inconclusive": "Watch for longer, or when the machine is idle.",
    "GIL turned on": (
        "Keep the GIL off, or watch again: gilx doctor names the module that needs it."
    ),
    "call holds": "Other threads cannot run meanwhile: release the GIL in that code.",
    "call holds in part": "Other threads can run only while the call releases the GIL.",
    "call releases": "Other threads can run meanwhile: gilx measure shows the speedup.",
    "threads wait": "Threads wait for the GIL: release it in the first of these lines.",
    "threads wait, lines unknown": (
        "Threads wait for the GIL: release it in the code that holds it for long."
    ),
    "nothing waits": "No thread waits for the GIL: it does not slow this program down.",
    "unknown": "",
}
GIL_TURNED_ON = "the GIL was turned on during the watch"
"""Start of `inconclusive_reason` if the watch began without a GIL."""
PART_WITHOUT_GIL = "the process executed a program that ran without a GIL"
"""Start of `inconclusive_reason` if a process had a GIL for a part of the time only."""
_CASES = {GIL_TURNED_ON: "GIL turned on", PART_WITHOUT_GIL: "unknown"}
HOLDS, RELEASES = 0.9, 0.1
"""Least hold fraction of a call that holds the GIL; largest of one that releases it."""
LEAST_WAITING = 0.005  # average number of waiting threads from which it is mentioned


def advice_of(usage: GilUsage) -> str:
    """Return the advice on a usage; empty if there is nothing to advise."""
    return ADVICE[case_of(usage)]


def gil_turned_on(usage: GilUsage) -> bool:
    """Return whether a watch that began without a GIL ended with one."""
    return usage.inconclusive_reason.startswith(GIL_TURNED_ON)


def case_of(usage: GilUsage) -> str:
    """Return the key in `ADVICE` for a usage."""
    if reason := usage.inconclusive_reason:
        starts = (start for start in _CASES if reason.startswith(start))
        return _CASES.get(next(starts, ""), "inconclusive")
    if usage.sums.without_gil:
        return "unknown"
    if not usage.program:
        held = usage.held.value
        if held >= HOLDS:
            return "call holds"
        return "call releases" if held <= RELEASES else "call holds in part"
    return _case_of_program(usage)


def _case_of_program(usage: GilUsage) -> str:
    if not usage.waited.known:
        return "unknown"
    if usage.waited.value < LEAST_WAITING * usage.wall:
        return "nothing waits"
    return "threads wait" if usage.sites else "threads wait, lines unknown"
