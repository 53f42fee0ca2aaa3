"""A process that is busy with everything, and ends in some way at some moment.

Arguments: seed, way, seconds. Run by `ends.py`.
"""

import os
import random
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

import gilx
from gilx.ckernels import NativeTeam, spin

if TYPE_CHECKING:
    from collections.abc import Callable

SEED, WAY, SECONDS = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])


def busy(number: int) -> None:
    """Do this and that, indefinitely."""
    draw = random.Random(f"{SEED} {number}")
    problem = gilx.kernels.get("mandelbrot").problem(60)
    team = NativeTeam(2, 100_000)
    while True:
        what = draw.randrange(5)
        if what == 0:
            out = problem.fresh_out()
            problem.kernel.function("c-nogil")(*problem.inputs, out)
        elif what == 1:
            spin(10_000, 10_000, 2_000_000)
        elif what == 2:
            team.compute("triad", (np.ones(99), np.ones(99), 1.0, np.zeros(99)))
        elif what == 3:
            gilx.run("triad", pool="threads", workers=2, size=50)
        else:
            try:
                with gilx.watch():
                    time.sleep(0.001)
            except RuntimeError:  # there is no GIL
                time.sleep(0.001)


def fork_and_work() -> int:
    """Fork; the child works and ends well. Returns its exit status."""
    child = os.fork()
    if child == 0:
        signal.alarm(50)  # a child that hangs ends, and not well
        problem = gilx.kernels.get("heat").problem(20)
        function: Any = problem.kernel.function("c-nogil")
        function(*problem.inputs, problem.out)
        team = NativeTeam(2, 0)
        team.compute("triad", (np.ones(9), np.ones(9), 1.0, np.zeros(9)))
        team.close()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main() -> None:
    """Be busy on daemon threads and on this one, until it is time to end."""
    import faulthandler
    import warnings

    faulthandler.enable()
    # From 3.12 on, Python warns of forks beside threads: that is what is tried here.
    warnings.simplefilter("ignore", DeprecationWarning)
    # What a shell starts in the background ignores Ctrl-C, and so do its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
    # Ctrl-C at the wrong moment in the import system or in concurrent.futures.thread may
    # leave a lock of theirs taken indefinitely: so all that is used is imported now, and the
    # thread that gets the signal, this one, submits nothing.
    gilx.run("triad", pool="threads", workers=2, size=50)
    with suppress(RuntimeError), gilx.watch():  # or there is no GIL
        pass
    for number in range(2):
        threading.Thread(target=busy, args=(number,), daemon=True).start()
    print("busy", flush=True)
    until = time.monotonic() + SECONDS
    end: Callable[[], object] | None = {
        "return": lambda: None,
        "sys.exit": lambda: sys.exit(7),
        "os._exit": lambda: os._exit(7),
        "execv": lambda: os.execv(sys.executable, [sys.executable, "-c", "exit(7)"]),
        "fork": lambda: sys.exit(fork_and_work()),
        "raise": lambda: 1 / 0,
    }.get(WAY)
    draw = random.Random(SEED)
    problem = gilx.kernels.get("collatz").problem(100)
    while end is None or time.monotonic() < until:  # else a signal comes
        if draw.random() < 0.5:
            spin(1000, 1000, 1_000_000)
        else:
            problem.kernel.function("c-nogil")(*problem.inputs, problem.fresh_out())
    end()


main()
