"""Rounds of fuzzing, each from a seed of its own, so that it can be repeated alone."""

from __future__ import annotations

import faulthandler
import math
import sys
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from . import commands, compiled, files
from .deadline import TooLongError
from .values import HostileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["SUBJECTS", "Found", "rounds"]

STUCK = 60  # seconds after which a round hangs
MOST_FINDINGS = 20

# What is fuzzed: how often, how its targets are found, and what fuzzes one of them.
SUBJECTS: dict[str, tuple[float, Callable[[], list[Any]], Callable[..., int]]] = {
    "compiled": (1.0, compiled.entry_points, compiled.fuzz),
    "files": (0.1, files.records, files.fuzz),
    "commands": (0.002, commands.names, commands.fuzz),
}


@dataclass
class Found:
    """Result of a run."""

    rounds: int = 0
    calls: Counter[str] = field(default_factory=Counter)
    findings: list[tuple[int, str]] = field(default_factory=list)


def rounds(
    subjects: Iterable[str],
    *,
    seed: int,
    calls: int,
    seconds: float = math.inf,
    first: int = 0,
    most: int | None = None,
    at: Callable[[int], None] = lambda _: None,
) -> Found:
    """Fuzz until there were so many calls or rounds.

    Parameters
    ----------
    subjects : iterable of str
        Which of `SUBJECTS`.
    seed, first : int
        Seed of everything, and the number of the first round.
    calls, most : int
        How many calls; or, if `most` is given, how many rounds.
    seconds : float
        How long to go on at most.
    at : callable
        Called with the number of each round before it starts.

    """
    chosen = [(name, *SUBJECTS[name]) for name in subjects]
    targets = {name: find() for name, _, find, _ in chosen}
    found = Found()
    until = time.monotonic() + seconds
    unraisable: list[str] = []

    def remember(what: Any) -> None:
        if not isinstance(what.exc_value, (HostileError, TooLongError)):
            unraisable.append(f"unraisable: {what.exc_value!r} in {what.object!r}")

    before = sys.unraisablehook
    sys.unraisablehook = remember
    try:
        while (
            len(found.findings) < MOST_FINDINGS
            and time.monotonic() < until
            and (found.rounds < most if most is not None else found.calls.total() < calls)
        ):
            number = first + found.rounds
            at(number)
            draw = Random(f"{seed} {number}")
            weights = [weight for _, weight, _, _ in chosen]
            name, _, _, fuzz = draw.choices(chosen, weights)[0]
            if found.rounds % 100 == 0:
                faulthandler.dump_traceback_later(STUCK, exit=True)
            try:
                found.calls[name] += fuzz(draw, targets[name])
            except TooLongError:  # it rang on the way out
                found.calls[name] += 1
            except Exception:
                found.findings.append(
                    (number, traceback.format_exc(limit=-2, chain=False))
                )
            if unraisable:
                found.findings.append((number, unraisable.pop()))
            found.rounds += 1
    finally:
        faulthandler.cancel_dump_traceback_later()
        sys.unraisablehook = before
    return found
