"""Lengths of holds and releases that a watch reports."""

from __future__ import annotations

import shutil
import time

import pytest

import gilx
from gilx import ckernels
from tests.command import run_python
from tests.markers import needs_gil, needs_linux

pytestmark = [pytest.mark.concurrent_callers, needs_linux]


@needs_gil
@pytest.mark.parametrize("hold", [2_000, 20_000])
def test_mean_lengths_of_holds_and_releases(hold: int) -> None:
    for _ in range(5):
        with gilx.watch(cost=0.1) as watch:
            done = ckernels.spin(hold, 3 * hold, 500_000_000)
        usage = watch.usage
        low, high = usage.hold_length
        # Bounds at 95 %, which busy CPUs stretch as they stretch the rhythm.
        if (
            low < 2 * done.held_max_ns / done.cycles / 1e9
            and high > 0.5 * done.held_min_ns / done.cycles / 1e9
            and usage.release_length[1]
            > 0.5 * (done.wall_ns - done.held_max_ns) / done.cycles / 1e9
        ):
            break
    else:
        pytest.fail(f"not in the bounds of any of five: {done}, {usage}")
    assert "mean hold: " in usage.details()


@needs_gil
def test_lengths_of_what_was_never_found_are_not_resolved() -> None:
    with gilx.watch() as watch:
        time.sleep(0.1)
    usage = watch.usage
    if usage.held.value > 0:
        pytest.skip("it was found holding on its way into the sleep, or out of it")
    assert usage.hold_length == (0.0, usage.wall)
    assert "mean hold: not resolved\n" in usage.details()


@needs_gil
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_lengths_without_proc_are_not_resolved() -> None:
    """Without /proc it is not known when the watched thread could run."""
    program = """
import gilx
from gilx import ckernels
with gilx.watch() as watch:
    ckernels.spin(100_000, 100_000, 100_000_000)
usage = watch.usage
print(usage.hold_length == usage.release_length == (0.0, usage.wall))
print(usage.details().count("not resolved\\n"))
"""
    hidden = 'mount -t tmpfs none /proc && exec "$@"'
    alone = ("unshare", "--user", "--map-root-user", "--mount")
    done = run_python("-c", program, before=(*alone, "sh", "-c", hidden, "sh"))
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"/proc can't be hidden: {done.stderr}")
    assert done.stdout == "True\n2\n", done.stderr


@needs_gil
def test_lengths_that_are_not_resolved() -> None:
    with gilx.watch() as watch:
        ckernels.spin(1, 0, 50_000_000)
    low, high = watch.usage.hold_length
    assert 0 <= low < high
    assert high == watch.usage.wall
    assert "mean hold: not resolved" in watch.usage.details()
