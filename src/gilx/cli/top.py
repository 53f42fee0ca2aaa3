"""``gilx top``: live figures of a running process."""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gilx.cli.interrupts import noted_interrupts
from gilx.cli.keyboard import Keyboard
from gilx.cli.option_types import add_options, whole_number
from gilx.cli.reserved_output import print_text
from gilx.errors import above_zero
from gilx.formatting import duration, percent
from gilx.rendering.top_screen import check_rich, screen_of
from gilx.rendering.top_view import text_of, view_of
from gilx.sampling.process_access import checked_pid
from gilx.sampling.process_readings import ProcessReadings
from gilx.sampling.watch import COST
from gilx.sampling.watched_process import WAYS_TO_END

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from types import FrameType

    from rich.console import Console
    from rich.live import Live

    from gilx.rendering.top_view import TopView

_KILLED = 128  # is added to the number of the signal, as in shells
_DUMB = ("", "dumb", "unknown")  # terminals on which nothing can be drawn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "exit status: 0 after q, or when the process has ended; 1 if it can't be watched,"
        " 2 if the command line is wrong, 130 after Ctrl-C"
    )
    parser.add_argument(
        "--pid",
        type=whole_number,
        metavar="PID",
        required=True,
        help="the process, which runs any CPython from 3.11 to 3.15. It is not stopped"
        " and loads nothing",
    )
    add_options(
        parser,
        {
            "--interval SECONDS 0.5": "time from one reading to the next (default: 0.5)",
            "--budget SECONDS": "end after so many seconds (default: when the process"
            " ends)",
        },
    )


def run(options: argparse.Namespace) -> int:
    """Show figures until the process ends, a key is pressed, or the time is over."""
    interval = above_zero("interval", options.interval)
    budget = float("inf")
    if options.budget is not None:
        budget = above_zero("budget", options.budget)
    from gilx.sampling import _sampler  # noqa: F401, PLC0415 - not in every installation

    pid = checked_pid(options.pid)
    drawn = sys.stdout is not None and sys.stdout.isatty()
    drawn = drawn and os.environ.get("TERM", "") not in _DUMB
    if drawn:
        check_rich()
    readings = ProcessReadings(pid, COST)
    readings.start()
    show = _draw if drawn else _print
    until = time.monotonic() + budget
    with noted_interrupts() as interrupts:
        show(readings, interval, lambda: interrupts.noted() or time.monotonic() >= until)
    print_text(last_words(readings))
    return interrupts.status


def _views(
    readings: ProcessReadings,
    interval: float,
    is_over: Callable[[], bool],
    pause: Callable[[float], bool],
) -> Iterator[TopView]:
    """Yield the content of each screen, for as long as the process exists."""
    ends = False

    def wait(seconds: float) -> bool:
        nonlocal ends
        ends = pause(seconds) or is_over()
        return ends

    there = True
    while there and not ends:
        there = readings.read(interval, wait)
        if readings.any:
            yield view_of(readings.now, readings.recent, readings.sums)


def _print(
    readings: ProcessReadings, interval: float, is_over: Callable[[], bool]
) -> None:
    """Print one line for each reading."""
    process = readings.process
    print_text(f"{process.name}, CPython {process.python}")

    def pause(seconds: float) -> bool:
        time.sleep(seconds)
        return False

    for view in _views(readings, interval, is_over, pause):
        print_text(text_of(view))


def _draw(
    readings: ProcessReadings, interval: float, is_over: Callable[[], bool]
) -> None:
    """Draw each reading on the terminal, and restore the terminal at the end."""
    from rich.console import Console  # noqa: PLC0415 - an extra
    from rich.live import Live  # noqa: PLC0415 - likewise

    console = Console()
    with (
        _unwound_by_signals(),
        Keyboard() as keyboard,
        Live(console=console, screen=True, auto_refresh=False) as live,
    ):
        words = "q quits" if keyboard.present else "Ctrl-C quits"
        screen = _Screen(console, live, words)

        def pause(seconds: float) -> bool:
            screen.fit()
            return keyboard.wait(seconds, "qQ")

        for view in _views(readings, interval, is_over, pause):
            screen.show(view)


class _Screen:
    """Terminal that is redrawn when there are new figures or its size has changed."""

    def __init__(self, console: Console, live: Live, words: str) -> None:
        self._console, self._live, self._words = console, live, words
        self._view: TopView | None = None
        self._size = console.size

    def show(self, view: TopView) -> None:
        """Draw a view."""
        self._view, self._size = view, self._console.size
        drawn = screen_of(view, *self._size, self._words)
        self._live.update(drawn, refresh=True)

    def fit(self) -> None:
        """Draw the last view again if the terminal has another size by now."""
        if self._view is not None and self._console.size != self._size:
            self.show(self._view)


@contextmanager
def _unwound_by_signals() -> Iterator[None]:
    """Restore the terminal when a signal ends the process."""

    def unwind(number: int, _: FrameType | None) -> None:
        raise SystemExit(_KILLED + number)

    numbers = signal.SIGTERM, signal.SIGHUP
    before = [signal.signal(number, unwind) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def last_words(readings: ProcessReadings) -> str:
    """Return a sentence on the whole time."""
    name = readings.process.name
    end = WAYS_TO_END[readings.end] if readings.end else ""
    if not readings.any:
        return f"{name} {end or 'was left'} before it could be watched"
    figures = readings.sums.figures()
    share, length = percent(figures["locked"].value), duration(figures["wall"])
    if readings.sums.without_gil:
        ran = f"{name} ran without a GIL for the {length} in which it was watched"
        return f"{ran}; it {end}" if end else ran
    held = f"{name} held the GIL for {share} of the {length} in which it was watched"
    if before := readings.without_gil_before:
        held += f", after {duration(before)} without a GIL"
    return f"{held}; it {end}" if end else held
