"""Processes that are followed from outside: tries to watch them, and reasons."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from gilx.errors import WatchUnavailableError
from gilx.sampling import followed_process
from gilx.sampling.followed_process import FollowedProcess
from gilx.sampling.process_watch import ProcessWatch
from tests.integration.test_running_process import needs_reads, readable
from tests.markers import needs_watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["readable"]  # a fixture

pytestmark = [needs_watch, needs_reads, pytest.mark.any_python]

_DEADLINE = 60.0


@pytest.fixture
def sleeper() -> Iterator[int]:
    with subprocess.Popen(["sleep", "600"]) as child:
        yield child.pid
        child.kill()


@pytest.fixture
def tries(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return the times of tries to watch a process, which all fail."""
    times: list[float] = []

    def refuse(_: object) -> None:
        times.append(time.monotonic())
        raise WatchUnavailableError("refused")

    monkeypatch.setattr(ProcessWatch, "__enter__", refuse)
    return times


def step_until(followed: FollowedProcess, condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _DEADLINE
    while not condition():
        assert time.monotonic() < end
        followed.step()
        time.sleep(followed.pause)


def test_program_without_python_is_tried_less_and_less_often(
    sleeper: int, tries: list[float]
) -> None:
    followed = FollowedProcess(sleeper, 0.03)
    end = time.monotonic() + 1.0
    step_until(followed, lambda: time.monotonic() > end)
    assert 2 <= len(tries) <= 60
    assert followed.unwatched is not None
    assert followed.reason == "refused"


def test_process_that_is_just_ending_is_not_one_that_was_refused(
    sleeper: int, tries: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(followed_process, "has_memory", lambda _: False)
    followed = FollowedProcess(sleeper, 0.03)
    followed.step()
    assert len(tries) == 1
    assert followed.unwatched is None
    assert followed.reason == f"process {sleeper} ended before it could be watched"


def test_process_is_tried_at_once_when_it_executes_another_program() -> None:
    program = shlex.join([sys.executable, "-c", "input()"])
    with subprocess.Popen(
        ["sh", "-c", f"read x; exec {program}"], stdin=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        followed = FollowedProcess(child.pid, 0.03)
        followed.step()
        assert followed.without_python
        followed._next_try = float("inf")  # as after a long time
        child.stdin.write(b"\n")
        child.stdin.flush()
        step_until(followed, lambda: followed.watched)
        followed.finish()
        child.kill()
    assert not followed.without_python
