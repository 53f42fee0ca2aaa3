"""Chapter 4: several processes."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from statistics import median
from typing import ClassVar, Self

from gilx.meter.blocks import time_blocks
from gilx.meter.measure import measure
from gilx.pools import start
from gilx.story.base import (
    Chapter,
    Effort,
    Picture,
    Speedup,
    Table,
    grouped,
    one_cpu,
    speedup_picture,
    speedup_table,
    times,
)
from gilx.story.courier import Courier
from gilx.text import duration, one_line

__all__ = ["Moving", "Processes", "pays_from"]

_KERNEL = "collatz"
_SIZE = 150_000  # some 20 ms in C
_PYTHON_SIZE = 2_000
_MEGABYTES = 8
_GAINS = ("scales", "partly")
_BLOCKS = 25  # a round trip takes little: as many as make the median sure


@dataclass(frozen=True)
class Moving:
    """What one process costs. Times are in seconds."""

    start: float
    """From starting a Python process until it answers."""
    message: float
    """There and back with next to nothing; the median."""
    data: float
    """There and back with that many megabytes; the median."""
    megabytes: int


def pays_from(cost: float, speedup: float) -> float:
    """Return from how many seconds of work on a gain makes up for a cost.

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
    """Kernels that hold the GIL, in processes; what these cost."""

    title: ClassVar[str] = "Several processes, each with a GIL of its own"
    depends: ClassVar[str] = (
        "how much a task computes for each byte that it is sent and sends back. Arrays in"
        " shared memory need not be sent; what is pickled is copied, twice each way."
    )

    processes: tuple[Speedup, ...]
    moving: Moving | None
    """None where no process can be started."""

    @classmethod
    def measure(cls, effort: Effort) -> Self:
        """Measure two kernels in processes, and what starting and moving costs."""
        missing = list(one_cpu())
        rows: list[Speedup] = []
        moving = None
        try:
            with start("processes", effort.workers) as pool:
                for variant, size in (("python", _PYTHON_SIZE), ("c-gil", _SIZE)):
                    report = measure(
                        _KERNEL,
                        variants=[variant],
                        pools=[pool],
                        size=size,
                        budget=effort.seconds(3),
                        blocks=effort.blocks,
                        progress=effort.show,
                    )
                    name = "pure Python" if variant == "python" else "C, GIL held"
                    rows.append(Speedup.of(report.rows[0], name))
            effort.show("moving data")
            moving = _moving()
        except (OSError, BrokenExecutor) as error:
            missing.append(f"Processes can't be used here: {one_line(error)}.")
        return cls(missing=tuple(missing), processes=tuple(rows), moving=moving)

    def tables(self) -> list[Table]:
        """Return the speedups and the costs."""
        found = []
        if self.processes:
            workers = self.processes[0].workers
            found.append(
                speedup_table(
                    self.processes, what=_KERNEL, together=f"{workers} processes"
                )
            )
        if self.moving is not None:
            moving = self.moving
            found.append(
                Table(
                    ("what a process costs", ""),
                    (
                        ("starting it, until it answers", duration(moving.start)),
                        ("a message there and back", duration(moving.message)),
                        (
                            f"{moving.megabytes} MB there and back, pickled",
                            duration(moving.data),
                        ),
                    ),
                    right=(),
                )
            )
        return found

    def sentences(self) -> list[str]:
        """Say how they scale, what they cost and from when on that pays."""
        said = grouped(
            self.processes,
            {
                "scales": "Side by side, though each holds a GIL",
                "partly": "Side by side in part",
                "no faster": "No faster",
            },
        )
        if self.moving is None or not self.processes:
            return said
        if (speedup := self.gain()) is None:
            said.append(
                "No gain was seen, so there is none to set against what they cost."
            )
            return said
        moving = self.moving
        said.append(
            f"At {times(speedup)} a task pays from about"
            f" {duration(pays_from(moving.message, speedup))} of work if hardly any data"
            f" goes with it, from about {duration(pays_from(moving.data, speedup))} if"
            f" {moving.megabytes} MB go there and back. A program wins back the start of"
            f" the processes with {duration(pays_from(moving.start, speedup))} of work."
        )
        return said

    def gain(self) -> float | None:
        """Return the best speedup, of those that show a gain; None if none does."""
        return max(
            (row.speedup for row in self.processes if row.outcome in _GAINS), default=None
        )

    def picture(self) -> Picture | None:
        """Return the speedups."""
        return speedup_picture(self.processes) if self.processes else None


def _moving() -> Moving:
    data = bytes(_MEGABYTES << 20)
    with Courier() as courier:
        samples = time_blocks(
            {
                "message": lambda: courier.round_trip(b""),
                "data": lambda: courier.round_trip(data),
            },
            _BLOCKS,
        )
        return Moving(
            start=courier.start_seconds,
            message=median(samples["message"]),
            data=median(samples["data"]),
            megabytes=_MEGABYTES,
        )
