"""Ceilings: what this machine allows right now, timed in the same blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilx import kernels
from gilx.pools import NativePool, SerialPool
from gilx.pools.run import regions, run_all
from gilx.speedup.call_processes import CallProcesses, packed

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.kernels.kernel import Problem

__all__ = ["Ceiling", "computing", "in_processes", "native"]

_COMPUTING = "mandelbrot"  # bound by computing alone


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class Ceiling:
    """Something that needs no GIL, timed serially and by as many workers."""

    kind: str
    parallel: Callable[[], float]
    """Returns its wall time in seconds."""
    serial: Callable[[], float] | None = None
    """The same work serially; None if that is the serial run that is measured anyway."""
    settle: Callable[[], None] = _nothing
    """Waits until no idle worker uses a CPU, and prepares the next run."""
    close: Callable[[], None] = _nothing


def native(
    problem: Problem, workers: int, repeat: int, *, kind: str, serial: bool
) -> Ceiling:
    """Return the ceiling that the native team sets on a kernel's problem.

    Parameters
    ----------
    problem : Problem
        What to compute.
    workers : int
        How many threads the team has.
    repeat : int
        How often to compute it in a sample.
    kind : str
        What to call the ceiling.
    serial : bool
        Whether it has a serial run of its own, of c-nogil.

    """
    team, alone = NativePool(workers), SerialPool()
    together = regions(problem, workers=workers) * repeat
    one_by_one = regions(problem, workers=1) * repeat
    return Ceiling(
        kind,
        lambda: run_all(team, together),
        (lambda: run_all(alone, one_by_one)) if serial else None,
        team.settle,
        team.close,
    )


def in_processes(
    fn: Callable[[], object],
    setup: Callable[[], object] | None,
    workers: int,
    repeat: int,
) -> Ceiling:
    """Return the ceiling of the same calls in as many processes.

    Raises
    ------
    NoProcessesError
        They can't be made there, or not yet; the message says why. Taking samples may
        raise it, too.

    """
    processes = CallProcesses(packed(fn, setup), workers)
    try:
        processes.prepare()
        processes.run(1)
    except BaseException:
        processes.close()
        raise
    return Ceiling(
        "the same calls in processes",
        lambda: processes.run(repeat),
        None,
        processes.prepare if setup is not None else _nothing,
        processes.close,
    )


def computing(workers: int, seconds: float) -> Ceiling:
    """Return the ceiling of work that only computes, for about so long on one thread."""
    kernel = kernels.get(_COMPUTING)
    # The default takes less than 0.1 s; its time grows with the square of the size.
    size = max(16, round(kernel.default_size * min(1.0, seconds / 0.1) ** 0.5))
    return native(
        kernel.problem(size),
        workers,
        1,
        kind=f"other work: {_COMPUTING} on native threads",
        serial=True,
    )
