"""The thread that asks for the GIL, beside holds that are known."""

from __future__ import annotations

import _thread
import math
import os
import threading
import time
from typing import TYPE_CHECKING, NoReturn

import pytest

from gilx import ckernels
from gilx.errors import WatchUnavailableError
from gilx.sampling.request_timer import RequestTimer
from tests.command import run_python
from tests.markers import needs_linux, needs_watch
from tests.trying import first_that

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_watch


@pytest.mark.parametrize("hold", [30_000_000, 120_000_000])
def test_no_hold_is_longer_than_the_upper_bound(hold: int) -> None:
    with RequestTimer(0.002) as requests:
        done = ckernels.spin(hold, 0, hold)
    assert requests.longest >= hold / 1e9
    # The thread that spins may have waited for a CPU, and requests leave that out.
    assert requests.unanswered <= done.wall_ns / 1e9


def test_long_hold_leaves_a_request_unanswered() -> None:
    for _ in range(20):  # another process may have the CPUs
        with RequestTimer(0.002) as requests:
            ckernels.spin(200_000_000, 0, 200_000_000)
        if requests.unanswered > 0.1:
            break
    else:
        pytest.fail(f"no request is known to have waited: {requests.unanswered}")
    assert requests.knows_cpu_waits


@pytest.mark.parametrize("release", [5_000, 1_000_000])
def test_many_short_holds_are_not_one_long_hold(release: int) -> None:
    """A release that is too short for another thread to take the GIL ends a hold, too."""

    def unanswered() -> float:
        with RequestTimer(0.002) as requests:
            ckernels.spin(2_000_000, release, 300_000_000)
        return requests.unanswered

    first_that(lambda seconds: seconds < 0.05, unanswered)


def test_requests_end_with_the_body() -> None:
    before = set(os.listdir("/proc/self/task"))
    descriptors = len(os.listdir("/proc/self/fd"))
    with pytest.raises(ZeroDivisionError), RequestTimer(0.002) as requests:
        assert requests.longest == math.inf
        raise ZeroDivisionError
    assert requests.longest < math.inf
    assert len(os.listdir("/proc/self/fd")) == descriptors
    deadline = time.monotonic() + 60  # a thread is there for a moment after it has ended
    while not set(os.listdir("/proc/self/task")) <= before:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert not [one for one in threading.enumerate() if "Request" in one.name]


def test_thread_that_can_not_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    with pytest.raises(WatchUnavailableError, match="no thread can be started"):
        RequestTimer(0.002).__enter__()


CLOSED = """
import os
from gilx.sampling.request_timer import RequestTimer
from gilx import ckernels

with RequestTimer(0.002) as requests:
    ckernels.spin(50_000_000, 0, 50_000_000)
    os.closerange(3, 100)
    mine = [os.open(os.devnull, os.O_RDONLY) for _ in range(20)]
    ckernels.spin(50_000_000, 0, 50_000_000)
print(requests.knows_cpu_waits, requests.unanswered, requests.longest >= 0.05)
for one in mine:
    os.close(one)  # they are still open
"""


def test_descriptors_that_the_program_closed_are_left_to_it() -> None:
    done = run_python("-c", CLOSED, check=True)
    assert done.stdout == "False 0.0 True\n"


FORKED = """
import os, warnings
from gilx.sampling.request_timer import RequestTimer

warnings.simplefilter("ignore")
with RequestTimer(0.002):
    child = os.fork()
if not child:
    os._exit(3)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@needs_linux
def test_forked_child_does_not_wait_for_the_thread() -> None:
    done = run_python("-c", FORKED, check=True, timeout=60)
    assert done.stdout == "3\n"


def test_time_without_a_cpu_is_unknown_without_proc(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    original = os.open

    def opened(path: str, flags: int) -> int:
        return original(str(path).replace("/proc/self/task", str(tmp_path)), flags)

    monkeypatch.setattr(os, "open", opened)
    with RequestTimer(0.002) as requests:
        ckernels.spin(50_000_000, 0, 50_000_000)
    assert not requests.knows_cpu_waits
    assert requests.unanswered == 0
    assert requests.longest >= 0.05
