"""Comparison of two audits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilx.errors import ArgumentError, number_between
from gilx.estimate import Estimate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gilx.audit.record import Audit, Line

LEAST = 0.05
"""Default of the smallest difference that counts."""


@dataclass(frozen=True)
class AuditChange:
    """One figure of one line, before and after."""

    label: str
    """The call and its size."""
    figure: str
    """'held', 'of ceiling, N workers', or 'call': whether it can be made at all."""
    before: Estimate
    after: Estimate
    verdict: str
    """'better', 'worse', 'no difference', or 'unknown' if one of the two is not known."""


def compare(
    before: Audit, after: Audit, *, least: float = LEAST, force: bool = False
) -> list[AuditChange]:
    """Return the changes of figures of both audits, in the order of the second.

    A figure got better or worse if its intervals, at 95 %, do not overlap and it moved
    by at least `least`. Hold fractions and ceiling fractions are compared: machines are
    faster at some times than at others, and these figures change least with that. A
    ceiling fraction above 1 counts as 1, since the excess is due to the ceiling only, and
    fractions are not compared if their ceilings differ by `least`. Longest holds are not
    compared, since the longest of more calls is longer.

    Parameters
    ----------
    before, after : Audit
        The earlier and the later audit.
    least : float
        The smallest difference that counts, 0 to 1, as a share: 0.05 is 5 points of the
        hold fraction, or of the ceiling fraction.
    force : bool
        Compare them even if they are from different machines.

    Raises
    ------
    ArgumentError
        The audits are from different machines, or only one had the GIL; or
        `least` is out of range.

    """
    least = number_between("least", least, 0, 1)
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
        yield AuditChange(label, "call", Estimate.unknown(), Estimate.unknown(), verdict)
        return
    then, now = (
        Estimate.unknown() if line.inconclusive_reason else line.held
        for line in (before, after)
    )
    yield _change((label, "held"), then, now, least, good=-1)
    earlier = {scaling.workers: scaling for scaling in before.scaling}
    for scaling in after.scaling:
        old = earlier.get(scaling.workers)
        if old is None:
            continue
        # Fractions of different ceilings say nothing about each other.
        same = scaling.ceiling_kind == old.ceiling_kind and not _apart(
            old.ceiling, scaling.ceiling, least
        )
        yield _change(
            (label, f"of ceiling, {scaling.workers} workers"),
            _at_most_all(old.ceiling_fraction),
            _at_most_all(scaling.ceiling_fraction) if same else Estimate.unknown(),
            least,
            good=1,
        )


def _apart(before: Estimate, after: Estimate, least: float) -> bool:
    """Return whether the machine itself achieved more or less than before."""
    if not (before.bounded and after.bounded) or before.overlaps(after):
        return False
    return abs(after.value - before.value) >= least * before.value


def _at_most_all(share: Estimate) -> Estimate:
    """Return a share, limited to 1; one without bounds is not changed."""
    if not share.bounded:
        return share
    return Estimate(*(min(1.0, end) for end in (share.value, *share.interval)))


def _change(
    names: tuple[str, str],
    before: Estimate,
    after: Estimate,
    least: float,
    *,
    good: int,
) -> AuditChange:
    if not (before.bounded and after.bounded):
        verdict = "unknown"
    elif abs(after.value - before.value) < least or before.overlaps(after):
        verdict = "no difference"
    else:
        verdict = "better" if (after.value > before.value) == (good > 0) else "worse"
    return AuditChange(*names, before, after, verdict)
