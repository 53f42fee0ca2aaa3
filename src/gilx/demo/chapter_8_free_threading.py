"""Chapter 8: Python without a GIL."""

from __future__ import annotations

import sysconfig
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
from gilx.demo.chapter_1_pure_python import count_down_for
from gilx.demo.problem_sizes import problem_size
from gilx.speedup.measure import measure

if TYPE_CHECKING:
    from gilx.rendering.bar_chart import BarChart

_KERNEL = "mandelbrot"
_SECONDS = 0.006  # that a call, or the problem in C, takes one worker
_HOW = (
    "To see it, install a free-threaded build: `uv python install 3.14t`, `conda install"
    " python-freethreading` (conda-forge), or ./configure --disable-gil. Then install"
    " gilx there, and run `gilx demo --chapter 8`."
)


@dataclass(frozen=True)
class FreeThreaded(Chapter):
    """Calls that would hold the GIL, where there is none."""

    title: ClassVar[str] = "A free-threaded build: no GIL at all"
    depends: ClassVar[str] = (
        "your imports: one extension that doesn't say that it can do without turns the"
        " GIL on again. Code that the GIL protected by chance needs locks of its own"
        " (chapter 2), and one thread alone is somewhat slower."
    )

    free_threaded: bool
    """Whether this Python was built to run without a GIL."""
    calls: tuple[Speedup, ...]

    @classmethod
    def measure(cls, effort: Effort) -> Self:
        """Measure pure Python and the held variants, if there is no GIL."""
        free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
        if gil_enabled():
            why = (
                "This free-threaded build runs with the GIL on: by PYTHON_GIL=1 or"
                " -X gil=1, or for an extension that can't do without (Python warns of"
                " it)."
                if free_threaded
                else f"This Python has a GIL. {_HOW}"
            )
            return cls(missing=(why,), free_threaded=free_threaded, calls=())
        budget, blocks = effort.seconds(4), effort.blocks
        first = measure(
            count_down_for(_SECONDS),
            workers=effort.workers,
            budget=budget,
            blocks=blocks,
            progress=effort.progress,
        )
        names = {"c-gil": "C, held", "cython-gil": "Cython, held"}
        kernel = kernels.get(_KERNEL)
        second = measure(
            kernel,
            variants=list(names),
            workers=effort.workers,
            size=problem_size(kernel, "c-gil", _SECONDS),
            budget=2 * budget,
            blocks=blocks,
            progress=effort.progress,
        )
        return cls(
            missing=one_cpu(),
            free_threaded=free_threaded,
            calls=(
                Speedup.of(first.rows[0], "pure Python"),
                *(Speedup.of(row, names[row.variant or ""]) for row in second.rows),
            ),
        )

    def tables(self) -> list[ChapterTable]:
        """Return the speedups, if there are any."""
        if not self.calls:
            return []
        together = f"{self.calls[0].workers} threads"
        return [speedup_table(self.calls, what="without a GIL", together=together)]

    def sentences(self) -> list[str]:
        """Say which of them scale."""
        return grouped(
            self.calls,
            {
                "scales": "What takes turns elsewhere runs side by side here",
                "partly": "Side by side in part",
                "no faster": "No faster, and not for a GIL",
            },
        )

    def picture(self) -> BarChart | None:
        """Return the speedups, if there are any."""
        return speedup_picture(self.calls) if self.calls else None
