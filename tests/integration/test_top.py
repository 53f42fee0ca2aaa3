"""``gilx top``: on a terminal, on a pipe, and how it ends."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import struct
import sys
import termios
import time

import pytest

from tests.command import CompletedProcess, run_gilx, run_program
from tests.integration.test_outside_command import on_terminal, read_until
from tests.integration.test_running_process import (
    PROGRAM,
    SLEEP,
    needs_reads,
    process,
    readable,
)
from tests.markers import needs, needs_watch
from tests.trying import first_that

__all__ = ["readable"]  # a fixture

pytestmark = [needs_watch, needs_reads, pytest.mark.any_python]
needs_rich = needs("rich")

_ALTERNATE, _NORMAL = "\x1b[?1049h", "\x1b[?1049l"  # screens of a terminal
_LINE = re.compile(r"\d\d:\d\d:\d\d  held +[\d.]+ %  waiting +([\d.]+|-)  ")


def status_of(pid: int) -> int:
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def top(pid: int, *words: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "gilx", "top", "--pid", str(pid), *words)


@needs_rich
def test_q_quits_and_leaves_terminal_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with (
        process(PROGRAM + SLEEP) as (child, _),
        on_terminal(*top(child.pid)) as (pid, terminal),
    ):
        before = termios.tcgetattr(terminal)
        shown = read_until(terminal, "q quits")
        assert _ALTERNATE in shown
        assert f"process {child.pid} (" in shown
        if "<string>:6" not in shown:  # on a busy machine, it comes with a later screen
            assert "<string>:6" in read_until(terminal, "<string>:6")
        os.write(terminal, b"xq")
        last = read_until(terminal, "it was watched")
        assert _NORMAL in last
        assert "held the GIL for" in last
        assert status_of(pid) == 0
        assert termios.tcgetattr(terminal) == before


@needs_rich
def test_screen_follows_size_of_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name in ("COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    with (
        process(PROGRAM + SLEEP) as (child, _),
        on_terminal(*top(child.pid)) as (pid, terminal),
    ):
        for columns in (120, 20, 3, 80):
            size = struct.pack("HHHH", 24, columns, 0, 0)
            fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)
            time.sleep(0.7)
        shown = read_until(terminal, "q quits")
        assert "Traceback" not in shown
        os.write(terminal, b"Q")
        assert status_of_after(pid, terminal) == 0


def status_of_after(pid: int, terminal: int) -> int:
    """Return the status of a program whose last output is read."""
    read_until(terminal, "it was watched")
    return status_of(pid)


@needs_rich
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_signals_leave_terminal_as_it_was(
    number: signal.Signals, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with (
        process(PROGRAM + SLEEP) as (child, _),
        on_terminal(*top(child.pid)) as (pid, terminal),
    ):
        before = termios.tcgetattr(terminal)
        read_until(terminal, "q quits")
        os.kill(pid, number)
        end = "it was watched" if number == signal.SIGINT else _NORMAL
        assert _NORMAL in read_until(terminal, end)
        assert status_of(pid) == status
        assert termios.tcgetattr(terminal) == before


@needs_rich
def test_end_of_process_ends_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    with (
        process(PROGRAM + SLEEP) as (child, _),
        on_terminal(*top(child.pid)) as (pid, terminal),
    ):
        read_until(terminal, "q quits")
        child.kill()
        child.wait()
        shown = read_until(terminal, "; it ended")
        assert "; it ended" in shown.replace("\r\n", " ")
        assert status_of(pid) == 0


def test_pipe_has_one_line_for_each_reading() -> None:
    with process(PROGRAM + SLEEP) as (child, _):
        done = first_that(
            lambda done: "<string>:6" in done.stdout,
            lambda: run_gilx("top", "--pid", str(child.pid), "--budget", "2.2"),
        )
    assert done.returncode == 0, done.stderr
    first, *lines, last = done.stdout.splitlines()
    assert first.startswith(f"process {child.pid} (")
    assert 1 <= len(lines) <= 5
    assert all(map(_LINE.match, lines))
    assert " held the GIL for " in last


def test_pipe_ends_with_process_and_needs_no_rich() -> None:
    program = (
        "import sys\nsys.modules['rich'] = None\nfrom gilx.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )

    def run() -> CompletedProcess:
        with process(PROGRAM + "time.sleep(2)") as (child, _):
            words = (sys.executable, "-c", program, "top", "--pid", str(child.pid))
            return run_program(*words)

    # On a busy machine, the process may end before it is watched.
    done = first_that(lambda done: done.returncode == 0, run)
    assert done.stdout.endswith("; it ended\n")


def test_terminal_needs_rich_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    program = (
        "import sys\nsys.modules['rich'] = None\nfrom gilx.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    with process(PROGRAM + SLEEP) as (child, _):
        words = (sys.executable, "-c", program, "top", "--pid", str(child.pid))
        with on_terminal(*words) as (pid, terminal):
            shown = read_until(terminal, "gilx[top]")
            assert "the screen needs rich: pip install 'gilx[top]'" in shown
            assert status_of(pid) == 1


def test_pipe_whose_reader_left_ends_top() -> None:
    with process(PROGRAM + SLEEP) as (child, _):
        words = " ".join(top(child.pid))
        done = run_program("sh", "-c", f"{words} | head -2")
    assert len(done.stdout.splitlines()) == 2
    assert done.stderr == ""


def test_top_of_no_process_exits_with_1() -> None:
    with process("print()") as (child, _):
        child.wait()
    done = run_gilx("top", "--pid", str(child.pid))
    assert done.returncode == 1
    assert done.stderr == f"gilx top: process {child.pid} does not exist\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "the following arguments are required: --pid"),
        (("--pid", "0"), "pid: expected at least 1, got 0"),
        (("--pid", "1", "--interval", "0"), "interval: expected above 0, got 0"),
        (("--pid", "1", "--budget", "-1"), "budget: expected a finite number"),
    ],
)
def test_top_refuses_wrong_arguments(words: tuple[str, ...], message: str) -> None:
    done = run_gilx("top", *words)
    assert done.returncode == 2
    assert message in done.stderr
