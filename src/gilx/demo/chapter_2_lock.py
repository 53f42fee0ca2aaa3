"""Chapter 2: why there is a lock."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, ClassVar, Self

from gilx._compat import gil_enabled
from gilx.demo.chapter import Chapter, Effort
from gilx.demo.problem_sizes import size_lasting
from gilx.estimate import Estimate
from gilx.formatting import duration, percent
from gilx.kernels.kernel import Variant
from gilx.pools import ThreadPool
from gilx.pools.pool import Region
from gilx.rendering.bar_chart import Bar, BarChart
from gilx.rendering.html_page import Table
from gilx.speedup.blocks import interleaved, samples_of
from gilx.speedup.statistics import RunningMedian, log_ratios
from gilx.speedup.timings import in_a_row
from gilx.system.environment import usable_cpus

if TYPE_CHECKING:
    from collections.abc import Callable

_UNDER_THE_GIL = (
    "one with the GIL held; the latter is cheap because a call takes the GIL once for all"
    " of its additions"
)

_SECONDS = 0.003  # that the unprotected additions of one thread take it
_CELL = 8  # bytes
_THREADS = 2
_WAYS = {
    "unprotected": "increment_nogil",
    "GIL held": "increment_gil",
    "atomic": "increment_atomic",
}


@dataclass(frozen=True)
class Additions:
    """Outcome of additions to one counter, all blocks together."""

    way: str
    made: int
    kept: int
    alone: float
    """Seconds an addition by one thread takes; the median of the blocks."""
    together: float
    """The same, both threads adding: wall time over all additions."""

    @property
    def lost(self) -> float:
        """Share of the additions that were lost."""
        return 1 - self.kept / self.made


def _additions(way: str, times: int) -> Variant:
    """Return additions as a variant that pools can run: an item is a thread's part."""
    from gilx import ckernels  # noqa: PLC0415 - not in every installation

    increment = getattr(ckernels, _WAYS[way])

    def add(cell: bytearray, start: int, stop: int) -> None:
        for _ in range(start, stop):
            increment(cell, times)

    return Variant(way, "python", add, claims_grains=False)


@dataclass(frozen=True)
class Lock(Chapter):
    """Two threads and one counter."""

    title: ClassVar[str] = "The reason for the lock: two threads and one counter"
    depends: ClassVar[str] = (
        "the data that threads share. The GIL protects C code that holds it, and Python's"
        " own reference counts; it does not make x += 1 in Python one step, and code that"
        " released the GIL needs protection of its own."
    )

    gil: bool
    additions: tuple[Additions, ...]
    """Unprotected, with the GIL held, atomic."""
    price: Estimate
    """Time of an atomic addition over one with the GIL held, both threads adding."""

    @classmethod
    def measure(cls, effort: Effort) -> Self:
        """Have threads add to one counter in three ways."""
        kept = dict.fromkeys(_WAYS, 0)
        made = dict.fromkeys(_WAYS, 0)
        times = size_lasting(_alone, _SECONDS)
        with ThreadPool(_THREADS) as threads, ThreadPool(1) as one:

            def arm(way: str, pool: ThreadPool) -> Callable[[], float]:
                def add() -> float:
                    cell = bytearray(_CELL)
                    task = _additions(way, times)
                    work = Region(task, (cell,), pool.workers, "static")
                    spent = pool.run(work) / (pool.workers * times)
                    if pool is threads:
                        made[way] += pool.workers * times
                        kept[way] += int.from_bytes(cell, sys.byteorder)
                    return spent

                return add

            arms = {
                (way, pool.workers): arm(way, pool)
                for way in _WAYS
                for pool in (one, threads)
            }
            blocks = []
            timed = interleaved(arms)
            for done in range(effort.blocks):
                effort.progress(f"block {done + 1}")
                blocks.append(next(timed))
            samples = samples_of(blocks)
        both = samples["atomic", _THREADS], samples["GIL held", _THREADS]
        return cls(
            missing=()
            if usable_cpus() > 1
            else (
                (
                    "On one CPU, threads switch only every few milliseconds, so that"
                    " additions hardly ever meet: losses are rare, but they can happen."
                ),
            ),
            gil=gil_enabled(),
            additions=tuple(
                Additions(
                    way,
                    made[way],
                    kept[way],
                    median(samples[way, 1]),
                    median(samples[way, _THREADS]),
                )
                for way in _WAYS
            ),
            price=RunningMedian(log_ratios(*both)).ratio(preset=True),
        )

    def tables(self) -> list[Table]:
        """Return what was kept and what it cost."""
        return [
            Table(
                ("way", "additions", "kept", "lost", "1 thread", f"{_THREADS} threads"),
                [
                    (
                        self._name(row),
                        f"{row.made:,}",
                        f"{row.kept:,}",
                        _lost(row),
                        duration(row.alone),
                        duration(row.together),
                    )
                    for row in self.additions
                ],
                right=(1, 2, 3, 4),
            )
        ]

    def sentences(self) -> list[str]:
        """Say who lost how much, and what protection costs."""
        unprotected, held, atomic = self.additions
        said = ["An addition has three steps: load the number, add 1, and store the sum."]
        said.append("The last two columns are the time of one addition.")
        if unprotected.kept < unprotected.made:
            said.append(
                f"Unprotected, {_THREADS} threads lost {_lost(unprotected)} of their"
                " additions: both load the same number, and one store undoes the other."
            )
        else:
            said.append("Unprotected, no addition was lost this time, by luck.")
        if self.gil:
            said.append(
                f"With the GIL held, {_lost(held)} is lost: only one thread runs at a"
                " time."
            )
        else:
            said.append(
                f"The call that would hold the GIL lost {_lost(held)}: there is no GIL"
                " here, so such C code needs a lock of its own."
            )
        low, high = self.price.interval
        sure = f" ({low:.2g} to {high:.2g})" if self.price.bounded else ""
        said.append(
            f"Atomic additions lose {'none' if atomic.kept == atomic.made else 'some'}."
            " While both threads want the same memory, an atomic addition takes"
            f" {duration(atomic.together)}, {self.price.value:.2g} times{sure} as long as"
            f" {_UNDER_THE_GIL if self.gil else 'a plain one'}."
        )
        return said

    def picture(self) -> BarChart:
        """Return the shares that were lost."""
        return BarChart(
            "additions lost, %",
            tuple(
                Bar(self._name(row), Estimate(100 * row.lost, 0.0, math.inf))
                for row in self.additions
            ),
        )

    def _name(self, row: Additions) -> str:
        """Return what to call a way where there may be no GIL."""
        return row.way if self.gil or row.way != "GIL held" else "no GIL to hold"


def _alone(times: int) -> float:
    """Return how long it takes one thread to add so often, unprotected."""
    from gilx.ckernels import increment_nogil  # noqa: PLC0415 - not in every installation

    return in_a_row(partial(increment_nogil, bytearray(_CELL), times), 1)


def _lost(row: Additions) -> str:
    """Return the share in words: none is said of none only."""
    return "none" if row.kept == row.made else percent(row.lost)
