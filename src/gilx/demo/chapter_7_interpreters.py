"""Chapter 7: sub-interpreters."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Self

from gilx import kernels
from gilx._compat import gil_enabled
from gilx.demo.chapter import (
    Chapter,
    ChapterTable,
    Effort,
    Speedup,
    grouped,
    one_cpu,
    speedup_picture,
    speedup_table,
)
from gilx.demo.problem_sizes import problem_size
from gilx.errors import ArgumentError
from gilx.formatting import duration
from gilx.pools import start
from gilx.speedup.measure import measure

if TYPE_CHECKING:
    from gilx.rendering.bar_chart import BarChart

_KERNEL = "mandelbrot"
_SECONDS = 0.03  # that the problem takes one worker


@dataclass(frozen=True)
class Interpreters(Chapter):
    """A kernel that holds the GIL, in interpreters that have one each."""

    title: ClassVar[str] = "Sub-interpreters: one process, a GIL for each"
    depends: ClassVar[str] = (
        "your imports: an extension must be made for it (multi-phase initialisation, no"
        " state of its own in C), and NumPy is not, so far."
    )

    gil: bool
    held: Speedup | None
    """None where there are none to use."""
    start_seconds: float | None
    """What starting all of them took."""

    @classmethod
    def measure(cls, effort: Effort) -> Self:
        """Measure the held C variant in sub-interpreters."""
        try:
            pool = start("interpreters", effort.workers)
        except ArgumentError:
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            why = (
                f"It needs Python 3.14 (concurrent.interpreters); this is {version}."
                " There, the same C code that holds the GIL scales."
            )
            return cls(missing=(why,), gil=gil_enabled(), held=None, start_seconds=None)
        kernel = kernels.get(_KERNEL)
        with pool:
            report = measure(
                kernel,
                variants=["c-gil"],
                pools=[pool],
                size=problem_size(kernel, "c-gil", _SECONDS),
                budget=effort.seconds(4),
                blocks=effort.blocks,
                progress=effort.progress,
            )
        return cls(
            missing=one_cpu(),
            gil=gil_enabled(),
            held=Speedup.of(report.rows[0], "C, held"),
            start_seconds=pool.start_seconds,
        )

    def tables(self) -> list[ChapterTable]:
        """Return the one row, if there is one."""
        if self.held is None:
            return []
        together = f"{self.held.workers} interp."
        return [speedup_table([self.held], what=_KERNEL, together=together)]

    def sentences(self) -> list[str]:
        """Say whether code that holds the GIL scales in them."""
        if self.held is None:
            return []
        row = self.held
        whose = (
            "Each call holds the GIL of its own interpreter"
            if self.gil
            else "There is no GIL here, in any interpreter"
        )
        return [
            (
                f"{whose}. They share the memory of one process; starting"
                f" {row.workers} took {duration(self.start_seconds)}."
            ),
            *grouped(
                [row],
                {
                    "scales": "They run side by side",
                    "partly": "They run side by side in part",
                    "no faster": "No faster",
                },
            ),
        ]

    def picture(self) -> BarChart | None:
        """Return the speedup, if there is one."""
        return None if self.held is None else speedup_picture([self.held])
