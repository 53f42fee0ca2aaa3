"""Fraction of the ceiling that each kernel reaches on Python's threads.

For every kernel c-nogil on two threads, at its default size, in blocks with the native
team. Run it with nothing else running::

    python benchmarks/speed/scaling.py [--budget S] [KERNEL ...]

``--budget`` is for each kernel. ``gilx measure KERNEL`` measures other variants, pools
and numbers of workers, and names what is lost.
"""

from __future__ import annotations

from figures import Figure, Measured, run_script

import gilx
from gilx.system.environment import usable_cpus

__all__ = ["measure"]

WORKERS = 2
FULL, QUICK = 12.0, 2.5  # seconds for each kernel
# Relative: what is wanted of the kernels lies a few times as far from what they reach.
PRECISION = 0.004


def measure(subject: str, budget: float) -> Measured:
    """Measure c-nogil on two of Python's threads, for so many seconds."""
    if usable_cpus() < WORKERS:
        why = f"needs {WORKERS} CPUs that this process may use"
        return Measured((), {"ceiling fraction": why})
    report = gilx.measure(
        subject, variants=["c-nogil"], workers=WORKERS, budget=budget, precision=PRECISION
    )
    [row] = report.rows
    if row.comparison.blocks == 0:
        return Measured((), {"ceiling fraction": "; ".join(row.notes)})
    figures = (
        Figure(
            "ceiling fraction",
            row.ceiling_fraction.value,
            *row.ceiling_fraction.interval,
            note="; ".join(row.notes),
        ),
        Figure("speedup", row.speedup.value, *row.speedup.interval),
        Figure("ceiling", row.ceiling.value, *row.ceiling.interval),
    )
    return Measured(figures, samples=row.comparison.samples)


if __name__ == "__main__":
    run_script(__doc__, measure, gilx.kernels.names(), budget=FULL)
