"""Flame graphs: places and sizes of calls, their table, and any name in them."""

from __future__ import annotations

from itertools import pairwise

import pytest

from gilx import HeldStack, StackFrame, Stacks
from gilx.rendering.flame_graph import calls_of, calls_table, flame_figure
from tests.unit.test_stacks import STACKS

pytestmark = pytest.mark.any_python


def test_calls_are_below_their_callers_the_longest_first() -> None:
    found = [
        (one.name, one.depth, one.begin, one.end, one.itself) for one in calls_of(STACKS)
    ]
    assert found == [
        ("worker", 0, 0.0, 2.125, 0.125),
        ("f2 (y/z.py:20)", 1, 0.0, 2.0, 2.0),
        ("main", 0, 2.125, 3.875, 0.0),
        ("f1 (y/z.py:10)", 1, 2.125, 3.875, 0.5),
        ("f2 (y/z.py:20)", 2, 2.125, 3.375, 0.25),
        ("f3 (y/z.py:30)", 3, 2.125, 3.125, 1.0),
        ("unknown", 0, 3.875, 3.9375, 0.0),
        ("(no Python code)", 1, 3.875, 3.9375, 0.0625),
    ]


def deep(depth: int, count: int = 1) -> Stacks:
    """Return stacks that share no frame but the outermost one."""
    frames = tuple(StackFrame(f"f{n}", "a.py", n) for n in range(depth * count))
    stacks = tuple(
        HeldStack("main", 1, (0, *range(n * depth, (n + 1) * depth)), 1.0 + n)
        for n in range(count)
    )
    return Stacks(frames, stacks, 1.0, 0.0)


def test_stacks_deeper_than_those_of_python_are_drawn() -> None:
    found = calls_of(deep(5000))
    assert len(found) == 5002
    assert found[-1].depth == 5001
    assert all(one.held == 1.0 for one in found)


def test_figure_has_each_name_once_and_zooms() -> None:
    stacks = Stacks(
        (StackFrame("again", "a.py", 1),),
        tuple(HeldStack("main", 1, (0,) * depth, 0.25) for depth in (1, 2, 3)),
        1.0,
        0.0,
    )
    figure = flame_figure(calls_of(stacks))
    assert (figure.whole, figure.unit) == ((0, 750.0), "ms")
    frames = figure.spec["data"]["values"]
    assert [one["depth"] for one in frames] == [0, 1, 2, 3]
    assert [one["end"] for one in frames] == [750, 750, 500, 250]
    assert [one["itself"] for one in frames] == [0, 250, 250, 250]
    lookup, *_ = figure.spec["transform"]
    names = [one["name"] for one in lookup["from"]["data"]["values"]]
    assert names == ["main", "again (a.py:1)"]
    assert [one["call"] for one in frames] == [0, 1, 1, 1]


def test_table_has_calls_with_their_shares() -> None:
    table = calls_table(calls_of(STACKS))
    assert table.rows[:2] == [
        ("worker", "0", "2.12 s", "54 %", "125 ms"),
        ("f2 (y/z.py:20)", "1", "2 s", "51 %", "2 s"),
    ]
    assert table.caption == "Calls that held the GIL, each below its caller"


def test_long_table_keeps_the_calls_that_held_longest_with_their_callers() -> None:
    table = calls_table(calls_of(deep(10, 100)))
    assert len(table.rows) == 200
    assert table.caption.startswith("200 of 1002 calls: those that held the GIL")
    depths = [int(row[1]) for row in table.rows]
    assert depths[:3] == [0, 1, 2]
    assert all(after <= before + 1 for before, after in pairwise(depths))


def test_no_stacks_make_an_empty_figure() -> None:
    nothing = calls_of(Stacks((), (), 1.0, 0.0))
    assert nothing == []
    assert flame_figure(nothing).spec["data"]["values"] == []
    assert calls_table(nothing).rows == []
