"""Targets of a comparison: kernels, and calls of anything else, as work for pools."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from gilx.pools.pool import Region
from gilx.pools.run import regions, run_all
from gilx.speedup.blocks import calls_needed
from gilx.speedup.ceilings import NativeCeiling, ProcessCeiling
from gilx.speedup.timings import calls_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.kernels.kernel import Problem
    from gilx.pools import Pool
    from gilx.sampling.usage import GilUsage
    from gilx.speedup.ceilings import Ceiling
    from gilx.speedup.prepared_call import PreparedCall


class Target(Protocol):
    """Work that one worker and several do, M times."""

    name: str
    unit: str
    usage: GilUsage | None
    """Usage of the GIL by one call alone, once it is known."""

    @property
    def variant(self) -> str | None:
        """The kernel's variant; None for a callable."""

    def parts(self, workers: int) -> int:
        """Return how many times the serial work the parallel work of all workers is."""

    def alone(self, repeat: int) -> list[Region]:
        """Return the serial work, as regions for one worker."""

    def together(self, workers: int, repeat: int) -> list[Region]:
        """Return the parallel work."""

    def placed(self, pool: Pool) -> Target:
        """Return the same with its data where the pool's workers can reach it."""

    def prepare(self, calls: int) -> None:
        """Prepare so many calls, or computations of the problem."""

    def units(self, workers: int) -> float:
        """Return the units of work that all workers do for M = 1."""

    def timed(self, serial: Pool, repeat: int) -> float:
        """Do the serial work M times; return the seconds that takes."""

    def repeats(
        self, serial: Pool, seconds: float, first: float | None
    ) -> tuple[int, float]:
        """Return M for serial work of about so many seconds, and the seconds of one M.

        `first` is how long doing it once takes, if there is not enough time to try again.
        """

    def ceiling(self, workers: int) -> Ceiling:
        """Return its ceiling.

        Raises
        ------
        NoProcessesError
            It has none of its own here.

        """

    def call(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return one call, whose hold of the GIL is what matters."""


class KernelTarget:
    """One variant of a kernel: its problem is computed by one worker, or split.

    Parameters
    ----------
    problem : Problem
        What to compute.
    variant : str
        The variant.
    setup : callable, optional
        Called before each sample, outside of what is timed.

    """

    def __init__(
        self, problem: Problem, variant: str, setup: Callable[[], object] | None = None
    ) -> None:
        self.name: str = problem.kernel.name
        self.unit: str = problem.kernel.unit
        self.variant = variant
        self.usage: GilUsage | None = None
        self._problem, self._setup = problem, setup

    def parts(self, workers: int) -> int:
        """Return 1: the problem is the same."""
        del workers
        return 1

    def alone(self, repeat: int) -> list[Region]:
        """Return the problem for one worker, M times."""
        return self.together(1, repeat)

    def together(self, workers: int, repeat: int) -> list[Region]:
        """Return the problem for all workers, M times."""
        return regions(self._problem, variant=self.variant, workers=workers) * repeat

    def placed(self, pool: Pool) -> Target:
        """Return the same with its arrays where the pool's workers can reach them."""
        return KernelTarget(pool.place(self._problem), self.variant, self._setup)

    def prepare(self, calls: int) -> None:
        """Call the setup once, before a sample."""
        del calls
        if self._setup is not None:
            self._setup()

    def units(self, workers: int) -> float:
        """Return the units of the problem."""
        del workers
        return self._problem.units

    def timed(self, serial: Pool, repeat: int) -> float:
        """Compute it M times on one worker; return the seconds that takes."""
        self.prepare(repeat)
        return run_all(serial, self.alone(repeat))

    def repeats(
        self, serial: Pool, seconds: float, first: float | None
    ) -> tuple[int, float]:
        """Return M for serial work of about so many seconds, and the seconds of one M.

        `first` is how long doing it once takes, if there is not enough time to try again.
        """
        return calls_needed(partial(self.timed, serial), seconds, first=first)

    def ceiling(self, workers: int) -> Ceiling:
        """Return the native team on the same kernel, at a size that it takes long for."""
        slow = self.variant in ("python", "numpy")
        problem = self._problem
        return NativeCeiling(
            problem.kernel.problem(seed=problem.seed) if slow else problem,
            workers,
            kind="native threads on the same kernel",
            # c-nogil's own serial run is the native team's, too.
            own_serial=self.variant != "c-nogil",
            once=slow,
        )

    def call(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return one call, whose hold of the GIL is what matters."""
        function = self._problem.kernel.function(self.variant)
        return function, (*self._problem.calls()[0], 0, self._problem.items)


class CallableTarget:
    """Calls of a function of the user's: M by one worker, or M by each of several."""

    variant = None
    unit = "calls"

    def __init__(self, call: PreparedCall, limit_threads: int | None = None) -> None:
        self.name: str = call.name
        self.usage: GilUsage | None = None
        self._call, self._limit_threads = call, limit_threads
        self._calls = calls_of(call.make, call.name)

    def parts(self, workers: int) -> int:
        """Return how many workers there are: each makes as many calls as one alone."""
        return workers

    def alone(self, repeat: int) -> list[Region]:
        """Return M calls."""
        return self.together(1, repeat)

    def together(self, workers: int, repeat: int) -> list[Region]:
        """Return M calls for each worker."""
        return [Region(self._calls, (), workers * repeat, "static")]

    def placed(self, pool: Pool) -> Target:
        """Return itself: threads reach what the callable does."""
        del pool
        return self

    def prepare(self, calls: int) -> None:
        """Have arguments ready for so many calls."""
        self._call.prepare(calls)

    def units(self, workers: int) -> float:
        """Return how many workers there are: each makes one call."""
        return workers

    def timed(self, serial: Pool, repeat: int) -> float:
        """Make M calls; return the seconds that takes."""
        del serial
        return self._call.timed(repeat)

    def repeats(
        self, serial: Pool, seconds: float, first: float | None
    ) -> tuple[int, float]:
        """Return M for calls in a row of about so many seconds, and those of one call.

        `first` is how long doing it once takes, if there is not enough time to try again.
        """
        del serial
        calls, each = calls_needed(self._call.timed, seconds, first=first)
        return min(self._call.most, calls), each

    def ceiling(self, workers: int) -> Ceiling:
        """Return the same calls in processes."""
        return ProcessCeiling(self._call, workers, self._limit_threads)

    def call(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return one call, whose hold of the GIL is what matters."""
        return self._call.make, ()
