"""Two reports beside each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilx.errors import ArgumentError

if TYPE_CHECKING:
    from gilx.speedup.report import Report, ReportRow


@dataclass(frozen=True)
class RowChange:
    """The same target, variant, pool and workers in two reports."""

    before: ReportRow
    after: ReportRow

    @property
    def verdict(self) -> str:
        """'better', 'worse' or 'no difference'; 'unknown' if an interval is not known.

        Judged by the share of the ceiling, since machines have better and worse days; by
        the speedup if a report has no ceiling. Fractions of different ceilings say
        nothing about each other, and are unknown. Two intervals at 95 % that do not
        overlap are more than a difference at 95 %.
        """
        before, after = self.before, self.after
        if before.ceiling_kind != after.ceiling_kind:
            return "unknown"
        then, now = before.ceiling_fraction, after.ceiling_fraction
        if not then.known:
            then, now = before.speedup, after.speedup
        if not (then.bounded and now.bounded):
            return "unknown"
        if then.overlaps(now):
            return "no difference"
        return "worse" if now.high < then.low else "better"


def compare(before: Report, after: Report, *, force: bool = False) -> list[RowChange]:
    """Return what two reports have in common, in the order of the first.

    Parameters
    ----------
    before, after : Report
        What `gilx.measure` returned, then and now.
    force : bool
        Compare them even if they are from different machines.

    Raises
    ------
    ArgumentError
        They are from different machines, or have no row in common.

    """
    same = before.environment.same_machine(after.environment)
    if not same and not force:
        raise ArgumentError(
            "after: expected a report from the same machine, got one from another"
            f" ({'; '.join(same.machine)})"
        )
    rows = {_key(row): row for row in after.rows}
    changes = [
        RowChange(row, rows[_key(row)]) for row in before.rows if _key(row) in rows
    ]
    if not changes:
        ours, theirs = (
            ", ".join(sorted({f"{row.name} on {row.pool}" for row in report.rows}))
            for report in (before, after)
        )
        raise ArgumentError(
            f"after: expected a row that the other report has ({ours}), got {theirs}"
        )
    return changes


def _key(row: ReportRow) -> tuple[str, str | None, str, int, bool]:
    return row.target, row.variant, row.pool, row.workers, row.is_aa
