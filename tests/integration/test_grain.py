"""Grains that are measured, and the command `gilx grain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import gilx
from gilx.speedup.grain_record import Grain
from tests.command import CompletedProcess, run_gilx

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("variant", ["python", "c-gil", "c-nogil", "cython-nogil"])
def test_a_kernel(variant: str) -> None:
    found = gilx.grain("collatz", variant=variant, workers=2, size=2000, budget=0.5)
    assert (found.target, found.variant, found.workers) == ("collatz", variant, 2)
    assert [one.grain for one in found.rows] == [2**n for n in range(len(found.rows))]
    assert found.rows[-1].grain <= 1000
    for one in found.rows:
        low, high = one.speedup.interval
        assert low <= one.speedup.value <= high
    low, high = found.region.interval
    assert 0 < low <= found.region.value <= high
    assert min(found.item, found.release) > 0
    if found.grain is not None:
        assert all(one.wins for one in found.rows if one.grain >= found.grain)
    assert Grain.from_json(found.to_json()).to_json() == found.to_json()


def test_a_callable_is_called_for_its_items_only() -> None:
    calls = set()

    def fn(start: int, stop: int) -> None:
        calls.add((start, stop))
        sum(range(2000))

    found = gilx.grain(fn, items=50, workers=3, budget=1)
    assert found.variant is None
    assert found.target.endswith("fn")
    assert all(0 <= start < stop <= 50 for start, stop in calls)
    # One grain for each worker, and all of them for one; not always the same.
    assert {stop - start for start, stop in calls} >= {1, 3}
    assert len({start for start, _ in calls}) > 9


def test_a_callable_that_does_nothing() -> None:
    found = gilx.grain(lambda _start, _stop: None, items=64, workers=2, budget=0.5)
    assert found.rows
    assert str(found)


def test_what_a_callable_raises_is_raised() -> None:
    def fn(start: int, stop: int) -> None:
        if stop - start > 4:
            raise KeyError(start)

    with pytest.raises(KeyError):
        gilx.grain(fn, items=100, workers=2, budget=0.5)


def test_progress_is_shown() -> None:
    shown: list[str] = []
    gilx.grain("collatz", size=100, workers=2, budget=0.5, progress=shown.append)
    assert shown[0].startswith("block 1 of ")


def command(*arguments: str, **options: Any) -> CompletedProcess:
    return run_gilx("grain", *arguments, **options)


def test_the_command(tmp_path: Path) -> None:
    done = command("collatz", "--size=500", "--budget=0.5", "--workers=2")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("collatz c-nogil: 2 workers (threads) ")
    (tmp_path / "mine.py").write_text("def work(a, b):\n    sum(range((b - a) * 99))\n")
    done = command(
        "mine:work", "--items=100", "--budget=0.5", "--workers=2", "--json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert Grain.from_json(done.stdout).target == "mine:work"
