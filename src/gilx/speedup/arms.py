"""Arms of a comparison: one worker, several, and the ceiling, timed in blocks."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Self

from gilx.errors import NotCompiledError
from gilx.pools import SerialPool
from gilx.speedup.blocks import interleaved
from gilx.speedup.call_processes import NoProcessesError
from gilx.speedup.ceilings import computing
from gilx.speedup.comparison import NO_CEILING
from gilx.speedup.timings import Sample, take_sample
from gilx.speedup.waits_together import TogetherWatch

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from gilx.pools import Pool
    from gilx.pools.pool import Region
    from gilx.speedup.ceilings import Ceiling
    from gilx.speedup.comparison import Block
    from gilx.speedup.targets import Target
    from gilx.speedup.waits_together import WaitsTogether

CONTROL = 0.2
"""Length of the control, as a share of the serial work."""
_EMPTY_REGIONS = 15
_TRIED = 2e-3
"""Seconds of a row of calls by all workers that is long enough to say how long one is."""
_MUCH_SLOWER = 2
"""Times: less is not known well by so short a row, and hardly matters to a plan."""


class Arms:
    """Arms of all blocks; a context manager that has the ceiling's workers.

    Parameters
    ----------
    target : Target
        What to do.
    pool : Pool
        Where the workers are; it stays open.
    ceiling : bool
        Whether there is a ceiling to time.

    """

    def __init__(self, target: Target, pool: Pool, *, ceiling: bool = True) -> None:
        self.kind: str = ""
        """Kind of the ceiling; empty if there is none."""
        self.reason: str = ""
        """Why the ceiling is other work; empty if it is not."""
        self.missing: str = ""
        """Why there are no native threads to compare with; empty if there are."""
        self._target, self._placed, self._pool = target, target.placed(pool), pool
        self._serial = SerialPool()
        self._has_ceiling = ceiling
        self._ceiling: Ceiling | None = None

    def __enter__(self) -> Self:
        if self._has_ceiling:
            try:
                self._ceiling = self._target.ceiling(self._pool.workers)
            except NoProcessesError as error:
                self.reason = str(error)
            except NotCompiledError as error:
                self.missing = str(error)
        return self

    def __exit__(self, *_: object) -> None:
        if self._ceiling is not None:
            self._ceiling.close()

    def blocks(
        self,
        repeat: int,
        *,
        seconds: float,
        budget: float,
        seed: int = 0,
        warm_up: bool = True,
        control: bool = False,
        single: bool = False,
    ) -> Generator[Block]:
        """Yield blocks until the budget is spent; the caller may stop earlier.

        Parameters
        ----------
        repeat : int
            M: how many times to do the target's work in a row.
        seconds : float
            How long that takes one worker, about.
        budget, seed, warm_up
            As `interleaved` has them.
        control : bool
            Whether to time threads that only compute, too.
        single : bool
            Whether to time single calls, too.

        Raises
        ------
        NoProcessesError
            A process found out late that it can't make the calls. Later blocks have
            another ceiling, and earlier ones do not count.

        """
        arms = self._own_arms("", repeat)
        if single:
            arms |= self._own_arms("single ", 1)
        with ExitStack() as stack:
            others: list[Ceiling] = []
            if self._has_ceiling:
                self.kind = NO_CEILING
                if ceiling := self._ceiling or self._computing(stack, seconds):
                    self.kind = ceiling.kind
                    others.append(ceiling)
                    arms |= ceiling.arms("ceiling", repeat)
            if control and (other := self._computing(stack, seconds * CONTROL)):
                others.append(other)
                arms |= other.arms("control", 1)

            def settle() -> None:
                self._pool.settle()
                for other in others:
                    other.settle(repeat)
                self._target.prepare(self._target.parts(self._pool.workers) * repeat)

            try:
                yield from interleaved(
                    arms, seed=seed, settle=settle, budget=budget, warm_up=warm_up
                )
            except NoProcessesError as error:
                self.reason = str(error)
                assert self._ceiling is not None  # it raised that
                self._ceiling.close()
                self._ceiling = None
                raise

    def _computing(self, stack: ExitStack, seconds: float) -> Ceiling | None:
        """Return threads that only compute, None if they are not installed."""
        try:
            threads = computing(self._pool.workers, seconds)
        except NotCompiledError as error:
            self.missing = str(error)
            return None
        stack.callback(threads.close)
        return threads

    def empty_region(self) -> float:
        """Return how long a region takes in which nothing is done, in seconds."""
        nothing = replace(self._placed.together(self._pool.workers, 1)[0], items=0)
        self._pool.settle()
        return median(
            take_sample(self._pool, [nothing]).seconds for _ in range(_EMPTY_REGIONS)
        )

    def slowdown(self, each: float, most: int) -> float:
        """Return how much longer calls at once take than one after another.

        It is 1 unless they take much longer. It may be hundreds, for calls by which
        threads stop each other, and the calls in a row that one worker makes in time are
        then far too many.

        Parameters
        ----------
        each : float
            Seconds of one call of one worker.
        most : int
            Calls of each worker that there may be in a row.

        """
        calls = 1
        while (spent := self._at_once(calls)) < _TRIED and 4 * calls <= most:
            calls *= 4
        alone = calls * self._target.parts(self._pool.workers) * each
        if spent > _MUCH_SLOWER * alone:  # or other processes had the CPUs
            spent = min(spent, self._at_once(calls))
        return spent / alone if spent > _MUCH_SLOWER * alone else 1.0

    def _at_once(self, calls: int) -> float:
        """Return the seconds of so many calls of each worker."""
        workers = self._pool.workers
        self._target.prepare(self._target.parts(workers) * calls)
        self._pool.settle()
        return take_sample(self._pool, self._placed.together(workers, calls)).seconds

    def waits_together(self, repeat: int) -> tuple[WaitsTogether | None, str]:
        """Watch M calls of each worker at once.

        Return what they waited for, or None and the reason that it is not known.
        """
        watching = TogetherWatch()
        self.watch_together(watching, repeat)
        return watching.waits, watching.missing

    def watch_together(self, watching: TogetherWatch, repeat: int) -> None:
        """Watch M calls of each worker at once, and add that to a watch."""
        workers = self._pool.workers
        self._target.prepare(self._target.parts(workers) * repeat)
        work = self._placed.together(workers, repeat)
        self._pool.settle()
        watching.watch(lambda: take_sample(self._pool, work))

    def _own_arms(self, name: str, repeat: int) -> dict[str, Callable[[], Sample]]:
        workers = self._pool.workers
        alone = self._target.alone(repeat)
        parts = self._target.parts(workers)
        return {
            f"{name}serial": partial(_serial, self._serial, alone, parts),
            f"{name}parallel": partial(
                take_sample, self._pool, self._placed.together(workers, repeat)
            ),
        }


def _serial(pool: Pool, work: list[Region], parts: int) -> Sample:
    """Return the sample of all the work, from running one of so many equal parts."""
    sample = take_sample(pool, work)
    return sample if parts == 1 else sample.times(parts)
