"""Chapter 4: several processes."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Any, ClassVar, Self

from gilx import kernels
from gilx._compat import gil_enabled
from gilx.demo.chapter import Chapter, Effort, grouped, one_cpu, outcome_of
from gilx.demo.echo_process import Courier
from gilx.demo.problem_sizes import problem_size
from gilx.formatting import duration, one_line, times
from gilx.pools import start
from gilx.rendering.html_page import Table
from gilx.speedup.blocks import interleaved, samples_of
from gilx.speedup.report import ReportRow  # noqa: TC001 - JSON is read by annotations

_KERNEL = "collatz"
_SECONDS = 0.03  # that a problem takes one worker
_NAMES = {"python": "pure Python", "c-gil": "C, held"}
_MEGABYTES = 8
_GAINS = ("scales", "partly")
_BLOCKS = 25  # round trips are short, and these make the median precise


@dataclass(frozen=True)
class Moving:
    """Costs of one process. Times are in seconds."""

    start: float
    """From starting a Python process until it answers."""
    message: float
    """There and back with next to nothing; the median."""
    data: float
    """There and back with that many megabytes; the median."""
    megabytes: int


def pays_from(cost: float, speedup: float) -> float:
    """Return the least seconds of work for which the gain makes up for a cost.

    Work that takes T alone takes T / speedup and the cost: equal where
    ``T (1 - 1 / speedup) = cost``.

    Parameters
    ----------
    cost : float
        Seconds.
    speedup : float
        Above 1.

    """
    return cost / (1 - 1 / speedup)


@dataclass(frozen=True)
class Processes(Chapter):
    """Kernels that hold the GIL, in processes, and the costs of processes."""

    title: ClassVar[str] = "Several processes, each with an interpreter of its own"
    depends: ClassVar[str] = (
        "how much a task computes for each byte that it receives and sends back. Arrays"
        " in shared memory need not be sent; pickled data is copied, twice each way."
    )

    work: ClassVar[str] = _KERNEL
    workers_are: ClassVar[str] = "processes"

    gil: bool
    processes: tuple[ReportRow, ...]
    sizes: tuple[int, ...]
    """Of the problem of each of them: what takes one worker some 30 ms."""
    moving: Moving | None
    """None where no process can be started."""

    @classmethod
    def measure(cls, effort: Effort) -> Self:
        """Measure two kernels in processes, and what starting and moving costs."""
        missing = list(one_cpu())
        kernel = kernels.get(_KERNEL)
        rows: list[ReportRow] = []
        sizes: list[int] = []
        moving = None
        try:
            with start("processes", effort.workers) as pool:
                for variant, name in _NAMES.items():
                    effort.progress(f"how much {name} computes in a while")
                    size = problem_size(kernel, variant, _SECONDS)
                    sizes.append(size)
                    options: dict[str, Any] = {"pools": [pool], "size": size}
                    rows += effort.speedups(
                        kernel, [name], 3, variants=[variant], **options
                    )
            effort.progress("moving data")
            moving = measure_moving()
        except (OSError, BrokenExecutor) as error:
            missing.append(f"Processes can't be used here: {one_line(error)}.")
        return cls(
            missing=tuple(missing),
            gil=gil_enabled(),
            processes=tuple(rows),
            sizes=tuple(sizes),
            moving=moving,
        )

    def speedups(self) -> tuple[ReportRow, ...]:
        """Return those of the kernels."""
        return self.processes

    def tables(self) -> list[Table]:
        """Return the speedups and the costs."""
        if (moving := self.moving) is None:
            return super().tables()
        costs = (
            ("starting it, until it answers", duration(moving.start)),
            ("a message there and back", duration(moving.message)),
            (f"{moving.megabytes} MB there and back, pickled", duration(moving.data)),
        )
        return [*super().tables(), Table(("cost of a process", ""), costs)]

    def sentences(self) -> list[str]:
        """Say how processes scale, their costs, and the least work for which they pay."""
        said = grouped(
            self.processes,
            {
                "scales": "The processes run side by side, though each holds a GIL"
                if self.gil
                else "The processes run side by side, as threads do here without a GIL",
                "partly": "The processes run side by side for a part of the time",
                "no faster": "The processes are no faster",
            },
        )
        if len({*self.sizes}) > 1:
            each = [
                f"{size:,} in {row.target}"
                for row, size in zip(self.processes, self.sizes, strict=True)
            ]
            said.append(
                "The number of items is such that one worker takes about"
                f" {duration(_SECONDS)}: {'; '.join(each)}."
            )
        if self.moving is None or not self.processes:
            return said
        if (speedup := self.gain()) is None:
            said.append(
                "There was no clear gain that would make up for the costs of processes."
            )
            return said
        moving = self.moving
        said.append(
            f"At a speedup of {times(speedup)}, a task pays off if it has at least about"
            f" {duration(pays_from(moving.message, speedup))} of work and hardly any"
            f" data, or {duration(pays_from(moving.data, speedup))} of work if"
            f" {moving.megabytes} MB go there and back. Starting the processes pays off"
            f" after {duration(pays_from(moving.start, speedup))} of work."
        )
        return said

    def gain(self) -> float | None:
        """Return the best speedup, of those that show a gain; None if none does."""
        return max(
            (row.speedup.value for row in self.processes if outcome_of(row) in _GAINS),
            default=None,
        )


def measure_moving() -> Moving:
    """Measure what starting a process and sending it something costs."""
    data = bytes(_MEGABYTES << 20)
    with closing(Courier()) as courier:
        arms = {
            "message": lambda: courier.round_trip(b""),
            "data": lambda: courier.round_trip(data),
        }

        def settle() -> None:
            # Having answered, the process frees a message's memory before it reads on.
            courier.round_trip(b"")

        samples = samples_of(islice(interleaved(arms, settle=settle), _BLOCKS))
        return Moving(
            start=courier.start_seconds,
            message=median(samples["message"]),
            data=median(samples["data"]),
            megabytes=_MEGABYTES,
        )
