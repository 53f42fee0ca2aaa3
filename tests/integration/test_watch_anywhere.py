"""Watches under restrictions, and with each way to find the GIL and to read memory."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from typing import Any

import pytest

from tests.markers import needs_gil, needs_linux

pytestmark = [needs_linux, needs_gil]

NUMBERS: dict[str, dict[str, int]] = {
    "x86_64": {
        "process_vm_readv": 310,
        "memfd_create": 319,
        "pipe2": 293,
        "sched_setattr": 314,
    },
    "aarch64": {
        "process_vm_readv": 270,
        "memfd_create": 279,
        "pipe2": 59,
        "sched_setattr": 274,
    },
}
"""Numbers of system calls."""
EPERM, ENOSYS = 1, 38

# A filter that answers some system calls with an error, see seccomp(2): load the number,
# compare it with each, return that error or allow.
PROGRAM = """
import ctypes, json, sys
forbidden, errno, undumpable, dyed = json.loads(sys.argv[1])
libc = ctypes.CDLL(None, use_errno=True)
if undumpable:
    assert libc.prctl(4, 0, 0, 0, 0) == 0
if forbidden:
    class Filter(ctypes.Structure):
        _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte),
                    ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint)]
    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filters", ctypes.POINTER(Filter))]
    made = [Filter(0x20, 0, 0, 0)]
    for number in forbidden:
        made += [Filter(0x15, 0, 1, number), Filter(0x06, 0, 0, 0x50000 | errno)]
    made.append(Filter(0x06, 0, 0, 0x7fff0000))
    filters = (Filter * len(made))(*made)
    program = Program(len(made), filters)
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    if libc.prctl(22, 2, ctypes.byref(program), 0, 0) != 0:
        sys.exit(f"no filter: errno {ctypes.get_errno()}")
if not dyed:
    sys.setswitchinterval = lambda seconds: None
import time
from gilx import ckernels
from gilx.errors import WatchUnavailableError
from gilx.sampling.watch import backend
from gilx.testing import judge_hold, judge_release
try:
    ways = backend()
except WatchUnavailableError as error:
    print(json.dumps([None, str(error)]))
    sys.exit()
before = sys.getswitchinterval()
verdicts = [
    judge_release(time.sleep, 0.02, budget=2).outcome,
    judge_hold(ckernels.spin, 1_000_000, 0, 20_000_000, budget=2).outcome,
    judge_release(ckernels.spin, 0, 1_000_000, 20_000_000, budget=2).outcome,
]
assert sys.getswitchinterval() == before
print(json.dumps([ways, verdicts]))
"""


def numbers(*names: str) -> list[int]:
    """Return the numbers of system calls here; skip the test if they are not known."""
    known = NUMBERS.get(platform.machine())
    if known is None:
        pytest.skip(f"numbers of system calls on {platform.machine()}")
    return [known[name] for name in names]


def watched(
    forbidden: list[int] | None = None,
    errno: int = EPERM,
    *,
    undumpable: bool = False,
    dyed: bool = True,
    before: tuple[str, ...] = (),
    **environment: str,
) -> Any:
    """Return the ways and the verdicts of a process with such limits."""
    given = json.dumps([forbidden or [], errno, undumpable, dyed])
    chosen = {"GILX_FIND_GIL", "GILX_MEMORY"}
    own = {name: value for name, value in os.environ.items() if name not in chosen}
    done = subprocess.run(
        [*before, sys.executable, "-c", PROGRAM, given],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**own, **environment},
    )
    if "no filter" in done.stderr:
        pytest.skip(f"not permitted here: {done.stderr.strip()[-200:]}")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_right(found: Any, *, reader: str = "", backend: str = "") -> None:
    ways, verdicts = found
    assert ways is not None, verdicts
    assert "fail" not in verdicts
    assert not reader or ways[1] == reader
    assert not backend or ways[0] == backend


@pytest.mark.slow
@pytest.mark.parametrize(
    "reader", ["memory file", "pipe", "process_vm_readv", "/proc/self/mem"]
)
@pytest.mark.parametrize("find", ["", "search"])
def test_each_way_of_finding_and_reading_is_right(find: str, reader: str) -> None:
    found = watched(GILX_MEMORY=reader, GILX_FIND_GIL=find)
    if found[0] is None and reader in ("process_vm_readv", "/proc/self/mem"):
        pytest.skip(f"not permitted here: {found[1]}")
    assert_right(found, reader=reader, backend=find)


@pytest.mark.slow
@pytest.mark.parametrize("errno", [EPERM, ENOSYS])
def test_forbidden_process_vm_readv_changes_nothing(errno: int) -> None:
    assert_right(watched(numbers("process_vm_readv"), errno), reader="memory file")


@pytest.mark.slow
@pytest.mark.parametrize("errno", [EPERM, ENOSYS])
def test_readers_give_way_to_the_next(errno: int) -> None:
    names = ["process_vm_readv", "memfd_create"]
    assert_right(watched(numbers(*names), errno), reader="pipe")
    names.append("pipe2")
    assert_right(watched(numbers(*names), errno), reader="/proc/self/mem")


@pytest.mark.slow
def test_search_with_another_reader_is_right() -> None:
    found = watched(GILX_MEMORY="pipe", GILX_FIND_GIL="search")
    assert_right(found, reader="pipe", backend="search")


def test_without_any_reader_the_watch_refuses() -> None:
    names = "process_vm_readv", "memfd_create", "pipe2"
    ways, words = watched(numbers(*names), undumpable=True, GILX_MEMORY="pipe")
    assert ways is None
    assert words.startswith("this process's memory can't be read safely here: ")
    ways, words = watched(GILX_FIND_GIL="serach")
    assert (ways, words) == (None, "GILX_FIND_GIL: expected search, got serach")
    ways, words = watched(GILX_MEMORY="pip")
    assert ways is None
    assert words.startswith("GILX_MEMORY: expected memory file, pipe, ")


@pytest.mark.slow
def test_undumpable_process() -> None:
    assert_right(watched(undumpable=True))


@pytest.mark.slow
def test_forbidden_short_turns() -> None:
    assert_right(watched(numbers("sched_setattr")))


@pytest.mark.slow
def test_without_proc() -> None:
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare")
    hidden = ("unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh")
    # Only a Python that can't be started this way is a reason to skip.
    trial = subprocess.run(
        [*hidden, sys.executable, "-c", ""], capture_output=True, text=True, check=False
    )
    if trial.returncode != 0:
        pytest.skip(f"not permitted here: {trial.stderr.strip()[-200:]}")
    ways, verdicts = watched(before=hidden)
    assert ways is not None, verdicts
    assert "fail" not in verdicts


@pytest.mark.slow
def test_switch_interval_that_a_program_replaced() -> None:
    """Other facts certify known places of the GIL, and a search for it is refused."""
    assert_right(watched(dyed=False))
    ways, words = watched(dyed=False, GILX_FIND_GIL="search")
    assert ways is None
    assert "follow the switch interval" in words
