"""The content of `gilx top`, and how it is drawn on screens of any size."""

from __future__ import annotations

import io
import math
from dataclasses import replace
from typing import Any

import pytest

from gilx.errors import MissingExtraError
from gilx.estimate import Estimate
from gilx.rendering.top_screen import check_rich, screen_of
from gilx.rendering.top_view import (
    TopLine,
    TopThread,
    TopView,
    figures_of,
    text_of,
    view_of,
)
from tests.markers import needs
from tests.unit.made_up_sites import found, usage_with

pytestmark = pytest.mark.any_python
needs_rich = needs("rich")


def view(**changes: Any) -> TopView:
    made: dict[str, Any] = {
        "title": "process 7 (python [red]server[/red].py), CPython 3.12.1",
        "now": 0.5,
        "held": Estimate(0.4, 0.3, 0.5),
        "seconds": 2.0,
        "whole": 0.45,
        "whole_seconds": 65.0,
        "waiting": 1.5,
        "switches": 1200.0,
        "longest": 0.0276,
        "threads": (
            TopThread("main", 0.25, 0.5),
            TopThread("a thread with a very long name " * 5, 0.125, math.nan),
        ),
        "lines": (
            TopLine("app/server.py:88", "json.dumps(rows)", 0.25, 1.25),
            TopLine("deep/" * 30 + "file.py:120", "sorted(events)" * 20, 0.1, math.nan),
        ),
    }
    return TopView(**(made | changes))


def drawn(given: TopView, width: int, height: int) -> list[str]:
    """Return the rows of a screen."""
    from rich.console import Console

    console = Console(
        file=io.StringIO(), width=width, height=height, force_terminal=False
    )
    with console.capture() as capture:
        console.print(screen_of(given, width, height, "q quits"))
    return [row.rstrip() for row in capture.get().splitlines()]


def test_view_has_figures_threads_and_lines_of_usages() -> None:
    recent = usage_with(
        found(300), found(100, line=50, waited=2e8), texts={41: "work()", 50: "x.sort()"}
    )
    now = usage_with(found(100), held=800, free=200)
    made = view_of(now, recent, (recent.sums + now.sums))
    assert made.title == recent.program
    assert made.now == now.locked.value
    assert made.held == recent.locked
    assert made.seconds == recent.wall
    assert made.whole == pytest.approx((400 + 800) / 2000)
    assert made.whole_seconds == pytest.approx(recent.wall + now.wall)
    assert [line.text for line in made.lines] == ["work()", "x.sort()"]
    assert made.lines[0].held == recent.sites[0].held.value
    assert [one.name for one in made.threads] == [
        one.name for one in recent.by_thread if one.holding.value > 0
    ]


def test_view_says_why_there_are_no_lines() -> None:
    usage = usage_with(sites_missing="stacks are not read", inconclusive_reason="")
    assert view_of(usage, usage, usage.sums).note == "no lines, since stacks are not read"
    usage = usage_with(inconclusive_reason="too short")
    assert view_of(usage, usage, usage.sums).note == "inconclusive: too short"


@needs_rich
def test_screen_shows_all_there_is() -> None:
    rows = drawn(view(note="inconclusive: so it is"), 100, 30)
    assert rows == [
        "process 7 (python [red]server[/red].py), CPython 3.12.1",
        "held 50 % now, 40 % (30 % to 50 %) in 2 s, 45 % in 65 s",
        "threads that wait 1.50, switches 1.2e+03/s, longest hold 27.6 ms",
        "",
        "  held  waited                          thread",
        "25.0 %  50.0 %  [|||||               ]  main",
        (
            "12.5 %       -  [||                  ]  a thread with a very long name a thread with"
            " a very long na…"
        ),
        "  held  waiting  line",
        "25.0 %     1.25  app/server.py:88  json.dumps(rows)",
        rows[9],
        "inconclusive: so it is",
        "q quits",
    ]
    assert rows[9].startswith("10.0 %        -  deep/deep/")
    assert rows[9].endswith("…")


@needs_rich
@pytest.mark.parametrize("width", [1, 20, 59, 80, 300])
@pytest.mark.parametrize("height", [1, 12, 60])
def test_screen_fits_any_size(width: int, height: int) -> None:
    many = view(
        threads=tuple(TopThread(f"thread {n}", 0.01, 0.02) for n in range(100)),
        lines=tuple(TopLine(f"file.py:{n}", "call()", 0.01, 0.0) for n in range(100)),
        note="a note " * 100,
    )
    rows = drawn(many, width, height)
    assert max(map(len, rows)) <= width
    assert len(rows) <= max(height, 11)
    if height >= 12:
        assert rows[-1] == "q quits"[:width] or width < 7
    if height == 60 and width >= 80:
        assert "thread 16" in "".join(rows)
        assert "file.py:30" in "".join(rows)


@needs_rich
def test_screen_without_gil_has_room_for_all_figures() -> None:
    """The longest figures that there are fit into 80 columns."""
    given = view(
        now=0.9012,
        held=Estimate(0.9123, 0.9012, 0.9234),
        seconds=2.36,
        whole=math.nan,
        waiting=12.34,
        longest=0.1245,
        without_gil=True,
    )
    rows = drawn(given, 80, 24)
    assert rows[1:3] == [
        "stopped or stopping for 90.1 % now, 91.2 % (90.1 % to 92.3 %) in 2.36 s",
        "threads that wait for locks and stops 12.34, no stop above 124 ms",
    ]
    assert rows[4].split() == ["attached", "waiting", "thread"]
    assert "stops  waiting  line" in "\n".join(rows)


def test_screen_without_gil_says_that_stops_are_not_read() -> None:
    given = view(now=math.nan, held=Estimate.unknown(), without_gil=True)
    assert figures_of(given)[0] == "stops of all threads are not read"
    assert figures_of(replace(given, longest=math.nan))[1].endswith(
        ", longest stop unknown"
    )


def test_line_of_text_has_first_thread_and_line() -> None:
    text = text_of(view())
    assert text[8:] == (
        "  held  50.0 %  waiting  1.50  main                  25.0 %"
        "  app/server.py:88                  25.0 %"
    )
    text = text_of(view(threads=(), lines=(), waiting=math.nan, note="no lines"))
    assert text[8:] == "  held  50.0 %  waiting     -  no lines"


def test_rich_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"pip install 'gilx\[top\]'"):
        check_rich()
