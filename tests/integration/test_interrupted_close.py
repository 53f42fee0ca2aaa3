"""Pools whose close is interrupted: closing again ends the workers."""

from __future__ import annotations

import pytest

from tests.command import run_python
from tests.markers import needs_interpreters, needs_linux

SCRIPT = """
import os, signal, sys, threading, time
from gilx import pools

def interrupt(*_):
    raise KeyboardInterrupt

def has_children():
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        return False
    return True

Pool = getattr(pools, sys.argv[1])
signal.signal(signal.SIGALRM, interrupt)
Pool(2).close()
before = len(os.listdir("/proc/self/fd"))
for number in range(10):
    pool = Pool(2)
    signal.setitimer(signal.ITIMER_REAL, 0.0005 + 0.001 * number)
    try:
        pool.close()
        time.sleep(0.1)
    except KeyboardInterrupt:
        pass
    pool.close()
    del pool
    descriptors = len(os.listdir("/proc/self/fd")) - before
    print(descriptors, threading.active_count(), has_children())
"""


@pytest.mark.parametrize(
    "pool",
    [
        pytest.param("InterpreterPool", marks=needs_interpreters),
        pytest.param("ProcessPool", marks=needs_linux),
    ],
)
def test_closing_again_after_an_interrupted_close_ends_the_workers(pool: str) -> None:
    done = run_python("-c", SCRIPT, pool)
    assert done.stdout == "0 1 False\n" * 10, done.stderr
