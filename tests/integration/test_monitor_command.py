"""``gilx monitor``: a program's own status, and reports of stalls."""

from __future__ import annotations

import re
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gilx import Monitor
from gilx.sampling.known_stacks import reason_against_stacks
from tests.command import run_gilx, run_here, run_python
from tests.markers import needs, needs_fork, needs_linux, needs_no_gil, needs_watch

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """\
import ctypes, sys, threading, time

def wait_for_the_gil():
    while not stop:
        time.sleep(0.001)

stop = False
thread = threading.Thread(target=wait_for_the_gil)
thread.start()
ctypes.PyDLL(None).usleep(600_000)
stop = True
thread.join()
print(sys.argv)
sys.exit(5)
"""


@needs_watch
def test_program_keeps_its_status_and_output(tmp_path: Path) -> None:
    (tmp_path / "hold.py").write_text(HOLD)
    words = "--log", "log", "hold.py", "--stall", "x"
    done = run_gilx("monitor", "--stall", "0.1", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (5, "['hold.py', '--stall', 'x']\n")
    assert done.stderr == ""
    log = (tmp_path / "log").read_text()
    assert re.match(r"gilx: process \d+: the GIL was not released for 0\.\d", log), log
    if not reason_against_stacks():
        assert f'File "{tmp_path}/hold.py", line 10 in <module>' in log


@needs_watch
def test_reports_go_to_standard_error(tmp_path: Path) -> None:
    (tmp_path / "hold.py").write_text(HOLD)
    done = run_gilx("monitor", "-m", "hold", cwd=tmp_path)
    assert done.returncode == 5
    assert "the GIL was not released for 0." in done.stderr
    assert "the GIL was released after" in done.stderr


@needs_watch
def test_exit_ends_a_program_that_hangs(tmp_path: Path) -> None:
    (tmp_path / "hang.py").write_text("import ctypes; ctypes.PyDLL(None).sleep(3600)")
    options = "--stall", "0.2", "--lone", "--exit"
    done = run_gilx("monitor", *options, "hang.py", cwd=tmp_path)
    assert done.returncode == 70
    assert "and sleeps" in done.stderr or "holds the GIL" in done.stderr


@needs_watch
@needs_fork
@pytest.mark.parametrize(
    "more",
    [
        pytest.param((), id="plain"),
        pytest.param(("--lone",), id="lone"),
        pytest.param(
            ("--prometheus", "0", "--log", "log"),
            id="prometheus",
            marks=needs("prometheus_client"),
        ),
        pytest.param(
            ("--prometheus", "PORT", "--log", "log"),
            id="one port",
            marks=needs("prometheus_client"),
        ),
    ],
)
def test_fork_warns_as_without_gilx(more: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "forks.py").write_text(
        """\
import os, sys

def fork(depth):
    child = os.fork()
    if child == 0:
        if depth:
            fork(depth - 1)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

fork(2)
"""
    )
    options = "-W", "always::DeprecationWarning"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])  # which is free in a moment
    more = tuple(port if word == "PORT" else word for word in more)
    alone = run_python(*options, "forks.py", cwd=tmp_path, check=True)
    watched = run_python(
        *options, "-m", "gilx", "monitor", *more, "forks.py", cwd=tmp_path, check=True
    )
    assert (watched.stdout, watched.stderr) == (alone.stdout, alone.stderr)


UNWATCHED = """\
import asyncio, subprocess
asyncio._set_running_loop(object())
asyncio._set_running_loop(None)
subprocess.run(["true"], check=True)
"""


@needs_watch
def test_end_of_the_log_names_what_was_not_watched(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(UNWATCHED)
    run_gilx("monitor", "--loop", "1", "--log", "log", "main.py", cwd=tmp_path)
    line = (tmp_path / "log").read_text().splitlines()[-1]
    assert re.fullmatch(
        r"gilx: process \d+: not watched: (.* CPU; )?event loops of type builtins\.object;"
        r" child processes, which ran other programs",
        line,
    )


@needs_watch
def test_unwatched_parts_are_one_sentence() -> None:
    unwatched = pytest.importorskip("gilx.cli.unwatched").unwatched
    with Monitor(stall=None) as monitor:
        counters = replace(monitor.read(), wall=10.0, unknown_seconds=0.25)
    assert unwatched(counters, [], children=False) == ""
    late = replace(counters, unknown_seconds=2.5)
    assert unwatched(late, ["uvloop.Loop", "a.B"], children=True) == (
        "not watched: 2.5 s (25 % of the time), in which the sampler had no CPU; event"
        " loops of type uvloop.Loop and a.B; child processes, which ran other programs"
    )
    # That is normal in a long run.
    assert not unwatched(replace(late, wall=86400.0), [], children=False)


@needs_watch
@needs_fork
def test_forked_children_are_not_among_what_was_not_watched(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(
        "import os, sys\nchild = os.fork()\nif child: os.waitpid(child, 0)\nsys.exit(0)\n"
    )
    run_gilx("monitor", "--log", "log", "main.py", cwd=tmp_path)
    assert "child processes" not in (tmp_path / "log").read_text()


@needs_no_gil
@needs_linux
def test_program_that_does_not_stop_is_ended_without_a_gil(tmp_path: Path) -> None:
    (tmp_path / "hang.py").write_text("import ctypes; ctypes.PyDLL(None).sleep(3600)")
    options = "--stall", "0.2", "--lone", "--exit"
    done = run_gilx("monitor", *options, "hang.py", cwd=tmp_path)
    assert done.returncode == 70
    assert "the stop of the world that gilx asked for has not begun" in done.stderr
    assert "(main thread) is late to stop" in done.stderr


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("nope.py",), "target: expected a script that exists, got 'nope.py'"),
        (("time:sleep",), "target: expected -m module, or a script, directory or zip"),
        (("-m", "nope"), "-m: no module named 'nope'"),
        (("--stall", "x", "a.py"), "stall: expected a number, got 'x'"),
        (("--stall", "0", __file__), "stall: expected 0.01 to 86400 seconds, got 0"),
        (("--prometheus", "x", "nope.py"), "target: expected a script that exists"),
        (("--cost", "2", __file__), "cost: expected above 0 and at most 0.5, got 2"),
        ((), "the following arguments are required: TARGET"),
    ],
)
def test_wrong_command_line_is_one_line(
    words: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    done = run_here(capsys, "monitor", *words)
    assert done.returncode == 2
    assert done.stderr.startswith(f"gilx monitor: {expected}")
    assert done.stderr.count("\n") == 1


@needs("gevent")
def test_threads_of_gilx_are_no_greenlets(tmp_path: Path) -> None:
    pytest.importorskip("gevent")
    (tmp_path / "main.py").write_text(
        "import gevent.monkey; gevent.monkey.patch_all()\n"
        "import gilx\n"
        "from gilx.testing import judge_longest_hold\n"
        "with gilx.Monitor(stall=60, lone=True): pass\n"
        "judge_longest_hold(sum, range(100_000))\n"
        "print('ended')\n"
    )
    done = run_python(tmp_path / "main.py", check=True, timeout=60)
    assert done.stdout == "ended\n"
