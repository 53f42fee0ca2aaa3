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
        "your imports: an extension must support sub-interpreters (multi-phase"
        " initialisation, no static state in C), and NumPy does not, so far."
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
                "This chapter needs Python 3.14 (concurrent.interpreters); this is"
                f" {version}. With 3.14, C code that holds the GIL scales, since each"
                " interpreter has a GIL of its own."
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
                f"{whose}. Interpreters share the memory of one process; starting"
                f" {row.workers} took {duration(self.start_seconds)}."
            ),
            *grouped(
                [row],
                {
                    "scales": "Interpreters run side by side",
                    "partly": "Interpreters run side by side for a part of the time",
                    "no faster": "Interpreters are no faster",
                },
            ),
        ]
