"""Rate of wrong verdicts on the longest hold, with 0, 1 and 2 busy processes.

Each longest hold is known by construction: ``gilx.ckernels.spin`` holds the GIL for so
many milliseconds at a time. The limit is 50 ms. A hold of 0.96 or 1.04 times the limit
may be left open; no verdict may be wrong. Run it with nothing else running::

    python benchmarks/accuracy/longest_hold.py [--trials N] [--neighbours 0 1 2]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

from aa_comparison import neighbours

from gilx.ckernels import spin
from gilx.formatting import format_table
from gilx.system.environment import describe
from gilx.testing import judge_longest_hold

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gilx.speedup.scaling_decision import Outcome
    from gilx.testing import Verdict

LIMIT = 0.05  # seconds


@dataclass(frozen=True)
class Case:
    """A call, and the verdict that is right for it."""

    name: str
    call: Callable[[], Any]
    right: Outcome


def held(milliseconds: float, released: float = 1.0) -> Callable[[], Any]:
    """Return a call that holds the GIL for so long, four times."""
    hold, release = round(milliseconds * 1e6), round(released * 1e6)
    return partial(spin, hold, release, 4 * (hold + release))


def python_loop() -> int:
    """Run Python code for some 100 ms, beside which other threads have their turn."""
    return sum(number * number for number in range(1_000_000))


CASES = (
    Case("releases, 0.2 s", held(0.001, 50), "pass"),
    Case("Python code", python_loop, "pass"),
    Case("5 ms", held(5), "pass"),
    Case("25 ms", held(25), "pass"),
    Case("40 ms", held(40), "pass"),
    Case("48 ms", held(48), "pass"),
    Case("52 ms", held(52), "fail"),
    Case("65 ms", held(65), "fail"),
    Case("100 ms", held(100), "fail"),
    Case("500 ms", held(500), "fail"),
)


def row(case: Case, beside: int, verdicts: Sequence[Verdict]) -> list[str]:
    """Return the row of a case: how many verdicts were right, wrong and inconclusive."""
    outcomes = [verdict.outcome for verdict in verdicts]
    right, undecided = outcomes.count(case.right), outcomes.count("inconclusive")
    seconds = median(verdict.seconds for verdict in verdicts)
    return [
        case.name,
        str(beside),
        case.right,
        *(str(n) for n in (right, len(outcomes) - right - undecided, undecided)),
        f"{seconds:.2f}",
    ]


def main() -> None:
    """Judge each case a number of times beside each number of processes, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--neighbours", nargs="+", type=int, default=(0, 1, 2))
    options = parser.parse_args()
    print(describe(), "\n")
    rows = []
    for beside in options.neighbours:
        with neighbours(beside):
            for case in CASES:
                verdicts = [
                    judge_longest_hold(case.call, at_most=LIMIT)
                    for _ in range(options.trials)
                ]
                rows.append(row(case, beside, verdicts))
    heads = ("longest hold", "busy", "should", "right", "wrong", "open", "seconds")
    print(format_table(list(heads), rows))


if __name__ == "__main__":
    main()
