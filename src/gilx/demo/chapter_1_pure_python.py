"""Chapter 1: threads that compute in pure Python."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Self

from gilx import kernels
from gilx._compat import gil_enabled
from gilx.demo.chapter import Chapter, Effort, losses_of, one_cpu, outcome_of, words_of
from gilx.demo.problem_sizes import problem_size
from gilx.demo.watched_threads import watched
from gilx.formatting import percent, times
from gilx.sampling.timeline import Timeline  # noqa: TC001 - JSON is read by annotations
from gilx.speedup.report import ReportRow  # noqa: TC001 - likewise

if TYPE_CHECKING:
    from collections.abc import Callable

_KERNEL = "mandelbrot"
_SECONDS = 0.01  # that a call lasts


def pure_python_call(seconds: float) -> Callable[[], object]:
    """Return a call that computes in pure Python for about so long.

    It computes a kernel, since a loop of a few instructions is unsuitable: depending on
    what its CPU ran before, such a loop takes up to a fifth more or less CPU time, and
    keeps doing so until something interrupts it. Threads that take turns interrupt each
    other, and one thread alone is not interrupted, so the loop would seem to gain by
    threads.
    """
    kernel = kernels.get(_KERNEL)
    problem = kernel.problem(problem_size(kernel, "python", seconds))
    [arguments] = problem.calls()
    return partial(kernel.function("python"), *arguments, 0, problem.items)


@dataclass(frozen=True)
class PurePython(Chapter):
    """The same pure-Python call by one thread and by several at once."""

    title: ClassVar[str] = "CPU-bound threads in pure Python"
    depends: ClassVar[str] = (
        "the GIL, not on threads as such: threads that wait, or that call code which"
        " releases the GIL, do run side by side (chapters 3, 5 and 6), and so does this"
        " very code without a GIL (chapter 8)."
    )

    work: ClassVar[str] = "pure Python"

    gil: bool
    threads: ReportRow
    lanes: Timeline | None = None
    """Usage of the GIL while threads made the call; None if it can't be watched."""

    @classmethod
    def measure(cls, effort: Effort) -> Self:
        """Measure a kernel in pure Python, in threads."""
        call = pure_python_call(_SECONDS)
        [threads] = effort.speedups(call, [_KERNEL], 4, workers=effort.workers)
        return cls(
            missing=one_cpu(),
            gil=gil_enabled(),
            threads=threads,
            lanes=watched(call, effort.workers),
        )

    def speedups(self) -> tuple[ReportRow, ...]:
        """Return the one row."""
        return (self.threads,)

    def sentences(self) -> list[str]:
        """Say what threads gained, and what processes did."""
        row = self.threads
        who = f"{row.workers} threads"
        said = [f"The kernel {_KERNEL} has a speedup of {words_of(row)} in {who}."]
        if row.ceiling_kind == "the same calls in processes":
            wasted = outcome_of(row) == "no faster"
            could = ", so the machine could do better" if wasted else ""
            said.append(
                f"The same calls in {row.workers} processes, at about the same time, had"
                f" a speedup of {times(row.ceiling.value)}{could}."
            )
        held = row.held
        share = f" (for {percent(held.value)} of each call)" if held.known else ""
        said.append(
            {
                "no faster": "Threads take turns: a thread that computes in pure Python"
                f" holds the GIL{share}."
                if self.gil
                else "There is no GIL here, but the threads are still not faster.",
                "scales": "The threads ran side by side"
                f"{': there is no GIL here' if not self.gil else ''}.",
                "partly": "The threads ran side by side for a part of the time.",
                "no capacity": "The machine had no free CPU just now, so this shows"
                f" nothing about {'the GIL' if self.gil else 'threads without a GIL'}.",
                "unclear": "The machine was too noisy for a conclusion.",
            }[outcome_of(row)]
        )
        return said + losses_of(row)

    def timelines(self) -> list[tuple[str, Timeline]]:
        """Return who held the GIL while threads did this."""
        return [] if self.lanes is None else [("pure Python in threads", self.lanes)]
