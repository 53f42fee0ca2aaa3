"""The picture of a report: speedups and ceilings against workers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gilx.rendering.matplotlib_figure import new_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilx.speedup.report import Report, ReportRow

__all__ = ["picture_of"]

_GREY = "0.5"
_APART = 0.03  # workers: points at the same number are set apart, so that none hides


def picture_of(report: Report) -> Any:  # noqa: ANN401 - matplotlib is not there for everyone
    """Draw a report, see `Report.plot`."""
    figure = new_figure(9, 5)
    axes = figure.subplots()
    rows = [row for row in report.rows if row.speedup.known]
    lines: dict[str, list[ReportRow]] = {}
    for row in rows:
        lines.setdefault(f"{row.name}, {row.pool}", []).append(row)
    most = max([2, *(row.workers for row in report.rows)])
    axes.plot([1, most], [1, most], color=_GREY, linewidth=1, label="ideal")
    cpus = report.environment.usable_cpus
    if cpus < most:
        words = f"{cpus} usable CPU{'s' if cpus != 1 else ''}"
        axes.axhline(cpus, color=_GREY, linestyle=":", linewidth=1, label=words)
    if any(row.ceiling.known for row in rows):
        # One entry for all of them: each has the colour of its line.
        axes.plot([], [], **_CEILING, color=_GREY, label="ceiling, in its line's colour")
    for number, (name, of_line) in enumerate(lines.items()):
        shift = _APART * (number - (len(lines) - 1) / 2)
        _draw(axes, name, sorted(of_line, key=lambda row: row.workers), shift, number)
    axes.set_xlabel("workers")
    axes.set_ylabel("speedup (serial time / parallel time)")
    axes.set_xticks(sorted({1, *(row.workers for row in report.rows)}))
    axes.set_xlim(0.8, most + 0.3)
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, color="0.92")
    figure.legend(loc="outside right upper", fontsize="small", frameon=False)
    figure.suptitle(report.environment.summary(), fontsize="x-small", color="0.4")
    return figure


_CEILING: dict[str, Any] = {
    "linestyle": "--",
    "marker": "_",
    "markersize": 14,
    "linewidth": 1,
    "alpha": 0.7,
}


def _draw(
    axes: Any,  # noqa: ANN401 - matplotlib's
    name: str,
    rows: Sequence[ReportRow],
    shift: float,
    number: int,
) -> None:
    """Draw one target, variant and pool: points with intervals, and their ceiling."""
    colour = f"C{number % 10}"
    places = [row.workers + shift for row in rows]
    sides: list[list[float]] = [[], []]
    for row in rows:
        speedup, known = row.speedup, row.speedup.bounded
        sides[0].append(max(0.0, speedup.value - speedup.low) if known else 0.0)
        sides[1].append(max(0.0, speedup.high - speedup.value) if known else 0.0)
    axes.errorbar(
        places,
        [row.speedup.value for row in rows],
        yerr=sides,
        marker="o",
        capsize=4,
        color=colour,
        label=name,
    )
    # Hollow: of these nothing is known but the point.
    unknown = [row for row in rows if not row.speedup.bounded]
    axes.plot(
        [row.workers + shift for row in unknown],
        [row.speedup.value for row in unknown],
        linestyle="",
        marker="o",
        markerfacecolor="white",
        markersize=4,
        markeredgewidth=0,
        zorder=5,
    )
    axes.plot(places, [row.ceiling.value for row in rows], **_CEILING, color=colour)
