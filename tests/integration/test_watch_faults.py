"""Ends, forks, interruptions and isolation of a process while the GIL is watched."""

from __future__ import annotations

import os
import sys
from statistics import median
from typing import Any

import pytest

from tests.command import CompletedProcess, run_python
from tests.markers import needs_gil, needs_linux

pytestmark = [
    needs_linux,
]


def python(code: str, **keywords: Any) -> CompletedProcess:
    return run_python("-W", "ignore", "-c", code, timeout=60, **keywords)


@needs_gil
def test_a_fork_while_watched_leaves_no_file_open() -> None:
    done = python("""
import os
from gilx.sampling._sampler import Sampler
before = len(os.listdir("/proc/self/fd"))
sampler = Sampler(0.03)
sampler.start()
child = os.fork()
if child == 0:
    del sampler
    os._exit(0 if len(os.listdir("/proc/self/fd")) == before else 1)
print(os.waitpid(child, 0)[1])
""")
    assert done.stdout == "0\n", done.stderr


@needs_gil
def test_a_fork_while_watched() -> None:
    done = python("""
import os, time, gilx
def has_samples():
    for _ in range(100):  # on a busy machine, a short watch may have none
        with gilx.watch() as anew:
            time.sleep(0.05)
        if anew.usage.samples:
            return True
with gilx.watch() as watch:
    child = os.fork()
    time.sleep(0.5 if child else 0.05)
if child == 0:
    try:
        watch.usage
    except RuntimeError as error:
        os._exit(0 if "child of a fork" in str(error) and has_samples() else 1)
    os._exit(2)
print(os.waitpid(child, 0)[1], watch.usage.samples > 0)
""")
    assert done.stdout == "0 True\n", done.stderr


@needs_gil
@pytest.mark.parametrize(
    ("leave", "status"),
    [
        ("pass", 0),
        ("os._exit(7)", 7),
        ("sys.exit(3)", 3),
        ("atexit._clear()", 0),
        ("os.kill(os.getpid(), signal.SIGTERM)", -15),
        ("threading.Thread(target=time.sleep, args=(9,), daemon=True).start()", 0),
    ],
)
def test_leaving_while_watched(leave: str, status: int) -> None:
    done = python(
        "import atexit, os, signal, sys, threading, time, gilx\n"
        "watch = gilx.watch()\n"
        "watch.__enter__()\n"
        f"time.sleep(0.02)\n{leave}"
    )
    assert done.returncode == status, done.stderr
    assert done.stderr == ""


@needs_gil
def test_ctrl_c_while_watched() -> None:
    done = python("""
import os, signal, threading, time, gilx
signal.signal(signal.SIGINT, signal.default_int_handler)
gilx.probe(int, repeat=1)
def sleep():
    threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
    time.sleep(20)
try:
    gilx.probe(sleep)
except KeyboardInterrupt as error:
    print(error.__notes__[0])
""")
    assert done.stdout.startswith("gilx: the call's usage of the GIL"), done.stderr


IN_A_SUBINTERPRETER = """
import sys, gilx
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
if sys.version_info >= (3, 13):
    new = interpreters.create("isolated" if {isolated} else "legacy")
else:
    new = interpreters.create(isolated={isolated})
code = '''
import sys
sys.path[:] = {path!r}
import time, gilx
from gilx import ckernels
with gilx.watch() as watch:
    ckernels.spin(1, 0, 200_000_000)
    time.sleep(0.1)
low, high = watch.usage.held.interval
# Two thirds; less if the sleep lasted for longer on a busy machine.
assert low < 0.9 and high > 0.1, watch.usage
leaving = gilx.watch()
leaving.__enter__()
'''
with gilx.watch():
    if sys.version_info >= (3, 13):
        failed = interpreters.exec(new, code)
        assert not failed, failed.formatted
    else:
        interpreters.run_string(new, code)
    interpreters.destroy(new)
print("fine", gilx.probe(lambda: None, repeat=1000).repeats)
"""


@needs_gil
@pytest.mark.parametrize("isolated", [False, True])
def test_a_subinterpreter_is_watched_by_itself(isolated: bool) -> None:
    if isolated and sys.version_info < (3, 12):
        pytest.skip("sub-interpreters share the GIL before 3.12")
    done = python(IN_A_SUBINTERPRETER.format(isolated=isolated, path=sys.path))
    assert done.stdout == "fine 1000\n", done.stdout + done.stderr


STARVED_AT_THE_END = """
import os, time, gilx
here = os.sched_getaffinity(0)
cpu = min(here)
for _ in range(10):
    with gilx.watch() as watch:
        time.sleep(0.1)
        [sampler] = (
            int(task) for task in os.listdir("/proc/self/task")
            if open(f"/proc/self/task/{task}/comm").read().strip() == "gilx-watch"
        )
        # The sampler runs only if nothing else wants its CPU; this thread always does.
        os.sched_setscheduler(sampler, os.SCHED_IDLE, os.sched_param(0))
        os.sched_setaffinity(sampler, {cpu})
        os.sched_setaffinity(0, {cpu})
        end = time.perf_counter() + 0.015
        while time.perf_counter() < end:
            pass
    os.sched_setaffinity(0, here)
    print(watch.usage.unknown)
"""


@pytest.mark.slow
@needs_gil
def test_time_after_the_last_sample_is_unknown() -> None:
    done = python(STARVED_AT_THE_END)
    assert done.returncode == 0, done.stderr
    # 15 ms of 115 ms; three slices of some 1.3 ms may have no sample anyhow. If another
    # process takes this thread's CPU away, the sampler may have its turn after all.
    assert median(map(float, done.stdout.split())) > 0.05, done.stdout


PAGE_FAULTS = """
import os, gilx
from gilx import ckernels

def faults():
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{{task}}/stat") as file:
            name, _, rest = file.read().rpartition(")")
        if "(gilx-watch" in name:
            return int(rest.split()[7])

def deep(depth):
    if depth > 0:
        deep(depth - 1)
    else:
        ckernels.spin(10_000_000, 0, 100_000_000)

with gilx.watch(stacks={stacks}) as watch:
    before = faults()
    deep(60)
    print(faults() - before)
"""


@needs_linux
@needs_gil
@pytest.mark.parametrize("stacks", [False, True])
def test_first_watch_takes_no_memory_while_it_samples(stacks: bool) -> None:
    if "asan" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("the sanitizer takes memory of its own")
    done = python(PAGE_FAULTS.format(stacks=stacks))
    assert done.returncode == 0, done.stderr
    assert 0 <= int(done.stdout) < 8
