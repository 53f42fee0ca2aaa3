"""Chapter 7: sub-interpreters."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from gilx import kernels
from gilx._compat import gil_enabled
from gilx.demo.chapter import Chapter, Effort, grouped, one_cpu
from gilx.demo.problem_sizes import problem_size
from gilx.errors import ArgumentError
from gilx.formatting import duration
from gilx.pools import start
from gilx.speedup.report import ReportRow  # noqa: TC001 - JSON is read by annotations

_KERNEL = "mandelbrot"
_SECONDS = 0.03  # that the problem takes one worker


@dataclass(frozen=True)
class Interpreters(Chapter):
    """A kernel that holds the GIL, in interpreters that have one each."""

    title: ClassVar[str] = "Sub-interpreters: several of them in one process"
    depends: ClassVar[str] = (
        "your imports: an extension must be made for it (multi-phase initialisation, no"
        " state of its own in C), and NumPy is not, so far."
    )

    work: ClassVar[str] = _KERNEL
    workers_are: ClassVar[str] = "interp."

    gil: bool
    held: ReportRow | None
    """None where there are none to use."""
    start_seconds: float | None
    """Seconds that starting all of them took."""

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
            size = problem_size(kernel, "c-gil", _SECONDS)
            options: dict[str, Any] = {"variants": ["c-gil"], "size": size}
            [held] = effort.speedups(kernel, ["C, held"], 4, pools=[pool], **options)
        return cls(
            missing=one_cpu(),
            gil=gil_enabled(),
            held=held,
            start_seconds=pool.start_seconds,
        )

    def speedups(self) -> tuple[ReportRow, ...]:
        """Return the one row, if there is one."""
        return () if self.held is None else (self.held,)

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
