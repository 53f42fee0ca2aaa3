"""Stacks: the calls that led to the lines that hold the GIL."""

from __future__ import annotations

import sysconfig
import textwrap
import threading
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

import gilx
from gilx import ckernels
from tests.markers import needs_watch
from tests.stack_formats import read_collapsed, read_speedscope
from tests.trying import first_that

from .conftest import MS
from .interface import command

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gilx.sampling.stacks import HeldStack

pytestmark = [
    needs_watch,
    pytest.mark.skipif(
        bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
        reason="stacks are not read in free-threaded builds",
    ),
]

Place = tuple[str, str, int]
BELOW = "(below)"
ENOUGH = 0.02  # seconds held in a probe that the machine was not too busy for


def watched(run: Callable[[], object]) -> gilx.Watch:
    """Return a watch of a call that kept its stacks."""
    with gilx.watch(stacks=True) as watch:
        run()
    return watch


def held_by_function(stacks: gilx.Stacks, count: int) -> dict[tuple[str, ...], float]:
    """Return the seconds held by the functions of the innermost frames, so many."""
    held: dict[tuple[str, ...], float] = defaultdict(float)
    for stack in stacks.stacks:
        names = [stacks.frames[number].function for number in stack.frames]
        short = tuple(name.rpartition(".")[2] for name in names if name != BELOW)
        held[short[-count:]] += stack.held
    return held


def innermost(length: int) -> None:
    ckernels.spin(MS, 0, length)


def key(item: int) -> int:
    innermost(10 * MS)
    return item


def produce() -> Iterator[int]:
    yield from sorted(range(8), key=key)


def outermost() -> None:
    assert list(produce()) == list(range(8))
    innermost(40 * MS)


def test_stacks_have_the_callers_also_through_c_and_generators() -> None:
    def has_both(watch: gilx.Watch) -> bool:
        held = held_by_function(watch.stacks, 4)
        through_c = held["outermost", "produce", "key", "innermost"]
        direct = sum(
            held[names] for names in held if names[-2:] == ("outermost", "innermost")
        )
        # The truth is 80 and 40 ms; on a busy machine, samples of either may be late.
        return through_c > direct > 0 and through_c + direct > watch.stacks.held / 2

    first_that(has_both, lambda: watched(outermost))


def test_innermost_frames_hold_what_the_sites_do() -> None:
    def is_whole(watch: gilx.Watch) -> bool:
        held = watch.usage.locked.value * watch.usage.wall
        return abs(watch.stacks.held - held) <= 0.2 * held

    watch = first_that(is_whole, lambda: watched(outermost))
    usage, stacks = watch.usage, watch.stacks
    by_site: dict[Place, float] = defaultdict(float)
    for site in usage.sites:
        place = (site.function, site.file, site.line)
        if site.kind != "line":
            place = ("no line", "", 0)
        by_site[place] += site.sums.held / 1e9
    by_leaf: dict[Place, float] = defaultdict(float)
    for stack in stacks.stacks:
        frames = [stacks.frames[number] for number in stack.frames]
        if frames[-1].function == BELOW:
            frames.pop()
        last = frames[-1] if frames[-1].file else ("no line", "", 0)
        by_leaf[last[0], last[1], last[2]] += stack.held
    assert dict(by_leaf) == pytest.approx(dict(by_site))
    assert stacks.cut == 0
    assert stacks.wall == usage.wall
    assert gilx.Stacks.from_json(stacks.to_json()) == stacks


def recurse(depth: int, length: int) -> None:
    if depth > 0:
        recurse(depth - 1, length)
    else:
        innermost(length)


def test_deep_stacks_lose_their_outer_frames() -> None:
    def truncated_in(stacks: gilx.Stacks) -> list[HeldStack]:
        return [
            stack for stack in stacks.stacks
            if stacks.frames[stack.frames[0]].function == "(truncated)"
        ]  # fmt: skip

    stacks = first_that(
        lambda found: sum(one.held for one in truncated_in(found)) > found.held / 2,
        lambda: watched(lambda: recurse(300, 60 * MS)).stacks,
    )
    truncated = truncated_in(stacks)
    longest = max(truncated, key=lambda stack: stack.held)
    names = [stacks.frames[number].function for number in longest.frames]
    assert names[1:] == [*["recurse"] * (len(names) - 2), "innermost"]
    assert 100 < len(names) <= 257


def test_each_thread_has_its_stacks() -> None:
    kept: list[threading.Thread] = []

    def run() -> None:
        # It has its name for as long as there is this object.
        kept.append(threading.Thread(target=innermost, args=(60 * MS,), name="other"))
        kept[-1].start()
        innermost(60 * MS)
        kept[-1].join()

    def has_both(stacks: gilx.Stacks) -> bool:
        outer = {stack[:1] for stack in read_collapsed(stacks.collapsed())}
        return {(threading.current_thread().name,), ("other",)} <= outer

    stacks = first_that(has_both, lambda: watched(run).stacks)
    profiles = read_speedscope(stacks.speedscope())
    assert {"all threads", "other", threading.current_thread().name} <= set(profiles)
    for frames, _ in profiles["other"]:
        assert not any("test_each_thread" in frame for frame in frames)


PROGRAM = """
    from gilx import ckernels

    def inner(count):
        ckernels.spin(1_000_000, 0, count)

    def outer():
        inner(80_000_000)

    outer()
    """
NESTING = ("<module> (program.py:10)", "outer (program.py:8)", "inner (program.py:5)")


def test_probe_writes_stacks_of_a_program(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))

    def probed() -> dict[tuple[str, ...], int]:
        done = command("probe", "--stacks", "a.collapsed", "program.py", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        return read_collapsed((tmp_path / "a.collapsed").read_text())

    def has_most(stacks: dict[tuple[str, ...], int]) -> bool:
        held = sum(weight for names, weight in stacks.items() if names[-3:] == NESTING)
        return sum(stacks.values()) > ENOUGH * 1e6 and held > sum(stacks.values()) / 2

    stacks = first_that(has_most, probed)
    assert {names[0] for names in stacks} == {"MainThread"}


def test_probe_writes_stacks_of_a_call_for_speedscope(tmp_path: Path) -> None:
    words = (
        "gilx.ckernels:spin",
        "1000000",
        "0",
        "50000000",
        "--stacks",
        "a.speedscope.json",
    )

    def probed() -> float:
        done = command("probe", *words, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        text = (tmp_path / "a.speedscope.json").read_text()
        (profile,) = read_speedscope(text).values()
        return sum(weight for _, weight in profile)

    first_that(lambda held: held > ENOUGH, probed)


@pytest.mark.any_python
@pytest.mark.parametrize("target", ["time:sleep", "program.py"])
def test_probe_refuses_another_format_of_stacks(target: str, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("open('ran', 'w')")
    done = command("probe", "--stacks", "a.json", target, cwd=tmp_path)
    assert done.returncode == 2
    assert "stacks: expected the name of a file that ends in .collapsed or" in done.stderr
    assert "got 'a.json'" in done.stderr
    assert not (tmp_path / "ran").exists()


@pytest.mark.any_python
def test_probe_writes_no_stacks_if_none_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GILX_STACKS", "off")
    done = command("probe", "--stacks", "a.collapsed", "time:sleep", "0", cwd=tmp_path)
    assert done.returncode == 1
    assert "no stacks can be kept: " in done.stderr
    assert not (tmp_path / "a.collapsed").exists()
