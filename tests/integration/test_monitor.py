"""A monitor of real programs: counters, stalls, forks."""

from __future__ import annotations

import calendar
import ctypes
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from gilx import Counters, Monitor, Stall
from gilx._compat import owns
from gilx.errors import ArgumentError
from gilx.formatting import escaped
from gilx.sampling.known_stacks import reason_against_stacks
from tests.command import CompletedProcess, run_python
from tests.markers import needs_fork, needs_watch
from tests.trying import first_that
from tests.waiting import TIMEOUT, wait_until

pytestmark = needs_watch

C = ctypes.PyDLL(None)  # whose functions are called with the GIL
EXIT_STATUS = 70


def hold(seconds: float) -> None:
    """Hold the GIL for so long, in one call."""
    C.usleep(round(seconds * 1e6))


def hold_until_reported(monitor: Monitor) -> None:
    """Hold the GIL, again if no sample came meanwhile, as on a busy machine."""
    for _ in range(100):
        hold(0.2)
        if monitor.stalls:
            break
    wait_until(lambda: monitor.stalls and monitor.stalls[0].over)


def run_script(path: Path, text: str, *words: str, **options: Any) -> CompletedProcess:
    path.write_text(textwrap.dedent(text))
    return run_python(path, *words, **options)


# ---- counters -------------------------------------------------------------------------


def test_counters_are_read_while_the_monitor_runs() -> None:
    def readings() -> tuple[Counters, Counters, Counters]:
        with Monitor(stall=None) as monitor:
            before = monitor.read()
            hold(0.3)
            after = monitor.read()
            time.sleep(0.05)
            return before, after, monitor.read()

    def held_in(counters: tuple[Counters, Counters, Counters]) -> float:
        return counters[1].held_seconds.value - counters[0].held_seconds.value

    # On a busy machine, samples may be late, and the hold may last for longer.
    _, after, idle = first_that(lambda found: 0.25 < held_in(found) < 0.5, readings)
    assert after.held_seconds.low <= after.held_seconds.value <= after.held_seconds.high
    assert after.longest_hold.high > 0.25
    assert idle.held_seconds.value <= idle.wall
    (own,) = [one for one in idle.by_thread if one.name == "MainThread"]
    assert own.held_seconds.high > 0.15  # half of the truth
    assert idle.process == os.getpid()


def test_longest_hold_begins_anew_with_each_reading() -> None:
    with Monitor(stall=None) as monitor:
        hold(0.2)
        assert monitor.read().longest_hold.high > 0.15
        time.sleep(0.1)
        monitor.read()
        time.sleep(0.1)
        # On a busy machine there may be no sample for a while, which widens it.
        assert monitor.read().longest_hold.low < 0.15


def test_no_counter_decreases_whatever_threads_read() -> None:
    stop = threading.Event()
    problems: list[str] = []

    def read_on(monitor: Monitor) -> None:
        before = monitor.read()
        while not stop.is_set():
            now = monitor.read()
            names = "held_seconds", "waited_seconds", "unknown_seconds"
            problems.extend(
                name
                for name in names
                if float(getattr(now, name)) < float(getattr(before, name))
            )
            if now.wall < before.wall or now.cost_seconds < before.cost_seconds:
                problems.append("time")
            if now.held_seconds.value > now.wall:
                problems.append("held for longer than the time")
            before = now

    with Monitor(stall=None, cost=0.1) as monitor:
        threads = [threading.Thread(target=read_on, args=(monitor,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(100):
            thread = threading.Thread(target=hold, args=(0.001,))
            thread.start()
            thread.join()
        stop.set()
        for thread in threads:
            thread.join()
    assert not problems


def test_waiting_counts_for_each_thread_that_waits() -> None:
    def counted() -> Counters:
        with Monitor(stall=None) as monitor:
            threads = [
                threading.Thread(target=hold, args=(0.2,), name="holder")
                for _ in range(3)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return monitor.read()

    def is_right(counters: Counters) -> bool:
        holders = [one for one in counters.by_thread if one.name == "holder"]
        # The main thread waits while the first two hold it: each has started by then.
        return (
            counters.waited_seconds.high > 0.3
            and counters.held_seconds.high > 0.5
            and [one.held_seconds.high > 0.5 for one in holders] == [True]
        )

    first_that(is_right, counted)


def test_counters_stay_after_the_stop() -> None:
    monitor = Monitor(stall=None)
    monitor.start()
    hold(0.05)
    monitor.stop()
    monitor.stop()
    first = monitor.read()
    time.sleep(0.05)
    assert monitor.read().wall == first.wall
    with pytest.raises(RuntimeError, match="once only"):
        monitor.start()


def test_monitors_are_started_and_stopped_without_leaks() -> None:
    def files() -> int:
        return len(os.listdir("/proc/self/fd"))

    with Monitor(lone=True):
        pass
    before, threads = files(), len(os.listdir("/proc/self/task"))
    for _ in range(50):
        with Monitor(lone=True) as monitor:
            monitor.read()
        del monitor
    wait_until(lambda: len(os.listdir("/proc/self/task")) <= threads)
    assert files() == before


# ---- stalls ---------------------------------------------------------------------------


def test_stall_is_reported_and_kept(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def stalls() -> list[Stall]:
        log.unlink(missing_ok=True)
        with Monitor(stall=0.05, lone=True, log=log) as monitor:
            hold(0.6)
            wait_until(lambda: all(one.over for one in monitor.stalls))
            assert monitor.read().stalls == len(monitor.stalls)
            return list(monitor.stalls)

    # On a busy machine, any line may hold the GIL for as long, and reports may be late.
    again = "the GIL has still not been released after 0.5"
    (stall,) = first_that(
        lambda found: len(found) == 1 and again in log.read_text(), stalls
    )
    text = log.read_text()
    lines = text.splitlines()
    head = re.fullmatch(
        rf"gilx: process {os.getpid()}: the GIL was not released for 0\.\d\d s"
        r" \(no thread waits\), at (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC",
        lines[0],
    )
    assert head
    time_of_report = calendar.timegm(time.strptime(head[1], "%Y-%m-%d %H:%M:%S"))
    assert abs(time_of_report - time.time()) < TIMEOUT
    assert f"Thread {os.getpid()} (main thread) holds the GIL" in lines[1]
    assert lines[-1].startswith(
        f"gilx: process {os.getpid()}: the GIL was released after"
    )
    assert 0.3 < stall.seconds.high < TIMEOUT
    assert stall.thread == threading.current_thread().name
    assert stall.process == os.getpid()
    assert abs(stall.time - time.time()) < TIMEOUT
    if not reason_against_stacks():
        # A call of C code is reported at the line that makes it.
        assert (stall.file, stall.function) == (__file__, "hold")
        own = stall.own_file, stall.own_line, stall.own_function
        assert own == (stall.file, stall.line, stall.function)
        assert f'  File "{__file__}", line {stall.line} in hold' in stall.report
        assert "C.usleep(" in Path(__file__).read_text().splitlines()[stall.line - 1]


@pytest.mark.skipif(bool(reason_against_stacks()), reason="stacks can't be read")
def test_hostile_names_are_escaped_as_everywhere(tmp_path: Path) -> None:
    hostile = [
        chr(number)
        for number in range(1, 0x10000)
        if unicodedata.category(chr(number)) in {"Cc", "Cf", "Zl", "Zp", "Zs"}
    ]
    # Those of the file, in which bidirectional controls are, and of the function.
    file = "".join(hostile[-100:]) + "\udce9\U000e0001\\\u20ac.py"
    name = "f" + "".join(hostile[:66])
    scope: dict[str, Any] = {}
    exec(compile("def f(hold): hold(300000)", file, "exec"), scope)
    function = scope["f"]
    function.__code__ = function.__code__.replace(co_name=name, co_qualname=name)
    log = tmp_path / "log"
    with Monitor(stall=0.05, lone=True, log=log) as monitor:

        def reported() -> list[Stall]:
            function(C.usleep)
            return [one for one in monitor.stalls if one.function == escaped(name)]

        stall = first_that(bool, reported)[0]
    assert (stall.file, stall.function) == (escaped(file), escaped(name))
    line = f'  File "{escaped(file)}", line 1 in {escaped(name)}'
    assert line in stall.report
    lines = log.read_bytes().decode().split("\n")
    assert line in lines
    assert all(map(str.isprintable, lines))


def test_notes_are_escaped(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Monitor(stall=0.05, lone=True, log=log) as monitor:
        monitor.note("first \x9b\u202e\nsecond \udce9\n")
        hold_until_reported(monitor)
    assert "\nfirst \\x9b\\u202e\nsecond \\udce9\n" in log.read_text("utf-8")


def test_threads_that_wait_are_listed_with_their_stacks(tmp_path: Path) -> None:
    log = tmp_path / "log"
    threads: list[threading.Thread] = []

    def stalls() -> list[Stall]:
        log.unlink(missing_ok=True)
        stop = threading.Event()

        def wait_for_the_gil() -> None:
            while not stop.is_set():
                time.sleep(0.001)

        threads[:] = [threading.Thread(target=wait_for_the_gil) for _ in range(2)]
        with Monitor(stall=0.1, log=log) as monitor:
            for thread in threads:
                thread.start()
            hold(0.4)
            stop.set()
            for thread in threads:
                thread.join()
            wait_until(lambda: all(one.over for one in monitor.stalls))
            return list(monitor.stalls)

    # On a busy machine, one of them may wait for a CPU at the time of the report.
    first_that(
        lambda found: (
            [one.waiters for one in found] == [2]
            and "(2 threads wait)" in log.read_text()
        ),
        stalls,
    )
    text = log.read_text()
    for thread in threads:
        assert f"Thread {thread.native_id} " in text
    # A GIL that was searched for does not show all thread states.
    if not reason_against_stacks() and "GILX_FIND_GIL" not in os.environ:
        assert len(re.findall(r", line \d+ in .*wait_for_the_gil\n", text)) == 2


def names_in(log: Path) -> list[str]:
    pattern = r"Thread \d+ \((.*?)\) holds the GIL"
    return re.findall(pattern, log.read_text("utf-8"))


def test_reports_have_the_names_of_pythons_threads(tmp_path: Path) -> None:
    log = tmp_path / "log"
    hook = threading.Thread._set_native_id  # type: ignore[attr-defined] # private
    name = "reader \u20ac \u202e" + "x" * 100

    def names() -> list[str]:
        log.unlink(missing_ok=True)
        go = threading.Event()

        def wait_and_hold() -> None:
            go.wait(TIMEOUT)
            hold(0.2)

        before = threading.Thread(target=wait_and_hold, name="started before")
        before.start()
        with Monitor(stall=0.05, lone=True, log=log) as monitor, Monitor(loop=60.0):
            go.set()
            before.join()
            thread = threading.Thread(target=hold, args=(0.2,), name=name)
            thread.start()
            thread.join()
            go.clear()
            thread = threading.Thread(target=wait_and_hold, name="first name")
            thread.start()
            thread.name = "later name"
            monitor.read()
            go.set()
            thread.join()
            wait_until(lambda: all(one.over for one in monitor.stalls))
        return list(dict.fromkeys(names_in(log)))

    shown = escaped(name).encode()[:63].decode()
    # On a busy machine, other threads may hold the GIL for as long, or no sample may come.
    first_that(lambda found: found == ["started before", shown, "later name"], names)
    assert threading.Thread._set_native_id is hook  # type: ignore[attr-defined]


class Nameless(threading.Thread):
    @property
    def name(self) -> str:
        raise OSError("not yet")

    @name.setter
    def name(self, name: str) -> None:
        pass


def test_thread_whose_name_fails_runs() -> None:
    ran = threading.Event()
    with Monitor():
        thread = Nameless(target=ran.set)
        thread.start()
        thread.join()
    assert ran.is_set()


def test_thread_whose_name_waits_for_the_one_that_starts_it_runs(tmp_path: Path) -> None:
    done = run_script(
        tmp_path / "main.py",
        """\
        import threading
        from gilx import Monitor

        lock = threading.Lock()

        class Named(threading.Thread):
            @property
            def name(self):
                with lock:
                    return "its own name"

            @name.setter
            def name(self, name):
                pass

        with Monitor():
            thread = Named()
            with lock:
                thread.start()
            thread.join()
        print("joined")
        """,
        check=True,
    )
    assert done.stdout == "joined\n"


def test_thread_may_start_while_the_last_monitor_stops() -> None:
    with Monitor():
        hook = threading.Thread._set_native_id  # type: ignore[attr-defined] # private
    thread = threading.Thread()
    hook(thread)  # as in a thread that looked it up just before the stop
    assert thread.native_id == threading.get_native_id()


def test_python_code_that_releases_the_gil_is_not_a_stall(tmp_path: Path) -> None:
    log = tmp_path / "log"

    def has_stalls() -> bool:
        with Monitor(stall=0.2, lone=True, log=log) as monitor:
            end = time.monotonic() + 0.6
            while time.monotonic() < end:
                sum(range(100))
            return monitor.stalls != ()

    # A machine that stops for a while makes a stall of anything.
    first_that(lambda found: not found, has_stalls)


def test_nothing_is_reported_when_nobody_waits(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with Monitor(stall=0.05, log=log) as monitor:
        hold(0.3)
        assert monitor.read().stalls == 0
    assert log.read_text() == ""


def test_report_goes_to_a_descriptor_that_is_closed_later() -> None:
    reader, writer = os.pipe()
    monitor = Monitor(stall=0.05, lone=True, log=writer)
    monitor.start()
    os.close(writer)
    hold_until_reported(monitor)
    monitor.stop()
    with open(reader) as file:
        assert "the GIL was not released" in file.read()


def test_full_pipe_does_not_block_and_is_counted() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writer, bytes(4096))
    os.set_blocking(writer, True)
    with Monitor(stall=0.05, lone=True, log=writer) as monitor:
        hold_until_reported(monitor)
        wait_until(lambda: monitor.read().dropped_bytes > 0)
        assert monitor.read().stalls == len(monitor.stalls)
    os.close(reader)
    os.close(writer)


HANGS = {
    "regular expression": (
        """\
        import re

        def hang():
            re.match(r"(a+)+$", "a" * 60 + "b")  # here
        """,
        r"line \d+ in \w+\n  File \"[^\"]*hang.py\", line {line} in hang",
    ),
    "sleep in C": (
        """\
        import ctypes

        def hang():
            ctypes.PyDLL(None).sleep(3600)  # here
        """,
        r"and sleeps \(most recent call first\):\n  File \"[^\"]*hang.py\", line {line} in hang",
    ),
    "deadlock": (
        """\
        import ctypes, threading, time

        mutex = ctypes.create_string_buffer(256)
        locked = threading.Event()

        def lock_and_wait_for_the_gil():
            # It has the mutex, and wants the GIL when it wakes.
            ctypes.CDLL(None).pthread_mutex_lock(mutex)
            locked.set()
            while True:
                time.sleep(0.001)

        def hang():
            threading.Thread(target=lock_and_wait_for_the_gil, daemon=True).start()
            locked.wait()
            ctypes.PyDLL(None).pthread_mutex_lock(mutex)  # here
        """,
        r"another lock \(most recent call first\):\n  File \"[^\"]*hang.py\", line {line} in",
    ),
}


@pytest.mark.parametrize("name", HANGS)
def test_hold_that_never_ends_is_reported_and_the_process_ends(
    name: str, tmp_path: Path
) -> None:
    hang, expected = HANGS[name]
    hang = textwrap.dedent(hang)
    line = next(n for n, text in enumerate(hang.splitlines(), 1) if "# here" in text)
    (tmp_path / "hang.py").write_text(hang)
    done = run_script(
        tmp_path / "main.py",
        f"""\
        import gilx, hang
        with gilx.Monitor(stall=0.3, lone={name != "deadlock"}, on_stall="exit"):
            print("begins", flush=True)
            hang.hang()
        """,
    )
    assert done.returncode == EXIT_STATUS, done.stderr
    assert done.stdout == "begins\n"
    assert re.search(r"the GIL was not released for \d+\.\d", done.stderr)
    if not reason_against_stacks():
        pattern = expected.format(line=line)
        if name == "regular expression" or os.access("/proc/self/syscall", os.R_OK):
            assert re.search(pattern, done.stderr), done.stderr


def test_time_in_which_the_process_is_stopped_is_not_a_stall(tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text(
        textwrap.dedent(
            """\
            import gilx
            from gilx.ckernels import spin

            with gilx.Monitor(stall=0.8, lone=True, on_stall="exit"):
                print("begins", flush=True)
                spin(1_500_000_000, 0, 1_500_000_000)  # ends at a time of the clock
            """
        )
    )

    def status() -> int:
        words = [sys.executable, str(script)]
        with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.2)
            process.send_signal(signal.SIGSTOP)
            time.sleep(1.0)
            process.send_signal(signal.SIGCONT)
            return process.wait(TIMEOUT)

    # On a busy machine, it may be stopped late, or hold for longer after that.
    first_that(lambda found: found == 0, status)


def test_holder_may_have_the_lock_of_the_loader(tmp_path: Path) -> None:
    done = run_script(
        tmp_path / "main.py",
        """\
        import ctypes, gilx

        @ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
        def visit(info, size, data):
            ctypes.PyDLL(None).sleep(3600)
            return 0

        with gilx.Monitor(stall=0.2, lone=True, on_stall="exit"):
            ctypes.PyDLL(None).dl_iterate_phdr(visit, None)
        """,
    )
    assert done.returncode == EXIT_STATUS, done.stderr
    assert "the GIL was not released" in done.stderr


# ---- forks ----------------------------------------------------------------------------


@needs_fork
def test_monitor_starts_anew_in_the_child_of_a_fork(tmp_path: Path) -> None:
    done = run_script(
        tmp_path / "main.py",
        """\
        import ctypes, os, sys, warnings
        import gilx

        C = ctypes.PyDLL(None)
        warnings.simplefilter("ignore", DeprecationWarning)
        def hold_until_reported():
            for _ in range(100):  # on a busy machine, samples may be late
                C.usleep(400000)
                if monitor.stalls:
                    return

        with gilx.Monitor(stall=0.2, lone=True, log="log") as monitor:
            hold_until_reported()
            child = os.fork()
            if child == 0:
                first = monitor.read()
                assert first.stalls == 0 and first.process == os.getpid(), first
                hold_until_reported()
                counters = monitor.read()
                assert counters.stalls >= 1 and counters.held_seconds.high > 0.1
                assert {one.process for one in monitor.stalls} == {os.getpid()}
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert monitor.read().stalls >= 1
            assert {one.process for one in monitor.stalls} == {os.getpid()}
            print(os.getpid(), child)
        """,
        cwd=tmp_path,
        check=True,
    )
    for process in done.stdout.split():
        assert (
            f"gilx: process {process}: the GIL was not released"
            in (tmp_path / "log").read_text()
        )


@needs_fork
def test_monitor_starts_anew_though_another_thread_was_loading_event_loops(
    tmp_path: Path,
) -> None:
    done = run_script(
        tmp_path / "main.py",
        """\
        import os, sys, types, warnings
        import gilx

        warnings.simplefilter("ignore", DeprecationWarning)
        name = "gilx.sampling.event_loops"
        with gilx.Monitor() as monitor:
            sys.modules[name] = types.ModuleType(name)
            child = os.fork()
            if child == 0:
                os._exit(0 if monitor.read().process == os.getpid() else 1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        """,
        check=True,
    )
    assert done.stderr == ""


@needs_fork
def test_main_thread_has_its_name_in_the_child_of_a_fork(tmp_path: Path) -> None:
    run_script(
        tmp_path / "main.py",
        """\
        import ctypes, os, threading, warnings
        import gilx

        warnings.simplefilter("ignore", DeprecationWarning)
        with gilx.Monitor(stall=None) as monitor:
            child = os.fork()
            if child == 0:
                ctypes.PyDLL(None).usleep(300_000)
                found = []
                thread = threading.Thread(target=lambda: found.append(monitor.read()))
                thread.start()
                thread.join()
                names = {one.name: one.held_seconds.high for one in found[0].by_thread}
                assert names.get("MainThread", 0.0) > 0.1, names
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        """,
        check=True,
    )


@needs_fork
def test_child_of_a_fork_may_end_or_execute_at_once(tmp_path: Path) -> None:
    run_script(
        tmp_path / "main.py",
        """\
        import os, sys, warnings
        import gilx

        warnings.simplefilter("ignore", DeprecationWarning)
        with gilx.Monitor():
            for how in ("end", "execute", "stop"):
                child = os.fork()
                if child == 0 and how == "execute":
                    os.execv("/bin/true", ["true"])
                if child == 0 and how == "end":
                    os._exit(0)
                if child == 0:
                    sys.exit(0)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        """,
        check=True,
    )


@needs_fork
def test_child_in_which_monitor_cannot_run_is_reported(tmp_path: Path) -> None:
    done = run_script(
        tmp_path / "main.py",
        """\
        import os, resource, warnings
        import gilx

        warnings.simplefilter("ignore", DeprecationWarning)
        with gilx.Monitor() as monitor:
            os.environ["GILX_MEMORY"] = "none"
            child = os.fork()
            if child == 0:
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            print(child)
        """,
        check=True,
    )
    expected = (
        f"gilx: process {done.stdout.strip()}: the monitor does not run in this child of"
        " a fork: GILX_MEMORY"
    )
    assert expected in done.stderr


def test_monitor_runs_on_without_a_reference_to_it(tmp_path: Path) -> None:
    done = run_script(
        tmp_path / "main.py",
        """\
        import ctypes, gc
        import gilx

        gilx.Monitor(0.1, lone=True, on_stall="exit").start()
        gc.collect()
        ctypes.PyDLL(None).sleep(3600)
        """,
    )
    assert done.returncode == EXIT_STATUS, done.stderr


def test_interpreter_ends_while_a_monitor_runs(tmp_path: Path) -> None:
    done = run_script(
        tmp_path / "main.py",
        "import gilx; monitor = gilx.Monitor(lone=True); monitor.start()",
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_standard_error_that_is_closed_is_an_error(tmp_path: Path) -> None:
    script = tmp_path / "main.py"
    script.write_text("import gilx; gilx.Monitor().start()")
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" "$1" 2>&-', sys.executable, script],
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 1


def test_ctrl_c_ends_the_program_as_it_would_without_a_monitor(tmp_path: Path) -> None:
    done = run_script(
        tmp_path / "main.py",
        """\
        import sys
        import gilx

        gilx.Monitor(log="log").start()
        assert "asyncio" not in sys.modules
        raise KeyboardInterrupt
        """,
        cwd=tmp_path,
    )
    assert done.returncode == -signal.SIGINT


def test_reading_needs_no_lock_of_threading_beside_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A handler of a signal may interrupt the main thread while that has such a lock."""
    monitor = Monitor()
    owned = []

    def names() -> dict[int, str]:
        owned.append(owns(monitor._lock))
        return {}

    monkeypatch.setattr("gilx.sampling.monitor.names_of_threads", names)
    monkeypatch.setattr("gilx.sampling.monitor.names_of_ended_threads", names)
    with monitor:
        monitor.read()
    assert owned == [False, False, False]  # at the start, and in the reading


def test_thread_that_has_ended_keeps_its_name(tmp_path: Path) -> None:
    with Monitor(stall=0.05, lone=True, log=tmp_path / "log") as monitor:
        threads = []
        while "importer" not in (one.thread for one in monitor.stalls):
            threads.append(threading.Thread(target=hold, args=(0.2,), name="importer"))
            threads[-1].start()
            threads[-1].join()


def test_log_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")  # without a reader
    with pytest.raises(ArgumentError, match="log: expected a file that can be written"):
        Monitor(log=tmp_path / "fifo").start()
    (tmp_path / "file").touch()
    with (
        (tmp_path / "file").open() as file,
        pytest.raises(ArgumentError, match="it is open for reading only"),
    ):
        Monitor(log=file.fileno()).start()


@needs_fork
def test_program_that_closes_and_reuses_descriptors_keeps_its_files(
    tmp_path: Path,
) -> None:
    run_script(
        tmp_path / "main.py",
        """\
        import ctypes, os, warnings
        import gilx

        warnings.simplefilter("ignore", DeprecationWarning)
        hold = ctypes.PyDLL(None).usleep
        monitor = gilx.Monitor(stall=0.05, lone=True, log="log")
        monitor.start()
        os.mkdir("elsewhere")
        os.chdir("elsewhere")
        os.closerange(3, 250)
        files = [open(f"data{number}", "w+") for number in range(8)]
        child = os.fork()
        if child == 0:  # there, the log is opened anew
            while not monitor.stalls:
                hold(200_000)
            monitor.stop()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        monitor.stop()
        for file in files:
            file.write("precious")
            file.close()
            assert open(file.name).read() == "precious"
        assert f"gilx: process {child}: the GIL was not released" in open("../log").read()
        """,
        cwd=tmp_path,
        check=True,
    )
