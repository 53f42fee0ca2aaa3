"""The serial pool: the caller computes everything. What the others are compared with."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from gilx.pools.pool import Pool, compute

if TYPE_CHECKING:
    from gilx.pools.pool import Region
    from gilx.pools.resource_usage import Share


class SerialPool(Pool):
    """One worker, the calling thread."""

    name = "serial"
    survives_fork = True

    def __init__(self, workers: int = 1) -> None:  # noqa: ARG002 - the pools' signature
        super().__init__(1)

    def _run(self, region: Region, account: list[Share] | None) -> float:
        [share] = region.shares(1)
        begin = perf_counter()
        compute(region, share, account)
        return perf_counter() - begin
