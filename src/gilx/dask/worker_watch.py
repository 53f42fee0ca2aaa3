"""Watches in a worker's process, begun and ended by functions that the client sends.

The functions return Python's own types, so that a client with another version of gilx can
read the answers.
"""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, TypedDict

import gilx
from gilx.errors import ArgumentError, WatchUnavailableError
from gilx.sampling.watch import Watch, watch_with_callers

if TYPE_CHECKING:
    from distributed import Worker


class Answer(TypedDict, total=False):
    """Answer of a worker."""

    name: str
    """Name that Dask has for the worker."""
    process: str
    """Unique name of the worker's process."""
    gilx: str
    """Version of gilx there."""
    error: str
    """Reason that the GIL can't be watched there."""
    owner: str
    """Address of the worker that began the watch in this process."""
    usage: str
    """Usage as JSON, if this worker began the watch and has ended it."""


_PROCESS = uuid.uuid4().hex
# By the name of the client's watch; each has the address of the worker that began it.
_watches: dict[str, tuple[Watch, str]] = {}
# Watches that had not begun here when they were ended: a worker that is late with its
# answers may be asked to begin after that.
_ended: set[str] = set()


def process_name() -> str:
    """Return a name that no other process has, not even a child of a fork."""
    return f"{_PROCESS}-{os.getpid()}"


def begin(watch: str, cost: float, dask_worker: Worker) -> Answer:
    """Start to watch this process, unless another worker in it has done so.

    Parameters
    ----------
    watch : str
        Unique name of the client's watch.
    cost : float
        As that of `gilx.watch`.
    dask_worker : Worker
        This worker, which Dask gives to functions with an argument of that name.

    """
    answer = _answer(dask_worker)
    if watch in _ended:
        answer["error"] = "the watch ended before it began here"
        return answer
    if watch not in _watches:
        try:
            watching = watch_with_callers(cost=cost, needs_gil=False)
            watching.__enter__()
        except (ArgumentError, WatchUnavailableError) as error:
            answer["error"] = str(error)
            return answer
        _watches[watch] = watching, dask_worker.address
    answer["owner"] = _watches[watch][1]
    return answer


def end(watch: str, program: str, dask_worker: Worker) -> Answer:
    """End the watch that this worker began, if it did.

    Parameters
    ----------
    watch : str
        Unique name of the client's watch.
    program : str
        Name of the worker in texts.
    dask_worker : Worker
        This worker.

    """
    answer = _answer(dask_worker)
    watching, owner = _watches.get(watch, (None, ""))
    if watching is None:
        _ended.add(watch)
    else:
        answer["owner"] = owner
        if owner == dask_worker.address:
            del _watches[watch]
            watching.stop()
            answer["usage"] = watching.usage_of_program(program).to_json()
    return answer


def _answer(worker: Worker) -> Answer:
    return {
        "name": str(worker.name),
        "process": process_name(),
        "gilx": gilx.__version__,
    }
