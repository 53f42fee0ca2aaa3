"""Two audits beside each other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilx.errors import ArgumentError, number_between

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilx.audit.record import Audit, Line

__all__ = ["LEAST", "AuditChange", "compare"]

LEAST = 0.05
"""The smallest difference that counts, where nothing else is said."""
_NAN = math.nan
_ANY = (0.0, math.inf)


@dataclass(frozen=True)
class AuditChange:
    """One figure of one line, then and now."""

    label: str
    """The call and its size."""
    figure: str
    """'held', 'of ceiling, N workers', or 'call': whether it can be made at all."""
    before: float
    before_interval: tuple[float, float]
    after: float
    after_interval: tuple[float, float]
    verdict: str
    """'better', 'worse', 'no difference', or 'unknown' where one of them is not known."""


def compare(
    before: Audit, after: Audit, *, least: float = LEAST, force: bool = False
) -> list[AuditChange]:
    """Return what two audits have in common, in the order of the second.

    A figure got better or worse if its intervals, at 95 %, do not overlap and it moved
    by at least `least`. Hold fractions and shares of the ceiling are compared: machines
    have better and worse days, and those move least with them. Longest holds are not,
    since the longest of more calls is longer.

    Parameters
    ----------
    before, after : Audit
        Then and now.
    least : float
        The smallest difference that counts, 0 to 1, as a share: 0.05 is 5 points of the
        hold fraction, or of the share of the ceiling.
    force : bool
        Compare them even if they are from different machines.

    Raises
    ------
    ArgumentError
        They are from different machines, or one had the GIL and the other not; or
        `least` is out of range.

    """
    number_between("least", least, 0, 1)
    if not force:
        _same_machine(before, after)
    old = {(line.name, line.size): line for line in before.lines}
    changes: list[AuditChange] = []
    for line in after.lines:
        earlier = old.get((line.name, line.size))
        if earlier is not None:
            changes += _changes(earlier, line, least)
    return changes


def _same_machine(before: Audit, after: Audit) -> None:
    here, there = after.environment, before.environment
    differs = list(here.same_machine(there).machine)
    if here.gil != there.gil:
        on, off = ("here", "there") if here.gil else ("there", "here")
        differs.append(f"a GIL {on}, none {off}")
    if differs:
        raise ArgumentError(
            f"baseline: expected an audit of this machine, got one of another"
            f" ({'; '.join(differs)})"
        )


def _changes(before: Line, after: Line, least: float) -> Iterator[AuditChange]:
    label = after.label
    if before.error or after.error:
        verdict = "no difference"
        if not before.error:
            verdict = "worse"
        elif not after.error:
            verdict = "better"
        yield AuditChange(label, "call", _NAN, _ANY, _NAN, _ANY, verdict)
        return
    held = [_NAN if line.doubt else line.held for line in (before, after)]
    yield _change(
        (label, "held"),
        (held[0], before.held_interval),
        (held[1], after.held_interval),
        least,
        good=-1,
    )
    earlier = {scaling.workers: scaling for scaling in before.scaling}
    for now in after.scaling:
        then = earlier.get(now.workers)
        if then is None:
            continue
        # Shares of different ceilings say nothing about each other.
        share = now.of_ceiling if now.ceiling_kind == then.ceiling_kind else _NAN
        yield _change(
            (label, f"of ceiling, {now.workers} workers"),
            (then.of_ceiling, then.of_ceiling_interval),
            (share, now.of_ceiling_interval),
            least,
            good=1,
        )


def _change(
    names: tuple[str, str],
    before: tuple[float, tuple[float, float]],
    after: tuple[float, tuple[float, float]],
    least: float,
    *,
    good: int,
) -> AuditChange:
    (then, (then_low, then_high)), (now, (now_low, now_high)) = before, after
    if math.isnan(then) or math.isnan(now) or math.inf in (then_high, now_high):
        verdict = "unknown"
    elif abs(now - then) < least or (now_low <= then_high and then_low <= now_high):
        verdict = "no difference"
    else:
        verdict = "better" if (now > then) == (good > 0) else "worse"
    return AuditChange(*names, then, before[1], now, after[1], verdict)
