"""The process pool: faults leave no hang, no orphan and no memory behind."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import BrokenExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import gilx
from gilx.pools import ProcessPool
from gilx.pools.run import regions, run_all
from tests.command import run_python
from tests.implementations import endless
from tests.integration.test_interrupt import interrupted

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def pool() -> Iterator[ProcessPool]:
    with ProcessPool(2) as started:
        yield started


def usable(pool: ProcessPool) -> None:
    result = gilx.run("mandelbrot", pool=pool, size=30)
    result.problem.check(result.problem.out)


def gone(pid: int) -> bool:
    """Return whether a process ends, or is one that only waits to be collected."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except FileNotFoundError:
            return True
        time.sleep(0.01)
    return False


def pids(pool: ProcessPool) -> list[int]:
    return [child.process.pid for child in pool._workers.children]


def script(code: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def test_arrays_must_be_placed(pool: ProcessPool) -> None:
    problem = gilx.kernels.get("mandelbrot").problem(20)
    with pytest.raises(ValueError, match=r"region: .* pool.place\(problem\)"):
        run_all(pool, regions(problem))
    placed = pool.place(problem)
    with pytest.raises(ValueError, match=r"region: .* pool.place\(problem\)"):
        run_all(pool, regions(placed, out=problem.fresh_out()))
    run_all(pool, regions(placed))
    assert not problem.out.any()
    placed.check(placed.out)


def test_parts_of_placed_arrays_travel_as_they_are(pool: ProcessPool) -> None:
    placed = pool.place(gilx.kernels.get("triad").problem(100))
    b, c, scalar = placed.inputs
    [region] = regions(placed)[:1]
    reverse = replace(region, arguments=(b[::-1], c, scalar, placed.out))
    with pytest.raises(BufferError, match="b: expected a C-contiguous buffer"):
        pool.run(reverse)
    pool.run(replace(reverse, variant=placed.kernel.variant("numpy")))
    assert np.array_equal(placed.out, b[::-1] + scalar * c)
    frozen = placed.out.view()
    frozen.flags.writeable = False
    with pytest.raises(BufferError, match="out: expected a writable buffer"):
        pool.run(replace(region, arguments=(b, c, scalar, frozen)))


def test_a_kernel_that_workers_do_not_know(pool: ProcessPool) -> None:
    class Other(type(gilx.kernels.get("collatz"))):  # type: ignore[misc]
        name = "other"

    with pytest.raises(ValueError, match="region: expected one of gilx's kernels"):
        run_all(pool, regions(pool.place(Other().problem(10)), variant="python"))


@pytest.mark.thread_unsafe(reason="counts what the pool keeps")
def test_what_is_no_longer_needed_is_let_go(pool: ProcessPool) -> None:
    def maps() -> list[str]:
        text = Path(f"/proc/{pids(pool)[0]}/maps").read_text()
        return [line for line in text.splitlines() if "memfd:gilx" in line]

    for size in range(20, 40):
        gilx.run("nbody", pool=pool, size=size)
    gilx.run("nbody", pool=pool, size=9)
    assert len(pool._segments) < 20
    assert len(maps()) < 20


def test_results_outlive_the_pool() -> None:
    result = gilx.run("heat", workers=1, pool="processes", size=20)
    result.problem.check(result.value)


@pytest.mark.parametrize("variant", ["c-gil", "c-nogil", "cython-nogil"])
def test_a_killed_worker_is_reported(variant: str) -> None:
    with ProcessPool(2) as pool:
        region = endless(pool, variant)
        workers = pids(pool)
        killer = threading.Timer(0.3, os.kill, (workers[1], signal.SIGKILL))
        killer.start()
        with pytest.raises(
            BrokenExecutor,
            match=rf"worker 1 \(process {workers[1]}\) was killed by signal 9 .* region of "
            "mandelbrot; the pool is closed",
        ):
            pool.run(region)
        killer.join(30)
        assert all(map(gone, workers))
        with pytest.raises(RuntimeError, match="the processes pool was closed"):
            pool.run(region)


def test_a_worker_killed_between_regions_is_reported() -> None:
    with ProcessPool(2) as pool:
        usable(pool)
        workers = pids(pool)
        os.kill(workers[0], signal.SIGKILL)
        assert gone(workers[0])
        with pytest.raises(BrokenExecutor, match=r"worker 0 .* was killed by signal 9"):
            usable(pool)
        assert all(map(gone, workers))


@pytest.mark.slow
@pytest.mark.thread_unsafe(reason="takes signals")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_at_any_moment() -> None:
    draw = Random(0)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with ProcessPool(2) as pool:
            usable(pool)
            for _ in range(60):
                timer = threading.Timer(
                    draw.random() / 100, os.kill, (os.getpid(), signal.SIGINT)
                )
                # Amid a callback of a weak reference's, Python ignores it.
                end = time.monotonic() + 1
                with suppress(KeyboardInterrupt):
                    timer.start()
                    while time.monotonic() < end:
                        gilx.run("triad", pool=pool, size=draw.randint(1, 30))
                with suppress(KeyboardInterrupt):  # it may be late
                    timer.join(30)
                usable(pool)
            usable(pool)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.thread_unsafe(reason="takes signals")
def test_ctrl_c_when_a_worker_does_not_stop() -> None:
    with ProcessPool(2) as pool:
        gilx.run("mandelbrot", pool=pool, variant="python", size=5)  # loads NumPy there
        region = endless(pool, "python", 200_000_000)
        workers = pids(pool)
        caught = interrupted(lambda: pool.run(region))
        assert "The processes pool was closed" in caught.__notes__[0]
        assert all(map(gone, workers))
        with pytest.raises(RuntimeError, match="the processes pool was closed"):
            pool.run(region)


def test_workers_leave_ctrl_c_to_the_caller(pool: ProcessPool) -> None:
    workers = pids(pool)
    for pid in workers:
        os.kill(pid, signal.SIGINT)
    usable(pool)
    assert pids(pool) == workers


@pytest.mark.parametrize("variant", ["python", "c-gil", "c-nogil"])
@pytest.mark.parametrize(
    "signal_number",
    [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)],
)
def test_workers_end_with_their_parent(variant: str, signal_number: int) -> None:
    parent = script(
        "import sys\n"
        "from gilx.pools import ProcessPool\n"
        "from tests.implementations import endless\n"
        "pool = ProcessPool(2)\n"
        "region = endless(pool, sys.argv[1], 200_000_000)\n"
        "print(*[child.process.pid for child in pool._workers.children], flush=True)\n"
        "pool.run(region)\n",
        variant,
        cwd=Path(__file__).parents[2],
    )
    with parent:
        assert parent.stdout is not None
        workers = list(map(int, parent.stdout.readline().split()))
        assert len(workers) == 2
        time.sleep(0.3)
        parent.send_signal(signal_number)
        assert parent.wait(30) == -signal_number
        assert all(map(gone, workers))


def test_a_forked_child_can_not_use_the_pool_nor_keep_it_alive() -> None:
    done = script(
        "import os, sys, time, warnings, gilx\n"
        "warnings.simplefilter('error')\n"
        "pool = gilx.pools.ProcessPool(2)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    try:\n"
        "        gilx.run('mandelbrot', size=20, pool=pool)\n"
        "    except RuntimeError as error:\n"
        "        assert 'from which this one was forked' in str(error), error\n"
        "        pool.close()\n"
        "        kept = [os.open(os.devnull, os.O_RDONLY) for _ in range(9)]\n"
        "        pid = os.fork()\n"
        "        if pid == 0:\n"
        "            [os.fstat(descriptor) for descriptor in kept]\n"
        "            os._exit(0)\n"
        "        sys.exit(os.waitpid(pid, 0)[1] != 0)\n"
        "    sys.exit(1)\n"
        "assert os.waitpid(pid, 0)[1] == 0\n"
        "assert gilx.run('mandelbrot', size=20, pool=pool).seconds > 0\n"
        "print(*[child.process.pid for child in pool._workers.children], flush=True)\n"
        "if os.fork() == 0:\n"
        "    time.sleep(70)\n"
        "    os._exit(0)\n"
        "os._exit(0)\n",
        stdin=subprocess.DEVNULL,
    )
    with done:
        assert done.stdout is not None
        assert done.stderr is not None
        workers = list(map(int, done.stdout.readline().split()))
        try:
            assert done.wait(30) == 0
            assert len(workers) == 2
            assert all(map(gone, workers))
        finally:
            done.stdout.close()
            done.stderr.close()


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.04, 0.06, 0.1])
def test_ctrl_c_at_the_terminal_while_workers_start(seconds: float) -> None:
    # A terminal sends it to the whole group; only the caller has something to say.
    # Python passes over what is raised in a destructor, such as that of `Popen`.
    parent = script(
        "import sys\n"
        "from gilx.pools import ProcessPool\n"
        "passed_over = []\n"
        "sys.unraisablehook = lambda it: passed_over.append(it.exc_value)\n"
        "try:\n"
        "    print('ready', flush=True)\n"
        "    while not passed_over:\n"
        "        ProcessPool(2).close()\n"
        "    raise passed_over[0]\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n",
        start_new_session=True,
    )
    with parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        time.sleep(seconds)
        os.killpg(parent.pid, signal.SIGINT)
        try:
            assert parent.communicate(timeout=30) == ("interrupted\n", "")
        finally:
            parent.kill()  # or else leaving the block waits for it


def test_scripts_need_no_main_guard(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(
        "import gilx\n"
        "print('once')\n"
        "gilx.run('mandelbrot', size=20, workers=2, pool='processes')\n"
    )
    done = run_python(path, check=True, timeout=60)
    assert (done.stdout, done.stderr) == ("once\n", "")


def test_a_worker_that_can_not_start_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gilx.system.child_python.get_executable", lambda: "/bin/false")
    with pytest.raises(BrokenExecutor, match="ended with exit status 1 while it started"):
        ProcessPool(2)
    monkeypatch.setattr("gilx.system.child_python.get_executable", lambda: "/nowhere")
    with pytest.raises(FileNotFoundError):
        ProcessPool(2)


def test_a_worker_that_the_system_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def refuse_the_third(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        if len(started) == 2:
            raise BlockingIOError("Resource temporarily unavailable")
        started.append(start(*arguments, **options))
        return started[-1]

    gc.collect()  # what earlier tests left behind
    descriptors = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as context:
        context.setattr(subprocess, "Popen", refuse_the_third)
        with pytest.raises(BlockingIOError, match="Resource temporarily unavailable"):
            ProcessPool(4)
    assert len(started) == 2
    assert all(process.returncode is not None for process in started)
    assert len(os.listdir("/proc/self/fd")) <= descriptors


def test_a_region_too_large_to_send(pool: ProcessPool) -> None:
    placed = pool.place(gilx.kernels.get("collatz").problem(10))
    with pytest.raises(
        ValueError, match="region: expected arguments other than arrays of"
    ):
        run_all(pool, regions(replace(placed, inputs=(1 << 1_000_000,))))
    usable(pool)


def test_memory_that_can_not_be_had(
    pool: ProcessPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as context:
        context.setattr(os, "posix_fallocate", refuse)
        with pytest.raises(MemoryError, match="no 16384 bytes of memory to share: No sp"):
            pool.place(gilx.kernels.get("triad").problem(2048))
    usable(pool)
