"""The picture of a report: speedups and ceilings against workers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from gilx.gilwatch.usage import new_figure

if TYPE_CHECKING:
    from gilx.meter.report import Report, ReportRow

__all__ = ["picture_of"]


def picture_of(report: Report) -> Any:  # noqa: ANN401 - matplotlib is not there for everyone
    """Draw a report, see `Report.plot`."""
    figure = new_figure(8, 5)
    axes = figure.subplots()
    lines: dict[str, list[ReportRow]] = {}
    for row in report.rows:
        if math.isfinite(row.speedup):
            lines.setdefault(f"{row.name}, {row.pool}", []).append(row)
    most = max([2, *(row.workers for row in report.rows)])
    axes.plot([1, most], [1, most], color="0.6", linewidth=1, label="ideal")
    if report.environment.usable_cpus < most:
        axes.axhline(
            report.environment.usable_cpus,
            color="0.6",
            linestyle=":",
            linewidth=1,
            label=f"{report.environment.usable_cpus} usable CPUs",
        )
    for number, (name, rows) in enumerate(lines.items()):
        rows.sort(key=lambda row: row.workers)
        # Points at the same number of workers are set apart, so that none hides.
        shift = 0.03 * (number - (len(lines) - 1) / 2)
        places = [row.workers + shift for row in rows]
        sides: list[list[float]] = [[], []]
        for row in rows:
            low, high = row.speedup_interval
            known = math.isfinite(high)
            sides[0].append(max(0.0, row.speedup - low) if known else 0.0)
            sides[1].append(max(0.0, high - row.speedup) if known else 0.0)
        drawn = axes.errorbar(
            places,
            [row.speedup for row in rows],
            yerr=sides,
            marker="o",
            capsize=4,
            label=name,
        )
        # Hollow: of these nothing is known but the point.
        unknown = [row for row in rows if not math.isfinite(row.speedup_interval[1])]
        axes.plot(
            [row.workers + shift for row in unknown],
            [row.speedup for row in unknown],
            linestyle="",
            marker="o",
            markerfacecolor="white",
            markersize=4,
            markeredgewidth=0,
            zorder=5,
        )
        axes.plot(
            places,
            [row.ceiling for row in rows],
            linestyle="--",
            marker="_",
            markersize=14,
            linewidth=1,
            color=drawn.lines[0].get_color(),
            alpha=0.6,
            label=f"ceiling of {name}",
        )
    axes.set_xlabel("workers")
    axes.set_ylabel("speedup (serial time / parallel time)")
    axes.set_xticks(sorted({1, *(row.workers for row in report.rows)}))
    axes.set_xlim(0.8, most + 0.3)
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, color="0.92")
    axes.legend(fontsize="small", frameon=False)
    axes.set_title(
        report.environment.summary(), fontsize="x-small", color="0.4", wrap=True
    )
    return figure
