"""Made-up sites, as a sampler finds them, and usages that have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gilx.sampling.callers import callers_of
from gilx.sampling.longest_hold import NOTHING_KNOWN
from gilx.sampling.sites import FoundSite, sites_of
from gilx.sampling.source_text import SourceTexts
from tests.unit.hold_sums import SLICE, sums, usage_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gilx import GilUsage
    from gilx.sampling.longest_hold import HoldBounds
    from gilx.sampling.stacks import FoundCall

__all__ = ["THREADS", "collector", "found", "usage_with"]

THREADS = ["main", "worker"]


def found(samples: int, **changes: Any) -> FoundSite:
    """Return a site that so many samples found holding, but for changes."""
    made: dict[str, Any] = {
        "kind": 0, "function": "extract", "file": "/nowhere/features.py",
        "first_line": 40, "line": 41, "end_line": 41, "column": 4, "end_column": 16,
        "place": 0, "held": float(samples * SLICE), "squares": float(samples * SLICE**2),
        "steps": 2.0 * SLICE**2, "below": 0.0, "samples": samples,
        "hold_low": 0, "hold_high": 0, "hold_samples": 0,
        "waited": 0.0, "waited_squares": 0.0, "waited_steps": 0.0,
    }  # fmt: skip
    return FoundSite(**(made | changes))


def collector(samples: int, **changes: Any) -> FoundSite:
    """Return the site of the garbage collector."""
    nowhere: dict[str, Any] = {
        "kind": 4, "function": "", "file": "", "first_line": 0, "line": 0, "end_line": 0,
        "column": -1, "end_column": -1,
    }  # fmt: skip
    return found(samples, **(nowhere | changes))


def usage_with(
    *sites: FoundSite,
    held: int = 400,
    free: int = 600,
    texts: dict[int, str] | None = None,
    sums_changes: dict[str, Any] | None = None,
    texts_by_column: dict[int, str] | None = None,
    holds: HoldBounds = NOTHING_KNOWN,
    calls: Sequence[FoundCall] = (),
    **changes: Any,
) -> GilUsage:
    """Return the usage of a watch that found these sites.

    Texts are by their lines, or else by the columns at which they begin.
    """

    class Texts(SourceTexts):
        expression: Callable[..., str] = staticmethod(
            lambda _file, line, _end_line, column, *_: (texts or {}).get(
                line, (texts_by_column or {}).get(column, "")
            )
        )

    made = sums(held, free, **(sums_changes or {}))
    sources = Texts(0.0)
    called = callers_of(calls, sources)
    listed = sites_of(sites, made, holds, THREADS.__getitem__, sources, called)
    return usage_of(made, sites=listed, **changes)
