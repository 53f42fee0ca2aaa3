"""Ceilings: what this machine achieves right now, timed in the same blocks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Protocol

from gilx import kernels
from gilx.pools import NativePool, SerialPool
from gilx.pools.run import regions, run_all
from gilx.speedup.call_processes import CallProcesses, packed
from gilx.speedup.comparison import SAME_CALLS
from gilx.speedup.thread_limits import Limited
from gilx.speedup.timings import Sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gilx.kernels.kernel import Problem
    from gilx.pools import Pool, Region
    from gilx.speedup.prepared_call import PreparedCall

_COMPUTING = "mandelbrot"  # bound by computing alone


class Ceiling(Protocol):
    """Work that does not need the GIL, on as many workers."""

    kind: str

    def arms(self, name: str, repeat: int) -> dict[str, Callable[[], Sample]]:
        """Return the arm of that name, which does the work M times on all workers.

        If its serial run is not the target's, there is a second arm, "NAME serial".
        """

    def settle(self, repeat: int) -> None:
        """Wait until no idle worker uses a CPU, and prepare the next M."""

    def close(self) -> None:
        """End the workers."""


class NativeCeiling:
    """Ceiling that the native team sets on a kernel's problem.

    Parameters
    ----------
    problem : Problem
        What to compute.
    workers : int
        How many threads the team has.
    kind : str
        What to call the ceiling.
    own_serial : bool
        Whether it has a serial run of its own, of c-nogil.
    once : bool
        Whether to compute it once, whatever M is.

    Raises
    ------
    NotCompiledError
        gilx was installed without its compiled parts.

    """

    def __init__(
        self, problem: Problem, workers: int, *, kind: str, own_serial: bool, once: bool
    ) -> None:
        self.kind: str = kind
        self._own_serial, self._once = own_serial, once
        self._team, self._alone = NativePool(workers), SerialPool()
        self._together = regions(problem, workers=workers)
        self._one_by_one = regions(problem, workers=1)

    def arms(self, name: str, repeat: int) -> dict[str, Callable[[], Sample]]:
        """Return the arm that computes it on all threads, and one for its serial run."""
        times = 1 if self._once else repeat
        arms = {name: partial(_timed, self._team, self._together * times)}
        if self._own_serial:
            arms[f"{name} serial"] = partial(
                _timed, self._alone, self._one_by_one * times
            )
        return dict(arms)

    def settle(self, repeat: int) -> None:
        """Wait until no idle thread uses a CPU."""
        del repeat
        self._team.settle()

    def close(self) -> None:
        """End the threads."""
        self._team.close()


class ProcessCeiling:
    """Ceiling of the same calls in as many processes.

    Parameters
    ----------
    call : PreparedCall
        The call.
    workers : int
        How many processes.
    limit_threads : int, optional
        How many threads of their own libraries may start in the processes.

    Raises
    ------
    NoProcessesError
        The calls can't be made there; the message says why. Taking samples may raise it,
        too.

    """

    kind: str = SAME_CALLS

    def __init__(
        self, call: PreparedCall, workers: int, limit_threads: int | None = None
    ) -> None:
        make: Callable[[], object] = call.make
        if limit_threads is not None:
            make = Limited(make, limit_threads)
        setup = call.prepare if call.has_setup else None
        self._has_setup = call.has_setup
        self._processes = CallProcesses(packed(make, setup), workers, call.longest)
        try:
            # The first calls warm up, and may fail.
            self.settle(1)
            self._processes.take_sample(1)
        except BaseException:
            self.close()
            raise

    def arms(self, name: str, repeat: int) -> dict[str, Callable[[], Sample]]:
        """Return the arm that makes M calls in each process."""
        return {name: partial(self._processes.take_sample, repeat)}

    def settle(self, repeat: int) -> None:
        """Prepare arguments for M calls in each process."""
        if self._has_setup:
            self._processes.prepare(repeat)

    def close(self) -> None:
        """End the processes."""
        self._processes.close()


def _timed(pool: Pool, work: Sequence[Region]) -> Sample:
    return Sample(run_all(pool, work))


def computing(workers: int, seconds: float) -> NativeCeiling:
    """Return the ceiling of work that only computes, for about so long on one thread."""
    kernel = kernels.get(_COMPUTING)
    # The default takes less than 0.1 s; its time grows with the square of the size.
    size = max(16, round(kernel.default_size * min(1.0, seconds / 0.1) ** 0.5))
    return NativeCeiling(
        kernel.problem(size),
        workers,
        kind=f"other work: {_COMPUTING} on native threads",
        own_serial=True,
        once=True,
    )
