"""Chapter 6: an extension of one's own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self

from gilx import kernels
from gilx._compat import gil_enabled
from gilx.demo.chapter import Chapter, Effort, grouped, one_cpu
from gilx.demo.problem_sizes import problem_size
from gilx.demo.release_proof import meet, runs_beside
from gilx.demo.watched_threads import watched
from gilx.sampling.timeline import Timeline  # noqa: TC001 - JSON is read by annotations
from gilx.speedup.report import ReportRow  # noqa: TC001 - likewise

if TYPE_CHECKING:
    from collections.abc import Callable

_KERNEL = "mandelbrot"
_SECONDS = 0.006  # that the problem takes in C; in Cython it takes several times as long
_PROVED = 0.02  # seconds of a call: time for another thread to wake up
_VARIANTS = {
    "c-gil": "C, held",
    "c-nogil": "C, released",
    "cython-gil": "Cython, held",
    "cython-nogil": "Cython, released",
}
_HELD_WAIT = 0.05  # seconds: long enough for the other one, if it could come
_MEETING = 30.0


@dataclass(frozen=True)
class Proof:
    """Proof, for each variant, that another thread ran Python inside a call or not."""

    name: str
    runs_beside: bool


@dataclass(frozen=True)
class Extension(Chapter):
    """The same kernel, compiled, with the GIL held and released."""

    title: ClassVar[str] = "Your own extension, in C and in Cython"
    depends: ClassVar[str] = (
        "what the code touches: only code that touches no Python object may run without"
        " the GIL. The result also depends on the bottleneck: work that waits for memory"
        " scales less (`gilx measure triad`)."
    )

    work: ClassVar[str] = _KERNEL

    gil: bool
    variants: tuple[ReportRow, ...]
    proofs: tuple[Proof, ...]
    met_held: int
    """Most of two threads that were in a C call at once, if the call holds the GIL."""
    met_released: int
    """Most of two threads that were in a C call at once, if the call releases the GIL."""
    lanes_held: Timeline | None = None
    """Usage of the GIL while threads called the kernel in C that holds it; None where it
    can't be watched."""
    lanes_released: Timeline | None = None
    """The same of the one that releases it."""

    @classmethod
    def measure(cls, effort: Effort) -> Self:
        """Measure four variants, and prove who lets others run."""
        from gilx import ckernels  # noqa: PLC0415 - not in every installation

        kernel = kernels.get(_KERNEL)
        effort.progress("two threads meet, or don't")
        proofs = tuple(
            Proof(
                name,
                runs_beside(_call(variant, problem_size(kernel, variant, _PROVED))),
            )
            for variant, name in _VARIANTS.items()
        )
        wait = _HELD_WAIT if gil_enabled() else _MEETING
        met_held = meet(ckernels.rendezvous_gil, wait)
        met_released = meet(ckernels.rendezvous_nogil, _MEETING)
        size = problem_size(kernel, "c-nogil", _SECONDS)
        options: dict[str, Any] = {"variants": list(_VARIANTS), "size": size}
        variants = effort.speedups(
            kernel, _VARIANTS.values(), 10, workers=effort.workers, **options
        )
        return cls(
            missing=one_cpu(),
            gil=gil_enabled(),
            variants=variants,
            proofs=proofs,
            met_held=met_held,
            met_released=met_released,
            lanes_held=watched(_call("c-gil", size), effort.workers),
            lanes_released=watched(_call("c-nogil", size), effort.workers),
        )

    def speedups(self) -> tuple[ReportRow, ...]:
        """Return those of the four variants."""
        return self.variants

    def sentences(self) -> list[str]:
        """Say what is proved, and what was gained."""
        met = {1: "never met", 2: "met"}
        said = [
            (
                "A proof that needs only one CPU: two threads each make a C call"
                " that waits for the other thread."
                f" The threads {met[self.met_held]} with the GIL held"
                f"{'' if self.gil else ' (there is no GIL here)'},"
                f" and {met[self.met_released]} with the GIL released."
            )
        ]
        for runs, words in (
            (True, "Another thread ran Python during a call of"),
            (False, "No other thread ran Python during a call of"),
        ):
            names = [proof.name for proof in self.proofs if proof.runs_beside == runs]
            if names:
                said.append(f"{words}: {'; '.join(names)}.")
        outcomes = {
            "no faster": "Threads are no faster",
            "scales": "Threads run side by side",
            "partly": "Threads run side by side for a part of the time",
        }
        return [*said, *grouped(self.variants, outcomes), _WHY_C_IS_FASTER]

    def timelines(self) -> list[tuple[str, Timeline]]:
        """Return who held the GIL while threads called the kernel in C."""
        both = {
            "C that holds it, in threads": self.lanes_held,
            "C that releases it, in threads": self.lanes_released,
        }
        return [(name, lanes) for name, lanes in both.items() if lanes is not None]


_WHY_C_IS_FASTER = (
    "The C kernel is faster than the Cython kernel because it computes several points at"
    " once in vector registers, and the Cython kernel one point at a time; neither the"
    " language nor the GIL is the reason."
)


def _call(variant: str, size: int) -> Callable[[], object]:
    """Return a call of the kernel, which threads may make at once: the same values."""
    kernel = kernels.get(_KERNEL)
    problem = kernel.problem(size)
    return partial(kernel.function(variant), *problem.inputs, problem.out)
