"""Predicted against measured throughput: `spin` in 1 to 64 threads, sleeping in between.

A round measures the figures of one thread and the cost of a hand-over, predicts, and
measures the throughput of each number of threads, in random order. The ratio is that of
measured over predicted in a round, with the interval of its median at 95 %. Run it with
nothing else running::

    python benchmarks/accuracy/prediction.py [--rounds N] [--hold S ...] [--rhythm R ...]

It prints whether each prediction is as near as it should be: for holds of 1 ms and more
within 10 % at each number of threads and 5 % in the median, for shorter ones within 25 %.
"""

from __future__ import annotations

import argparse
import random
import threading
import time
from dataclasses import dataclass
from statistics import fmean, median, stdev
from typing import TYPE_CHECKING, Literal

from gilx.ckernels import spin
from gilx.formatting import format_table
from gilx.sampling.prediction import predict
from gilx.sampling.release_costs import release_costs
from gilx.speedup.statistics import median_interval
from gilx.system.environment import describe

if TYPE_CHECKING:
    from gilx.ckernels import SpinResult
    from gilx.sampling.prediction_record import PredictionRow

Rhythm = Literal["fixed", "exponential"]

COUNTS = (1, 2, 4, 8, 16, 32, 64)
# Sleeping for four times as long: the GIL is saturated from some five threads on.
SLEEP = 4
# Seconds for each number of threads in a round, or so many holds of each thread: the
# beginning, when all want to hold at once, is to count for little.
SHORTEST, TURNS = 0.6, 16


@dataclass(frozen=True)
class Load:
    """One rhythm of holds and sleeps."""

    hold: float
    rhythm: Rhythm

    def turns(self, threads: int, seconds: float) -> list[SpinResult]:
        """Let so many threads hold and sleep for so long; return what they did."""
        found: list[SpinResult] = []
        end = 0

        def set_end() -> None:
            nonlocal end
            end = time.perf_counter_ns() + int(seconds * 1e9)

        start = threading.Barrier(threads, action=set_end)

        def work(seed: int) -> None:
            start.wait()
            found.append(
                spin(
                    int(self.hold * 1e9),
                    int(self.hold * SLEEP * 1e9),
                    # Threads start one after the other, but all end together.
                    max(0, end - time.perf_counter_ns()),
                    rhythm=self.rhythm,
                    released="sleep",
                    seed=seed,
                )
            )

        workers = [
            threading.Thread(target=work, args=(random.getrandbits(40),))
            for _ in range(threads)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return found

    def throughput(self, threads: int, seconds: float) -> float:
        """Return cycles a second, all threads together."""
        return sum(done.cycles for done in self.turns(threads, seconds)) / seconds


def predictions(load: Load, counts: tuple[int, ...]) -> tuple[PredictionRow, ...]:
    """Measure one thread and the cost of a hand-over, and predict."""
    [done] = load.turns(1, max(1.5, 200 * load.hold))
    hold = done.held_min_ns / done.cycles * 1e-9
    waiting = done.wall_ns / done.cycles * 1e-9 - hold
    if load.rhythm == "exponential":
        hold_scv = delay_scv = 1.0
    else:
        hold_scv, delay_scv = 0.0, sleep_scv(SLEEP * load.hold)
    price = release_costs(hold=load.hold, rounds=3).handover
    found = predict(
        counts,
        hold=hold,
        hold_scv=hold_scv,
        waiting=waiting,
        delay_scv=delay_scv,
        handover=0.0 if price is None else price.value,
    )
    return found.rows


def sleep_scv(seconds: float) -> float:
    """Return the squared coefficient of variation of sleeps, without the longest 2 %."""
    lengths = []
    for _ in range(100):
        begin = time.perf_counter()
        time.sleep(seconds)
        lengths.append(time.perf_counter() - begin)
    lengths = sorted(lengths)[:98]
    return (stdev(lengths) / fmean(lengths)) ** 2


def measure(load: Load, rounds: int) -> None:
    """Measure one rhythm and print how predictions and measurements compare."""
    measured: dict[int, list[float]] = {count: [] for count in COUNTS}
    predicted: dict[int, list[float]] = {count: [] for count in COUNTS}
    for _ in range(rounds):
        for row in predictions(load, COUNTS):
            predicted[row.workers].append(row.throughput)
        for count in random.sample(COUNTS, len(COUNTS)):
            seconds = max(SHORTEST, TURNS * count * load.hold)
            measured[count].append(load.throughput(count, seconds))
    each, typical = (0.10, 0.05) if load.hold >= 1e-3 else (0.25, 0.25)
    rows, errors = [], []
    for count in COUNTS:
        ratios = [a / b for a, b in zip(measured[count], predicted[count], strict=True)]
        ratio, (low, high) = median(ratios), median_interval(ratios)
        errors.append(abs(ratio - 1))
        rows.append(
            (
                str(count),
                f"{median(predicted[count]):.5g}",
                f"{median(measured[count]):.5g}",
                f"{ratio:.3f}",
                f"{low:.3g} to {high:.3g}" + ("" if errors[-1] <= each else "  too far"),
            )
        )
    print(f"holds of {load.hold * 1e6:g} us, {load.rhythm}, sleeps {SLEEP} times as long")
    print(
        format_table(
            ("threads", "predicted/s", "measured/s", "ratio", "interval"),
            rows,
            right=(0, 1, 2, 3),
        )
    )
    met = max(errors) <= each and median(errors) <= typical
    print(
        f"worst {max(errors):.1%}, median {median(errors):.1%}; wanted {each:.0%} and"
        f" {typical:.0%}: {'met' if met else 'missed'}\n",
        flush=True,
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--hold", type=float, nargs="*", default=[20e-6, 100e-6, 500e-6, 1e-3, 5e-3]
    )
    parser.add_argument("--rhythm", nargs="*", default=["fixed", "exponential"])
    options = parser.parse_args()
    print(describe(), "\n")
    for hold in options.hold:
        for rhythm in options.rhythm:
            measure(Load(hold, rhythm), options.rounds)


if __name__ == "__main__":
    main()
