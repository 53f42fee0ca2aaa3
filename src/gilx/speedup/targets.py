"""What can be measured: kernels, and calls of anything else, as work for pools."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from gilx.formatting import name_of
from gilx.pools.pool import Region
from gilx.pools.run import regions
from gilx.speedup import ceilings
from gilx.speedup.blocks import calls_needed
from gilx.speedup.call_processes import NoProcessesError
from gilx.speedup.timings import calls_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from gilx.kernels.kernel import Problem
    from gilx.pools import Pool
    from gilx.speedup.ceilings import Ceiling

__all__ = ["CallableTarget", "KernelTarget", "Target"]


class Target(Protocol):
    """What is measured, as work for pools."""

    name: str
    unit: str
    held: float | None
    """Hold fraction of one call alone, once it is known."""
    doubt: str
    """Why its ceiling is not the one it should be; empty if it is."""

    @property
    def variant(self) -> str | None:
        """The kernel's variant; None for a callable."""

    def work(self, workers: int, repeat: int, *, parallel: bool) -> list[Region]:
        """Return the regions of a sample."""

    def placed(self, pool: Pool) -> Target:
        """Return the same with its data where the pool's workers can reach it."""

    def units(self, workers: int, repeat: int) -> float:
        """Return the units of work in a sample."""

    def once(self, serial: Pool) -> float:
        """Do it once, for the first time; return how long that takes."""

    def repeats(
        self, serial: Pool, workers: int, seconds: float, first: float | None
    ) -> tuple[int, float]:
        """Return M for a serial sample of so many seconds, and one M's seconds.

        `first` is how long doing it once takes, if there is no time to try again.
        """

    def ceiling(self, workers: int, repeat: int, seconds: float) -> Ceiling:
        """Return its ceiling."""

    def call(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return one call, whose hold of the GIL is what matters."""


class KernelTarget:
    """One variant of a kernel."""

    def __init__(self, problem: Problem, variant: str) -> None:
        self.name: str = problem.kernel.name
        self.unit: str = problem.kernel.unit
        self.variant = variant
        self.held: float | None = None
        self.doubt: str = ""
        self._problem = problem

    def work(self, workers: int, repeat: int, *, parallel: bool) -> list[Region]:
        """Return the regions of a sample."""
        count = workers if parallel else 1
        return regions(self._problem, variant=self.variant, workers=count) * repeat

    def placed(self, pool: Pool) -> Target:
        """Return the same with its arrays where the pool's workers can reach them."""
        return KernelTarget(pool.place(self._problem), self.variant)

    def units(self, workers: int, repeat: int) -> float:
        """Return the units of work in a sample."""
        del workers
        return self._problem.units * repeat

    def once(self, serial: Pool) -> float:
        """Do it once, for the first time; return how long that takes."""
        return sum(map(serial.run, self.work(1, 1, parallel=False)))

    def repeats(
        self, serial: Pool, workers: int, seconds: float, first: float | None
    ) -> tuple[int, float]:
        """Return M for a serial sample of so many seconds, and one M's seconds.

        `first` is how long doing it once takes, if there is no time to try again.
        """

        def timed(repeat: int) -> float:
            work = self.work(workers, repeat, parallel=False)
            return sum(map(serial.run, work))

        return calls_needed(timed, seconds, first=first)

    def ceiling(self, workers: int, repeat: int, seconds: float) -> Ceiling:
        """Return its ceiling."""
        del seconds
        kind = "native threads on the same kernel"
        if self.variant in ("python", "numpy"):
            problem = self._problem.kernel.problem(seed=self._problem.seed)
            return ceilings.native(problem, workers, 1, kind=kind, serial=True)
        own = self.variant != "c-nogil"
        return ceilings.native(self._problem, workers, repeat, kind=kind, serial=own)

    def call(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return one call, whose hold of the GIL is what matters."""
        function = self._problem.kernel.function(self.variant)
        return function, (*self._problem.calls()[0], 0, self._problem.items)


class CallableTarget:
    """Calls of a function of the user's."""

    variant = None

    def __init__(
        self, fn: Callable[[], object], setup: Callable[[], object] | None
    ) -> None:
        self.name: str = name_of(fn)
        self.unit: str = "calls"
        self.held: float | None = None
        self.doubt: str = ""
        self._fn, self._setup = fn, setup
        self._calls = calls_of(fn, self.name)

    def work(self, workers: int, repeat: int, *, parallel: bool) -> list[Region]:
        """Return the regions of a sample."""
        del parallel
        # Static: each worker makes its own M calls.
        return [Region(self._calls, (), workers * repeat, "static")]

    def placed(self, pool: Pool) -> Target:
        """Return itself: threads reach what the callable does."""
        del pool
        return self

    def units(self, workers: int, repeat: int) -> float:
        """Return the units of work in a sample."""
        return workers * repeat

    def once(self, serial: Pool) -> float:
        """Do it once, for the first time; return how long that takes."""
        return sum(map(serial.run, self.work(1, 1, parallel=False)))

    def repeats(
        self, serial: Pool, workers: int, seconds: float, first: float | None
    ) -> tuple[int, float]:
        """Return M for a serial sample of so many seconds, and one M's seconds.

        `first` is how long doing it once takes, if there is no time to try again.
        """

        def timed(calls: int) -> float:
            return serial.run(Region(self._calls, (), calls, "static"))

        calls, each = calls_needed(timed, seconds, first=first)
        return -(-calls // workers), each * workers

    def ceiling(self, workers: int, repeat: int, seconds: float) -> Ceiling:
        """Return its ceiling."""
        try:
            return ceilings.in_processes(self._fn, self._setup, workers, repeat)
        except NoProcessesError as error:
            self.doubt = f"no ceiling by processes: {error}"
            return ceilings.computing(workers, seconds)

    def call(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return one call, whose hold of the GIL is what matters."""
        return self._fn, ()
