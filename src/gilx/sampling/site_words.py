"""Words for the lines that hold the GIL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.formatting import percent
from gilx.sampling.source_files import is_of_gilx

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilx.sampling.sites import Site

_NEARLY_ALL, _MOST = 0.8, 0.5  # of what is held, by one line
_FEWEST = 10  # samples of a line that is named as the main one
_NAMED = 3  # lines, if no one has most
_ALMOST_ALL_CALLS = 0.9  # of the holds of a line: those of one caller
_LITTLE, _ALL = 0.1, 0.99  # of what is held, by the lines that are known


def main_line(
    lines: Sequence[Site], thread: str = "", held: float | None = None
) -> tuple[str, str]:
    """Return what part of the held time one line has, in words, and that line.

    Parameters
    ----------
    lines : sequence of Site
        Lines, as `gilx.sampling.sites.lines_of` returns them.
    thread : str
        Name of the thread whose holds count; all threads' if it is empty.
    held : float, optional
        Share of the time that the GIL is held; by default the sum of the lines' shares.

    Returns
    -------
    (str, str)
        ``nearly all`` or ``most``, and the line with its text and, if it is in a library,
        that of the program's own line that called it. If no line has that much, code that
        one line of the program called may have. Both are empty if that has not, either,
        if the samples are few, or if the line is gilx's own call of compiled code.

    """
    lines, whole = _lines_of_thread(lines, thread, held)
    first = next(iter(lines), None)
    if first is None or is_of_gilx(first.file):
        return "", ""
    if first.samples >= _FEWEST and _can_be_named(first, thread):
        part = _part(first.held.value, whole)
        if part:
            origin = called_from(first)
            return part, f"{first.label}, {origin}" if origin else first.label
    called, label = _most_called(lines, thread)
    part = _part(called, whole)
    return (part, f"code called from {label}") if part else ("", "")


def where_held(lines: Sequence[Site], thread: str = "", held: float | None = None) -> str:
    """Return where the GIL is held, as words that follow those for how long.

    They are the line that `main_line` returns, or else the first three of several lines,
    with their shares of the held time; empty if no line is known well enough.

    Parameters
    ----------
    lines, thread, held
        As those of `main_line`.

    """
    part, line = main_line(lines, thread, held)
    if part:
        return f"{part} of it in {line}"
    lines, whole = _lines_of_thread(lines, thread, held)
    # One late sample may stand for much time: a single one names no line.
    named = [line for line in lines if line.samples > 1 and _can_be_named(line, thread)]
    if not named or whole <= 0 or sum(line.samples for line in lines) < _FEWEST:
        return ""
    shares = [
        f"{percent(line.held.value / whole)} in {line.label}" for line in named[:_NAMED]
    ]
    known = sum(line.held.value for line in lines) / whole
    if known < _LITTLE:
        return ""
    number = str(len(lines)) if known >= _ALL else "several"
    return f"spread over {number} lines ({', '.join(shares)})"


def called_from(site: Site) -> str:
    """Return the line of the program's own code that called most of a site, in words."""
    if not site.callers:
        return ""
    first = site.callers[0]
    share = first.held / site.sums.held
    part = "" if share >= _ALMOST_ALL_CALLS else f" for {percent(share)} of that"
    return f"called{part} from {first.label}"


def _part(share: float, whole: float) -> str:
    part = share / whole if whole > 0 else 0.0
    return "nearly all" if part >= _NEARLY_ALL else "most" if part >= _MOST else ""


def _lines_of_thread(
    lines: Sequence[Site], thread: str, held: float | None
) -> tuple[Sequence[Site], float]:
    """Return the lines at which a thread held the GIL, and the share that all have."""
    if thread:
        lines = [line for line in lines if line.thread in (thread, "")]
    return lines, sum(line.held.value for line in lines) if held is None else held


def _can_be_named(line: Site, thread: str) -> bool:
    """Return whether a line is known to hold the GIL in a thread."""
    alone = line.thread == (thread or line.thread)
    return line.kind == "line" and alone and not is_of_gilx(line.file)


def _most_called(lines: Sequence[Site], thread: str) -> tuple[float, str]:
    """Return the share of the time that code called from one line has, and that line."""
    shares: dict[tuple[str, str, int], tuple[float, int, str]] = {}
    for line in lines:
        if not _can_be_named(line, thread):
            continue
        for one in line.callers:
            key = one.function, one.file, one.line
            share, samples, label = shares.get(key, (0.0, 0, one.label))
            part = one.held / line.sums.held
            shares[key] = (
                share + part * line.held.value,
                samples + round(part * line.samples),
                label,
            )
    share, samples, label = max(shares.values(), default=(0.0, 0, ""))
    return (share, label) if samples >= _FEWEST else (0.0, "")
