"""The same objects from many threads at once, some dropped while they are in use."""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np

import gilx
from gilx.ckernels import Counter, NativeTeam
from gilx.errors import WatchUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["many_threads"]

THREADS = 6
SMALL = 12


class _Shared:
    """Objects that all threads use."""

    def __init__(self) -> None:
        self.problems = [
            gilx.kernels.get(name).problem(SMALL) for name in gilx.kernels.names()
        ]
        self.right = []
        for problem in self.problems:
            out = problem.fresh_out()
            problem.kernel.function("c-gil")(*problem.inputs, out)
            self.right.append(out.tobytes())
        self.pool = gilx.pools.ThreadPool(2)
        self.native = gilx.pools.get("native")(2)
        self.team = NativeTeam(2, 1000)


def _kernel(shared: _Shared, draw: Random) -> None:
    number = draw.randrange(len(shared.problems))
    problem = shared.problems[number]
    out = problem.fresh_out()
    variant = draw.choice(("c-gil", "c-nogil", "cython-gil", "cython-nogil"))
    problem.kernel.function(variant)(*problem.inputs, out)
    assert out.tobytes() == shared.right[number], f"{problem.kernel}, {variant}"


def _claims(shared: _Shared, draw: Random) -> None:
    """Several threads on one counter, which is dropped by whoever ends last."""
    number = draw.randrange(len(shared.problems))
    problem = shared.problems[number]
    out = problem.fresh_out()
    counter = Counter(0, problem.items, memory=bytearray(Counter.MEMORY_SIZE * 2))
    function = problem.kernel.function("c-nogil")
    done: list[int] = []

    def claim(counter: Counter) -> None:
        done.append(function(*problem.inputs, out, take=counter))

    others = [threading.Thread(target=claim, args=(counter,)) for _ in range(2)]
    for other in others:
        other.start()
    del counter
    for other in others:
        other.join()
    assert sum(done) == problem.items
    assert out.tobytes() == shared.right[number], problem.kernel


def _pool(shared: _Shared, draw: Random) -> None:
    name = draw.choice(gilx.kernels.names())
    result = gilx.run(name, pool=shared.pool, size=SMALL, variant="c-nogil")
    result.problem.check(result.problem.out)


def _native_pool(shared: _Shared, draw: Random) -> None:
    del draw
    with suppress(RuntimeError):  # another thread uses it
        gilx.run("triad", pool=shared.native, size=SMALL, variant="c-nogil")


def _team(shared: _Shared, draw: Random) -> None:
    out = np.zeros(50)
    with suppress(RuntimeError):  # another thread uses it, or closed it
        shared.team.compute("triad", (np.ones(50), np.ones(50), 1.0, out))
        assert out.tolist() == [2.0] * 50
    if draw.random() < 0.02:
        with suppress(RuntimeError):
            shared.team.close()
        shared.team = NativeTeam(2, 1000)  # the old one may be in use


def _watch(shared: _Shared, draw: Random) -> None:
    try:
        with gilx.watch() as watching:
            _kernel(shared, draw)
    except WatchUnavailableError:
        return
    usage = watching.usage
    known = not usage.inconclusive_reason and not usage.sums.without_gil
    assert not known or 0 <= usage.locked.value <= 1.001
    str(watching.timeline)


def _dropped_watch(shared: _Shared, draw: Random) -> None:
    watching = gilx.watch()
    with suppress(WatchUnavailableError):
        watching.__enter__()
    _kernel(shared, draw)


_ACTIONS: list[Callable[[_Shared, Random], None]] = [
    _kernel, _kernel, _kernel, _claims, _pool, _native_pool, _team, _team, _watch,
    _dropped_watch,
]  # fmt: skip


def many_threads(seconds: float, seed: int) -> dict[str, int]:
    """Let threads use the same objects for so long, with a tiny switch interval.

    Returns
    -------
    dict
        How often each thing was done.

    Raises
    ------
    AssertionError
        A result was wrong.

    """
    shared = _Shared()
    until = time.monotonic() + seconds
    counts: list[dict[str, int]] = [{} for _ in range(THREADS)]
    errors: list[BaseException] = []

    def work(number: int) -> None:
        draw = Random(f"{seed} {number}")
        try:
            while time.monotonic() < until and not errors:
                action: Any = draw.choice(_ACTIONS)
                action(shared, draw)
                name = action.__name__.strip("_")
                counts[number][name] = counts[number].get(name, 0) + 1
        except BaseException as error:
            errors.append(error)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        workers = [threading.Thread(target=work, args=(n,)) for n in range(THREADS)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(before)
    shared.pool.close()
    shared.native.close()
    if errors:
        raise errors[0]
    total: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            total[name] = total.get(name, 0) + count
    return total
