"""Content of ``gilx top``, as data: figures, threads and lines, in the order shown."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilx.estimate import Estimate
from gilx.formatting import duration, percent, shortened, shortened_path
from gilx.sampling.site_words import called_from

if TYPE_CHECKING:
    from gilx.sampling.hold_fraction import HoldSums
    from gilx.sampling.sites import Site
    from gilx.sampling.thread_usage import ThreadUsage
    from gilx.sampling.usage import GilUsage

_LEAST = 0.0005  # shares below are shown as nothing
_THREAD_WIDTH, _PLACE_WIDTH = 20, 32  # characters, in lines of text


@dataclass(frozen=True)
class TopThread:
    """One thread."""

    name: str
    held: float
    """Share of the time for which it held the GIL, or ran attached without one."""
    waited: float
    """Share of the time for which it waited for the GIL, or without one, for locks and
    for the world; NaN if that is unknown."""


@dataclass(frozen=True)
class TopLine:
    """One line of code."""

    place: str
    text: str
    """Source text, or the name of the function if there is none; of a line of a library,
    also the line of the program that called it."""
    held: float
    """Share of the time for which the GIL was held there; without one, for which stops of
    the world were asked for there, or waited for a thread."""
    caused: float
    """Threads that waited for the GIL meanwhile, on average, or without one, that waited
    for a lock there; NaN if that is unknown."""


@dataclass(frozen=True)
class TopView:
    """Figures that are shown at one moment."""

    title: str
    """The process."""
    now: float
    """Share of the last reading's time for which the GIL was held; without one, in which
    the world was stopped or stopping."""
    held: Estimate
    """The same of the last readings."""
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
    """Seconds of the longest hold, or stop of the world; NaN if it is unknown."""
    threads: tuple[TopThread, ...]
    lines: tuple[TopLine, ...]
    note: str = ""
    """Why figures are missing or inconclusive; empty if none are."""
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
    """Return what is shown of the last reading, the last few, and of all."""
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
        threads=tuple(one for one in threads if _rank(one) != (0, 0)),
        lines=tuple(line for line in lines if line.held >= _LEAST),
        note=f"inconclusive: {recent.inconclusive_reason}"
        if recent.inconclusive_reason
        else recent.sites_missing and f"no lines, since {recent.sites_missing}",
    )


def _view_without_gil(
    title: str, now: GilUsage, recent: GilUsage, whole_seconds: float
) -> TopView:
    unknown = Estimate.unknown()
    waits = [_waiting(one) for one in recent.by_thread]
    threads = sorted(
        (
            TopThread(one.name, one.running.value, wait)
            for one, wait in zip(recent.by_thread, waits, strict=True)
        ),
        key=_rank,
        reverse=True,
    )
    return TopView(
        title=title,
        now=unknown.value if now.world is None else now.world.stopped.value,
        held=unknown if recent.world is None else recent.world.stopped,
        seconds=recent.wall,
        whole=math.nan,
        whole_seconds=whole_seconds,
        waiting=sum(waits),
        switches=0.0,
        longest=math.nan if recent.world is None else recent.world.longest.value,
        threads=tuple(one for one in threads if _rank(one) != (0, 0)),
        lines=_lines_without_gil(recent),
        note=f"inconclusive: {recent.inconclusive_reason}"
        if recent.inconclusive_reason
        else recent.world_missing and f"no stops, since {recent.world_missing}",
        without_gil=True,
    )


def _waiting(thread: ThreadUsage) -> float:
    return thread.waiting_lock.value + thread.stopped.value


def _lines_without_gil(usage: GilUsage) -> tuple[TopLine, ...]:
    """Return the lines of stops, and those where threads wait for locks."""
    found: dict[tuple[str, str], tuple[float, float]] = {}
    for stop in usage.world.sites if usage.world is not None else ():
        if stop.kind == "line":
            key = stop.place, stop.text or stop.function
            found[key] = max(stop.asking.value, stop.late.value), 0.0
    for wait in usage.waiting_sites:
        if wait.kind == "line" and wait.waiting_lock.known:
            key = wait.place, wait.text or wait.function
            stops, _ = found.get(key, (0.0, 0.0))
            found[key] = stops, wait.waiting_lock.value / usage.wall
    lines = [TopLine(*key, *figures) for key, figures in found.items()]
    lines.sort(key=lambda one: (one.held, one.caused), reverse=True)
    return tuple(one for one in lines if max(one.held, one.caused) >= _LEAST)


def _thread_of(thread: ThreadUsage) -> TopThread:
    return TopThread(thread.name, thread.holding.value, thread.waiting_gil.value)


def _rank(thread: TopThread) -> tuple[float, float]:
    """Return what threads are sorted by; (0, 0) if there is nothing to say of one."""
    shares = (thread.held, thread.waited)
    held, waited = (one if one >= _LEAST else 0 for one in shares)  # NaN is nothing
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
    """Return a share of one width; ``-`` if it is unknown."""
    return "-" if math.isnan(value) else f"{100 * value:.1f} %"


def figures_of(view: TopView) -> list[str]:
    """Return the figures of all threads together, in short sentences."""
    longest = "unknown" if math.isnan(view.longest) else duration(view.longest)
    if view.without_gil:
        stopped = (
            f"stopped or stopping for {percent(view.now)} now,"
            f" {view.held.text(percent)} in {duration(view.seconds)}"
            if view.held.known
            else "stops of all threads are not read"
        )
        return [
            f"without a GIL; {stopped}",
            (
                f"threads that wait for locks and stops {average(view.waiting)}, longest"
                f" stop {longest}"
            ),
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
        words.append(f"{place:<{_PLACE_WIDTH}} {share(line.held):>7}")
    if view.note:
        words.append(view.note)
    return "  ".join(words)
