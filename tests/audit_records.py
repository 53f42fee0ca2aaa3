"""Made-up audits, and plans written to files."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gilx.audit import Audit, Line
from gilx.estimate import Estimate
from gilx.system.environment import Environment
from tests.made_up_rows import ROW, changed

if TYPE_CHECKING:
    from pathlib import Path

    from gilx import ReportRow

__all__ = ["audit", "line", "scaling", "written"]


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "audit.toml"
    path.write_text(text)
    return path


def scaling(fraction: float, width: float = 0.01, **changes: Any) -> ReportRow:
    """A row whose threads reach a fraction of the ceiling, but for the changes."""
    figures: dict[str, Any] = {
        "speedup": Estimate(2 * fraction, 1.0, 2.0),
        "ceiling": Estimate(2.0, 1.9, 2.1),
        "ceiling_fraction": Estimate(fraction, fraction - width, fraction + width),
        "notes": (),
        **changes,
    }
    return changed(ROW, **figures)


def line(held: float, share: float, **changes: Any) -> Line:
    made = Line(
        name="f",
        size=None,
        seconds=0.1,
        held=Estimate(held, held - 0.01, held + 0.01),
        longest_hold=Estimate(0.1, 0.05, 0.15),
        where="features.py:41 `row.tolist()`",
        inconclusive_reason="",
        scaling=(scaling(share),),
    )
    return replace(made, **changes)


def audit(*lines: Line) -> Audit:
    return Audit(lines, Environment.here())
