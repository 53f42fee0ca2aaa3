"""Calls of the sampler; loading, first use and end of the modules."""

from __future__ import annotations

import ctypes
import gc
import importlib.util
import os
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from operator import truediv
from typing import TYPE_CHECKING, Any

from .calls import SLOW, BadCall, bad_calls, beside_a_thread, c_function, fails
from .counting import Case
from .kernel_cases import good_arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .counting import Memory

__all__ = ["modules", "samplers"]


def sampled() -> Any:
    """Return a sampler that was stopped after some samples."""
    from gilx.sampling._sampler import Sampler

    return _stopped(Sampler(0.5, reference=True, seed=1, capacity=50), 0.002)


def _stopped(sampler: Any, seconds: float) -> Any:
    sampler.start()
    time.sleep(seconds / 2)
    end = time.perf_counter() + seconds / 2
    while time.perf_counter() < end:
        pass
    sampler.stop()
    return sampler


_BAD_SAMPLERS: list[BadCall] = [
    ((), {}, TypeError, "cost"),
    (("1",), {}, TypeError, "cost: expected a float"),
    ((0,), {}, ValueError, "cost: expected a share"),
    ((1,), {"seed": -1}, ValueError, "seed: expected 0 to"),
    ((1,), {"capacity": 2**30}, ValueError, "capacity: expected 0 to"),
    ((1,), {"stall": -1.0}, ValueError, "stall: expected 0 to"),
    ((1,), {"stall": "1"}, TypeError, "stall: expected a float"),
    ((1,), {"log": -1}, ValueError, "log: expected 0 to"),
    ((1,), {"loop": -1.0}, ValueError, "loop: expected 0 to"),
    ((1,), {"loop": "1"}, TypeError, "loop: expected a float"),
    ((1,), {"loop": 1.0}, ValueError, "loops: expected a LoopTable if loop"),
    ((1,), {"pid": 1, "free_threads": True}, ValueError, "free_threads: expected"),
    ((1,), {"loops": []}, TypeError, "loops: expected a LoopTable or None, got list"),
    ((1,), {"pid": -1}, ValueError, "pid: expected 0 to"),
    ((1,), {"pid": 1, "monitor": True}, ValueError, "pid: expected 0 for a monitor"),
]


def _names_of_threads() -> Iterator[Case]:
    from gilx.sampling import _sampler

    note: Any = _sampler.note_thread_name
    yield Case("name of a thread", partial(note, threading.get_native_id(), "x"))
    yield Case("name of no thread", partial(note, 2**22, "x"))
    yield Case("bad name of a thread", fails(TypeError, "name: expected", note, 1, b"x"))
    yield Case(
        "surrogate in a name", fails(ValueError, "name: expected", note, 1, "\udc80")
    )
    yield Case(
        "bad id of a thread", fails(ValueError, "native_id: expected", note, 0, "x")
    )


def samplers(_memory: Memory) -> Iterator[Case]:
    """Yield calls of the sampler's module."""
    from gilx.errors import WatchUnavailableError
    from gilx.sampling import _sampler

    make: Any = _sampler.Sampler
    yield Case("backend", _sampler.backend)
    for name, call in (
        ("free backend", _sampler.free_backend),
        ("own frame", _sampler.own_frame),
        ("start without a GIL", make(0.5, free_threads=True).start),
    ):
        yield Case(f"{name} with a GIL", fails(WatchUnavailableError, "", call))
    yield Case("locate", partial(_sampler._locate, b"\xd8\x03\x09", 1, 0))
    yield Case("locate nothing", partial(_sampler._locate, b"", 1, 0))
    yield from _names_of_threads()

    def use() -> None:
        sampler = sampled()
        sampler.threads()
        sampler.samples()

    yield Case("use", use)

    def use_stacks() -> None:
        sampler = _stopped(make(1, seed=1, stacks=True), 0.004)
        sampler.sites()
        sampler.held_sites()
        sampler.longest_holds()
        sampler.waits()

    yield Case("own stack", _sampler.own_stack)
    yield Case("stacks", use_stacks)
    yield Case("use beside a thread", beside_a_thread(use), SLOW)

    def drop() -> None:
        make(0.5).start()

    yield Case("dropped while it runs", drop)
    yield from bad_calls("Sampler", make, _BAD_SAMPLERS)
    fresh = make(0.5)
    names = ("threads", "samples", "held_sites", "sites", "waits", "longest_holds")
    for name in ("stop", "free_threads", *names):
        call = fails(RuntimeError, "the sampler was not started", getattr(fresh, name))
        yield Case(f"{name} before the start", call)
    stopped = sampled()
    yield Case("threads", stopped.threads)
    yield Case("free threads", stopped.free_threads)
    yield Case("samples", stopped.samples)
    yield Case("no sites", stopped.sites)
    yield Case("no held sites", stopped.held_sites)
    yield Case("no waits", stopped.waits)
    yield Case("no longest holds", stopped.longest_holds)
    with_stacks = _stopped(make(1, seed=1, stacks=True), 0.05)
    yield Case("sites", with_stacks.sites)
    held = _stopped(make(1, seed=1, capacity=50, stacks=True), 0.05)
    yield Case("held sites", held.held_sites)
    yield Case("waits", with_stacks.waits)
    yield Case("longest holds", with_stacks.longest_holds)
    for name in ("start", "stop"):
        call = fails(RuntimeError, "the sampler was stopped", getattr(stopped, name))
        yield Case(f"{name} after the stop", call)
    yield from _monitors(make, fresh)
    yield from _processes(make, fresh)
    yield from _loops(make, _sampler.LoopTable)


def _processes(make: Any, fresh: Any) -> Iterator[Case]:
    """Yield calls of samplers of other processes."""
    not_started = "expected a started sampler of another process"
    for name in ("process", "lost"):
        call = fails(RuntimeError, not_started, getattr(fresh, name))
        yield Case(f"{name} of no other process", call)
    # No process has the highest number that there is.
    yield Case("no process", fails(OSError, "No such file", make(1, pid=2**31 - 1).start))
    program = "print(flush=True)\nwhile True: pass"
    words = [sys.executable, "-c", program]
    with ExitStack() as ends:
        other = ends.enter_context(subprocess.Popen(["sleep", "600"]))
        ends.callback(other.kill)
        child = ends.enter_context(subprocess.Popen(words, stdout=subprocess.PIPE))
        ends.callback(child.kill)
        assert child.stdout is not None
        child.stdout.readline()

        def use() -> None:
            sampler = _stopped(make(1, seed=1, stacks=True, pid=child.pid), 0.004)
            sampler.process()
            sampler.lost()
            sampler.threads()
            sampler.sites()

        yield Case("other process", use, SLOW)
        start = make(1, pid=other.pid).start
        yield Case("no CPython", fails(RuntimeError, "no CPython is in it", start))


def _loops(make: Any, table: Any) -> Iterator[Case]:
    """Yield calls of tables of event loops, and of samplers that read them.

    Functions of C stand in for those that wait in a selector: Python code that C calls
    without memory ends Python 3.11.
    """

    def use() -> None:
        loops = table()
        counted = loops.begin(dict, True)
        assert counted([(1, 2)], timeout=1.5) == {1: 2, "timeout": 1.5}
        counted.end()
        counted.end()
        counted()
        loops.begin(dict, False)  # which ends with its last reference

    def sample() -> None:
        with open(os.devnull, "wb") as log:
            loops = table()
            sampler = make(
                1, seed=1, stacks=True, monitor=True, log=log.fileno(), loop=0.001,
                loops=loops,
            )  # fmt: skip
            counted = loops.begin(dict, False)
            sampler.start()
            while not sampler.stalls():
                time.sleep(0.001)
            counted()
            sampler.stop()

    def in_a_cycle() -> None:
        def method(_: object) -> None: ...

        method.select = table().begin(method, True)  # type: ignore[attr-defined]

    loops = table()
    yield Case("loops", use)
    yield Case("loops that are sampled", sample, SLOW)
    yield Case("loop in a cycle", in_a_cycle)
    full = table()
    kept = []
    while (one := full.begin(dict, True)) is not None:
        kept.append(one)
    yield Case("no place for a loop", partial(full.begin, dict, True))
    counted = loops.begin(int, True)
    yield Case("select that fails", fails(ValueError, "invalid literal", counted, "x"))
    bad: list[BadCall] = [
        ((), {}, TypeError, "begin"),
        ((1, True), {}, TypeError, "select: expected a callable, got int"),
    ]
    yield from bad_calls("begin", loops.begin, bad)
    yield from bad_calls("LoopTable", table, [((1,), {}, TypeError, "LoopTable")])
    made = type(counted)
    yield Case("CountedSelect", fails(TypeError, "cannot create", made))


def _monitors(make: Any, fresh: Any) -> Iterator[Case]:
    """Yield calls of samplers that are monitors."""
    not_started = "expected a started monitor"
    for name, arguments in [
        ("read", ()),
        ("stalls", ()),
        ("sees_waiters", ()),
        ("note", ("x",)),
        ("ask", (0.0,)),
    ]:
        call = fails(RuntimeError, not_started, partial(getattr(fresh, name), *arguments))
        yield Case(f"{name} of no monitor", call)
    with open(os.devnull, "wb") as log:
        made = partial(make, 1, seed=1, stacks=True, monitor=True, log=log.fileno())
        stalled = made(stall=0.001)
        stalled.start()
        waiter = threading.Thread(target=time.sleep, args=(0.01,))
        waiter.start()
        hold = ctypes.PyDLL(None).usleep
        hold(100_000)
        waiter.join()
        assert stalled.stalls()

        def use() -> None:
            monitor = made()
            monitor.start()
            monitor.note("x")
            monitor.note("x", "y")
            monitor.read()
            monitor.stop()

        yield Case("use as a monitor", use)
        yield Case("note", partial(stalled.note, "x"))
        yield Case("bad note", fails(TypeError, "", partial(stalled.note, 1)))
        yield Case("ask", partial(stalled.ask, 0.0))
        yield Case("bad wait", fails(TypeError, "wait: ", partial(stalled.ask, "1")))
        stalled.stop()
        yield Case("ask after the stop", partial(stalled.ask, 0.0))
        yield Case("read", stalled.read)
        yield Case("stalls", stalled.stalls)
        yield Case("sees waiters", stalled.sees_waiters)
    closed = make(1, monitor=True, stall=1.0, log=2**20)
    yield Case("log that is closed", fails(OSError, "", closed.start))


def load(name: str) -> Any:
    """Load a module of C once more, as a module of its own."""
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@contextmanager
def replaced(owner: Any, **values: object) -> Iterator[None]:
    """Replace attributes, for modules that are loaded meanwhile."""
    before = {name: getattr(owner, name) for name in values}
    for name, value in values.items():
        setattr(owner, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(owner, name, value)


class Companion:
    """An object that stands for another one, and knows a module."""

    module: object

    def __call__(self) -> threading.Thread:
        return threading.main_thread()


def modules(memory: Memory) -> Iterator[Case]:
    """Yield loading, first use and end of the modules."""
    from gilx import errors

    def use() -> None:
        module = load("gilx.ckernels")
        # In cycles with their types, which know the module.
        module.kept = module.spin(1, 0, 1), module.Counter(0, 3), module.NativeTeam(1)
        del module
        gc.collect()

    yield Case("ckernels", use)

    def use_sampler() -> None:
        module = load("gilx.sampling._sampler")
        sampler = module.Sampler(0.5)
        sampler.start()
        module.kept = sampler, sampler.stop()
        del module, sampler
        gc.collect()

    yield Case("_sampler", use_sampler)

    def cycle() -> None:
        function = Companion()
        with replaced(threading, main_thread=function):
            function.module = load("gilx.ckernels")
        del function
        gc.collect()

    yield Case("ckernels in a cycle with what it knows", cycle)

    def cycle_of_sampler() -> None:
        no_gil, unavailable = Companion(), Companion()
        with replaced(errors, NoGilError=no_gil, WatchUnavailableError=unavailable):
            no_gil.module = unavailable.module = load("gilx.sampling._sampler")
        del no_gil, unavailable
        gc.collect()

    yield Case("_sampler in a cycle with what it knows", cycle_of_sampler)

    def load_wrongly() -> None:
        os.environ["GILX_ISA"] = "nope"
        try:
            load("gilx.ckernels")
        finally:
            del os.environ["GILX_ISA"]
            gc.collect()

    yield Case(
        "ckernels with a bad GILX_ISA", fails(ImportError, "GILX_ISA", load_wrongly)
    )

    yield from main_threads(memory)


class WithoutIdent:
    """No thread at all."""


class WithWrongIdent:
    """No thread at all."""

    ident = "x"


class NotStarted:
    """A thread that was not started."""

    ident = None


def main_threads(memory: Memory) -> Iterator[Case]:
    """Yield calls that can't ask Python which thread is the main one."""
    threads: list[tuple[Callable[[], object], type[BaseException], str]] = [
        (partial(truediv, 1, 0), ZeroDivisionError, "division by zero"),
        (WithoutIdent, AttributeError, "ident"),
        (WithWrongIdent, TypeError, "int"),
    ]
    for thread, error, words in threads:
        with replaced(threading, main_thread=thread):
            module = load("gilx.ckernels")
        team = module.NativeTeam(1)
        cell = memory.of("Q", 1)
        good = good_arguments("triad", memory)
        context = memory.of("B", 8)
        values = (*good.values(),)
        taking = {**good, "take": module.Counter(0, 9)}
        for name, call in {
            "spin": partial(module.spin, 1, 0, 1),
            "rendezvous": partial(module.rendezvous_nogil, 1, 0),
            "increment": partial(module.increment_nogil, cell, 1),
            "kernel": partial(module.triad_nogil, **good),
            "kernel on a counter": partial(module.triad_gil, **taking),
            "compute": partial(team.compute, "triad", values),
            "run": partial(team.run, c_function(), context, 1),
        }.items():
            title = f"{name} where the main thread is {thread}"
            yield Case(title, fails(error, words, call), keeps=True)
        del module, team, taking, call
        gc.collect()
    with replaced(threading, main_thread=NotStarted):
        module = load("gilx.ckernels")
    yield Case("spin where the main thread has no ident", partial(module.spin, 1, 0, 1))
