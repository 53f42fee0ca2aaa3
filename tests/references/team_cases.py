"""Calls of the native team, and calls that are refused threads."""

from __future__ import annotations

import mmap
import os
import signal
from functools import partial
from typing import TYPE_CHECKING, Any

from .calls import (
    SLOW,
    BadCall,
    bad_calls,
    c_function,
    fails,
    interrupted,
    no_threads,
    released,
)
from .counting import Case
from .kernel_cases import KERNELS, bad_arguments, endless_arguments, good_arguments

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .counting import Memory

__all__ = ["after_fork", "teams", "without_threads"]

_BAD_TEAMS: list[BadCall] = [
    ((), {}, TypeError, "workers"),
    ((0,), {}, ValueError, "workers: expected 1 to"),
    ((1, -1), {}, ValueError, "spin_ns: expected 0 to"),
]

_BAD_COMPUTES: list[BadCall] = [
    ((), {}, TypeError, "compute() takes"),
    (("triad", []), {}, TypeError, "compute() takes"),
    (("triad", (), 0), {}, ValueError, "grain: expected 1 to"),
    (("nope", ()), {}, ValueError, "kernel: expected the name"),
    ((1, ()), {}, ValueError, "kernel: expected the name"),
    (("triad", ()), {}, TypeError, "arguments: expected 4"),
    (("triad", (1, 2, 3, 4)), {}, TypeError, "b: expected"),
]

FUNCTION = c_function()

_BAD_RUNS: list[BadCall] = [
    ((), {}, TypeError, "run() takes"),
    ((FUNCTION, 0, -1), {}, ValueError, "items: expected 0 to"),
    ((FUNCTION, 0, 1, 0), {}, ValueError, "grain: expected 1 to"),
    (("x", 0, 1), {}, TypeError, "function: expected an address"),
    ((-(10**30), 0, 1), {}, ValueError, "function: expected an address"),
    ((0, 0, 1), {}, ValueError, "function: expected an address, got NULL"),
    ((FUNCTION, 10**30, 1), {}, ValueError, "context: expected an address"),
    ((FUNCTION, None, 1), {}, TypeError, "context: expected an address"),
    ((FUNCTION, released(), 1), {}, BufferError, "context: expected an address"),
]


def teams(memory: Memory) -> Iterator[Case]:
    """Yield calls of the native team."""
    from gilx.ckernels import NativeTeam

    make: Any = NativeTeam
    yield Case("made and dropped", lambda: make(2))
    yield Case("made and closed", lambda: make(2, 1000).close())
    yield from bad_calls("made", make, _BAD_TEAMS)
    yield from computing(make(2), memory)
    yield from running(make(2), memory)
    yield from closed(make(1), memory)


def computing(team: Any, memory: Memory) -> Iterator[Case]:
    """Yield kernels run by a team."""
    yield Case("workers", lambda: team.workers)
    yield Case("settle", team.settle)
    for kernel in KERNELS:
        arguments = (*good_arguments(kernel, memory).values(),)
        yield Case(f"compute {kernel}", partial(team.compute, kernel, arguments))
        arguments = (*good_arguments(kernel, memory).values(),)
        yield Case(
            f"compute {kernel}, grain 1", partial(team.compute, kernel, arguments, 1)
        )
    yield from bad_calls("compute", team.compute, _BAD_COMPUTES)
    for kernel, changes, error, words in bad_arguments(memory):
        if not changes.keys() & {"start", "stop", "take"}:
            arguments = (*(good_arguments(kernel, memory) | changes).values(),)
            call = fails(error, words, team.compute, kernel, arguments)
            yield Case(f"compute {kernel}: {words}", call)


def running(team: Any, memory: Memory) -> Iterator[Case]:
    """Yield C functions run by a team, and calls while a region runs."""
    yield Case("run", partial(team.run, FUNCTION, 0, 10))
    context = memory.of("B", 8)
    yield Case("run on memory", partial(team.run, FUNCTION, context, 10, 1))
    yield from bad_calls("run", team.run, _BAD_RUNS)
    many = (FUNCTION, 0, 2**62, 1)
    yield Case("run, interrupted", interrupted(team.run, *many), SLOW)
    context = memory.of("B", 8)
    call = interrupted(team.run, FUNCTION, context, 2**62, 1)
    yield Case("run on memory, interrupted", call, SLOW)
    arguments = (*endless_arguments(memory).values(),)
    call = interrupted(team.compute, "mandelbrot", arguments)
    yield Case("compute, interrupted", call, SLOW)
    arguments = (*endless_arguments(memory).values(),)
    others = (*good_arguments("triad", memory).values(),)
    context = memory.of("B", 8)

    def use_again() -> None:
        words = "the team is in use by a call of this thread"
        fails(RuntimeError, words, team.compute, "triad", others)()
        fails(RuntimeError, words, team.run, FUNCTION, context, 1)()
        fails(RuntimeError, words, team.settle)()
        fails(RuntimeError, words, team.close)()

    call = interrupted(team.compute, "mandelbrot", arguments, handler=use_again)
    yield Case("use while a region runs", call, SLOW)


def closed(team: Any, memory: Memory) -> Iterator[Case]:
    """Yield calls of a team after its end."""
    team.close()
    yield Case("close again", team.close)
    words = "the team was closed"
    arguments = (*good_arguments("triad", memory).values(),)
    call = fails(RuntimeError, words, team.compute, "triad", arguments)
    yield Case("compute after the end", call)
    context = memory.of("B", 8)
    call = fails(RuntimeError, words, team.run, FUNCTION, context, 1)
    yield Case("run after the end", call)
    yield Case("settle after the end", fails(RuntimeError, words, team.settle))


def without_threads(memory: Memory) -> Iterator[Case]:
    """Yield calls that want threads or memory where there is none to be had."""
    from gilx.ckernels import NativeTeam, levenshtein_nogil
    from gilx.sampling._sampler import Sampler

    make = no_threads()(partial(NativeTeam, 2))
    yield Case("team", fails(OSError, "can't start a team", make))
    start = no_threads()(lambda: Sampler(0.5).start())
    yield Case("sampler", fails(RuntimeError, "could not be started", start))

    # Strings so long that their edges have to be kept somewhere.
    long = mmap.mmap(-1, 2**28)
    offsets = memory.of("q", 2)
    offsets[1] = len(long)
    out = memory.of("i", 1)
    compare = no_threads()(partial(levenshtein_nogil, long, offsets, long, offsets, out))
    yield Case("levenshtein", fails(MemoryError, "", compare))


def after_fork(memory: Memory) -> Iterator[Case]:
    """Yield calls in the child of a fork, which has no threads and is refused any."""
    from gilx.ckernels import NativeTeam
    from gilx.sampling._sampler import Sampler

    sampler = Sampler(0.5)
    sampler.start()
    team = NativeTeam(2)
    child = os.fork()
    if child != 0:
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            signal.signal(-code, signal.SIG_DFL)
            os.kill(os.getpid(), -code)
        os._exit(code)
    assert sampler.stop() is None
    arguments = (*good_arguments("triad", memory).values(),)
    compute = no_threads()(partial(team.compute, "triad", arguments, 1))
    yield Case("compute", fails(OSError, "", compute))
    run = no_threads()(partial(team.run, FUNCTION, memory.of("B", 8), 10, 1))
    yield Case("run", fails(OSError, "", run))
