"""Chapter 8: Python without a GIL."""

from __future__ import annotations

import sysconfig
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from gilx import kernels
from gilx._compat import gil_enabled
from gilx.demo.chapter import Chapter, Effort, grouped, one_cpu
from gilx.demo.chapter_1_pure_python import pure_python_call
from gilx.demo.problem_sizes import problem_size
from gilx.speedup.report import ReportRow  # noqa: TC001 - JSON is read by annotations
from gilx.system.gil_imports import forced_gil

_KERNEL = "mandelbrot"
_SECONDS = 0.006  # that a call, or the problem in C, takes one worker
_HOW = (
    "To run this chapter, install a free-threaded build: `uv python install 3.14t`,"
    " `conda install python-freethreading` (conda-forge), or ./configure --disable-gil."
    " Then install gilx there, and run `gilx demo --chapter 8`."
)


def _why_on() -> str:
    """Return what turned the GIL on, and how to have it off."""
    if forced := forced_gil():
        return f"{forced} turns it on. Run Python without {forced}"
    return (
        "the import of a module turned it on, since the module does not declare that it"
        " can run without the GIL. `gilx doctor` names the module"
    )


@dataclass(frozen=True)
class FreeThreaded(Chapter):
    """Calls that would hold the GIL, where there is none."""

    title: ClassVar[str] = "A free-threaded build: no GIL at all"
    depends: ClassVar[str] = (
        "your imports: one extension that does not declare that it can run without the"
        " GIL turns the GIL on again. Code that the GIL protected by chance needs locks"
        " of its own (chapter 2), and one thread alone is somewhat slower."
    )

    work: ClassVar[str] = "without a GIL"

    free_threaded: bool
    """True if this Python was built to run without a GIL."""
    calls: tuple[ReportRow, ...]

    @classmethod
    def measure(cls, effort: Effort) -> Self:
        """Measure pure Python and the held variants, if there is no GIL."""
        free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
        if gil_enabled():
            why = (
                f"This free-threaded build runs with the GIL on: {_why_on()}."
                if free_threaded
                else f"This Python has a GIL. {_HOW}"
            )
            return cls(missing=(why,), free_threaded=free_threaded, calls=())
        call, kernel = pure_python_call(_SECONDS), kernels.get(_KERNEL)
        size, workers = problem_size(kernel, "c-gil", _SECONDS), effort.workers
        names = {"c-gil": "C, held", "cython-gil": "Cython, held"}
        options: dict[str, Any] = {"variants": list(names), "size": size}
        calls = (
            *effort.speedups(call, ["pure Python"], 4, workers=workers),
            *effort.speedups(kernel, names.values(), 8, workers=workers, **options),
        )
        return cls(missing=one_cpu(), free_threaded=free_threaded, calls=calls)

    def speedups(self) -> tuple[ReportRow, ...]:
        """Return those that were measured, if there is no GIL."""
        return self.calls

    def sentences(self) -> list[str]:
        """Say which of them scale."""
        return grouped(
            self.calls,
            {
                "scales": "Threads that take turns elsewhere run side by side here",
                "partly": "Threads run side by side for a part of the time",
                "no faster": "Threads are no faster, although there is no GIL",
            },
        )
