"""Lines of a program's own code that called what holds the GIL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gilx.formatting import escaped
from gilx.sampling.sites import SiteCaller, joined_callers, one_line
from gilx.sampling.source_files import is_library, is_of_gilx
from gilx.sampling.stacks import BELOW, COLLECTOR, THREAD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilx.sampling.sites import Position
    from gilx.sampling.source_text import SourceTexts
    from gilx.sampling.stacks import FoundCall


def callers_of(
    calls: Sequence[FoundCall], sources: SourceTexts
) -> dict[Position | None, tuple[SiteCaller, ...]]:
    """Return the callers of the sites that are in libraries, and of the collector.

    The caller of a site is the nearest line on the stack that is in no library; that of
    the garbage collector, whose position is None, may be the innermost line. There is
    none if gilx itself is nearer, or if the sampler had no capacity for the call.

    Parameters
    ----------
    calls : sequence of FoundCall
        Calls as the sampler found them.
    sources : SourceTexts
        Source texts.

    """
    held: dict[tuple[Position | None, Position], float] = {}
    for call in calls:
        site = calls[call.parent] if call.label == BELOW and call.parent >= 0 else call
        seconds = call.held - call.cut
        if seconds <= 0 or not _has_callers(site):
            continue
        caller = _own_caller(calls, site)
        if caller is not None:
            key = site.place, caller
            held[key] = held.get(key, 0.0) + seconds
    found: dict[Position | None, list[SiteCaller]] = {}
    for (place, caller), length in held.items():
        function, file, _, line, *_ = caller
        text = one_line(sources.text(caller))
        one = SiteCaller(escaped(function), escaped(file), line, text, length)
        found.setdefault(place, []).append(one)
    return {place: joined_callers(each) for place, each in found.items()}


def _has_callers(site: FoundCall) -> bool:
    if site.place is None:
        return site.label == COLLECTOR
    return is_library(site.place[1])


def _own_caller(calls: Sequence[FoundCall], site: FoundCall) -> Position | None:
    number = site.parent
    while number != THREAD:
        call = calls[number]
        if call.place is not None:
            file = call.place[1]
            if is_of_gilx(file):
                return None
            if not is_library(file):
                return call.place
        number = call.parent
    return None
