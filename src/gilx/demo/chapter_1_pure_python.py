"""Chapter 1: threads that compute in pure Python."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Self

from gilx._compat import gil_enabled
from gilx.demo.chapter import (
    Chapter,
    ChapterTable,
    Effort,
    Speedup,
    one_cpu,
    speedup_picture,
    speedup_table,
    times,
)
from gilx.demo.problem_sizes import size_lasting
from gilx.demo.watched_threads import watched
from gilx.formatting import percent
from gilx.sampling.timeline import Timeline  # noqa: TC001 - JSON is read by annotations
from gilx.speedup.measure import measure
from gilx.speedup.timings import in_a_row

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.rendering.bar_chart import BarChart

_SECONDS = 0.01  # that a call lasts


def count_down(steps: int) -> None:
    """Compute in pure Python, and nothing else."""
    while steps:
        steps -= 1


def count_down_for(seconds: float) -> Callable[[], object]:
    """Return a call that computes in pure Python for about so long."""
    steps = size_lasting(lambda steps: in_a_row(partial(count_down, steps), 1), seconds)
    return partial(count_down, steps)


@dataclass(frozen=True)
class PurePython(Chapter):
    """The same pure-Python call by one thread and by several at once."""

    title: ClassVar[str] = "CPU-bound threads in pure Python"
    depends: ClassVar[str] = (
        "the GIL, not threads as such: threads that wait, or that call code which lets"
        " the GIL go, do run side by side (chapters 3, 5 and 6), and so does this very"
        " code where there is no GIL (chapter 8)."
    )

    gil: bool
    threads: Speedup
    lanes: Timeline | None = None
    """Who held the GIL while threads did this; None where it can't be watched."""

    @classmethod
    def measure(cls, effort: Effort) -> Self:
        """Measure a loop that counts down, in threads."""
        call = count_down_for(_SECONDS)
        report = measure(
            call,
            workers=effort.workers,
            budget=effort.seconds(4),
            blocks=effort.blocks,
            progress=effort.progress,
        )
        return cls(
            missing=one_cpu(),
            gil=gil_enabled(),
            threads=Speedup.of(report.rows[0], "count down"),
            lanes=watched(call, effort.workers),
        )

    def tables(self) -> list[ChapterTable]:
        """Return the one row."""
        return [
            speedup_table(
                [self.threads],
                what="pure Python",
                together=f"{self.threads.workers} threads",
            )
        ]

    def sentences(self) -> list[str]:
        """Say what threads gained, and what processes did."""
        row = self.threads
        who = f"{row.workers} threads"
        said = [f"A loop that counts down, by {who} at once: {row.words()}."]
        if row.ceiling_kind == "the same calls in processes":
            could = ": the machine could have done it" if self._wasted() else ""
            said.append(
                f"The same calls in {row.workers} processes, at about the same time, came"
                f" to {times(row.ceiling.value)}{could}."
            )
        held = row.row.held
        share = f" (each call holds it {percent(held.value)})" if held.known else ""
        said.append(
            {
                "no faster": "Threads take turns: whoever computes in pure Python holds"
                f" the GIL{share}."
                if self.gil
                else "There is no GIL here, and still it is no faster.",
                "scales": "The threads ran side by side"
                f"{': there is no GIL here' if not self.gil else ''}.",
                "partly": "The threads ran side by side, in part.",
                "no room": "The machine gave no more to anything just now, so this shows"
                f" nothing about {'the GIL' if self.gil else 'threads without a GIL'}.",
                "unclear": "The machine was too restless to tell.",
            }[row.outcome]
        )
        return [*said, lost] if (lost := row.lost()) else said

    def _wasted(self) -> bool:
        """Whether processes were clearly faster."""
        return self.threads.outcome == "no faster"

    def timelines(self) -> list[tuple[str, Timeline]]:
        """Return who held the GIL while threads did this."""
        return [] if self.lanes is None else [("pure Python in threads", self.lanes)]

    def picture(self) -> BarChart:
        """Return the speedup."""
        return speedup_picture([self.threads])
