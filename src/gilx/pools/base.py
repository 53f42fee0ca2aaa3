"""What a pool is: the contract that all of them keep."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from gilx.ckernels import Counter
from gilx.kernels.base import split_evenly

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from types import TracebackType

Schedule = Literal["static", "dynamic"]

SCHEDULES: tuple[Schedule, ...] = ("static", "dynamic")
"""static: each worker gets one block, all equal; dynamic: each claims the next grain."""

__all__ = ["SCHEDULES", "Pool", "Region", "Schedule", "Work", "compute"]


class Work(Protocol):
    """What a region computes: a kernel, or what has these in common with one."""

    @property
    def name(self) -> str:
        """What to call it."""

    def function(self, variant: str) -> Callable[..., Any]:
        """Return the function of a variant, see `gilx.kernels.base.Kernel.function`."""


@dataclass(frozen=True, eq=False)
class Region:
    """Work to hand to workers at once, and to wait for: all items of one problem."""

    kernel: Work
    variant: str
    arguments: tuple[Any, ...]
    """Inputs, then the output."""
    items: int
    schedule: Schedule = "dynamic"
    grain: int = 1
    """Items in one claim under the dynamic schedule."""
    account: Callable[[], AbstractContextManager[object]] | None = None
    """Entered by each worker around its part, where workers are threads of this process:
    the place to count what a part takes."""

    def shares(self, workers: int) -> list[Counter]:
        """Return the counter that each worker takes its items from.

        Under the dynamic schedule it is the same one; under the static one each has its
        own, which hands out one block. Cancelling them stops the region.
        """
        if self.schedule == "dynamic":
            return [Counter(0, self.items, self.grain)] * workers
        return [
            Counter(begin, end, max(1, end - begin))
            for begin, end in split_evenly(self.items, workers)
        ]


def compute(region: Region, share: Counter) -> None:
    """Do one worker's part of a region: compute what its counter hands out."""
    if region.account is None:
        _compute(region, share)
    else:
        with region.account():
            _compute(region, share)


def _compute(region: Region, share: Counter) -> None:
    function = region.kernel.function(region.variant)
    if region.variant in ("python", "numpy"):
        while (claim := share.take()) is not None:
            function(*region.arguments, *claim)
    else:
        # One call: it claims its grains without coming back for the GIL.
        function(*region.arguments, take=share)


class Pool(ABC):
    """Workers that are kept warm and run one region at a time.

    A pool is a context manager; leaving it, or `close()`, lets its workers go, and using
    it after that is a `RuntimeError`. `run` hands a region's items to the workers, waits
    for all of them and returns how long that took. A worker's exception reaches the
    caller as itself, after the others have stopped, and leaves the pool usable; so does
    Ctrl-C while the caller waits. The output of a region that raised is unspecified.
    """

    name: str

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._closed = False

    def run(self, region: Region) -> float:
        """Compute all items of a region.

        Returns
        -------
        float
            Wall time in seconds, from handing out the work to the end of the last call.

        Raises
        ------
        RuntimeError
            The pool was closed.
        BaseException
            Whatever a worker, or a signal handler, raised.

        """
        if self._closed:
            raise RuntimeError(f"the {self.name} pool was closed")
        return self._run(region)

    @abstractmethod
    def _run(self, region: Region) -> float:
        """Do what `run` says, the pool being open."""

    def settle(self) -> None:  # noqa: B027 - most pools' workers sleep at once
        """Wait until no idle worker uses a CPU: before something else is timed."""

    def close(self) -> None:
        """Let the workers go, after what they are doing. Closing twice does nothing."""
        if not self._closed:
            self._closed = True
            self._close()

    def _close(self) -> None:  # noqa: B027 - optional: some have nothing to let go
        """Do what `close` says, once."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
