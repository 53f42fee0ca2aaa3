"""Check that the loss budget names known losses.

Mixtures of `spin` that hold the GIL for a known share of their time, in turns of known
length, and kernels whose bottleneck is known, each measured with two threads. A row is
right if its largest loss is the expected one, or if, where nothing should be lost, each
loss is below 0.1 of a worker. Run it with nothing else running::

    python benchmarks/accuracy/losses.py [--budget S] [--repeat N]

Two threads that share one lock are at most 1 / h times as fast as one, with h the hold
fraction: what is missing then is the GIL's, and printed beside what was found.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import gilx
from gilx.ckernels import spin
from gilx.formatting import format_table
from gilx.system.environment import describe

WORKERS = 2
CALL = 0.02  # seconds, about, of a mixture's call
LITTLE = 0.1  # of a worker


@dataclass(frozen=True)
class Mixture:
    """A call that holds the GIL and releases it in turns, always for the same times."""

    held: float
    period: float
    """Seconds of one turn."""

    def __call__(self) -> None:
        """Hold and release, as often as fits the length of a call."""
        hold = round(self.held * self.period * 1e9)
        release = round(self.period * 1e9) - hold
        for _ in range(round(CALL / self.period)):
            # Apart, so that a wait for the GIL does not count as work done.
            if hold:
                spin(hold, 0, hold)
            if release:
                spin(0, release, release)

    @property
    def name(self) -> str:
        """Description of the work, for people."""
        return f"spin, {self.held:.0%} held in turns of {1e3 * self.period:g} ms"

    @property
    def least(self) -> float:
        """Least speedup that two threads must lose."""
        return WORKERS - min(WORKERS, 1 / self.held) if self.held else 0.0


MIXTURES = [
    Mixture(held, period)
    for period in (0.0002, 0.002)
    for held in (0.0, 0.3, 0.5, 0.6, 0.8, 1.0)
]
KERNELS = {
    "nbody": "",
    "montecarlo": "",
    "triad": "more CPU work",
    "heat": "more CPU work",
}
"""Of the released variant, the expected loss: memory's shows as more CPU time."""


def main() -> int:
    """Measure, print, and return 1 if a row is wrong."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--budget", type=float, default=3.0, help="seconds for each row")
    parser.add_argument("--repeat", type=int, default=1, help="measure all so often")
    options = parser.parse_args()
    rows = []
    wrong = 0
    for _ in range(options.repeat):
        for mixture in MIXTURES:
            report = gilx.measure(mixture, workers=WORKERS, budget=options.budget)
            # Turns of half the time and less need not meet: what is lost, if anything,
            # is still the lock's.
            expected = "GIL" if mixture.held else ""
            row, right = judged(report, mixture.name, expected, f"{mixture.least:.2f}")
            rows.append(row)
            wrong += not right
        for name, expected in KERNELS.items():
            report = gilx.measure(
                name, variants=["c-nogil"], workers=WORKERS, budget=options.budget
            )
            row, right = judged(report, name, expected, "")
            rows.append(row)
            wrong += not right
    print(describe(), "\n")
    head = ("call", "missing", "at least", "largest losses", "expected", "right")
    print(format_table(head, rows, right=(1, 2), width=130))
    print(f"\n{len(rows) - wrong} of {len(rows)} right")
    return 1 if wrong else 0


def judged(
    report: gilx.Report, name: str, expected: str, least: str
) -> tuple[tuple[str, ...], bool]:
    """Return a row of the table, and whether the expected loss is the largest."""
    row = report.rows[0]
    losses = sorted(row.losses, key=lambda loss: -loss.amount)
    nothing_lost = losses[0].amount < LITTLE
    right = nothing_lost if not expected else losses[0].cause == expected or nothing_lost
    if least and float(least) >= LITTLE:
        right = losses[0].cause == expected
    words = ", ".join(f"{loss.cause} {loss.amount:.2f}" for loss in losses[:2])
    return (
        name,
        f"{WORKERS - row.speedup.value:.2f}",
        least,
        words,
        expected or "none",
        "yes" if right else "NO",
    ), right


if __name__ == "__main__":
    sys.exit(main())
