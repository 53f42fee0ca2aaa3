"""Content of ``gilx top``, as data: figures, threads and lines, in the order shown."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilx.estimate import Estimate
from gilx.formatting import duration, percent, shortened, shortened_path
from gilx.sampling.idle_waits import lines_in_order
from gilx.sampling.site_words import called_from

if TYPE_CHECKING:
    from gilx.sampling.hold_fraction import HoldSums
    from gilx.sampling.sites import Site
    from gilx.sampling.thread_usage import ThreadUsage
    from gilx.sampling.usage import GilUsage

_LEAST = 0.0005  # smaller shares are shown as nothing
_THREAD_WIDTH, _PLACE_WIDTH = 20, 32  # characters, in lines of text


@dataclass(frozen=True)
class TopThread:
    """One thread."""

    name: str
    held: float
    """Share of the time for which it held the GIL, or ran attached without one."""
    waited: float
    """Share of the time for which it waited for the GIL or, without a GIL, for locks and
    for stops of the world; NaN if that is unknown."""


@dataclass(frozen=True)
class TopLine:
    """One line of code."""

    place: str
    text: str
    """Source text, or the name of the function if there is none; of a line of a library,
    also the line of the program that called it."""
    held: float
    """Share of the time for which the GIL was held there or, without a GIL, for which
    stops of the world were asked for there, or waited for a thread there."""
    caused: float
    """Average number of threads that waited for the GIL meanwhile or, without a GIL, for
    a lock there; NaN if that is unknown."""


@dataclass(frozen=True)
class TopView:
    """Figures that are shown at one moment."""

    title: str
    """The process."""
    now: float
    """Share of the last reading's time for which the GIL was held; without one, in which
    the world was stopped or stopping."""
    held: Estimate
    """The same share over the last readings."""
    seconds: float
    """Length of the last readings."""
    whole: float
    """The same share since the start; NaN if it is unknown, as without a GIL."""
    whole_seconds: float
    waiting: float
    """Threads that waited for the GIL, or without one, for locks and for the world, on
    average; NaN if that is unknown."""
    switches: float
    """Switches of the GIL from one thread to another, a second."""
    longest: float
    """Seconds of the longest hold or, without a GIL, upper bound of the longest stop of
    the world; NaN if it is unknown."""
    threads: tuple[TopThread, ...]
    lines: tuple[TopLine, ...]
    note: str = ""
    """Reason that figures are missing or inconclusive; empty if none are."""
    without_gil: bool = False

    @property
    def thread_columns(self) -> tuple[str, str]:
        """Names of the figures of a thread."""
        return ("attached", "waiting") if self.without_gil else ("held", "waited")

    @property
    def line_columns(self) -> tuple[str, str]:
        """Names of the figures of a line."""
        return ("stops", "waiting") if self.without_gil else ("held", "waiting")


def view_of(now: GilUsage, recent: GilUsage, whole: HoldSums) -> TopView:
    """Return the view of the last reading, of the last few, and of all."""
    figures = whole.figures()
    process = recent.process
    title = (
        recent.program if process is None else f"{process.name}, CPython {process.python}"
    )
    if recent.sums.without_gil:
        return _view_without_gil(title, now, recent, figures["wall"])
    threads = sorted(map(_thread_of, recent.by_thread), key=_rank, reverse=True)
    lines = (_line_of(line, recent.wall) for line in recent.lines())
    return TopView(
        title=title,
        now=now.locked.value,
        held=recent.locked,
        seconds=recent.wall,
        whole=figures["locked"].value,
        whole_seconds=figures["wall"],
        waiting=recent.waited.value / recent.wall,
        switches=recent.switches_per_second,
        longest=recent.longest_hold.value,
        threads=tuple(thread for thread in threads if _rank(thread) != (0, 0)),
        lines=tuple(line for line in lines if line.held >= _LEAST),
        note=f"inconclusive: {recent.inconclusive_reason}"
        if recent.inconclusive_reason
        else recent.sites_missing and f"no lines, since {recent.sites_missing}",
    )


def _view_without_gil(
    title: str, now: GilUsage, recent: GilUsage, whole_seconds: float
) -> TopView:
    unknown = Estimate.unknown()
    waits = [_waiting(thread) for thread in recent.by_thread]
    threads = sorted(
        (
            TopThread(thread.name, thread.running.value, wait)
            for thread, wait in zip(recent.by_thread, waits, strict=True)
        ),
        key=_rank,
        reverse=True,
    )
    return TopView(
        title=f"{title}, without a GIL",
        now=unknown.value if now.world is None else now.world.stopped.value,
        held=unknown if recent.world is None else recent.world.stopped,
        seconds=recent.wall,
        whole=math.nan,
        whole_seconds=whole_seconds,
        waiting=sum(waits),
        switches=0.0,
        longest=math.nan if recent.world is None else recent.world.longest.high,
        threads=tuple(thread for thread in threads if _rank(thread) != (0, 0)),
        lines=_lines_without_gil(recent),
        note=f"inconclusive: {recent.inconclusive_reason}"
        if recent.inconclusive_reason
        else recent.world_missing and f"no stops, since {recent.world_missing}",
        without_gil=True,
    )


def _waiting(thread: ThreadUsage) -> float:
    return thread.waiting_lock.value + thread.stopped.value


def _lines_without_gil(usage: GilUsage) -> tuple[TopLine, ...]:
    """Return the lines of stops, and those where threads wait for locks.

    The line with the largest figure is first; lines where idle threads wait are last.
    """
    figures_of_lines: dict[tuple[str, str], tuple[float, float]] = {}
    idle: set[tuple[str, str]] = set()
    for stop in usage.world.sites if usage.world is not None else ():
        if stop.kind == "line":
            key = stop.place, stop.text or stop.function
            figures_of_lines[key] = max(stop.asking.value, stop.late.value), 0.0
    for is_idle, wait in lines_in_order(usage):
        key = wait.place, wait.text or wait.function
        stops, _ = figures_of_lines.get(key, (0.0, 0.0))
        figures_of_lines[key] = stops, wait.waiting_lock.value / usage.wall
        if is_idle:
            idle.add(key)
    lines = [TopLine(*key, *figures) for key, figures in figures_of_lines.items()]
    lines.sort(key=lambda line: ((line.place, line.text) in idle, -_larger(line)))
    return tuple(line for line in lines if _larger(line) >= _LEAST)


def _figure_of(line: TopLine, view: TopView) -> str:
    """Return the figure of a line in words; without a GIL, the larger of the two."""
    if not view.without_gil:
        return f"{share(line.held):>7}"
    if line.held >= line.caused:
        return f"stops {share(line.held):>7}"
    return f"waiting {average(line.caused):>5}"


def _larger(line: TopLine) -> float:
    return max(line.held, line.caused)


def _thread_of(thread: ThreadUsage) -> TopThread:
    return TopThread(thread.name, thread.holding.value, thread.waiting_gil.value)


def _rank(thread: TopThread) -> tuple[float, float]:
    """Return the sort key of a thread; (0, 0) if its figures are negligible."""
    shares = (thread.held, thread.waited)
    # NaN is nothing.
    held, waited = (figure if figure >= _LEAST else 0 for figure in shares)
    return held, waited


def _line_of(line: Site, wall: float) -> TopLine:
    text = "(changed)" if line.changed else line.text or line.function
    words = "  ".join(filter(None, (text, called_from(line))))
    caused = line.waiting_caused.value / wall
    return TopLine(line.place, words, line.held.value, caused)


def average(value: float) -> str:
    """Return a number of threads on average; ``-`` if it is unknown."""
    return "-" if math.isnan(value) else f"{value:.2f}"


def share(value: float) -> str:
    """Return a share with one decimal; ``-`` if it is unknown."""
    return "-" if math.isnan(value) else f"{100 * value:.1f} %"


def figures_of(view: TopView) -> list[str]:
    """Return the figures of all threads together, in short sentences."""
    known = not math.isnan(view.longest)
    longest = duration(view.longest) if known else "unknown"
    if view.without_gil:
        stops = f"no stop above {longest}" if known else "longest stop unknown"
        stopped = (
            f"stopped or stopping for {percent(view.now)} now,"
            f" {view.held.text(percent)} in {duration(view.seconds)}"
            if view.held.known
            else "stops of all threads are not read"
        )
        return [
            stopped,
            (f"threads that wait for locks and stops {average(view.waiting)}, {stops}"),
        ]
    return [
        (
            f"held {percent(view.now)} now, {view.held.text(percent)} in"
            f" {duration(view.seconds)}, {percent(view.whole)} in"
            f" {duration(view.whole_seconds)}"
        ),
        (
            f"threads that wait {average(view.waiting)}, switches {view.switches:.3g}/s,"
            f" longest hold {longest}"
        ),
    ]


def text_of(view: TopView) -> str:
    """Return one line of text, for pipes and files."""
    words = [
        time.strftime("%H:%M:%S"),
        f"{'stopped' if view.without_gil else 'held'} {share(view.now):>7}",
        f"waiting {average(view.waiting):>5}",
    ]
    if view.threads:
        first = view.threads[0]
        name = shortened(first.name, _THREAD_WIDTH)
        words.append(f"{name:<{_THREAD_WIDTH}} {share(first.held):>7}")
    if view.lines:
        line = view.lines[0]
        place = shortened_path(line.place, _PLACE_WIDTH)
        words.append(f"{place:<{_PLACE_WIDTH}} {_figure_of(line, view)}")
    if view.note:
        words.append(view.note)
    return "  ".join(words)
