"""How much of the ceiling each kernel reaches on Python's threads.

For every kernel the variants c-nogil and c-gil on two threads, at its default size, in
blocks with the native team. Run it with nothing else running, in pieces if need be::

    python benchmarks/speed/scaling.py [--kernels K,K...] [--workers N] [--budget S]
        [--pools P,P...] [--json FILE]

``--budget`` is for each kernel. The JSON is a report that ``gilx compare`` reads.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

from figures import Figure, Measured

import gilx
from gilx.cli.file_options import save
from gilx.formatting import format_table
from gilx.system.environment import describe, usable_cpus

__all__ = ["measure"]

WORKERS = 2
BUDGET, QUICK = 12.0, 2.5
# Relative: what is wanted of the kernels lies a few times as far from what they reach.
PRECISION = 0.004


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernels", default=",".join(gilx.kernels.names()))
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--pools", default="threads")
    parser.add_argument("--budget", type=float, default=BUDGET)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()

    reports = [
        gilx.measure(
            name,
            pools=options.pools.split(","),
            workers=options.workers,
            budget=options.budget,
        )
        for name in options.kernels.split(",")
    ]
    rows = [row for report in reports for row in report.rows]
    print(describe())
    head = ("kernel", "pool", "speedup", "95 %", "ceiling", "of ceiling", "main losses")
    print(
        format_table(
            head,
            [
                (
                    row.name,
                    row.pool,
                    f"{row.speedup:.2f}",
                    Figure("speedup", row.speedup.value, *row.speedup.interval).between(),
                    f"{row.ceiling:.2f}",
                    f"{row.ceiling_fraction:.3f}",
                    ", ".join(
                        f"{loss.cause} {loss.amount:.2f}"
                        for loss in sorted(row.losses, key=lambda one: -one.amount)[:2]
                    ),
                )
                for row in rows
            ],
            right=(2, 4, 5),
        )
    )
    if options.json is not None:
        save("--json", options.json, replace(reports[0], rows=tuple(rows)).to_json())


def measure(subject: str, *, quick: bool = False) -> Measured:
    """Measure a kernel for the suite: c-nogil on two of Python's threads."""
    if usable_cpus() < WORKERS:
        why = f"needs {WORKERS} CPUs that this process may use"
        return Measured((), {"of-ceiling": why})
    report = gilx.measure(
        subject,
        variants=["c-nogil"],
        workers=WORKERS,
        budget=QUICK if quick else BUDGET,
        precision=PRECISION,
    )
    [row] = report.rows
    if row.comparison.blocks == 0:
        return Measured((), {"of-ceiling": "; ".join(row.notes)})
    figures = (
        Figure(
            "of-ceiling",
            row.ceiling_fraction.value,
            *row.ceiling_fraction.interval,
            note="; ".join(row.notes),
        ),
        Figure("speedup", row.speedup.value, *row.speedup.interval),
        Figure("ceiling", row.ceiling.value, *row.ceiling.interval),
    )
    return Measured(figures, samples=row.comparison.samples)


if __name__ == "__main__":
    main()
