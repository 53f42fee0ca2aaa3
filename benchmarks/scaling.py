"""How much of the ceiling each kernel reaches on Python's threads.

For every kernel the variants c-nogil and c-gil on two threads, at its default size, in
blocks with the native team. Run it with nothing else running, in pieces if need be::

    python benchmarks/scaling.py [--kernels K,K...] [--workers N] [--budget S]
        [--pools P,P...] [--json FILE]

``--budget`` is for each kernel. The JSON is a report that ``gilx compare`` reads.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import gilx
from gilx.cli.table import format_table
from gilx.environment import describe


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kernels", default=",".join(gilx.kernels.names()))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--pools", default="threads")
    parser.add_argument("--budget", type=float, default=10.0)
    parser.add_argument("--json", type=Path)
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
                    "{:.2f} to {:.2f}".format(*row.speedup_interval),
                    f"{row.ceiling:.2f}",
                    f"{row.of_ceiling:.3f}",
                    ", ".join(
                        f"{loss.name} {loss.amount:.2f}"
                        for loss in sorted(row.losses, key=lambda one: -one.amount)[:2]
                    ),
                )
                for row in rows
            ],
            right=(2, 4, 5),
        )
    )
    if options.json is not None:
        first = reports[0]
        together = replace(first, rows=tuple(rows))
        options.json.write_text(together.to_json())


if __name__ == "__main__":
    main()
