"""Advice on a usage of the GIL: one sentence for each case."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gilx.sampling.usage import GilUsage

ADVICE = {
    "inconclusive": "Watch it for longer, or when the machine is idle.",
    "call holds": "Other threads cannot run meanwhile: release the GIL in that code.",
    "call holds in part": "Other threads can run only while it releases the GIL.",
    "call releases": "Other threads can run meanwhile: gilx measure shows the speedup.",
    "threads wait": "Threads wait for the GIL: release it in the first of these lines.",
    "nothing waits": "No thread waits for it: the GIL does not slow this program down.",
    "unknown": "",
}
HOLDS, RELEASES = 0.9, 0.1
"""Hold fractions from which on, and up to which, a call holds or releases the GIL."""
LEAST_WAITING = 0.005  # waiting threads, on average, from which on waits are mentioned


def advice_of(usage: GilUsage) -> str:
    """Return the advice on a usage; empty if there is nothing to advise."""
    return ADVICE[case_of(usage)]


def case_of(usage: GilUsage) -> str:
    """Return the key in `ADVICE` for a usage."""
    if usage.inconclusive_reason:
        return "inconclusive"
    if usage.sums.without_gil:
        return "unknown"
    if not usage.program:
        held = usage.held.value
        if held >= HOLDS:
            return "call holds"
        return "call releases" if held <= RELEASES else "call holds in part"
    if not usage.waited.known:
        return "unknown"
    waits = usage.waited.value >= LEAST_WAITING * usage.wall
    return "threads wait" if waits else "nothing waits"
