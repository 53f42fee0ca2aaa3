"""Processes that end, fork or get signals at any moment: none hangs, none crashes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from random import Random

__all__ = ["WAYS", "end_once"]

# How a process ends, and the exit status that it must then have; signals are sent to it.
WAYS: dict[str, int] = {
    "return": 0,
    "sys.exit": 7,
    "os._exit": 7,
    "execv": 7,
    "fork": 0,
    "raise": 1,
    "SIGINT": -signal.SIGINT,
    "SIGTERM": -signal.SIGTERM,
    "SIGKILL": -signal.SIGKILL,
}
LONGEST = 60  # seconds that a process may take


def end_once(way: str, seed: int) -> None:
    """Run a process that ends in that way, at a moment that the seed tells.

    Raises
    ------
    AssertionError
        It hung, crashed, had another exit status, or left something in /dev/shm.

    """
    draw = Random(seed)
    before = set(os.listdir("/dev/shm"))
    seconds = draw.random() * 0.2
    child = subprocess.Popen(
        [sys.executable, Path(__file__).with_name("child.py"), str(seed), way,
         str(seconds)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    said = f"{way}, seed {seed}: "
    try:
        assert child.stdout is not None
        # faulthandler says where it hangs.
        late = threading.Timer(LONGEST, child.send_signal, [signal.SIGABRT])
        late.start()
        child.stdout.readline()  # it is busy
        late.cancel()
        if way.startswith("SIG"):
            time.sleep(seconds)
            # Other signals on the way, which are nothing to it.
            for _ in range(draw.randrange(4)):
                child.send_signal(signal.SIGCHLD)
            child.send_signal(getattr(signal, way))
        _, errors = child.communicate(timeout=LONGEST)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGABRT)  # faulthandler says where it hung
        _, errors = child.communicate()
        raise AssertionError(f"{said}hangs\n{errors}") from None
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    assert child.returncode == WAYS[way], f"{said}{child.returncode}\n{errors[-4000:]}"
    left = {name for name in set(os.listdir("/dev/shm")) - before if "gilx" in name}
    assert not left, f"{said}left {left}"
