"""The pools: ways to run a region, all on one contract (see `gilx.pools.base.Pool`)."""

from __future__ import annotations

from gilx.errors import at_least, one_of
from gilx.pools.base import Pool, Region
from gilx.pools.processes import ProcessPool
from gilx.pools.serial import SerialPool
from gilx.pools.threads import ThreadPool

__all__ = ["Pool", "ProcessPool", "Region", "SerialPool", "ThreadPool", "names", "start"]

_POOLS: dict[str, type[Pool]] = {
    "serial": SerialPool,
    "threads": ThreadPool,
    "processes": ProcessPool,
}


def names() -> tuple[str, ...]:
    """Return the names of all pools."""
    return tuple(_POOLS)


def start(name: str, workers: int) -> Pool:
    """Start a pool, to be closed by the caller.

    Parameters
    ----------
    name : str
        One of `names()`.
    workers : int
        How many calls it runs at once, at least 1; `serial` runs one whatever this says.

    Raises
    ------
    ArgumentError
        There is no such pool, or no such number of workers.

    """
    return _POOLS[one_of("pool", name, _POOLS)](at_least("workers", workers, 1))
