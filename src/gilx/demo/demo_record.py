"""The demo as a record: all chapters, measured and kept."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING

from gilx.demo.chapter import Chapter, Effort
from gilx.demo.chapter_1_pure_python import PurePython
from gilx.demo.chapter_2_lock import Lock
from gilx.demo.chapter_3_waiting import Waiting
from gilx.demo.chapter_4_processes import Processes
from gilx.demo.chapter_5_libraries import Libraries
from gilx.demo.chapter_6_extension import Extension
from gilx.demo.chapter_7_interpreters import Interpreters
from gilx.demo.chapter_8_free_threading import FreeThreaded
from gilx.errors import ArgumentError, number_of_workers
from gilx.records import Record
from gilx.system.environment import Environment, usable_cpus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CHAPTERS: dict[str, type[Chapter]] = {
    "pure": PurePython,
    "lock": Lock,
    "waiting": Waiting,
    "processes": Processes,
    "libraries": Libraries,
    "extension": Extension,
    "interpreters": Interpreters,
    "free": FreeThreaded,
}
"""The chapters in their order, by the names of their fields in the record."""

_MOST_WORKERS = 8  # by default: enough to show the effects, and quick to start


@dataclass(frozen=True)
class Demo(Record, schema="gilx.demo", version=5):
    """The chapters that were measured; None for chapters that were not measured."""

    environment: Environment
    quick: bool
    workers: int
    """Number of threads, processes or interpreters that computed at once."""
    seconds: float
    """Seconds that measuring took."""
    pure: PurePython | None = None
    lock: Lock | None = None
    waiting: Waiting | None = None
    processes: Processes | None = None
    libraries: Libraries | None = None
    extension: Extension | None = None
    interpreters: Interpreters | None = None
    free: FreeThreaded | None = None

    def chapters(self) -> list[tuple[int, str, Chapter]]:
        """Return number, name and figures of the chapters that there are."""
        return [
            (number, name, chapter)
            for number, name in enumerate(CHAPTERS, 1)
            if (chapter := getattr(self, name)) is not None
        ]

    def to_html(self) -> str:
        """Return the demo as a page: its chapters, with pictures that the browser draws.

        It is one HTML file that loads nothing from the network.

        Raises
        ------
        MissingExtraError
            The library that draws in the page is not installed; the extra ``html`` has
            it.

        """
        from gilx.demo.demo_page import document_of  # noqa: PLC0415 - for this only

        whole = len(self.chapters()) == len(CHAPTERS)
        return document_of(self, whole=whole).html()


def run_demo(
    numbers: Iterable[int] | None = None,
    *,
    quick: bool = False,
    workers: int | None = None,
    progress: Callable[[str], None] | None = None,
    each: Callable[[int, Chapter], None] | None = None,
) -> Demo:
    """Measure chapters of the demo.

    Parameters
    ----------
    numbers : iterable of int, optional
        Which chapters, from 1; by default all.
    quick : bool
        Whether wider intervals are enough: on two idle CPUs, all chapters take less than
        20 seconds instead of less than 90.
    workers : int, optional
        How many threads, processes or interpreters compute at once, at least 2; by
        default the usable CPUs, 2 to 8.
    progress : callable, optional
        Called with a line of text between measurements.
    each : callable, optional
        Called with the number and the figures of each chapter when it is done.

    Returns
    -------
    Demo
        The figures.

    Raises
    ------
    ArgumentError
        An argument is not as described; the message names it.
    NotCompiledError
        gilx was installed without its compiled parts, which most chapters need.

    """
    import gilx.ckernels  # noqa: F401, PLC0415 - so that a failure comes before any measurement

    wanted = list(range(1, len(CHAPTERS) + 1) if numbers is None else numbers)
    for number in wanted:
        if not 1 <= number <= len(CHAPTERS):
            raise ArgumentError(f"chapter: expected 1 to {len(CHAPTERS)}, got {number}")
    count = (
        max(2, min(_MOST_WORKERS, usable_cpus()))
        if workers is None
        else number_of_workers(workers, 2)
    )
    begin = perf_counter()
    environment = Environment.here()
    chapters: dict[str, Chapter] = {}
    for number, (name, kind) in enumerate(CHAPTERS.items(), 1):
        if number not in wanted:
            continue

        def report(text: str, number: int = number) -> None:
            if progress is not None:
                progress(f"chapter {number} of {len(CHAPTERS)}: {text}" if text else "")

        report(kind.title)
        chapters[name] = kind.measure(Effort(quick, count, report))
        report("")
        if each is not None:
            each(number, chapters[name])
    return Demo(
        environment=environment,
        quick=quick,
        workers=count,
        seconds=perf_counter() - begin,
        **chapters,  # type: ignore[arg-type] # each chapter is under its own name
    )
