"""Any executor: tasks that share nothing with the caller, on this machine or others."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

from gilx import kernels
from gilx.pools.pool import Pool

if TYPE_CHECKING:
    from concurrent.futures import Executor, Future

    from gilx.kernels.kernel import Array
    from gilx.pools.pool import Region
    from gilx.pools.resource_usage import Share

_TASKS_PER_WORKER = 4
"""Under the dynamic schedule. Each task carries the inputs: more tasks even out uneven
items better, and cost more."""


def compute_part(
    kernel: str,
    variant: str,
    inputs: tuple[Any, ...],
    shape: tuple[int, ...],
    dtype: str,
    start: int,
    stop: int,
) -> Array:
    """Return the items `start` to `stop` of a kernel's output: what one task does.

    Parameters
    ----------
    kernel, variant : str
        What computes them, by name.
    inputs : tuple
        The arguments before the output.
    shape, dtype
        Of the whole output.
    start, stop : int
        Which items.

    """
    import numpy as np  # noqa: PLC0415 - gilx.pools is imported also without arrays

    # An array that was sent may begin at any address (Dask's do, inside its messages).
    inputs = tuple(
        np.require(x, requirements=["C", "A"]) if isinstance(x, np.ndarray) else x
        for x in inputs
    )
    # All of it has an address, and only what is written has memory.
    out = np.zeros(shape, dtype)
    kernels.get(kernel).function(variant)(*inputs, out, start, stop)
    return out[start:stop]


class ExecutorPool(Pool):
    """Somebody's `concurrent.futures.Executor`: threads, processes, loky, Dask.

    Nothing is taken for granted but that functions and arrays can be sent. A task gets
    the inputs and returns its part of the output, so arrays are copied for each task, and
    a region's time includes that. The executor stays open when the pool is closed. After
    Ctrl-C or an exception, tasks that have not begun are cancelled; those that run can't
    be stopped, and their results are dropped.

    Parameters
    ----------
    executor : Executor
        Where the tasks run.
    workers : int
        How many tasks to count on running at once, 1 to 4096: the static schedule makes
        as many, the dynamic one up to four times as many.

    """

    def __init__(self, executor: Executor, workers: int) -> None:
        super().__init__(workers)
        self.name: str = type(executor).__name__
        self._executor = executor

    def _run(self, region: Region, account: list[Share] | None) -> float:
        del account  # what ran where the tasks are, nobody here knows
        name = region.kernel_name()
        *inputs, out = region.arguments
        tasks: list[tuple[int, int, Future[Array]]] = []
        begin = perf_counter()
        try:
            for start, stop in self._split(region):
                future = self._executor.submit(
                    compute_part,
                    name,
                    region.variant.name,
                    tuple(inputs),
                    out.shape,
                    out.dtype.str,
                    start,
                    stop,
                )
                tasks.append((start, stop, future))
            for start, stop, future in tasks:
                out[start:stop] = future.result()
        except BaseException:
            # Those that run write nothing here, so nobody has to wait for them.
            for _, _, future in tasks:
                future.cancel()
            raise
        return perf_counter() - begin

    def _split(self, region: Region) -> list[tuple[int, int]]:
        """Return the ranges of the tasks, none of them empty but of a region that is."""
        parts = self.workers
        if region.schedule == "dynamic":
            parts = min(-(-region.items // region.grain), _TASKS_PER_WORKER * parts)
        parts = max(1, min(parts, region.items))
        return region.blocks(parts)
