"""Watches of a Dask cluster's workers: real clusters of processes."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import os
import signal
import textwrap
import threading
import time
from contextlib import ExitStack
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

import gilx
from gilx import ckernels
from gilx.errors import ArgumentError
from tests.command import run_python
from tests.dask_workers import client_of_workers, started_worker
from tests.markers import needs, needs_watch
from tests.unit.made_up_sites import found, usage_with
from tests.waiting import TIMEOUT, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = [needs("distributed"), needs_watch, pytest.mark.any_python]
distributed = pytest.importorskip("distributed")
dask = importlib.import_module("gilx.dask")
worker_watch = importlib.import_module("gilx.dask.worker_watch")
MILLISECOND = 1_000_000


def rhythm(total: int) -> tuple[float, float, float]:
    """Hold the GIL for half of the time; return bounds of the held time, and the time."""
    done = ckernels.spin(5 * MILLISECOND, 5 * MILLISECOND, total, released="sleep")
    return done.held_min_ns / 1e9, done.held_max_ns / 1e9, done.wall_ns / 1e9


def line_of(function: Callable[..., Any], text: str) -> int:
    """Return the number of the line in a function that has a text."""
    lines, first = inspect.getsourcelines(function)
    return first + next(n for n, line in enumerate(lines) if text in line)


def agrees(figure: gilx.Estimate, low: float, high: float) -> bool:
    """Return whether a figure may be within bounds, which hold if nothing is wrong.

    Three times its interval at 95 %: that is exceeded by chance once in 10**8 cases.
    """
    below, above = figure.value - figure.low, figure.high - figure.value
    return figure.value - 3 * below <= high and figure.value + 3 * above >= low


def watch_task(
    client: Any, function: Callable[[int], tuple[float, float, float]], address: str
) -> tuple[Any, tuple[float, float, float]]:
    """Watch the workers while one of them runs a function that takes nanoseconds."""
    with dask.watch(client, cost=0.05) as watch:
        task = client.submit(function, 800 * MILLISECOND, workers=[address], pure=False)
        truth = task.result()
    return watch, truth


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with client_of_workers(2) as client:
        yield client


@pytest.fixture
def addresses(client: Any) -> list[str]:
    return sorted(
        wait_until(lambda: len(client.nthreads()) == 2 and client.nthreads(), "")
    )


def test_rhythm_in_one_worker_is_seen_there_and_in_all(
    client: Any, addresses: list[str]
) -> None:
    busy, idle = addresses
    for _ in range(4):
        watch, (low, high, seconds) = watch_task(client, rhythm, busy)
        usage = watch.usage
        of_busy, of_idle = watch.by_worker[busy], watch.by_worker[idle]
        assert set(watch.by_worker) == {busy, idle}
        assert not usage.notes
        # On a busy machine, imports of a worker's first task may hold its GIL for longer.
        [line] = [one for one in usage.lines() if one.function == "rhythm"]
        assert line.file == __file__
        assert line.line == line_of(rhythm, "ckernels.spin(")
        assert line.text.startswith("ckernels.spin(5 * MILLISECOND")
        assert gilx.ClusterUsage.from_json(usage.to_json()) == usage
        if not (of_busy.inconclusive_reason or of_idle.inconclusive_reason):
            break
    else:
        pytest.skip("samples were late in all of four watches")

    # The event loop of each worker needs its GIL now and then, too.
    (thread,) = [one for one in of_busy.by_thread if "Dask-Default-Threads" in one.name]
    assert agrees(thread.holding.times(of_busy.wall), low, high)
    assert agrees(of_busy.locked.times(of_busy.wall), low, high + of_busy.wall - seconds)
    assert of_idle.locked.value < of_busy.locked.value

    assert usage.wall == pytest.approx(of_busy.wall + of_idle.wall)
    held = [one.locked.value * one.wall for one in (of_busy, of_idle)]
    assert usage.held_seconds.value == pytest.approx(sum(held))
    assert usage.locked.value == pytest.approx(sum(held) / usage.wall)
    assert usage.locked.low <= usage.locked.value <= usage.locked.high

    assert agrees(line.held.times(usage.wall), low, high)
    assert f"({busy}), for " in str(usage).splitlines()[0]


def test_function_that_is_sent_with_its_code_has_its_file(
    client: Any, addresses: list[str]
) -> None:
    def local_rhythm(total: int) -> tuple[float, float, float]:
        done = ckernels.spin(5_000_000, 5_000_000, total, released="sleep")
        return done.held_min_ns / 1e9, done.held_max_ns / 1e9, done.wall_ns / 1e9

    watch, _ = watch_task(client, local_rhythm, addresses[0])
    [line] = [
        line
        for line in watch.usage.lines()
        if line.function.endswith("<locals>.local_rhythm")
    ]
    assert (line.file, line.line) == (__file__, line_of(local_rhythm, "ckernels.spin("))
    assert line.text.startswith("ckernels.spin(5_000_000")


def test_functions_of_a_script_have_its_file(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """\
            import gilx.dask
            from distributed import Client, LocalCluster
            from gilx import ckernels

            class Work:
                @staticmethod
                def spin(total):
                    ckernels.spin(5_000_000, 5_000_000, total)

            if __name__ == "__main__":
                with (
                    LocalCluster(n_workers=1, host="127.0.0.1", dashboard_address=None)
                    as cluster,
                    Client(cluster) as client,
                    gilx.dask.watch(client) as watch,
                ):
                    client.submit(Work.spin, 500_000_000).result()
                    client.submit(lambda: ckernels.spin(1, 0, 500_000_000)).result()
                # On a busy machine, imports may hold a worker's GIL for longer.
                for line in watch.usage.lines():
                    if "spin" in line.text:
                        print(line.file, line.line, line.function, line.text)
            """
        )
    )
    done = run_python(script, check=True, cwd=tmp_path)
    assert sorted(done.stdout.splitlines()) == [
        f"{script} 18 <lambda> ckernels.spin(1, 0, 500_000_000)",
        f"{script} 8 Work.spin ckernels.spin(5_000_000, 5_000_000, total)",
    ]


def test_each_worker_without_figures_is_named_with_the_reason(
    client: Any, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        child = {
            name: stack.enter_context(started_worker(client, name, tmp_path, before))
            for name, before in {
                "bare": "sys.modules['gilx'] = None",
                "other": "import gilx; gilx.__version__ = '9.9'",
                "newer": "from gilx import GilUsage; GilUsage._version = 99",
                "doomed": "",
            }.items()
        }
        client.wait_for_workers(2 + len(child), timeout=60)
        with dask.watch(client) as watch:
            child["doomed"].kill()
            stack.enter_context(started_worker(client, "late", tmp_path))
            wait_until(
                lambda: "late" in names_of(watch), "the late worker is not watched"
            )
    notes = {
        word: [note for note in watch.usage.notes if word in note]
        for word in ("gilx must", "other (", "newer (", "doomed (", "late (")
    }
    assert all(len(each) == 1 for each in notes.values()), "\n".join(watch.usage.notes)
    said = {word: each[0] for word, each in notes.items()}
    assert said["gilx must"].startswith("worker tcp://127.0.0.1:")
    assert "and gilx 9.9; the client runs" in said["other ("]
    assert "has no figures: it runs gilx" in said["newer ("]
    assert "expected JSON of schema gilx.usage" in said["newer ("]
    assert said["doomed ("].endswith("has no figures: it ended while it was watched")
    assert said["late ("].endswith("after the start, and was watched since")
    assert len(watch.by_worker) == 4  # two, the other one and the late one
    assert str(watch.usage).count("has no figures") == 3


def names_of(watch: Any) -> set[str]:
    return {worker.name for worker in watch._workers.values() if worker.owner}


def test_worker_that_does_not_answer_is_not_waited_for(
    client: Any, addresses: list[str], tmp_path: Path
) -> None:
    with started_worker(client, "slow", tmp_path) as child:
        client.wait_for_workers(3, timeout=60)
        child.send_signal(signal.SIGSTOP)
        with dask.watch(client, timeout=1) as begun_late:
            child.send_signal(signal.SIGCONT)
            (slow,) = set(client.nthreads()) - set(addresses)
            wait_until(lambda: slow in client.run(watches, workers=[slow])[slow], "")
        with dask.watch(client, timeout=1) as not_ended:
            child.send_signal(signal.SIGSTOP)
        child.send_signal(signal.SIGCONT)
    name = f"worker slow ({slow})"
    assert f"{name} did not answer in time at the start, and was watched later" in (
        begun_late.usage.notes
    )
    assert f"{name} has no figures: it did not answer within 1 s" in not_ended.usage.notes
    assert slow in begun_late.by_worker
    assert slow not in not_ended.by_worker


def watches() -> list[str]:
    from gilx.dask import worker_watch

    return [address for _, address in worker_watch._watches.values()]


def test_watches_overlap_and_leave_nothing_behind(
    client: Any, addresses: list[str]
) -> None:
    with dask.watch(client) as outer:
        with dask.watch(client) as inner:
            assert [len(each) for each in client.run(watches).values()] == [2, 2]
        assert [len(each) for each in client.run(watches).values()] == [1, 1]
    assert [len(each) for each in client.run(watches).values()] == [0, 0]
    assert set(outer.by_worker) == set(inner.by_worker) == set(addresses)
    assert inner.usage.wall < outer.usage.wall


def test_body_that_raises_ends_the_watch(client: Any) -> None:
    with pytest.raises(ZeroDivisionError), dask.watch(client) as watch:
        raise ZeroDivisionError
    assert [len(each) for each in client.run(watches).values()] == [0, 0]
    assert len(watch.by_worker) == 2


def block(begun: str, over: str) -> None:
    """Block a worker's event loop from one file's creation to that of another."""
    with open(begun, "w"):
        pass
    end = time.monotonic() + TIMEOUT
    while not os.path.exists(over) and time.monotonic() < end:
        time.sleep(0.01)


def interrupt_with_a_busy_worker(
    client: Any, address: str, folder: Path
) -> threading.Thread:
    """Have a worker's event loop blocked, and this thread interrupted meanwhile."""

    def interrupt() -> None:
        time.sleep(0.7)
        os.kill(os.getpid(), signal.SIGINT)

    begun, over = folder / "begun", folder / "over"
    blocker = threading.Thread(
        target=client.run,
        args=(block, str(begun), str(over)),
        kwargs={"workers": [address]},
    )
    blocker.start()
    wait_until(begun.exists)
    threading.Thread(target=interrupt).start()
    return blocker


@pytest.mark.parametrize("at_end", [False, True])
def test_watch_that_is_interrupted_leaves_no_samplers(
    client: Any, addresses: list[str], tmp_path: Path, at_end: bool
) -> None:
    with pytest.raises(KeyboardInterrupt):
        if not at_end:
            blocker = interrupt_with_a_busy_worker(client, addresses[0], tmp_path)
        with dask.watch(client):
            if at_end:
                blocker = interrupt_with_a_busy_worker(client, addresses[0], tmp_path)
    (tmp_path / "over").touch()
    blocker.join()
    wait_until(lambda: not any(client.run(watches).values()), "samplers have ended")


def test_client_that_is_closed_in_the_body_is_the_reason_without_figures() -> None:
    with client_of_workers(1, processes=False) as client:
        (address,) = client.nthreads()
        with dask.watch(client) as watch:
            client.close()
        assert watch.by_worker == {}
        (note,) = watch.usage.notes
        assert address in note
        assert note.endswith("has no figures: the client was closed during the watch")
    # Without a client, only the end of the worker's process ends its watch.
    for name in list(worker_watch._watches):
        worker_watch._watches.pop(name)[0].stop()


def test_watch_that_has_not_ended_has_no_usage_and_is_entered_once(client: Any) -> None:
    with dask.watch(client) as watch:
        with pytest.raises(RuntimeError, match="the watch has not ended"):
            watch.usage  # noqa: B018 - it raises
        with pytest.raises(RuntimeError, match="once only"):
            watch.__enter__()
    assert watch.usage.by_worker == watch.by_worker


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"client": 1}, r"client: expected a distributed\.Client, got 1"),
        ({"cost": 0}, "cost: expected above 0 and at most 0.5, got 0"),
        ({"timeout": 0}, "timeout: expected above 0, got 0"),
    ],
)
def test_bad_arguments_are_refused(
    client: Any, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        dask.watch(**{"client": client, **changes})


def test_workers_of_one_process_have_one_gil() -> None:
    with client_of_workers(2, processes=False) as client:
        first, second = client.nthreads()
        with dask.watch(client) as watch:
            client.submit(rhythm, 100 * MILLISECOND).result()
        with pytest.raises(ArgumentError, match="client: expected an asynchronous one"):
            asyncio.run(entered(dask.watch(client)))
    (address,) = watch.by_worker
    assert address in (first, second)
    assert watch.usage.wall == watch.by_worker[address].wall
    notes = "\n".join(watch.usage.notes)
    assert f"({address}) runs in the process of the client, whose other" in notes
    assert f"runs in the process of {watch.by_worker[address].program}, whose" in notes


async def entered(watch: Any) -> Any:
    async with watch:
        return watch


def test_asynchronous_client_takes_async_with() -> None:
    async def main() -> Any:
        async with (
            distributed.LocalCluster(
                n_workers=1, processes=False, asynchronous=True, dashboard_address=":0"
            ) as cluster,
            distributed.Client(cluster, asynchronous=True) as client,
        ):
            with pytest.raises(ArgumentError, match="or `async with`"):
                dask.watch(client).__enter__()
            async with dask.watch(client) as watch:
                await client.submit(rhythm, 100 * MILLISECOND)
            return watch

    assert len(asyncio.run(main()).by_worker) == 1


def test_worker_that_was_restarted_at_its_address_has_no_figures() -> None:
    module = importlib.import_module("gilx.dask.cluster_watch")
    worker = module._Worker("tcp://a")
    worker.add({"name": "a", "process": "1", "owner": "tcp://a"})
    worker.add({"name": "a", "process": "2"})
    reason = worker.reason({"tcp://a": worker})
    assert reason == "has no figures: it was restarted while it was watched"


def sent(line: int) -> gilx.GilUsage:
    """Return a usage in which a function without a file held the GIL, and called zlib."""
    function, file = "outer.<locals>.inner", "<dynamic-code>"
    own = found(300, function=function, file=file, first_line=2, line=line)
    usage = usage_with(own, found(100, file="/usr/lib/python3.11/gzip.py", line=7))
    callers = (
        gilx.SiteCaller(function, file, line, "", 3e7),
        gilx.SiteCaller("<module>", "<string>", 1, "", 2e7),
    )
    sites = (usage.sites[0], replace(usage.sites[1], callers=callers))
    return replace(usage, sites=sites)


def functions_of(file: Path, text: str) -> list[Any]:
    """Return functions that are defined in a function of that file."""
    file.write_text(text)
    names: dict[str, Any] = {}
    exec(compile(text, file, "exec"), names)
    return list(names["outer"]())


INNER = "def outer():\n    def inner():\n        return len('abc')\n    return [inner]\n"


def test_place_of_a_sent_function_is_found_by_its_name_and_line(tmp_path: Path) -> None:
    module = importlib.import_module("gilx.dask.sent_functions")
    kept = functions_of(tmp_path / "one.py", INNER)
    usage = module.SentFunctions(time.time() + 60).named(sent(3))
    site, called = usage.sites
    assert (site.file, site.line) == (str(tmp_path / "one.py"), 3)
    assert [(one.file, one.line) for one in called.callers] == [(site.file, 3)]
    # No function of that name has this line.
    assert module.SentFunctions(0.0).named(sent(4)).sites[0].file == "<dynamic-code>"
    # Either of two functions may be meant.
    kept += functions_of(tmp_path / "two.py", INNER)
    assert module.SentFunctions(0.0).named(sent(3)).sites[0].file == "<dynamic-code>"
    assert len(kept) == 2


@pytest.fixture
def worker() -> Any:
    return SimpleNamespace(name="a", address="tcp://a")


def test_begin_that_comes_after_the_end_is_refused(worker: Any) -> None:
    module = importlib.import_module("gilx.dask.worker_watch")
    assert "usage" not in module.end("late watch", "a", worker)
    answer = module.begin("late watch", 0.03, worker)
    assert answer["error"] == "the watch ended before it began here"
    assert "late watch" not in module._watches


def test_worker_that_cannot_be_watched_says_why(
    worker: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise gilx.WatchUnavailableError("there is no memory")

    module = importlib.import_module("gilx.dask.worker_watch")
    monkeypatch.setattr(module, "watch_with_callers", refuse)
    assert module.begin("refused", 0.03, worker)["error"] == "there is no memory"


def test_module_names_the_extra_if_dask_is_missing() -> None:
    code = "import sys; sys.modules['distributed'] = None; import gilx.dask"
    done = run_python("-c", code)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "gilx.errors.MissingExtraError: no Dask: pip install 'gilx[dask]'"
    )
