"""Proofs that a call releases the GIL or not: another thread runs or not, no timing."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DEADLINE = 60.0  # seconds: only a broken machine needs them
_PATIENT = 1000.0


def meet(call: Callable[[int, int], int], timeout: float) -> int:
    """Have two threads call a rendezvous; return the most that were inside at once.

    Parameters
    ----------
    call : callable
        ``gilx.ckernels.rendezvous_gil`` or ``rendezvous_nogil``.
    timeout : float
        How long each waits inside for the other, in seconds.

    """
    found: list[int] = []

    def enter() -> None:
        found.append(call(2, int(timeout * 1e9)))

    _run_together(enter, enter)
    return max(found, default=0)


def runs_beside(call: Callable[[], object], *, tries: int = 3) -> bool:
    """Return whether another thread gets to run Python while a call runs.

    Meanwhile nobody asks for the GIL, so that another thread runs only if the call lets
    the GIL go.

    Parameters
    ----------
    call : callable
        What to call; a released call should take some milliseconds.
    tries : int
        How often to try at most, since a thread takes a moment to wake up.

    """
    with _nobody_asks():
        return any(_runs_beside_once(call) for _ in range(tries))


def _runs_beside_once(call: Callable[[], object]) -> bool:
    gate = threading.Lock()
    gate.acquire()
    ready = threading.Event()
    ran: list[bool] = []
    outcomes: list[bool] = []

    def other() -> None:
        ready.set()
        with gate:
            ran.append(True)

    def caller() -> None:
        ready.wait(_DEADLINE)
        gate.release()  # wakes the other thread, but leaves the GIL here
        call()
        outcomes.append(bool(ran))

    _run_together(other, caller)
    return outcomes == [True]


def _run_together(*functions: Callable[[], None]) -> None:
    threads = [threading.Thread(target=each, daemon=True) for each in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(_DEADLINE)
        if thread.is_alive():
            raise TimeoutError(f"a thread did not end within {_DEADLINE:.0f} s")


@contextmanager
def _nobody_asks() -> Iterator[None]:
    """Let the thread that holds the GIL keep it until it releases the GIL by itself."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_PATIENT)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
