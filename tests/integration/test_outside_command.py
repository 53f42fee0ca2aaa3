"""``gilx probe -- COMMAND``: a program that is started and watched from outside."""

from __future__ import annotations

import contextlib
import errno
import os
import pty
import shlex
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

import gilx
from gilx.cli.external_program import ExternalProgram
from gilx.sampling import process_children, processes_watch
from tests.command import CompletedProcess, run_gilx
from tests.integration.test_running_process import (
    has_sampler,
    needs_reads,
    process,
    readable,
)
from tests.markers import needs_watch
from tests.trying import first_that
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Any

__all__ = ["readable"]  # a fixture

pytestmark = [needs_watch, needs_reads, pytest.mark.any_python]

_DEADLINE = 60.0
_BUSY = """
import sys, time
def work(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        sum(range(20_000))
"""


def python(program: str, *words: str) -> list[str]:
    return [sys.executable, "-c", program, *words]


def probe_until(
    is_right: Callable[[CompletedProcess], object], *words: str | Path, **options: Any
) -> CompletedProcess:
    """Run `gilx probe`, again if a program ended before it was watched for long enough."""
    return first_that(is_right, lambda: run_gilx("probe", *words, **options))


def usage_in(done: CompletedProcess) -> gilx.GilUsage:
    """Return the usage that is all of the output."""
    assert done.returncode == 0, done.stderr
    return gilx.GilUsage.from_json(done.stdout)


def is_led_by_work(usage: gilx.GilUsage) -> bool:
    return [site.function for site in usage.sites[:1]] == ["work"]


# ---- the program is left alone ----------------------------------------------------------


def test_command_has_its_own_input_output_and_status(tmp_path: Path) -> None:
    program = (
        f"{_BUSY}work(0.5)\n"
        "print(sys.stdin.read(), sys.argv[1:], flush=True)\n"
        "print('wrong', file=sys.stderr)\n"
        "sys.exit(7)"
    )
    file = tmp_path / "usage.json"
    words = python(program, "--pid", "--", "x y")

    def is_right(_: CompletedProcess) -> bool:
        return file.exists() and is_led_by_work(gilx.GilUsage.from_json(file.read_text()))

    done = probe_until(is_right, "--json", file, "--", *words, input="given")
    assert done.returncode == 7, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "given ['--pid', '--', 'x y']"
    assert lines[1].startswith("process ")
    assert done.stderr == "wrong\n"
    usage = gilx.GilUsage.from_json(file.read_text())
    assert usage.process is not None
    assert usage.process.end == "ended"
    assert 0 < usage.wall < _DEADLINE


def test_command_prints_json_after_output_of_program() -> None:
    words = python(f"{_BUSY}work(0.3)\nprint('own')")

    def has_samples(done: CompletedProcess) -> bool:
        first, text = done.stdout.split("\n", 1)
        assert first == "own"
        return done.returncode == 0 and gilx.GilUsage.from_json(text).samples > 0

    probe_until(has_samples, "--json", "-", "--", *words)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_status_of_killed_command_is_128_and_the_signal(number: signal.Signals) -> None:
    program = f"{_BUSY}work(0.3)\nimport os\nos.kill(os.getpid(), {int(number)})"
    done = probe_until(
        lambda done: "longest hold of any thread" in done.stdout, "--", *python(program)
    )
    assert done.returncode == 128 + number, done.stderr


def test_command_that_cannot_be_started_is_a_wrong_command_line() -> None:
    done = run_gilx("probe", "--", "/no/such/program", "x")
    assert done.returncode == 2
    assert done.stderr == (
        "gilx probe: command: expected a program that can be started, got"
        " '/no/such/program': No such file or directory\n"
    )


def test_signals_of_python_have_their_default_effect_in_command() -> None:
    done = run_gilx("probe", "--", "cat", "/proc/self/status")
    status = dict(line.split(":\t", 1) for line in done.stdout.splitlines())
    assert int(status["SigBlk"], 16) == 0
    assert not int(status["SigIgn"], 16) >> (signal.SIGPIPE - 1) & 1


_TRAPS = """
import signal, sys, time
caught = []
for one in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
    signal.signal(one, lambda number, _: caught.append(number))
print("ready", flush=True)
end = time.monotonic() + 60
while len(caught) < int(sys.argv[1]) and time.monotonic() < end:
    time.sleep(0.01)
time.sleep(0.3)  # for one too many
print(*map(int, caught), flush=True)
"""


def test_signals_to_gilx_are_sent_on_to_command() -> None:
    child = subprocess.Popen(
        [sys.executable, "-m", "gilx", "probe", "--", *python(_TRAPS, "3")],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    sent = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
    for number in sent:
        child.send_signal(number)
        time.sleep(0.1)
    output, _ = child.communicate(timeout=_DEADLINE)
    assert child.returncode == 0
    assert sorted(map(int, output.splitlines()[0].split())) == sorted(map(int, sent))


@contextlib.contextmanager
def on_terminal(*words: str) -> Iterator[tuple[int, int]]:
    """Run a program on a terminal of its own; yield its number and the terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(words[0], words)
    try:
        yield pid, terminal
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.close(terminal)


def read_until(terminal: int, word: str) -> str:
    """Return what a terminal shows until there is a word, or the program ended."""
    shown, end = "", time.monotonic() + _DEADLINE
    while word not in shown and time.monotonic() < end:
        try:
            shown += os.read(terminal, 4096).decode(errors="replace")
        except OSError:  # the program ended
            break
    return shown


def interrupted(*program: str) -> tuple[str, int]:
    """Return what `gilx probe` shows, and its status, if a watched program gets Ctrl-C."""

    def interrupt() -> tuple[str, int]:
        words = (sys.executable, "-m", "gilx", "probe", "--", *python(*program))
        with on_terminal(*words) as (pid, terminal):
            assert "ready" in read_until(terminal, "ready")
            wait_until(lambda: has_sampler(pid), "the program is not watched")
            time.sleep(0.3)
            os.write(terminal, b"\x03")
            shown = read_until(terminal, "of a CPU")
            _, status = os.waitpid(pid, 0)
        return shown, os.waitstatus_to_exitcode(status)

    return first_that(lambda found: "held by any thread: " in found[0], interrupt)


def test_control_c_reaches_command_once_and_usage_is_printed() -> None:
    shown, status = interrupted(_TRAPS, "1")
    assert status == 0
    caught = next(line for line in shown.splitlines() if line.strip("^C").isdigit())
    assert caught.strip("^C") == "2"


def test_control_c_ends_command_that_does_not_catch_it() -> None:
    program = "import time\nprint('ready', flush=True)\ntime.sleep(60)"
    _, status = interrupted(program)
    assert status == 128 + signal.SIGINT


def test_signal_that_command_may_not_get_is_reported(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with ExternalProgram(["sleep", "0.5"]) as program:

        def refuse(pid: int, number: int) -> None:  # as for a program with another user
            assert (pid, number) == (program.pid, signal.SIGUSR1)
            raise PermissionError(errno.EPERM, "Operation not permitted")

        signal.raise_signal(signal.SIGUSR1)
        with monkeypatch.context() as patched:
            patched.setattr(os, "kill", refuse)
            program.wait(1.0)
    assert program.status() == 0
    assert capfd.readouterr().err == (
        f"gilx probe: SIGUSR1 could not be sent on to process {program.pid}, which runs"
        " as another user\n"
    )


# ---- what is watched --------------------------------------------------------------------


def test_command_writes_files_of_its_samples(tmp_path: Path) -> None:
    trace, stacks = tmp_path / "trace.json", tmp_path / "stacks.collapsed"
    program = f"{_BUSY}def outer():\n    work(1)\nouter()"

    def has_both(done: CompletedProcess) -> bool:
        assert done.returncode == 0, done.stderr
        return '"work' in trace.read_text() and any(
            "outer" in line and "work" in line for line in stacks.read_text().splitlines()
        )

    words = ("--trace", trace, "--stacks", stacks, "--")
    probe_until(has_both, *words, *python(program))


def test_process_writes_files_of_its_samples(tmp_path: Path) -> None:
    trace, stacks = tmp_path / "trace.json", tmp_path / "stacks.collapsed"
    with process(f"{_BUSY}print(flush=True)\nwork(600)") as (child, _):
        words = ("--budget", "0.5", "--trace", trace, "--stacks", stacks)
        done = probe_until(
            lambda _: stacks.exists() and "work" in stacks.read_text(),
            *("--pid", str(child.pid), *words),
        )
    assert done.returncode == 0, done.stderr
    assert f'"pid": {child.pid}' in trace.read_text()


def test_budget_ends_watch_and_leaves_command_its_time() -> None:
    program = f"{_BUSY}work(1.5)\nprint('end', flush=True)"

    def ends_first(done: CompletedProcess) -> bool:
        assert done.returncode == 0, done.stderr
        text, _, last = done.stdout.rstrip("\n").rpartition("\n")
        # On a busy machine, the program may end within the budget.
        usage = gilx.GilUsage.from_json(text) if last == "end" else None
        return usage is not None and usage.process is not None and not usage.process.end

    words = ("--budget", "0.5", "--json", "-", "--")
    probe_until(ends_first, *words, *python(program))


@pytest.mark.parametrize(
    "words",
    [
        ["env", "GILX_TEST=1"],
        ["sh", "-c", 'exec "$@"', "sh"],
        python("import os, sys\nos.execv(sys.argv[1], sys.argv[1:])"),
    ],
    ids=["env", "shell", "python"],
)
def test_watch_follows_process_into_another_program(words: list[str]) -> None:
    done = probe_until(
        lambda done: is_led_by_work(usage_in(done)),
        *("--json", "-", "--", *words, *python(f"{_BUSY}work(0.5)")),
    )
    usage = usage_in(done)
    assert usage.process is not None
    assert usage.process.end == "ended"


def test_command_without_python_says_so_and_keeps_its_status() -> None:
    done = probe_until(
        lambda done: "cannot be watched: no CPython is in it" in done.stderr,
        *("--", "sh", "-c", "sleep 0.5; exit 3"),
    )
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.endswith("; --subprocesses watches the processes that it starts\n")


def test_command_that_ends_at_once_says_so() -> None:
    done = run_gilx("probe", "--", "true")
    assert done.returncode == 0
    assert (
        "ended before it could be watched" in done.stderr or "no CPython" in done.stderr
    )


# ---- its subprocesses -------------------------------------------------------------------

_PARENT = f"""
{_BUSY}
import subprocess
code = '''{_BUSY}def child():
    work(float(sys.argv[1]))
child()
'''
children = [
    subprocess.Popen([sys.executable, "-c", code, "1.2"]) for _ in range(2)
]
other = subprocess.Popen(["sleep", "0.5"])
work(0.2)
for one in (*children, other):
    one.wait()
"""


def test_subprocesses_have_a_usage_each_and_one_together() -> None:
    def found_in(done: CompletedProcess) -> gilx.ProcessesUsage:
        assert done.returncode == 0, done.stderr
        return gilx.ProcessesUsage.from_json(done.stdout)

    def has_all(done: CompletedProcess) -> bool:
        processes = found_in(done).processes
        functions = [{site.function for site in one.sites} for one in processes]
        return len(functions) == 3 and all("work" in one for one in functions)

    words = ("--subprocesses", "--json", "-", "--")
    found = found_in(probe_until(has_all, *words, *python(_PARENT)))
    assert found.unwatched == ()
    total = found.total
    assert total.program == "the group of 3 processes"
    assert total.process is None
    assert total.samples == sum(one.samples for one in found.processes)
    assert total.wall == pytest.approx(sum(one.wall for one in found.processes))
    line = next(one for one in total.lines() if one.function == "work")
    assert line.samples == sum(
        site.samples
        for one in found.processes
        for site in one.sites
        if (site.function, site.line) == ("work", line.line)
    )
    assert [one.name for one in total.by_thread] == ["main"]
    assert str(found).startswith("3 processes hold their GILs for ")
    assert str(total).partition("\n  ")[2].splitlines()[-1] in str(found)
    pids = [one.process.pid for one in found.processes if one.process]
    assert all(f"process {pid} (" in str(found) for pid in pids)


def test_subprocesses_of_shell_are_watched() -> None:
    script = f"{shlex.join(python(f'{_BUSY}work(0.7)'))}; exit 4"
    done = probe_until(
        lambda done: " work" in done.stdout,
        *("--subprocesses", "--", "sh", "-c", script),
    )
    assert done.returncode == 4, done.stderr


def test_running_process_is_watched_with_its_subprocesses() -> None:
    program = _PARENT.replace('"1.2"', '"600"')
    child = subprocess.Popen(python(program), process_group=0)

    def has_all(done: CompletedProcess) -> bool:  # once it has started them
        return (
            done.returncode == 0
            and len(gilx.ProcessesUsage.from_json(done.stdout).processes) == 3
        )

    try:
        wait_until(lambda: process_children.children_of({child.pid}))
        words = ("--subprocesses", "--budget", "1", "--json", "-")
        done = probe_until(has_all, "--pid", str(child.pid), *words)
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    found = gilx.ProcessesUsage.from_json(done.stdout)
    assert found.processes[0].process is not None
    assert found.processes[0].process.pid == child.pid


def test_processes_that_are_not_watched_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processes_watch, "_MOST", 2)
    program = _PARENT.replace('"1.2"', '"600"')
    child = subprocess.Popen(python(program), process_group=0)
    try:
        watching = processes_watch.ProcessesWatch(child.pid, 0.03, subprocesses=True)
        end = time.monotonic() + _DEADLINE
        while not watching.refused and time.monotonic() < end:
            watching.step()
            time.sleep(watching.pause)
        watching.wait(0.3)
        found = watching.usage_of_processes()
    finally:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    assert found.unwatched
    assert {one.reason for one in found.unwatched} == {"2 processes were watched already"}
    first = found.unwatched[0]
    words = f"not watched: process {first.pid}: 2 processes were watched already"
    assert words in " ".join(str(found).split())
    assert gilx.ProcessesUsage.from_json(found.to_json()) == found


def test_children_are_found_without_lists_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with subprocess.Popen(["sleep", "600"]) as child:
        assert child.pid in process_children.children_of({os.getpid()})
        monkeypatch.setattr(process_children, "_lists_children", lambda: False)
        assert child.pid in process_children.children_of({os.getpid()})
        assert process_children.children_of({child.pid}) == set()
        child.kill()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--pid", "1", "--", "true"],
            "target: expected none together with --pid, got 'true'",
        ),
        (["--repeat", "2", "--", "true"], "repeat: can't be combined with -- COMMAND"),
        (["--budget", "0", "--", "true"], "budget: expected above 0"),
        (
            ["--subprocesses", "json:loads"],
            "subprocesses: expected only with --pid or --",
        ),
        (
            ["--subprocesses", "--trace", "a.json", "--", "true"],
            "trace: can't be combined with --subprocesses",
        ),
        (["--trace", "", "--", "true"], "trace: expected the name of a file"),
        (["--"], "required: TARGET"),
    ],
)
def test_probe_refuses_options_that_are_not_for_commands(
    words: list[str], message: str
) -> None:
    done = run_gilx("probe", *words)
    assert done.returncode == 2
    assert message in done.stderr
