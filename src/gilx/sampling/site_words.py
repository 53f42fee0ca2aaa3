"""Words for the lines that hold the GIL."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gilx.formatting import percent
from gilx.sampling.source_files import is_library, is_of_gilx

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilx.sampling.sites import Site

_NEARLY_ALL, _MOST = 0.8, 0.5  # shares of the held time that one line has
_FEWEST = 10  # samples of a line that is named as the main one
_NAMED = 3  # lines that are named if no single line has most
_ALMOST_ALL_CALLS = 0.9  # share of a line's held time that one caller has
_COLLECTOR = "garbage collector"  # kind of site
_LITTLE, _ALL = 0.1, 0.99  # shares of the held time that the known lines have


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
        that of the program's own line that called it. The garbage collector is named like
        a line of a library. If no line has that much, a line of the program is returned
        that has it together with the code that it called. Both texts are empty if that
        line does not have enough either, if there are few samples, or if the line is
        gilx's own call of compiled code.

    """
    lines, whole = _lines_of_thread(lines, thread, held)
    first = next(iter(lines), None)
    if first is None or is_of_gilx(first.file):
        return "", ""
    if first.samples >= _FEWEST and _can_be_named(first, thread):
        part = _part(first.held.value, whole)
        if part:
            return part, site_and_caller(first)
    share, words = _with_calls(lines, thread)
    part = _part(share, whole)
    return (part, words) if part else ("", "")


def where_held(lines: Sequence[Site], thread: str = "", held: float | None = None) -> str:
    """Return where the GIL is held, in words to follow those that say for how long.

    The words name the line that `main_line` returns, or else the first three of several
    lines, with their shares of the held time. They are empty if no line is known well
    enough.

    Parameters
    ----------
    lines, thread, held
        As those of `main_line`.

    """
    part, line = main_line(lines, thread, held)
    if part:
        return f"{part} of it in {line}"
    lines, whole = _lines_of_thread(lines, thread, held)
    # One late sample may stand for much time, so one sample is too few to name a line.
    named = [line for line in lines if line.samples > 1 and _can_be_named(line, thread)]
    if not named or whole <= 0 or sum(line.samples for line in lines) < _FEWEST:
        return ""
    shares = [
        f"{percent(line.held.value / whole)} in {_name(line)}" for line in named[:_NAMED]
    ]
    known = sum(line.held.value for line in lines) / whole
    if known < _LITTLE:
        return ""
    number = str(len(lines)) if known >= _ALL else "several"
    return f"spread over {number} lines ({', '.join(shares)})"


def longest_site(sites: Sequence[Site], thread: str) -> Site | None:
    """Return the place of the longest hold of a thread.

    The result is None if no place has a hold of a known length, if several threads held
    the GIL there, or if it is gilx's own call of compiled code.
    """
    longest = max(
        (site for site in sites if site.thread in (thread, "")),
        key=lambda site: site.longest_hold.low if site.longest_hold.known else 0.0,
        default=None,
    )
    if longest is None or not longest.longest_hold.low > 0:
        return None
    return longest if _can_be_named(longest, thread) else None


def site_and_caller(site: Site) -> str:
    """Return a place in words and, if it is in a library, what called it."""
    origin = called_from(site)
    return f"{_name(site)}, {origin}" if origin else _name(site)


def called_from(site: Site) -> str:
    """Return the main caller of a site in the program's own code, in words."""
    if not site.callers:
        return ""
    first = site.callers[0]
    share = first.held / site.sums.held
    part = "" if share >= _ALMOST_ALL_CALLS else f" for {percent(share)} of that"
    return f"called{part} from {first.label}"


def mostly_collector(lines: Sequence[Site], thread: str = "") -> bool:
    """Return whether the garbage collector has at least half of what is held.

    Parameters
    ----------
    lines, thread
        As those of `main_line`.

    """
    lines, whole = _lines_of_thread(lines, thread, None)
    collector = [line for line in lines if line.kind == _COLLECTOR]
    samples = sum(line.samples for line in collector)
    return samples >= _FEWEST and bool(
        _part(sum(line.held.value for line in collector), whole)
    )


def place_in_words(line: Site) -> str:
    """Return the place of a line, or ``the garbage collector``, or nothing if unknown."""
    if line.kind == _COLLECTOR:
        return f"the {line.place}"
    return line.place if line.kind == "line" else ""


def _name(line: Site) -> str:
    return f"the {line.label}" if line.kind == _COLLECTOR else line.label


def _part(share: float, whole: float) -> str:
    part = share / whole if whole > 0 else 0.0
    return "nearly all" if part >= _NEARLY_ALL else "most" if part >= _MOST else ""


def _lines_of_thread(
    lines: Sequence[Site], thread: str, held: float | None
) -> tuple[Sequence[Site], float]:
    """Return the lines at which a thread held the GIL, and the total held share."""
    if thread:
        lines = [line for line in lines if line.thread in (thread, "")]
    return lines, sum(line.held.value for line in lines) if held is None else held


def _can_be_named(line: Site, thread: str) -> bool:
    """Return whether a line, or the collector, is known to hold the GIL in a thread."""
    alone = line.thread == (thread or line.thread)
    known = line.kind in ("line", _COLLECTOR)
    return known and alone and not is_of_gilx(line.file)


class _Calls(NamedTuple):
    """Holds of a line of the program, or of what it called."""

    share: float  # of the time
    samples: int
    place: str
    text: str  # empty if it is not known, or if there are several
    called: bool


def _with_calls(lines: Sequence[Site], thread: str) -> tuple[float, str]:
    """Return the largest share of the time that a line and its calls have, and words.

    A line that called nothing does not count. The words include the source text if it is
    the same for the line and all its calls.
    """
    parts: dict[tuple[str, str, int], list[_Calls]] = {}
    for line in lines:
        if not _can_be_named(line, thread):
            continue
        if line.kind == "line" and not is_library(line.file):
            text = line.text if line.column >= 0 else ""
            own = _Calls(line.held.value, line.samples, line.place, text, called=False)
            parts.setdefault((line.function, line.file, line.line), []).append(own)
        for one in line.callers:
            share = one.held / line.sums.held
            call = _Calls(
                *(share * line.held.value, round(share * line.samples)),
                *(one.place, one.text),
                called=True,
            )
            parts.setdefault((one.function, one.file, one.line), []).append(call)
    main: list[_Calls] = max(
        (each for each in parts.values() if any(part.called for part in each)),
        key=lambda each: sum(part.share for part in each),
        default=[],
    )
    if sum(part.samples for part in main) < _FEWEST:
        return 0.0, ""
    texts = {part.text for part in main}
    text = texts.pop() if len(texts) == 1 else ""
    label = f"{main[0].place} `{text}`" if text else main[0].place
    only_calls = all(part.called for part in main)
    words = f"code called from {label}" if only_calls else f"{label} and what it calls"
    return sum(part.share for part in main), words
