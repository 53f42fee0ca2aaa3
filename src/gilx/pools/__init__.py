"""The pools: ways to run a region, all on one contract (see `gilx.pools.pool.Pool`).

Each is loaded when it is first used, so that workers of one don't load the others.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

from gilx.errors import ArgumentError, one_of
from gilx.pools.pool import Pool, Region

if TYPE_CHECKING:
    from gilx.pools.executor import ExecutorPool as ExecutorPool
    from gilx.pools.interpreters import InterpreterPool as InterpreterPool
    from gilx.pools.native import NativePool as NativePool
    from gilx.pools.processes import ProcessPool as ProcessPool
    from gilx.pools.serial import SerialPool as SerialPool
    from gilx.pools.threads import ThreadPool as ThreadPool

__all__ = [
    "ExecutorPool",
    "InterpreterPool",
    "NativePool",
    "Pool",
    "ProcessPool",
    "Region",
    "SerialPool",
    "ThreadPool",
    "get",
    "names",
    "start",
]

# Each pool that has a name is a class of the module of that name.
_POOLS = {
    "serial": "SerialPool",
    "threads": "ThreadPool",
    "native": "NativePool",
    "processes": "ProcessPool",
    "interpreters": "InterpreterPool",
}
_HOMES = {pool: name for name, pool in _POOLS.items()} | {"ExecutorPool": "executor"}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - one function for names of all types
    if name not in _HOMES:
        raise AttributeError(f"module 'gilx.pools' has no attribute {name!r}")
    pool = getattr(importlib.import_module(f"gilx.pools.{_HOMES[name]}"), name)
    globals()[name] = pool
    return pool


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def names() -> tuple[str, ...]:
    """Return the names of all pools, including those that this Python can't run."""
    return tuple(_POOLS)


def get(name: str) -> type[Pool]:
    """Return the pool of that name.

    Raises
    ------
    ArgumentError
        There is none, or not on this system; the message says which there are.
    NotCompiledError
        It needs compiled parts of gilx that are not installed.

    """
    home = one_of("pool", name, _POOLS)
    if home == "processes" and sys.platform != "linux":
        raise ArgumentError("pool: processes works on Linux only")
    pool: type[Pool] = __getattr__(_POOLS[home])
    return pool


def start(name: str, workers: int) -> Pool:
    """Start a pool, to be closed by the caller.

    Parameters
    ----------
    name : str
        One of `names()`.
    workers : int
        How many calls it runs at once, 1 to 4096; `serial` runs one whatever this says.

    Raises
    ------
    ArgumentError
        The pool does not exist, or not on this Python, or the number of workers is out
        of range.

    """
    return get(name)(workers)
