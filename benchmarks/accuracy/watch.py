"""The GIL watch against work whose hold is known: error, coverage and cost.

Every condition is a rhythm of ``gilx.ckernels.spin``; its result is a band in which the
true share lies. Conditions run in random order. Run it with nothing else running, and
again under ``taskset -c 0``::

    python benchmarks/accuracy/watch.py [--seconds S] [--rounds N] [--cost C] [--blocks N]
        [--idle N[,N...]] [--json FILE]

With ``--idle 0,10,100,1000``, the same rhythms are watched beside that many idle threads,
which should change neither the error nor the cost.

Where gilknocker is installed, it watches the same runs, apart: it disturbs what it
measures.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import random
import threading
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import mean, pstdev, quantiles
from typing import TYPE_CHECKING, Any, Literal

import gilx
from gilx.ckernels import SpinResult, spin
from gilx.formatting import format_table
from gilx.pools import ThreadPool
from gilx.pools.run import regions, run_all
from gilx.speedup.blocks import interleaved, samples_of
from gilx.system.environment import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FRACTIONS = {
    2_000: (0.1, 0.5, 0.9),
    20_000: (0.1, 0.5, 0.9),
    100_000: (0.01, 0.1, 0.5, 0.9, 0.99),
    1_000_000: (0.01, 0.1, 0.5, 0.9, 0.99),
    20_000_000: (0.01, 0.1, 0.5, 0.9, 0.99),
}
SHORTEST_SLEEP = 100_000  # what is shorter sleeps for as long as the timer has slack


@dataclass(frozen=True)
class Condition:
    """One rhythm."""

    period: int
    held: float
    rhythm: Literal["fixed", "exponential"]
    released: Literal["spin", "sleep"]

    def run(self, seconds: float, seed: int) -> SpinResult:
        """Hold and release the GIL in this rhythm."""
        hold = round(self.period * self.held)
        return spin(
            *(hold, self.period - hold, round(seconds * 1e9)),
            rhythm=self.rhythm,
            released=self.released,
            seed=seed,
        )


@dataclass(frozen=True)
class Score:
    """Result of one run; errors are distances from the band's middle."""

    condition: Condition
    idle: int
    truth: tuple[float, float]
    error: float
    covered: bool
    is_warning: bool
    within: bool
    wakes: int
    cost: float
    unknown: float
    gilknocker: float | None


def conditions() -> list[Condition]:
    """Return all of them."""
    return [
        Condition(period, held, rhythm, released)
        for period, fractions in FRACTIONS.items()
        for held in fractions
        for rhythm in ("fixed", "exponential")
        for released in ("spin", "sleep")
        if released == "spin" or period >= SHORTEST_SLEEP
    ]


@contextmanager
def idle_threads(count: int) -> Iterator[None]:
    """Have threads that sleep."""
    end = threading.Event()
    threads = [threading.Thread(target=end.wait) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        end.set()
        for thread in threads:
            thread.join()


def measure(
    condition: Condition,
    seconds: float,
    cost: float,
    knock: Any,  # noqa: ANN401
    idle: int = 0,
) -> Score:
    """Watch one run."""
    with gilx.watch(cost=cost) as watch:
        done = condition.run(seconds, random.randrange(2**31))
    usage = watch.usage
    low, high = done.held_min_ns / done.wall_ns, done.held_max_ns / done.wall_ns
    middle = (low + high) / 2
    error = usage.held.value - middle
    allowed = max(0.005, 2.2 * math.sqrt(middle * (1 - middle) / max(1, usage.samples)))
    return Score(
        condition=condition,
        idle=idle,
        truth=(low, high),
        error=error,
        covered=usage.held.interval[0] <= high and low <= usage.held.interval[1],
        is_warning=bool(usage.inconclusive_reason),
        within=abs(error) <= allowed + (high - low) / 2,
        wakes=usage.samples,
        cost=usage.cost,
        unknown=usage.unknown,
        gilknocker=None if knock is None else knocked(condition, seconds, knock),
    )


def knocked(condition: Condition, seconds: float, knock: Any) -> float:  # noqa: ANN401
    """Return how far gilknocker is off in one run."""
    knocker = knock.KnockKnock(1_000)
    knocker.start()
    done = condition.run(seconds, random.randrange(2**31))
    knocker.stop()
    middle = (done.held_min_ns + done.held_max_ns) / 2 / done.wall_ns
    return float(knocker.contention_metric) - middle


def slowdown(cost: float, blocks: int) -> str:
    """Return how much longer work takes while it is watched."""

    def loop() -> float:
        start = time.perf_counter()
        total = 0
        for i in range(5_000_000):
            total += i
        return time.perf_counter() - start

    def watched(work: Callable[[], float]) -> float:
        with gilx.watch(cost=cost):
            return work()

    problem = gilx.kernels.get("mandelbrot").problem()
    with ThreadPool(2) as pool:
        team = partial(run_all, pool, regions(problem, variant="c-nogil", workers=2))
        works: dict[str, Callable[[], float]] = {
            "pure Python, 1 thread": loop,
            "c-nogil, 2 threads": team,
        }
        arms: dict[tuple[str, bool], Callable[[], float]] = {}
        for name, work in works.items():
            arms[name, False] = work
            arms[name, True] = partial(watched, work)
        samples = samples_of(islice(interleaved(arms), blocks))
    rows = []
    for name in works:
        ratios = [
            100 * (a / b - 1)
            for a, b in zip(samples[name, True], samples[name, False], strict=True)
        ]
        cuts = quantiles(ratios, n=4)
        rows.append((name, f"{cuts[1]:+.1f} %", f"{cuts[0]:+.1f} to {cuts[2]:+.1f} %"))
    return format_table(("watched", "slower by", "middle half"), rows, right=(1,))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--cost", type=float, default=0.03)
    parser.add_argument("--blocks", type=int, default=0, help="measure the slowdown too")
    parser.add_argument("--idle", metavar="N[,N...]", help="beside so many idle threads")
    parser.add_argument("--no-gilknocker", action="store_true")
    parser.add_argument("--json", metavar="FILE", help="write every run to this file")
    options = parser.parse_args()
    try:
        knock = None if options.no_gilknocker else importlib.import_module("gilknocker")
    except ImportError:
        knock = None
    print(describe(), "\n")
    if options.idle:
        counts = [int(count) for count in options.idle.split(",")] * options.rounds
        random.shuffle(counts)
        scores = [s for n in counts for s in beside(n, options.seconds, options.cost)]
        print(table(scores, "idle threads", lambda score: f"{score.idle:5}"))
    else:
        order = conditions() * options.rounds
        random.shuffle(order)
        scores = [measure(c, options.seconds, options.cost, knock) for c in order]
        print(table(scores, "period, released", rhythm))
    if options.blocks:
        print(f"\n{slowdown(options.cost, options.blocks)}")
    if options.json:
        Path(options.json).write_text(json.dumps([asdict(score) for score in scores]))


def beside(idle: int, seconds: float, cost: float) -> list[Score]:
    """Watch rhythms that are known exactly, beside a number of idle threads."""
    order = [c for c in conditions() if c.period >= SHORTEST_SLEEP]
    random.shuffle(order)
    with idle_threads(idle):
        return [measure(c, seconds, cost, None, idle) for c in order]


def rhythm(score: Score) -> str:
    """Return the period and the kind of release."""
    return f"{score.condition.period / 1000:g} µs {score.condition.released}"


def table(scores: list[Score], title: str, group_of: Callable[[Score], str]) -> str:
    """Return one row for each group, and one for all."""
    groups: dict[str, list[Score]] = {}
    for score in scores:
        groups.setdefault(group_of(score), []).append(score)
    rows = []
    for name, group in [*sorted(groups.items()), ("all", scores)]:
        sure = [score for score in group if not score.is_warning]
        errors = [score.error * 100 for score in sure] or [math.nan]
        knocks = [s.gilknocker * 100 for s in group if s.gilknocker is not None]
        rows.append(
            (
                name,
                f"{len(group)}",
                f"{len(group) - len(sure)}",
                f"{mean(errors):+.2f}",
                f"{pstdev(errors):.2f}",
                f"{max(map(abs, errors)):.1f}",
                f"{100 * mean([s.within for s in sure] or [0]):.0f} %",
                f"{100 * mean([s.covered for s in sure] or [0]):.0f} %",
                f"{mean(s.wakes for s in group):.0f}",
                f"{100 * mean(s.cost for s in group):.1f} %",
                f"{100 * mean(s.unknown for s in group):.1f} %",
                f"{mean(map(abs, knocks)):.0f}, {max(map(abs, knocks)):.0f}"
                if knocks
                else "",
            )
        )
    head = (
        *(title, "runs", "inconclusive", "bias", "sd", "worst", "within"),
        *("covered", "samples", "cost", "unknown", "gilknocker: mean and worst error"),
    )
    return format_table(head, rows, right=range(1, 11), width=150)


if __name__ == "__main__":
    main()
