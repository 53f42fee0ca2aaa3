"""Contract that all pools keep."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

from gilx import kernels
from gilx.errors import (
    ArgumentError,
    NotCompiledError,
    at_least,
    number_of_workers,
    one_of,
)
from gilx.kernels.kernel import split_evenly
from gilx.pools.resource_usage import accounting

try:
    from gilx.ckernels import Counter
except NotCompiledError:  # pools that run without it have no memory to share
    from gilx.pools.python_counter import (  # type: ignore[assignment]
        PythonCounter as Counter,
    )

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer

    from gilx.kernels.kernel import Problem, Variant
    from gilx.pools.resource_usage import Share

Schedule = Literal["static", "dynamic"]

SCHEDULES: tuple[Schedule, ...] = ("static", "dynamic")
"""static: each worker gets one block, all equal; dynamic: each claims the next grain."""

_MOST_ITEMS = 2**62  # twice as many are still a whole number of 64 bits


@dataclass(frozen=True, eq=False)
class Region:
    """Items of one problem that workers compute together."""

    variant: Variant
    """The variant that computes the items."""
    arguments: tuple[Any, ...]
    """Inputs, then the output."""
    items: int
    """Number of items."""
    schedule: Schedule = "dynamic"
    grain: int = 1
    """Items in one claim under the dynamic schedule."""
    first: int = 0
    """The first item."""

    def __post_init__(self) -> None:
        one_of("schedule", self.schedule, SCHEDULES)
        for name, least in (("items", 0), ("grain", 1), ("first", 0)):
            at_least(name, getattr(self, name), least, _MOST_ITEMS)

    def blocks(self, parts: int) -> list[tuple[int, int]]:
        """Return the items as so many blocks ``(begin, end)``, about equal."""
        return [
            (self.first + begin, self.first + end)
            for begin, end in split_evenly(self.items, parts)
        ]

    def shares(self, workers: int) -> list[Counter]:
        """Return the counter that each worker takes its items from.

        Under the dynamic schedule all workers share one counter; under the static one
        each has its own, which hands out one block. Cancelling the counters stops the
        region.
        """
        if self.schedule == "dynamic":
            end = self.first + self.items
            return [Counter(self.first, end, self.grain)] * workers
        return [self.share(worker, workers, None) for worker in range(workers)]

    def kernel_name(self) -> str:
        """Return the name by which workers elsewhere know the kernel.

        Raises
        ------
        ArgumentError
            The kernel is not one of gilx's own, so workers elsewhere do not know it.

        """
        name, kernel = self.variant.target, self.variant.kernel
        if name not in kernels.names() or kernels.get(name) is not kernel:
            raise ArgumentError(
                "region: expected one of gilx's kernels, known to workers by name; got "
                f"{kernel or name!r}"
            )
        return name

    def share(
        self, worker: int, workers: int, memories: Sequence[Buffer] | None
    ) -> Counter:
        """Return one worker's counter, for workers that can't share a Python object.

        `memories` has, for each worker, zeroed memory that all workers can access: under
        the dynamic schedule all claim from the first worker's, under the static one each
        claims from its own.
        """
        if self.schedule == "dynamic":
            begin, end = self.first, self.first + self.items
            grain, memory = self.grain, 0
        else:
            begin, end = self.blocks(workers)[worker]
            grain, memory = max(1, end - begin), worker
        return Counter(
            begin, end, grain, memory=None if memories is None else memories[memory]
        )


def compute(region: Region, share: Counter, account: list[Share] | None = None) -> None:
    """Do one worker's part of a region: compute what its counter hands out.

    The resources used are added to the account, if there is one.
    """
    if account is None:
        _compute(region, share)
    else:
        with accounting(account):
            _compute(region, share)


def _compute(region: Region, share: Counter) -> None:
    variant = region.variant
    if variant.claims_grains:
        # One call: it claims its grains without coming back for the GIL.
        variant.function(*region.arguments, take=share)
    else:
        while (claim := share.take()) is not None:
            variant.function(*region.arguments, *claim)


class Pool(ABC):
    """Workers that are kept warm and run one region at a time.

    A pool is a context manager; leaving it, or `close()`, lets its workers go, and using
    it after that is a `RuntimeError`. `run` hands a region's items to the workers, waits
    for all of them and returns how long that took. A worker's exception reaches the
    caller as itself, after the others have stopped, and leaves the pool usable; so does
    Ctrl-C while the caller waits. The output of a region that raised is unspecified.
    """

    name: str
    own_gils = False
    """True if each worker has a GIL of its own."""
    own_processes = False
    """True if each worker is a process of its own."""
    survives_fork = False
    """True if it still works in a child of `os.fork`, which has none of its threads."""
    start_seconds: float = 0.0
    """Seconds that starting the workers took, 0 in pools that do not measure it; not part
    of any region's time."""

    @classmethod  # noqa: B027 - most of them run everywhere
    def check_available(cls) -> None:
        """Raise an `ArgumentError` if this Python can't run such a pool."""

    @classmethod  # noqa: B027 - most of them run all variants
    def check_variant(cls, variant: str) -> None:
        """Raise an `ArgumentError` if these workers can't run a variant."""

    def __init__(self, workers: int) -> None:
        self.workers: int = number_of_workers(workers)
        self._closed = False
        self._process = os.getpid()

    def place(self, problem: Problem) -> Problem:
        """Return a problem whose arrays are where the workers can reach them.

        Most workers reach any array, and the problem is returned as it is. Otherwise the
        arrays are copied, once, and regions are made of the problem returned. It outlives
        the pool.
        """
        return problem

    def run(self, region: Region, account: list[Share] | None = None) -> float:
        """Compute all items of a region, of a problem that was placed in this pool.

        Parameters
        ----------
        region : Region
            What to compute.
        account : list of Share, optional
            The resources that each worker used are added to it, in any order; measuring
            them takes some time. Nothing is added if a pool can't measure them.

        Returns
        -------
        float
            Wall time in seconds, from handing out the work to the end of the last call.

        Raises
        ------
        RuntimeError
            The pool was closed, or belongs to another process.
        BaseException
            Whatever a worker, or a signal handler, raised.

        """
        if self._closed:
            raise RuntimeError(f"the {self.name} pool was closed")
        self._check_process()
        return self._run(region, account)

    @abstractmethod
    def _run(self, region: Region, account: list[Share] | None) -> float:
        """Run a region as `run` describes; the pool is open."""

    def settle(self) -> None:  # noqa: B027 - most pools' workers sleep at once
        """Wait until no idle worker uses a CPU, before something else is timed."""

    def close(self) -> None:
        """End the workers, after their current work. Closing twice does nothing.

        In a process forked from the one that started them, there are no workers to end.
        """
        if not self._closed:
            if self._here():
                self._close()
            # Set last, so that closing again goes on where an interrupted call ended.
            self._closed = True

    def _here(self) -> bool:
        """Return whether its workers can be in this process."""
        return self.survives_fork or os.getpid() == self._process

    def _check_process(self) -> None:
        if not self._here():
            raise RuntimeError(
                f"the {self.name} pool belongs to process {self._process}, from which"
                " this one was forked: start another"
            )

    def _close(self) -> None:  # noqa: B027 - optional: some have nothing to end
        """End the workers; called again if Ctrl-C came in between."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
