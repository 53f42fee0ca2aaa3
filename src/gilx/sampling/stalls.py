"""Stalls: times in which the GIL was not released, or an event loop was blocked.

Without a GIL, a stall is a stop of the world that waits for a thread to stop, or that
keeps threads waiting.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from gilx.errors import ArgumentError
from gilx.estimate import Estimate  # noqa: TC001 - JSON is read by it
from gilx.formatting import duration
from gilx.records import Record
from gilx.sampling.source_files import is_library, is_of_gilx

if TYPE_CHECKING:
    from collections.abc import Sequence

_FRAME = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.*)')


@dataclass(frozen=True)
class Stall(Record, schema="gilx.stall", version=1):
    """A time in which the GIL was not released, or an event loop was blocked."""

    kind: Literal["gil", "loop", "world"]
    """``'gil'``: a thread waited for the GIL, and it was not released; ``'loop'``: the
    thread that runs an event loop did not return to the loop's selector; ``'world'``, in
    a Python without a GIL: a stop of the world waited for a thread that was late to stop,
    or all threads were stopped and some waited."""
    process: int
    """Number of the process."""
    number: int
    """Number among all stalls of this kind of the monitor, from 1. Stalls without a
    report are counted, too."""
    time: float
    """When it began, in seconds since 1970."""
    seconds: Estimate
    """Length. While the stall goes on, it is the time so far, and the interval has no
    upper end. If the stall was `open_at_stop`, it is the time up to the stop, and the
    interval has no upper end either."""
    open_at_stop: bool
    """True if it still went on when the monitor was stopped."""
    waiters: int
    """Largest number of threads that waited at once for the GIL, or for a stop of the
    world to begin or to end; 0 for an event loop."""
    thread: str
    """Name of the thread that held the GIL, that runs the event loop, or that was late to
    stop; if all had stopped, of the one that asked for the stop of the world."""
    native_id: int
    """Number that Linux has for that thread."""
    function: str
    """Innermost Python function of that thread, empty if it ran no Python code or its
    stack could not be read."""
    file: str
    """File of that function."""
    line: int
    """Line in that file, 0 if it is not known."""
    own_function: str
    """Innermost function of the program's own code on the stack of that thread: the same
    as `function`, or what called the standard library or an installed package. It is
    empty if there is none, or none is known."""
    own_file: str
    """File of that function."""
    own_line: int
    """Line in that file, 0 if it is not known."""
    report: tuple[str, ...]
    """Lines of the last report, with the stacks."""

    @property
    def over(self) -> bool:
        """True if the GIL has been released, or the loop is no longer blocked."""
        return math.isfinite(self.seconds.high)

    def _check(self, where: str) -> None:
        seconds = self.seconds
        if not (seconds.known and 0 <= seconds.low <= seconds.value <= seconds.high):
            raise ArgumentError(f"{where}.seconds: expected a length of at least 0")
        if self.open_at_stop and self.over:
            raise ArgumentError(
                f"{where}.open_at_stop: expected false for a stall whose end is known"
            )
        if min(
            self.number, self.waiters, self.line, self.own_line
        ) < 0 or not math.isfinite(self.time):
            raise ArgumentError(f"{where}: expected numbers of at least 0")

    def __str__(self) -> str:
        place = f"{self.file}:{self.line} {self.function}" if self.function else "C code"
        how = f"{duration(self.seconds.value)} in {place}"
        own = self.own_file, self.own_line, self.own_function
        if self.own_function and own != (self.file, self.line, self.function):
            how += f", called from {self.own_file}:{self.own_line} {self.own_function}"
        if self.open_at_stop:
            how += " when the monitor was stopped"
        if self.kind == "loop":
            does = _word(self, "was", "has been", "had been")
            return f"the event loop of {self.thread} {does} blocked for {how}"
        if self.kind == "world":
            does = _word(self, "kept", "has kept", "had kept")
            return f"{self.thread} {does} other threads stopped or waiting for {how}"
        does = _word(self, "held", "has held", "had held")
        return f"{self.thread} {does} the GIL for {how}"


class OwnPlace(NamedTuple):
    """Place in a program's own code."""

    function: str
    file: str
    line: int


def own_place(report: Sequence[str]) -> OwnPlace:
    """Return the innermost place of the program's own code on a report's first stack.

    The place is empty if the stack has none, or if gilx's own code is further in.
    """
    threads = [n for n, line in enumerate(report) if line.startswith("Thread ")]
    for line in report[threads[0] + 1 :] if threads else ():
        if not line.startswith("  "):
            break
        frame = _FRAME.fullmatch(line)
        if frame is None:
            continue
        if is_of_gilx(frame["file"]):
            break
        if not is_library(frame["file"]):
            return OwnPlace(frame["function"], frame["file"], int(frame["line"]))
    return OwnPlace("", "", 0)


def _word(stall: Stall, over: str, goes_on: str, open_at_stop: str) -> str:
    return open_at_stop if stall.open_at_stop else over if stall.over else goes_on
