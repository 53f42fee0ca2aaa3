"""A monitor of event loops: blocked ones, busy ones and idle ones."""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import selectors
import signal
import subprocess
import sys
import textwrap
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from gilx import Monitor, WatchUnavailableError
from gilx.sampling.event_loops import EventLoops
from gilx.sampling.known_stacks import reason_against_reports
from tests.command import CompletedProcess, run_gilx, run_python
from tests.markers import needs, needs_fork, needs_gil, needs_monitor
from tests.trying import first_that
from tests.waiting import TIMEOUT, wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = needs_monitor

LIMIT = 0.2

# Loops of other tests that run in this process meanwhile would be watched, too.
alone = pytest.mark.thread_unsafe(reason="watches all event loops of the process")


def run_script(path: Path, text: str, *words: str, **options: Any) -> CompletedProcess:
    path.write_text(textwrap.dedent(text))
    return run_python(path, *words, **options)


def block_until_reported(log: Path, text: str = "has not returned") -> None:
    """Block, in a sleep that releases the GIL, until a report is on the disk."""
    wait_until(lambda: text in log.read_text())


async def block(log: Path) -> None:
    await asyncio.sleep(0)
    block_until_reported(log)
    await asyncio.sleep(0)


# ---- blocked loops --------------------------------------------------------------------


@alone
def test_loop_is_reported_while_it_is_blocked(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Monitor(loop=LIMIT, log=log) as monitor:
        asyncio.run(block(log))
        wait_until(lambda: monitor.stalls[0].over)
        stall = monitor.stalls[0]
        counters = monitor.read()
    assert (stall.kind, stall.waiters, stall.number) == ("loop", 0, 1)
    assert stall.native_id == os.getpid()
    assert LIMIT <= stall.seconds.high < TIMEOUT
    assert abs(stall.time - time.time()) < TIMEOUT
    assert counters.blocked_loops >= 1
    assert counters.stalls == 0
    lines = log.read_text().splitlines()
    assert re.fullmatch(
        rf"gilx: process {os.getpid()}: the event loop of thread {os.getpid()}"
        r" \(main thread\) has not returned to its selector for \d\.\d\d s, at .* UTC",
        lines[0],
    )
    assert re.fullmatch(
        r".*: the event loop of .* was blocked for \d+\.\d\d s, at .* UTC", lines[-1]
    )
    if not reason_against_reports():
        assert any(" in block_until_reported" in line for line in stall.report)
        assert any(
            "test_monitor_loops.py" in line and line.endswith(" in block")
            for line in stall.report
        )


@alone
def test_loop_that_is_blocked_at_the_stop_has_its_length_until_then(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    monitor = Monitor(loop=LIMIT, log=log)

    async def stop() -> None:
        block_until_reported(log)
        time.sleep(0.3)
        monitor.stop()

    monitor.start()
    asyncio.run(stop())
    stall = monitor.stalls[-1]
    assert stall.open_at_stop
    assert not stall.over
    assert LIMIT + 0.25 < stall.seconds.value < TIMEOUT
    assert "had been blocked for" in str(stall)
    assert re.fullmatch(
        rf"gilx: process {os.getpid()}: the monitor was stopped while the event loop of"
        r" thread \d+ \(main thread\) was blocked, for \d+\.\d\d s so far, at .* UTC",
        log.read_text().splitlines()[-1],
    )


@alone
def test_report_names_the_line_that_blocks(tmp_path: Path) -> None:
    if reason_against_reports():
        pytest.skip("needs stacks")
    done = run_script(
        tmp_path / "main.py",
        """\
        import asyncio, pathlib, threading, time
        import gilx

        log = pathlib.Path("log")
        reported = threading.Event()

        def wait_for_the_report():
            while "has not returned" not in log.read_text():
                time.sleep(0.01)
            reported.set()

        async def main():
            threading.Thread(target=wait_for_the_report).start()
            await asyncio.sleep(0.01)
            assert reported.wait(60)  # here

        with gilx.Monitor(loop=0.1, log=log) as monitor:
            asyncio.run(main())
        print(monitor.stalls[0])
        """,
        cwd=tmp_path,
        check=True,
    )
    report = (tmp_path / "log").read_text()
    assert f'  File "{tmp_path}/main.py", line 15 in main\n' in report
    assert "the event loop of MainThread was blocked for" in done.stdout


@alone
def test_code_that_holds_the_gil_is_reported_with_its_line(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def spin() -> None:
        end = time.monotonic() + TIMEOUT
        while not monitor.stalls:
            assert time.monotonic() < end

    async def main() -> None:
        await asyncio.sleep(0)
        spin()

    with Monitor(stall=None, loop=LIMIT, log=log) as monitor:
        asyncio.run(main())
        stall = monitor.stalls[0]
    if not reason_against_reports():
        assert any(line.endswith("<locals>.spin") for line in stall.report), stall.report
        assert any(line.endswith("<locals>.main") for line in stall.report)


@alone
def test_each_of_two_loops_is_judged_by_itself(tmp_path: Path) -> None:
    log = tmp_path / "log"
    stop = threading.Event()

    async def idle() -> None:
        while not stop.is_set():
            await asyncio.sleep(0.01)

    with Monitor(loop=LIMIT, log=log) as monitor:
        idler = threading.Thread(target=lambda: asyncio.run(idle()), name="idler")
        blocked = threading.Thread(target=lambda: asyncio.run(block(log)), name="blocked")
        idler.start()
        blocked.start()
        blocked.join()
        wait_until(lambda: monitor.stalls[0].over)
        found = [one.native_id for one in monitor.stalls]
        stop.set()
        idler.join()
    assert blocked.native_id in found
    assert f"thread {blocked.native_id}" in log.read_text()


@alone
def test_two_blocked_loops_have_a_report_each(tmp_path: Path) -> None:
    log = tmp_path / "log"

    read = threading.Event()

    async def main() -> None:
        await asyncio.sleep(0)
        assert read.wait(TIMEOUT)

    with Monitor(loop=LIMIT, log=log) as monitor:
        threads = [
            threading.Thread(target=lambda: asyncio.run(main()), name=f"loop {number}")
            for number in range(2)
        ]
        for thread in threads:
            thread.start()
        # On a busy machine, a loop may be late more than once.
        both = {("loop", "loop 0"), ("loop", "loop 1")}
        wait_until(lambda: {(one.kind, one.thread) for one in monitor.stalls} == both)
        read.set()
        for thread in threads:
            thread.join()


@needs_gil
@alone
def test_loop_that_waits_for_the_gil_is_reported_with_the_thread_that_holds_it(
    tmp_path: Path,
) -> None:
    if not os.access("/proc/self/syscall", os.R_OK):
        pytest.skip("needs Linux to say what threads do")
    log = tmp_path / "log"
    began, over = threading.Event(), threading.Event()
    hold = ctypes.PyDLL(None).usleep  # without giving the GIL back
    holds = 0

    async def main() -> None:
        while not over.is_set():
            await asyncio.sleep(0)
            turn = holds
            began.set()
            while holds == turn and not over.is_set():
                sum(range(100))

    with Monitor(stall=None, loop=0.3, log=log) as monitor:
        thread = threading.Thread(target=lambda: asyncio.run(main()))
        thread.start()
        for _ in range(5):  # on a busy machine, the report may come before the hold
            began.wait()
            began.clear()
            hold(999_999)
            if any("holds the GIL and sleeps" in line for line in last_report(monitor)):
                break
            holds += 1
        over.set()
        thread.join()
    text = log.read_text()
    # From 3.14 on, Linux knows the name that Python gives a thread.
    assert re.search(rf"Thread {thread.native_id}( \(.*\))? waits for the GIL", text)
    assert f"Thread {os.getpid()} (main thread) holds the GIL and sleeps" in text


def last_report(monitor: Monitor) -> tuple[str, ...]:
    return monitor.stalls[-1].report if monitor.stalls else ()


# ---- loops that are not blocked -------------------------------------------------------


@alone
def test_busy_loop_of_short_callbacks_is_not_reported(tmp_path: Path) -> None:
    log = tmp_path / "log"
    longest = 0.0

    async def main() -> None:
        nonlocal longest
        now = time.monotonic()
        end = now + 5 * LIMIT
        while now < end:
            await asyncio.sleep(0)  # which goes through the selector
            sum(range(200))
            before, now = now, time.monotonic()
            longest = max(longest, now - before)

    with Monitor(loop=LIMIT, log=log) as monitor:
        asyncio.run(main())
    # A machine that stops for a while blocks any loop.
    if longest < LIMIT / 2:
        assert monitor.stalls == ()
        assert log.read_text() == ""


@alone
def test_idle_loop_is_not_reported(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def blocked() -> int:
        with Monitor(loop=LIMIT, log=log) as monitor:
            asyncio.run(asyncio.sleep(5 * LIMIT))
            found = monitor.read().blocked_loops
        assert (log.read_text() == "") == (found == 0)
        log.unlink()
        return found

    # A machine that stops for a while blocks any loop.
    first_that(lambda found: found == 0, blocked)


@alone
def test_loops_are_not_watched_unless_asked_for(tmp_path: Path) -> None:
    before = vars(asyncio.events)["_set_running_loop"]

    async def main() -> None:
        assert vars(asyncio.events)["_set_running_loop"] is before
        time.sleep(3 * LIMIT)

    with Monitor(log=tmp_path / "log") as monitor:
        asyncio.run(main())
        assert monitor.stalls == ()


# ---- when loops and monitors begin and end --------------------------------------------


@alone
def test_monitor_may_start_and_stop_inside_the_loop(tmp_path: Path) -> None:
    log = tmp_path / "log"

    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        await asyncio.sleep(0)
        with Monitor(loop=LIMIT, log=log) as monitor:
            assert "select" in vars(loop._selector)
            block_until_reported(log)
            await asyncio.sleep(0)
            wait_until(lambda: monitor.stalls[0].over)
        assert "select" not in vars(loop._selector)
        await asyncio.sleep(0.01)

    asyncio.run(main())


@alone
def test_monitor_finds_a_loop_that_another_thread_runs(tmp_path: Path) -> None:
    log = tmp_path / "log"
    idle, go = threading.Event(), threading.Event()

    async def main() -> None:
        idle.set()
        while not go.is_set():
            await asyncio.sleep(0.01)
        block_until_reported(log)

    thread = threading.Thread(target=lambda: asyncio.run(main()), name="earlier")
    thread.start()
    idle.wait()
    with Monitor(loop=LIMIT, log=log) as monitor:
        time.sleep(0.05)
        go.set()
        thread.join()
        assert monitor.stalls[-1].native_id == thread.native_id


@alone
def test_loop_may_end_while_it_is_blocked(tmp_path: Path) -> None:
    log = tmp_path / "log"

    async def main() -> None:
        await asyncio.sleep(0)
        block_until_reported(log)
        raise SystemExit(3)

    with Monitor(loop=LIMIT, log=log) as monitor:
        with pytest.raises(SystemExit):
            asyncio.run(main())
        wait_until(lambda: monitor.stalls[0].over)
        time.sleep(3 * LIMIT)  # no loop runs
        assert all(one.over for one in monitor.stalls)


@alone
def test_asyncio_is_left_as_it_was(tmp_path: Path) -> None:
    before = vars(asyncio.events)["_set_running_loop"]
    outer = Monitor(loop=LIMIT, log=tmp_path / "outer")
    inner = Monitor(loop=LIMIT, log=tmp_path / "inner")
    outer.start()
    inner.start()
    asyncio.run(asyncio.sleep(0))
    outer.stop()  # not in the order of nested ones
    asyncio.run(block(tmp_path / "inner"))
    inner.stop()
    assert {one.kind for one in inner.stalls} == {"loop"}
    assert outer.stalls == ()
    assert vars(asyncio.events)["_set_running_loop"] is before
    assert vars(asyncio)["_set_running_loop"] is before


@alone
def test_nested_monitors_report_each(tmp_path: Path) -> None:
    logs = tmp_path / "outer", tmp_path / "inner"

    async def main() -> None:
        await asyncio.sleep(0)
        for log in logs:
            block_until_reported(log)

    with Monitor(loop=LIMIT, log=logs[0]), Monitor(loop=2 * LIMIT, log=logs[1]):
        asyncio.run(main())


@alone
def test_monitor_that_cannot_start_leaves_asyncio_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = vars(asyncio.events)["_set_running_loop"]
    monkeypatch.setenv("GILX_MEMORY", "none")
    with pytest.raises(Exception, match="GILX_MEMORY"):
        Monitor(loop=LIMIT, log=tmp_path / "log").start()
    monkeypatch.delenv("GILX_MEMORY")
    assert vars(asyncio.events)["_set_running_loop"] is before
    with Monitor(loop=LIMIT, log=tmp_path / "log"):
        asyncio.run(block(tmp_path / "log"))


@needs_fork
def test_loops_of_a_child_are_watched_and_those_of_its_parent_are_not(
    tmp_path: Path,
) -> None:
    done = run_script(
        tmp_path / "main.py",
        """\
        import asyncio, os, pathlib, time, warnings
        import gilx

        warnings.simplefilter("ignore", DeprecationWarning)
        log = pathlib.Path("log")

        def block():
            me = f"process {os.getpid()}: the event loop of thread {os.getpid()} "
            end = time.monotonic() + 60
            while me not in log.read_text():
                assert time.monotonic() < end
                time.sleep(0.01)

        async def in_child():
            await asyncio.sleep(0)
            block()

        async def main():
            await asyncio.sleep(0)
            child = os.fork()
            if child == 0:
                time.sleep(0.5)  # the parent's loop does not run here
                assert monitor.stalls == (), monitor.stalls
                asyncio.set_event_loop(None)
                asyncio._set_running_loop(None)
                asyncio.run(in_child())
                assert [one.process for one in monitor.stalls] == [os.getpid()]
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            block()
            print(os.getpid(), child)

        with gilx.Monitor(loop=0.1, log=log) as monitor:
            asyncio.run(main())
        """,
        cwd=tmp_path,
        check=True,
    )
    log = (tmp_path / "log").read_text()
    for process in done.stdout.split():
        assert f"gilx: process {process}: the event loop of thread {process}" in log


def test_time_in_which_the_process_is_stopped_does_not_count(tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text(
        textwrap.dedent(
            """\
            import asyncio, time
            import gilx

            async def main():
                for number in range(8):
                    print(number, flush=True)
                    time.sleep(0.2)
                    await asyncio.sleep(0)

            with gilx.Monitor(loop=1.5, log="log") as monitor:
                asyncio.run(main())
            print("stalls:", len(monitor.stalls))
            """
        )
    )
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGSTOP)
        time.sleep(2.0)
        process.send_signal(signal.SIGCONT)
        output = process.stdout.read()
        assert process.wait(TIMEOUT) == 0
    assert "stalls: 0" in output


@alone
def test_blocked_loop_does_not_end_the_process(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Monitor(stall=TIMEOUT, loop=LIMIT, log=log, on_stall="exit"):
        asyncio.run(block(log))


# ---- other loops ----------------------------------------------------------------------


class WithoutSelector:
    """A loop as a library that is not written in Python has it."""

    def run(self: Any) -> None:
        asyncio._set_running_loop(self)
        asyncio._set_running_loop(None)


@alone
def test_loop_without_selector_is_named_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Monitor(loop=LIMIT, log=log):
        WithoutSelector().run()
        WithoutSelector().run()
        with Monitor(loop=LIMIT, log=log):
            pass
    expected = (
        f"gilx: process {os.getpid()}: event loops of type {__name__}.WithoutSelector are"
        " not watched: they have no selector of Python's\n"
    )
    assert log.read_text() == 2 * expected


class OwnSelect(asyncio.SelectorEventLoop):
    """A loop with a selector that already has an attribute of its own."""

    def __init__(self) -> None:
        selector: Any = selectors.DefaultSelector()
        self.own = selector.select = partial(selector.select)
        super().__init__(selector)


@alone
def test_selector_keeps_an_attribute_of_its_own(tmp_path: Path) -> None:
    log = tmp_path / "log"
    loop: Any = OwnSelect()
    with Monitor(loop=LIMIT, log=log):
        loop.run_until_complete(block(log))
    assert vars(loop._selector)["select"] is loop.own
    loop.close()


@alone
def test_selector_that_another_tool_wraps_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "log"

    async def main() -> None:
        selector: Any = vars(asyncio.get_running_loop())["_selector"]
        counted = selector.select
        selector.select = partial(counted)
        await asyncio.sleep(0)
        block_until_reported(log)

    with Monitor(loop=LIMIT, log=log):
        asyncio.run(main())


@alone
def test_errors_of_the_selector_are_passed_on(tmp_path: Path) -> None:
    loop: Any = asyncio.new_event_loop()

    def fail(_: object) -> None:
        raise OSError("no selector")

    loop._selector.select = fail
    with Monitor(loop=LIMIT, log=tmp_path / "log"):
        with pytest.raises(OSError, match="no selector"):
            loop.run_forever()
        assert vars(loop._selector)["select"] is fail
    del loop._selector.select
    loop.close()


@alone
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_more_loops_than_there_are_places_for_are_named() -> None:
    from gilx.sampling._sampler import LoopTable

    texts: list[str] = []
    loops = EventLoops(LoopTable())
    loops.add_listener(texts.append)
    kept = [loops.table.begin(print, True) for _ in range(256)]
    assert None not in kept
    assert loops.table.begin(print, True) is None
    loops.start()
    asyncio.run(asyncio.sleep(0))
    loops.stop()
    assert len(texts) == 1
    assert "more than 256 run at once" in texts[0]


@alone
def test_asyncio_that_does_not_say_which_loops_run_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gilx.sampling._sampler import LoopTable

    monkeypatch.setattr(asyncio.events, "_set_running_loop", None)
    with pytest.raises(WatchUnavailableError, match=r"^loop: .* no _set_running_loop"):
        EventLoops(LoopTable())


@needs("uvloop")
def test_uvloop_is_named(tmp_path: Path) -> None:
    done = run_script(
        tmp_path / "main.py",
        """\
        import asyncio, gilx, uvloop
        with gilx.Monitor(loop=0.1):
            uvloop.run(asyncio.sleep(0))
        """,
        check=True,
    )
    assert "event loops of type uvloop.Loop are not watched" in done.stderr


# ---- the command ----------------------------------------------------------------------


def test_command_watches_loops_of_a_program(tmp_path: Path) -> None:
    (tmp_path / "serve.py").write_text(
        textwrap.dedent(
            """\
            import asyncio, pathlib, time

            async def main():
                end = time.monotonic() + 60
                while "has not returned" not in pathlib.Path("log").read_text():
                    assert time.monotonic() < end
                    time.sleep(0.2)

            asyncio.run(main())
            """
        )
    )
    words = "--loop", "0.1", "--log", "log", "serve.py"
    done = run_gilx("monitor", *words, cwd=tmp_path, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    log = (tmp_path / "log").read_text()
    assert re.search(
        r"^Thread \d+ \(main thread\) .*\(most recent call first\):$", log, re.M
    )
    if not reason_against_reports():
        assert re.search(rf'  File "{tmp_path}/serve.py", line \d+ in main', log)
