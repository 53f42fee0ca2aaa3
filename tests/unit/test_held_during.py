"""Places that held the GIL during some spans of a watch, from made-up samples."""

from __future__ import annotations

from typing import Any

import pytest

from gilx.sampling.held_during import HeldDuring, HeldSample, sums_during
from gilx.sampling.longest_hold import NOTHING_KNOWN
from gilx.sampling.sites import FoundSite, sites_of
from gilx.sampling.source_text import SourceTexts
from tests.unit.hold_sums import SLICE, sums
from tests.unit.made_up_sites import THREADS, found

pytestmark = [pytest.mark.any_python, pytest.mark.concurrent_callers]

WATCHED, WORKER = 0, 1
FREE = -1


def sample(slices: float, site: int = FREE, **changes: Any) -> HeldSample:
    """Return a sample at so many slices from the start, of the worker."""
    made: dict[str, Any] = {
        "at": round(slices * SLICE), "late": False, "site": site, "thread": WORKER,
        "below": False, "weight": float(SLICE),
    }  # fmt: skip
    return HeldSample(**(made | changes))


def during(
    spans: list[tuple[float, float]], samples: list[HeldSample], begin: int = 0
) -> HeldDuring:
    """Return what held the GIL during spans, in slices, at lines 1 to 3."""
    lines: list[FoundSite] = [found(9, line=line, end_line=line) for line in (1, 2, 3)]
    ends = [(round(start * SLICE), round(end * SLICE)) for start, end in spans]
    listed, made, count = sums_during(
        ends, samples, lines, sums(50, 50), watched=WATCHED, begin=begin
    )
    sources = SourceTexts(0.0)
    sites = sites_of(listed, made, NOTHING_KNOWN, THREADS.__getitem__, sources, {})
    return HeldDuring(sites, made, count)


def shares(held: HeldDuring) -> dict[int, float]:
    """Return the share of each line."""
    return {line.line: line.held.value for line in held.lines}


def test_only_samples_within_the_spans_count() -> None:
    samples = [sample(n + 0.5, 0 if n < 10 else 1) for n in range(30)]
    held = during([(2, 4), (10, 16)], samples)
    assert held.samples == 8
    assert shares(held) == pytest.approx({1: 2 / 8, 2: 6 / 8})
    assert [line.samples for line in held.lines] == [6, 2]
    assert held.lines[0].thread == "worker"
    assert not held.lines[0].longest_hold.known
    assert shares(during([(20.6, 20.9)], samples)) == {}


def test_samples_that_found_the_gil_free_or_with_the_watched_thread_name_no_line() -> (
    None
):
    samples = [
        sample(0.5, 0),
        sample(1.5, 2, thread=WATCHED),
        sample(2.5),
        sample(3.5, 0),
    ]
    held = during([(0, 4)], samples)
    assert held.samples == 4
    assert shares(held) == {1: 0.5}


def test_longer_slices_count_more() -> None:
    samples = [sample(0.5, 0), sample(2.5, 1, weight=3.0 * SLICE)]
    assert shares(during([(0, 4)], samples)) == {2: 0.75, 1: 0.25}


def test_late_samples_and_dropped_ones_widen_the_interval() -> None:
    samples = [sample(n + 0.5, n % 2) for n in range(40)]
    known = during([(0, 40)], samples)
    assert known.sums.unknown_share == 0
    late = [*samples, sample(50, 2, late=True, weight=10.0 * SLICE)]
    held = during([(0, 50)], late)
    assert held.sums.unknown_share == pytest.approx(0.2)
    assert shares(held) == shares(known) == {1: 0.5, 2: 0.5}
    assert held.lines[0].held.high > known.lines[0].held.high
    # A late sample after a span may stand for time within it.
    assert during([(0, 42)], late).sums.unknown_share == pytest.approx(2 / 42)
    dropped = during([(0, 40)], samples[20:], begin=20 * SLICE)
    assert dropped.sums.unknown_share == pytest.approx(0.5)


def test_those_of_several_watches_add_up() -> None:
    one = during([(0, 3)], [sample(n + 0.5, 0) for n in range(3)])
    other = during([(0, 1)], [sample(0.5, 1, thread=WATCHED), sample(0.7, 1)])
    both = one + other
    assert both.samples == 5
    assert shares(both) == pytest.approx({1: 3 / 5, 2: 1 / 5})


def test_a_sample_that_may_be_of_a_line_below_is_counted_so() -> None:
    samples = [sample(0.5, 0, below=True), sample(1.5, 0), sample(2.5, 0, thread=-1)]
    (line,) = during([(0, 3)], samples).lines
    assert line.below == pytest.approx(1 / 3)
    assert line.thread == ""  # several
