"""The native team: its pool, and gilx.Team for anybody's C function."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import gilx
from gilx.ckernels import NativeTeam
from tests.command import run_program, run_python
from tests.markers import needs_fork, needs_gcc, needs_linux

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.concurrent_callers

CSRC = Path(__file__).parents[2] / "csrc"
DEADLINE = 30

# Adds 1 to each item of an array of int64, and counts its calls in the item before it.
SOURCE = """
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>
void nap(void *context, int64_t start, int64_t stop) {
    atomic_fetch_add((_Atomic int64_t *)context, 1);
    nanosleep(&(struct timespec){.tv_nsec = (stop - start) * 20000000}, 0);
}
void add_one(void *context, int64_t start, int64_t stop) {
    int64_t *items = context;
    for (int64_t i = start; i < stop; ++i) {
        ++items[i + 1];
    }
    atomic_fetch_add((_Atomic int64_t *)items, 1);
}
void forever(void *context, int64_t start, int64_t stop) {
    atomic_fetch_add((_Atomic int64_t *)context, stop - start);
    for (volatile int i = 0; i < 1000000; ++i) {
    }
}
"""

# A capsule keeps a pointer to its name, so these must live on.
NAME, OTHER = b"void (void *, int64_t, int64_t)", b"void (void *, long, long)"
WRONG = b"int (int)"

FUNCTION = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


def compiled(folder: Path) -> ctypes.CDLL:
    """Return the functions of `SOURCE`, as ctypes loads them."""
    if shutil.which("gcc") is None:
        pytest.skip("needs a C compiler")
    (folder / "functions.c").write_text(SOURCE)
    words = ("gcc", "-shared", "-fPIC", "-O1", "functions.c", "-o", "functions.so")
    run_program(*words, cwd=folder, check=True)
    library = ctypes.CDLL(str(folder / "functions.so"))
    for function in (library.add_one, library.forever, library.nap):
        function.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
        function.restype = None
    return library


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return compiled(tmp_path_factory.mktemp("library"))


def capsule(function: Any, name: bytes) -> object:
    new = ctypes.pythonapi.PyCapsule_New
    new.restype = ctypes.py_object
    new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    result: object = new(ctypes.cast(function, ctypes.c_void_p), name, None)
    return result


@pytest.fixture(params=[1, 2, 64])
def team(request: pytest.FixtureRequest) -> Iterator[gilx.Team]:
    with gilx.Team(request.param) as team:
        yield team


@pytest.mark.parametrize("n", [0, 1, 5, 1000])
@pytest.mark.parametrize("grain", [None, 1, 7, 2000])
def test_every_item_is_done_once(
    library: ctypes.CDLL, team: gilx.Team, n: int, grain: int | None
) -> None:
    items = np.zeros(n + 1, np.int64)
    for repeat in range(1, 4):
        team.run(library.add_one, items, n, grain=grain)
        assert (items[1:] == repeat).all()
        calls = min(n, team.workers) if grain is None else -(-n // grain)
        assert items[0] == repeat * calls
        if repeat == 2:
            team.settle()


def test_every_kind_of_function(library: ctypes.CDLL) -> None:
    address = ctypes.cast(library.add_one, ctypes.c_void_p).value
    assert address is not None
    kinds: list[object] = [
        library.add_one,
        FUNCTION(address),
        address,
        capsule(library.add_one, NAME),
        capsule(library.add_one, OTHER),
    ]
    items = np.zeros(11, np.int64)
    with gilx.Team(2) as team:
        for kind in kinds:
            team.run(kind, items, 10)
    assert (items[1:] == len(kinds)).all()


def test_every_kind_of_context(library: ctypes.CDLL) -> None:
    items = (ctypes.c_int64 * 11)()
    contexts: list[object] = [
        items,
        memoryview(items),
        ctypes.addressof(items),
        ctypes.c_void_p(ctypes.addressof(items)),
        ctypes.cast(items, ctypes.POINTER(ctypes.c_int64)),
        capsule(ctypes.c_void_p(ctypes.addressof(items)), b"anything"),
    ]
    with gilx.Team(2) as team:
        for context in contexts:
            team.run(library.add_one, context, 10)
    assert list(items[1:]) == [len(contexts)] * 10


@pytest.mark.parametrize(
    ("arguments", "keywords", "words"),
    [
        ((None, None, 1), {}, "function: expected a capsule, a scipy LowLevelCallable"),
        ((len, None, 1), {}, "function: expected a capsule.* got builtin_function"),
        ((0, None, 1), {}, "function: expected an address, got 0"),
        ((ctypes.CDLL(None).free, None, 1), {}, "with argtypes .* got "),
        ((1, None, -1), {}, "n: expected at least 0, got -1"),
        ((1, None, 1.5), {}, "n: expected a whole number"),
        ((1, None, 1), {"grain": 0}, "grain: expected at least 1, got 0"),
        ((capsule(1, WRONG), None, 1), {}, "got 'int .int.'"),
    ],
)
def test_bad_calls(
    arguments: tuple[Any, ...], keywords: dict[str, Any], words: str
) -> None:
    with gilx.Team(2) as team, pytest.raises(ValueError, match=words):
        team.run(*arguments, **keywords)


def test_bad_contexts(library: ctypes.CDLL) -> None:
    with gilx.Team(2) as team:
        with pytest.raises(
            TypeError, match=r"^context: expected an address or a C-c.*, got str$"
        ):
            team.run(library.add_one, "text", 1)
        with pytest.raises(
            BufferError, match=r"^context: expected an address or a C-contiguous buffer: "
        ):
            team.run(library.add_one, np.zeros(10)[::2], 1)
        with pytest.raises(ValueError, match=r"^context: expected an address, got a num"):
            team.run(library.add_one, 2**70, 1)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: gilx.Team(0), "workers: expected at least 1, got 0"),
        (lambda: gilx.Team(1.5), "workers: expected a whole number"),  # type: ignore[arg-type]
        (lambda: gilx.Team(5000), "workers: expected 1 to 4096, got 5000"),
        (lambda: gilx.Team(2, spin=2), "spin: expected 0 to 1 seconds, got 2"),
        (lambda: NativeTeam(2, -1), "spin_ns: expected 0 to"),
        (lambda: NativeTeam(2).compute("x", ()), "kernel: expected the name of a kernel"),
    ],
)
def test_bad_teams(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_bad_regions() -> None:
    team = NativeTeam(2)
    with pytest.raises(TypeError, match="arguments: expected 3 of histogram, got 0"):
        team.compute("histogram", ())
    with pytest.raises(TypeError, match="data: expected a C-contiguous buffer"):
        team.compute("histogram", (None, 1, np.zeros((0, 256), np.int64)))
    with pytest.raises(ValueError, match="grain: expected 1 to"):
        team.compute("histogram", (b"", 1, np.zeros((0, 256), np.int64)), 0)
    assert team.compute("histogram", (b"", 1, np.zeros((0, 256), np.int64))) == 0


def test_a_closed_team_says_so(library: ctypes.CDLL) -> None:
    team = gilx.Team(2)
    team.close()
    team.close()
    with pytest.raises(RuntimeError, match="the team was closed"):
        team.run(library.add_one, np.zeros(2, np.int64), 1)


def test_the_native_pool_runs_c_nogil_only() -> None:
    with pytest.raises(ValueError, match="variant: expected c-nogil on the native pool"):
        gilx.run("mandelbrot", size=20, pool="native", variant="c-gil")


def test_one_team_used_from_many_threads(library: ctypes.CDLL) -> None:
    items = np.zeros(101, np.int64)
    with gilx.Team(2) as team:

        def use() -> None:
            for _ in range(50):
                team.run(library.add_one, items, 100, grain=10)

        users = [threading.Thread(target=use) for _ in range(4)]
        for user in users:
            user.start()
        for user in users:
            user.join(DEADLINE)
            assert not user.is_alive()
    assert (items[1:] == 200).all()


def test_a_busy_native_team_refuses_another_thread(library: ctypes.CDLL) -> None:
    team = NativeTeam(2)
    address = ctypes.cast(library.forever, ctypes.c_void_p).value
    assert address is not None
    items = (ctypes.c_int64 * 1)()
    user = threading.Thread(target=lambda: team.run(address, items, 2000, 1))
    user.start()
    while items[0] == 0:
        user.join(0.001)
    with pytest.raises(RuntimeError, match="in use by another thread"):
        team.run(address, items, 1, 1)
    with pytest.raises(RuntimeError, match="in use by another thread"):
        team.close()
    user.join(DEADLINE)
    assert not user.is_alive()
    team.close()


@pytest.mark.thread_unsafe(reason="takes signals")
def test_ctrl_c_stops_somebodys_function(library: ctypes.CDLL) -> None:
    items = np.zeros(1, np.int64)
    with gilx.Team(2) as team:
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
        try:
            with pytest.raises(KeyboardInterrupt):
                timer.start()
                team.run(library.forever, items, 2**62, grain=1)
        finally:
            signal.signal(signal.SIGINT, before)
            timer.join()
        more = np.zeros(11, np.int64)
        team.run(library.add_one, more, 10)
        assert (more[1:] == 1).all()


# Warnings about a fork in a process with threads are what this is about.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@needs_fork
def test_a_child_after_fork_has_a_team_of_its_own(library: ctypes.CDLL) -> None:
    with gilx.Team(3) as team:
        items = np.zeros(101, np.int64)
        team.run(library.add_one, items, 100, grain=1)
        child = os.fork()
        if child == 0:
            try:
                team.run(library.add_one, items, 100, grain=1)
                team.close()
                os._exit(0 if (items[1:] == 2).all() else 1)
            finally:
                os._exit(2)
        _, status = os.waitpid(child, 0)
        team.run(library.add_one, items, 100, grain=1)
        assert (items[1:] == 2).all()
    assert status == 0


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@needs_fork
def test_who_forked_amid_its_own_call_still_has_the_team() -> None:
    team = NativeTeam(2)
    child = -1

    class Forking:
        def __index__(self) -> int:
            nonlocal child
            child = os.fork()
            if child == 0:
                try:
                    team.close()
                except RuntimeError as error:
                    os._exit(0 if "in use by a call of this thread" in str(error) else 2)
                finally:
                    os._exit(1)
            return 100

    out = np.zeros((4, 4), np.int32)
    team.compute("mandelbrot", (np.zeros(4), np.zeros(4), Forking(), out))
    assert (out == 100).all()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    team.close()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@needs_fork
def test_a_child_of_a_fork_amid_another_thread_s_region(library: ctypes.CDLL) -> None:
    with gilx.Team(2) as team:
        begun = np.zeros(1, np.int64)
        other = threading.Thread(target=team.run, args=(library.nap, begun, 50))
        other.start()
        while begun[0] == 0:
            time.sleep(0.001)
        child = os.fork()
        if child == 0:
            try:
                signal.alarm(DEADLINE)  # if it hangs
                items = np.zeros(101, np.int64)
                team.run(library.add_one, items, 100, grain=1)
                team.settle()
                team.close()
                os._exit(0 if (items[1:] == 1).all() else 1)
            finally:
                os._exit(2)
        other.join(DEADLINE)
        _, status = os.waitpid(child, 0)
    assert status == 0
    assert begun[0] == 2


HANDLED = """
import ctypes, os, signal, sys
import numpy as np
import gilx

library = ctypes.CDLL(sys.argv[1])
library.nap.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
library.nap.restype = None
team = gilx.Team(2)
child = None

def closes(number, frame):
    try:
        team.close()
    except RuntimeError as error:
        print(error)

def forks(number, frame):
    global child
    child = os.fork()

signal.signal(signal.SIGALRM, globals()[sys.argv[2]])
signal.setitimer(signal.ITIMER_REAL, 0.1)
naps = np.zeros(1, np.int64)
try:
    team.run(library.nap, naps, 30, grain=1)
except OSError as error:
    os._exit(7 if child == 0 else 1)
team.run(library.nap, naps, 2, grain=1)
if child:
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(naps[0])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs signals")
@pytest.mark.parametrize(
    ("handler", "said"),
    [
        ("closes", "the team is in use by the call that was interrupted to come here"),
        ("forks", "7"),
    ],
)
def test_what_a_signal_handler_does_amid_a_region(
    library: ctypes.CDLL, handler: str, said: str
) -> None:
    done = run_python(
        "-W", "ignore", "-c", HANDLED, library._name, handler, timeout=DEADLINE
    )
    first, last = done.stdout.splitlines()
    assert first.startswith(said), done
    assert last == "32", done


def test_memory_that_one_worker_lacks_is_an_error_of_all() -> None:
    pytest.importorskip("resource")
    if "asan" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("the sanitizer needs more memory than is left here")
    code = (
        "import numpy as np, resource\n"
        "from gilx.ckernels import NativeTeam\n"
        "short, long = 300_000, 300_000_000\n"
        "a, b = np.zeros(short + 1000, np.uint8), np.zeros(short + long, np.uint8)\n"
        "cuts = np.array([0, short, short + 1000]), np.array([0, short, short + long])\n"
        "team, out = NativeTeam(2, 0), np.zeros(2, np.int32)\n"
        "pages = int(open('/proc/self/statm').read().split()[0])\n"
        "limit = pages * resource.getpagesize() + 2**27\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "try:\n"
        "    print(team.compute('levenshtein', (a, cuts[0], b, cuts[1], out)))\n"
        "except MemoryError:\n"
        "    print('no memory')\n"
    )
    done = run_python("-c", code)
    assert done.stdout == "no memory\n", done


def test_refused_threads_are_an_error() -> None:
    resource = pytest.importorskip("resource")
    code = (
        "import resource, gilx.ckernels as c\n"
        "pages = int(open('/proc/self/statm').read().split()[0])\n"
        "limit = pages * resource.getpagesize() + 2**29\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "try:\n"
        "    c.NativeTeam(4096)\n"
        "except OSError as error:\n"
        "    print(error)\n"
        "team = c.NativeTeam(2)\n"
        "print(team.workers)\n"
    )
    del resource
    if "asan" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("the sanitizer needs more memory than is left here")
    done = run_python("-c", code)
    assert done.stdout.startswith("can't start a team of 4096 workers: "), done.stderr
    assert done.stdout.endswith("\n2\n")


def test_exit_with_a_team_alive() -> None:
    for ending in ("", "import os; os._exit(0)", "raise SystemExit"):
        code = f"import gilx\nteam = gilx.Team(4)\n{ending}"
        done = run_python("-c", code, timeout=DEADLINE)
        assert done.returncode == 0
        assert done.stderr == ""


@pytest.mark.slow
@needs_gcc
def test_the_team_by_itself(tmp_path: Path) -> None:
    """A C driver without Python; the sanitizers run it too."""
    driver = tmp_path / "driver"
    words = ("-std=c11", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-pthread")
    sources = ("tests/team_driver.c", "team/team.c", "platform/forks.c")
    files = [CSRC / source for source in sources]
    run_program("gcc", *words, *files, "-o", driver, check=True)
    done = run_program(driver, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.thread_unsafe(reason="looks at all threads")
@needs_linux
@pytest.mark.parametrize("cpus", ["all", "one"])
def test_threads_may_run_where_they_might_before(library: ctypes.CDLL, cpus: str) -> None:
    allowed = os.sched_getaffinity(0)
    if cpus == "one":
        os.sched_setaffinity(0, {min(allowed)})
    try:
        expected = os.sched_getaffinity(0)
        before = {int(tid) for tid in os.listdir("/proc/self/task")}
        # They spin, even if there is one CPU: so they meet the caller on its own.
        with gilx.Team(3, spin=0.001) as team:
            new = {int(tid) for tid in os.listdir("/proc/self/task")} - before
            assert len(new) == 2
            items = np.zeros(4, np.int64)
            for _ in range(50):
                team.run(library.add_one, items.ctypes.data, 3)
            assert list(items[1:]) == [50] * 3
            assert all(os.sched_getaffinity(tid) == expected for tid in new)
    finally:
        os.sched_setaffinity(0, allowed)
