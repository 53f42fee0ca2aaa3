"""Stacks that held the GIL: trees of calls, and the formats of flame graph tools."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

import gilx
from gilx import ArgumentError, HeldStack, StackFrame, Stacks
from gilx.sampling.stacks import FoundCall, stacks_of
from tests.stack_formats import read_collapsed, read_speedscope

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.any_python

S = 1e9
THREADS = [("main", 70), ("worker", 80)]


def call(
    parent: int, label: int, held: float = 0.0, cut: float = 0.0, **changes: Any
) -> FoundCall:
    """Return a call of a made-up tree; lengths are in seconds."""
    made: dict[str, Any] = {
        "function": f"f{label}", "file": "/x/y/z.py", "line": 10 * label, "column": 4
    }  # fmt: skip
    made |= changes
    place = (made["function"], made["file"], 1, made["line"], made["line"])
    columns = made["column"], made["column"] + 3
    known = parent >= 0 and label >= 0
    return FoundCall(
        parent, label, (*place, *columns) if known else None, held * S, cut * S
    )


TREE = [
    call(-1, -1),
    call(-1, 0),
    call(1, 1, 0.5),
    call(2, 2, 0.25),
    call(3, 3, 1.0),
    call(-1, 1, 0.125),
    call(5, 2, 2.0),
    call(0, -3, 0.0625),
]
STACKS = stacks_of(TREE, THREADS, 5.0)


def test_stacks_are_the_paths_of_a_tree_of_calls() -> None:
    assert STACKS.frames == (
        *(StackFrame(f"f{i}", "/x/y/z.py", 10 * i) for i in (1, 2, 3)),
        StackFrame("(no Python code)", "", 0),
    )
    assert STACKS.stacks == (
        HeldStack("unknown", None, (3,), 0.0625),
        HeldStack("main", 70, (0,), 0.5),
        HeldStack("main", 70, (0, 1), 0.25),
        HeldStack("main", 70, (0, 1, 2), 1.0),
        HeldStack("worker", 80, (), 0.125),
        HeldStack("worker", 80, (1,), 2.0),
    )
    assert STACKS.held == sum(one.held for one in TREE) / S
    assert str(STACKS) == "6 stacks held the GIL for 3.94 s of 5 s"


def test_stacks_on_one_line_are_one() -> None:
    tree = [call(-1, 0), call(0, 1, 0.5), call(0, 2, 0.25, line=10, function="f1")]
    assert stacks_of(tree, THREADS, 1.0).stacks == (HeldStack("main", 70, (0,), 0.75),)


def test_what_is_no_line_has_a_frame_that_says_so() -> None:
    tree = [
        call(-1, 0),
        call(0, -4),
        call(1, 5),
        call(2, -5, 0.5),
        call(0, -1, 0.25),
        call(0, -2, 0.125),
        call(0, -3, 0.0625),
    ]
    assert read_collapsed(stacks_of(tree, THREADS, 1.0).collapsed()) == {
        ("main", "(truncated)", "f5 (y/z.py:50)", "(below)"): 500_000,
        ("main", "(unknown)"): 250_000,
        ("main", "(other lines)"): 125_000,
        ("main", "(no Python code)"): 62_500,
    }


def test_time_without_capacity_is_that_of_the_caller_or_below() -> None:
    tree = [call(-1, -1, 0.5, 0.5), call(-1, 1), call(1, 1, 1.0, 0.25)]
    stacks = stacks_of(tree, THREADS, 2.0)
    assert read_collapsed(stacks.collapsed()) == {
        ("unknown", "(below)"): 500_000,
        ("worker", "f1 (y/z.py:10)"): 750_000,
        ("worker", "f1 (y/z.py:10)", "(below)"): 250_000,
    }
    assert stacks.cut == 0.75
    assert str(stacks).endswith("; inner frames are missing for 750 ms")


def test_collapsed_stacks_begin_with_the_thread() -> None:
    assert read_collapsed(STACKS.collapsed()) == {
        ("unknown", "(no Python code)"): 62_500,
        ("main", "f1 (y/z.py:10)"): 500_000,
        ("main", "f1 (y/z.py:10)", "f2 (y/z.py:20)"): 250_000,
        ("main", "f1 (y/z.py:10)", "f2 (y/z.py:20)", "f3 (y/z.py:30)"): 1_000_000,
        ("worker",): 125_000,
        ("worker", "f2 (y/z.py:20)"): 2_000_000,
    }


def test_names_do_not_break_lines_or_frames() -> None:
    threads = [("a;b\n9", 1), ("", 2)]
    names: dict[str, Any] = {"function": "g;\n\ud800\u2028 7", "file": "<a;b\rc>"}
    tree = [call(-1, 0), call(0, 1, 1.0, **names), call(-1, 1), call(2, 2, 2.0, line=0)]
    stacks = stacks_of(tree, threads, 3.0)
    text = stacks.collapsed()
    assert read_collapsed(text) == {
        ("a,b 9", r"g,\n\ud800\u2028 7 (<a,b\rc>:10)"): 1_000_000,
        ("thread 2", "f2 (y/z.py)"): 2_000_000,
    }
    assert text.isascii()
    read_speedscope(stacks.speedscope())


def test_speedscope_has_a_profile_for_each_thread_and_one_for_all() -> None:
    profiles = read_speedscope(STACKS.speedscope())
    assert list(profiles) == ["all threads", "worker", "main", "unknown"]
    assert profiles["worker"] == [((), 0.125), (("f2 (y/z.py:20)",), 2.0)]
    assert [weight for _, weight in profiles["main"]] == [0.5, 0.25, 1.0]
    collapsed = read_collapsed(STACKS.collapsed())
    assert {frames: weight * 1e6 for frames, weight in profiles["all threads"]} == (
        collapsed
    )
    frames = json.loads(STACKS.speedscope())["shared"]["frames"]
    assert frames[0] == {"name": "f1 (y/z.py:10)", "file": "/x/y/z.py", "line": 10}
    assert frames[3] == {"name": "(no Python code)"}


def test_speedscope_of_one_thread_has_one_profile() -> None:
    profiles = read_speedscope(stacks_of(TREE[:5], THREADS, 5.0).speedscope())
    assert list(profiles) == ["main"]


@pytest.mark.parametrize("name", ["Thread", ""])
def test_threads_of_the_same_name_are_told_apart(name: str) -> None:
    tree = [call(-1, 0), call(0, 1, 1.0), call(-1, 1), call(2, 1, 2.0)]
    stacks = stacks_of(tree, [(name, 70), (name, 80)], 3.0)
    word = name or "thread"
    assert set(read_collapsed(stacks.collapsed())) == {
        (f"{word} 70", "f1 (y/z.py:10)"),
        (f"{word} 80", "f1 (y/z.py:10)"),
    }
    assert list(read_speedscope(stacks.speedscope()))[1:] == [f"{word} 80", f"{word} 70"]


def test_a_watch_in_which_nothing_held_the_gil_has_no_stacks() -> None:
    stacks = stacks_of([call(-1, -1), call(-1, 0)], THREADS, 1.0)
    assert stacks.stacks == ()
    assert stacks.collapsed() == ""
    assert read_speedscope(stacks.speedscope()) == {"all threads": []}


def test_stacks_are_the_same_after_json() -> None:
    found = Stacks.from_json(STACKS.to_json())
    assert found == STACKS
    assert found.collapsed() == STACKS.collapsed()
    assert found.speedscope() == STACKS.speedscope()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"wall": -1}, "text.wall: expected seconds from 0 on, got -1"),
        ({"wall": None}, "text.wall: expected seconds from 0 on, got nan"),
        ({"cut": 4}, "text.cut: expected no more than all stacks held the GIL for"),
        ({"cut": "inf"}, "text.cut: expected seconds from 0 on, got inf"),
        (
            {"frames": []},
            r"text.stacks\[0\].frames\[0\]: expected the number of one of 0",
        ),
        ({"frames": [["a\nb", "", 1]]}, r"frames\[0\]\[0\]: expected printable text"),
        (
            {"stacks": [["main", 1, [0], 1.0]]},
            r"text.stacks\[0\]: expected an object",
        ),
        (
            {"stacks": [{"thread": "a", "native_id": 1, "frames": [-1], "held": 1}]},
            r"frames\[0\]: expected the number of one of 4 frames, got -1",
        ),
        (
            {"stacks": [{"thread": "a", "native_id": 1, "frames": [0], "held": -1}]},
            r"text.stacks\[0\].held: expected seconds from 0 on, got -1",
        ),
    ],
)
def test_damaged_stacks_are_refused(changes: dict[str, Any], words: str) -> None:
    text = json.dumps(json.loads(STACKS.to_json()) | changes)
    with pytest.raises(ArgumentError, match=words):
        Stacks.from_json(text)


@pytest.mark.parametrize("kind", ["collapsed", "speedscope"])
def test_ending_of_a_file_is_its_format(kind: str, tmp_path: Path) -> None:
    ending = {"collapsed": "collapsed", "speedscope": "speedscope.json"}[kind]
    path = tmp_path / f"some.json.{ending}"
    STACKS.save(path)
    STACKS.save(os.fspath(path))
    assert path.read_text() == getattr(STACKS, kind)()


@pytest.mark.parametrize("name", ["a.json", "collapsed", "a.collapsed.txt", ""])
def test_other_endings_are_refused(name: str) -> None:
    with pytest.raises(ArgumentError, match=r"path: expected .*\.collapsed or \.speedsc"):
        STACKS.save(name)


def test_reference_watch_keeps_no_stacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gilx.sampling.watch.usable_cpus", lambda: 2)
    with pytest.raises(ArgumentError, match="stacks: expected False for a reference"):
        gilx.watch(reference=True, stacks=True)
