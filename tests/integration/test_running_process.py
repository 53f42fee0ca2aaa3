"""Another process that is watched from outside, and each reason for which it is not."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import gilx
from gilx._compat import gil_enabled
from gilx.sampling import process_access
from gilx.sampling.process_watch import ProcessWatch
from tests.command import (
    CompletedProcess,
    run_gilx,
    run_here,
    run_program,
    run_python,
)
from tests.markers import needs_watch
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = needs_watch

# A thread that holds the GIL for most of the time in one line, one that waits for it, and
# a main thread that sleeps.
PROGRAM = """
import sys, threading, time

def work():
    while True:
        sum(range(20_000))

def ask():
    while True:
        time.sleep(0.001)

ids = []
for function in (work, ask):
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    ids.append(thread.native_id)
print(*ids, flush=True)
"""
SLEEP = "time.sleep(600)"
_DEADLINE = 60.0


@contextlib.contextmanager
def process(
    program: str, python: str = sys.executable, *options: str
) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """Run a program that prints numbers; yield it and these."""
    child = subprocess.Popen(
        [python, *options, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        yield child, [int(word) for word in child.stdout.readline().split()]
    finally:
        child.kill()
        child.communicate()


def pythons() -> list[str]:
    """Return the interpreters at hand, by the names of their versions."""
    found: dict[int, str] = {}
    for minor in range(11, 16):
        for path in (
            shutil.which(f"python3.{minor}"),
            *map(
                str, sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python"))
            ),
        ):
            if path and _version(path).startswith(f"3.{minor}."):
                found.setdefault(minor, path)
    return [found.get(minor, f"3.{minor}") for minor in range(11, 16)]


def _version(path: str, *, gil: bool = True) -> str:
    """Return the version of an interpreter with or without a GIL; '' if it is not one."""
    code = (
        "import platform, sys;"
        " print(platform.python_version(), getattr(sys, '_is_gil_enabled', bool)() or"
        " not hasattr(sys, '_is_gil_enabled'))"
    )
    done = run_program(path, "-c", code)  # a shim of pyenv may be of none
    words = done.stdout.split() if done.returncode == 0 else ["", ""]
    return words[0] if words[1] == str(gil) else ""


@pytest.fixture
def readable() -> None:
    """Skip a test if no process can be read here, not even a child."""
    with process("print()\nimport time\ntime.sleep(600)") as (child, _):
        try:
            Path(f"/proc/{child.pid}/mem").open("rb").close()
        except OSError as error:
            pytest.skip(f"reads of another process are forbidden here: {error}")


needs_reads = pytest.mark.usefixtures("readable")


def has_sampler(pid: int) -> bool:
    """Return whether a process has a thread that samples."""
    for path in Path(f"/proc/{pid}/task").glob("*/comm"):
        with contextlib.suppress(OSError):  # it has ended since
            if path.read_text() == "gilx-watch\n":
                return True
    return False


def until(usable: Callable[[gilx.GilUsage], bool], pid: int) -> gilx.GilUsage:
    """Watch a process until a usage has what it must have, also on a busy machine."""
    end = time.monotonic() + _DEADLINE
    while True:
        usage = gilx.attach(pid, budget=0.5, cost=0.1)
        if usable(usage) or time.monotonic() > end:
            return usage


# ---- what is found ----------------------------------------------------------------------


@needs_reads
@pytest.mark.parametrize("python", pythons(), ids=lambda path: Path(path).name)
def test_attach_finds_threads_and_lines_that_hold_the_gil(python: str) -> None:
    if not Path(python).exists():
        pytest.skip(f"needs Python {python}")
    with process(PROGRAM + SLEEP, python) as (child, (worker, asker)):
        usage = until(
            lambda one: (
                [site.function for site in one.sites][:1] == ["work"]
                and one.switches_per_second > 0
            ),
            child.pid,
        )
    threads = {thread.native_id: thread for thread in usage.by_thread}
    assert usage.by_thread[0].native_id == child.pid
    assert usage.by_thread[0].name == "main"
    assert threads.keys() >= {child.pid, worker, asker}
    assert max(threads.values(), key=lambda one: one.holding.value).native_id == worker
    assert usage.sites_missing == ""
    assert usage.sites[0].function == "work"
    assert usage.sites[0].held.value == max(site.held.value for site in usage.sites)
    assert usage.longest_hold.known
    assert usage.process is not None
    assert usage.process.pid == child.pid
    assert usage.process.python == _version(python)
    assert usage.process.end == ""
    assert usage.program.startswith(f"process {child.pid} (")
    assert usage.hold_length == (0.0, usage.wall)
    assert gilx.GilUsage.from_json(usage.to_json()) == usage


@needs_reads
def test_attach_names_the_line_of_the_program_that_calls_a_library() -> None:
    program = """
import json
data = [{"a": number} for number in range(300)]

def serve():
    return json.dumps(data, indent=1)

print(flush=True)
while True:
    serve()
"""
    with process(program) as (child, _):
        usage = until(lambda one: any(site.callers for site in one.sites), child.pid)
    callers = {caller.function for site in usage.sites for caller in site.callers}
    assert callers == {"serve"}
    assert "called from <string>:6" in str(usage)


@needs_reads
def test_attach_knows_threads_that_wait_as_far_as_a_watch_does() -> None:
    with gilx.watch() as own:
        time.sleep(0.05)
    with process(PROGRAM + SLEEP) as (child, (_, asker)):
        usage = until(
            lambda one: not one.waited.value <= 0,  # or it is unknown
            child.pid,
        )
    assert usage.states_missing == own.usage.states_missing
    assert usage.waited.known == own.usage.waited.known
    assert not usage.waited.value <= 0
    waiting = {one.native_id: one.waiting_gil for one in usage.by_thread}[asker]
    assert waiting.known == own.usage.by_thread[0].waiting_gil.known


@pytest.mark.any_python
def test_timeline_from_outside_shows_running_for_as_long_as_the_usage_does() -> None:
    program = """
import hashlib, threading
blob = bytes(20_000_000)
def work():
    while True:
        hashlib.sha256(blob)
thread = threading.Thread(target=work, daemon=True)
thread.start()
print(thread.native_id, flush=True)
thread.join()
"""
    with process(program) as (child, ids):
        watching = ProcessWatch(child.pid, 0.03)
        with watching:
            watching.wait(2.0)
    threads = watching.usage_of_process().by_thread
    usage = next(one for one in threads if one.native_id == ids[0])
    lane = next(one for one in watching.timeline.lanes if one.native_id == ids[0])
    if not usage.running.known:
        pytest.skip("the scheduler's clock cannot be read")
    assert usage.running.value > 0
    for state in "running", "waiting_cpu":
        share = getattr(usage, state).value
        assert lane.share(state) == pytest.approx(share, abs=0.2), (lane, usage)


@needs_reads
def test_attach_reports_a_process_that_never_holds_the_gil() -> None:
    with process("print()\nimport time\n" + SLEEP) as (child, _):
        usage = until(lambda one: one.sites == (), child.pid)  # once it sleeps
    assert usage.locked.low <= 0.1
    assert (
        usage.inconclusive_reason or "releases the GIL for all of the" in usage.sentence()
    )
    assert usage.sites == ()


@needs_reads
def test_attach_uses_names_that_linux_has_for_threads() -> None:
    naming = """
named = threading.Event()
def name():
    with open("/proc/thread-self/comm", "w") as file:
        file.write("reader")
    named.set()
    while True:
        sum(range(1000))
thread = threading.Thread(target=name, daemon=True)
thread.start()
named.wait()
print(thread.native_id, flush=True)
"""
    with process("import threading, time\n" + naming + SLEEP) as (child, (named,)):
        usage = gilx.attach(child.pid, budget=0.5)
    assert {one.native_id: one.name for one in usage.by_thread}[named] == "reader"


@needs_reads
def test_attach_reads_by_proc_mem_if_process_vm_readv_is_forbidden() -> None:
    # Of another process than its parent, a process must allow that if Yama is on.
    allow = "import ctypes; ctypes.CDLL(None).prctl(0x59616d61, ctypes.c_ulong(-1))"
    with process(f"{allow}\n{PROGRAM}{SLEEP}") as (child, _):
        done = _run(f"{_FILTER}\n{_ATTACH}", str(child.pid))
    if done.returncode == 77:
        pytest.skip(done.stdout)
    assert done.stdout.strip() == "/proc/PID/mem", done.stderr


@needs_reads
def test_attach_is_not_refused_while_threads_start_and_end() -> None:
    program = """
import threading, time
for _ in range(100):
    threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
print(flush=True)
while True:
    threads = [threading.Thread(target=time.sleep, args=(0.001,)) for _ in range(20)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
"""
    with process(program) as (child, _):
        for _ in range(60):
            watch = ProcessWatch(child.pid, 0.03)
            watch.__enter__()  # which would raise
            watch.finish()


# ---- a process that goes away -----------------------------------------------------------


@needs_reads
@pytest.mark.parametrize(
    ("last", "end", "words"),
    [
        ("sys.exit()", "ended", "it ended while it was watched"),
        ("os.kill(os.getpid(), 9)", "ended", "it ended while it was watched"),
        (
            "os.execvp('sleep', ['sleep', '600'])",
            "replaced",
            "it executed another program while it was watched",
        ),
        (
            "os.execv(sys.executable, [sys.executable, '-c', 'input()'])",
            "replaced",
            "it executed another program while it was watched",
        ),
    ],
    ids=["exit", "killed", "other program", "same program"],
)
def test_attach_returns_usage_until_process_goes_away(
    last: str, end: str, words: str
) -> None:
    program = f"import os\n{PROGRAM}sys.stdin.readline()\n{last}"
    with process(program) as (child, _):

        def let_go() -> None:
            wait_until(lambda: has_sampler(os.getpid()))
            time.sleep(1.0)
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()

        go = threading.Thread(target=let_go)
        go.start()
        began = time.monotonic()
        usage = gilx.attach(child.pid, budget=_DEADLINE)
        took = time.monotonic() - began
        go.join()
    assert usage.process is not None
    assert usage.process.end == end
    assert words in " ".join(str(usage).split())
    assert usage.wall <= took < _DEADLINE
    assert usage.samples > 0


# ---- refusals ---------------------------------------------------------------------------


@pytest.mark.parametrize("pid", [0, -1, 2**22 + 1, True, "1", 1.5, None])
def test_attach_refuses_what_is_no_process_number(pid: object) -> None:
    with pytest.raises(gilx.ArgumentError, match=r"^pid: expected "):
        gilx.attach(pid)  # type: ignore[arg-type]


@pytest.mark.parametrize(("name", "value"), [("budget", 0), ("cost", 0.6), ("cost", 0)])
def test_attach_names_the_argument_that_is_wrong(name: str, value: float) -> None:
    with pytest.raises(gilx.ArgumentError, match=f"^{name}: expected "):
        gilx.attach(1, **{name: value})


def test_attach_refuses_its_own_process_and_names_the_watch() -> None:
    with pytest.raises(gilx.ArgumentError, match=r"this one: gilx\.watch watches it"):
        gilx.attach(os.getpid())


def test_attach_refuses_a_thread_and_names_its_process() -> None:
    with (
        process(PROGRAM + SLEEP) as (child, (worker, _)),
        pytest.raises(gilx.ArgumentError, match=f"a thread of process {child.pid}"),
    ):
        gilx.attach(worker)


def test_attach_says_that_there_is_no_such_process() -> None:
    with process("print()") as (child, _):
        child.wait()
    with pytest.raises(
        gilx.WatchUnavailableError, match=f"process {child.pid} does not exist"
    ):
        gilx.attach(child.pid)


def test_attach_says_that_a_zombie_has_ended() -> None:
    child = subprocess.Popen(["sleep", "600"])
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    try:
        with pytest.raises(gilx.WatchUnavailableError, match="has ended"):
            gilx.attach(child.pid)
    finally:
        child.wait()


@needs_reads
def test_attach_says_that_there_is_no_python_in_a_process() -> None:
    child = subprocess.Popen(["sleep", "600"])
    try:
        with pytest.raises(gilx.WatchUnavailableError, match="no CPython is in it"):
            gilx.attach(child.pid)
    finally:
        child.kill()
        child.wait()


@needs_reads
def test_attach_names_versions_that_it_can_watch() -> None:
    old = [
        *filter(None, (shutil.which(f"python3.{minor}") for minor in range(7, 11))),
        *map(str, Path.home().glob(".pyenv/versions/3.[789].*/bin/python")),
        *map(str, Path.home().glob(".pyenv/versions/3.10.*/bin/python")),
    ]
    python = next((one for one in old if _version(one)), None)
    if python is None:
        pytest.skip("needs a Python from 3.7 to 3.10")
    with (
        process("print()\nimport time\ntime.sleep(600)", python) as (child, _),
        pytest.raises(
            gilx.WatchUnavailableError, match=r"3\.10 or older; 3\.11 to 3\.15 can be"
        ),
    ):
        gilx.attach(child.pid)


def without_gil(*minors: int) -> str:
    """Return a Python that runs without a GIL."""
    if not gil_enabled() and sys.version_info[1] in minors:
        return sys.executable
    found = filter(None, (shutil.which(f"python3.{minor}t") for minor in minors))
    python = next((one for one in found if _version(one, gil=False)), None)
    if python is None:
        pytest.skip("needs a free-threaded build of Python")
    return python


@needs_reads
def test_attach_reports_threads_of_a_process_without_a_gil() -> None:
    program = """\
import gc, threading, time
lock = threading.Lock()
lock.acquire()
kept = [[] for _ in range(100_000)]
def compute():
    while True:
        sum(range(1000))
def collect():
    while True:
        gc.collect()
for work in compute, collect, lock.acquire:
    threading.Thread(target=work, name=work.__name__, daemon=True).start()
print(flush=True)
time.sleep(600)
"""

    def is_complete(usage: gilx.GilUsage) -> bool:
        threads = {one.name: one for one in usage.by_thread}
        if not threads.keys() >= {"compute", "collect", "acquire"}:
            return False
        waits = threads["acquire"].waiting_lock
        world = usage.world
        return (
            waits.known
            and waits.value > 0.5
            and (
                world is None
                or (
                    world.stopped.value > 0.1
                    and bool(world.asked_by)
                    and world.asked_by[0].name == "collect"
                )
            )
        )

    with process(program, without_gil(14)) as (child, _):
        usage = until(is_complete, child.pid)
    assert is_complete(usage), usage
    assert usage.process is not None
    assert not usage.held.known
    assert not usage.locked.known
    assert usage.world is not None or usage.world_missing
    assert ("object", "_thread.lock") in {(one.kind, one.type) for one in usage.locks}
    if not usage.inconclusive_reason:  # as on a busy machine
        assert "runs without a GIL" in str(usage)
    assert gilx.GilUsage.from_json(usage.to_json()) == usage


@needs_reads
def test_attach_refuses_places_without_a_gil_that_are_not_known() -> None:
    python = without_gil(13, 15)
    with (
        process("print()\nimport time\ntime.sleep(600)", python) as (child, _),
        pytest.raises(gilx.NoGilError, match=f"process {child.pid}: .* without a GIL"),
    ):
        gilx.attach(child.pid)


@needs_reads
def test_attach_knows_threads_of_free_threaded_build_with_its_gil() -> None:
    names = [f"python3.{minor}t" for minor in (14, 15)]
    python = next(filter(None, map(shutil.which, names)), None)
    if python is None:
        pytest.skip("needs a free-threaded build of Python 3.14 or newer")
    with process(PROGRAM + SLEEP, python, "-X", "gil=1") as (child, (worker, _)):
        usage = until(lambda one: one.locked.value > 0.5, child.pid)
    most = max(usage.by_thread, key=lambda one: one.holding.value)
    assert most.native_id == worker
    assert usage.sites == ()
    assert usage.sites_missing == "stacks are not read in this build of Python"


# Becomes another user, attaches, and prints the reader or the error.
_ATTACH = """
import os, sys
import gilx
from gilx.sampling import _sampler, process_watch
try:
    for statement in sys.argv[2:]:
        exec(statement)
except OSError as error:
    print(error)
    sys.exit(77)
try:
    print(gilx.attach(int(sys.argv[1]), budget=0.2).process.reader)
except gilx.WatchUnavailableError as error:
    print(error)
"""
_OTHER_USER = "os.setgroups([]); os.setgid(65534); os.setuid(65534)"
_UNDUMPABLE = """
import ctypes, os, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
"""
_HIDDEN = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def check(result):
    if result:
        raise OSError(ctypes.get_errno(), "mounting is forbidden here")
check(libc.unshare(0x20000))
check(libc.mount(b"none", b"/", None, 0x44000, None))
check(libc.mount(b"proc", b"/proc", b"proc", 0, b"hidepid=2"))
"""
# Forbids process_vm_readv by a seccomp filter, for x86-64.
_FILTER = """
import ctypes, platform, struct, sys
if platform.machine() != "x86_64":
    print("the filter is for x86-64")
    sys.exit(77)
CALL, EPERM = 310, 1
steps = [(0x20, 0, 0, 0), (0x15, 0, 1, CALL), (6, 0, 0, 0x50000 | EPERM),
         (6, 0, 0, 0x7fff0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *one) for one in steps))
program = ctypes.create_string_buffer(
    struct.pack("HxxxxxxQ", len(steps), ctypes.addressof(code)))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0):
    print("filters are forbidden here")
    sys.exit(77)
"""


def _run(program: str, *words: str) -> CompletedProcess:
    return run_python("-c", program, *words)


def refusal(pid: int, *statements: str) -> str:
    """Return the error of attaching to a process after some statements."""
    done = _run(_ATTACH, str(pid), *statements)
    if done.returncode == 77:
        pytest.skip(done.stdout)
    assert done.returncode == 0, done.stderr
    return done.stdout


needs_root = pytest.mark.skipif(
    not hasattr(os, "getuid") or os.getuid() != 0,
    reason="needs root, which may become another user",
)


@needs_root
def test_attach_names_the_user_of_a_process() -> None:
    with process(PROGRAM + SLEEP) as (child, _):
        words = refusal(child.pid, _OTHER_USER)
    assert f"process {child.pid} belongs to the user root: run gilx as that user" in words


@needs_root
def test_attach_says_that_a_process_of_its_user_cannot_be_read() -> None:
    with process(f"import threading\n{_UNDUMPABLE}{PROGRAM}{SLEEP}") as (child, _):
        words = refusal(child.pid, _OTHER_USER)
    scope = process_access._scope()
    assert ("ptrace_scope" if scope not in ("", "0") else "PR_SET_DUMPABLE") in words
    assert "root" in words


@needs_root
def test_attach_says_that_a_process_is_hidden() -> None:
    with process(PROGRAM + SLEEP) as (child, _):
        words = refusal(child.pid, _HIDDEN, _OTHER_USER)
    assert f"process {child.pid} is hidden" in words
    assert "hidepid" in words


# ---- the command ------------------------------------------------------------------------


@needs_reads
def test_probe_of_a_process_prints_its_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with process(PROGRAM + SLEEP) as (child, _):
        words = ("probe", "--pid", str(child.pid), "--budget", "0.5")
        done = run_here(capsys, *words, "--verbose")
        assert done.returncode == 0, done.stderr
        assert f"process: {child.pid}, CPython " in done.stdout
        done = run_here(capsys, *words, "--json", "-")
    usage = gilx.GilUsage.from_json(done.stdout)
    assert usage.process is not None
    assert usage.process.pid == child.pid


@pytest.mark.parametrize("words", [(), ("--subprocesses",)])
def test_probe_of_a_process_reports_at_ctrl_c(words: tuple[str, ...]) -> None:
    with process(PROGRAM + SLEEP) as (child, _):
        command = [sys.executable, "-m", "gilx", "probe", "--pid", str(child.pid)]
        with subprocess.Popen(
            [*command, "--budget", "600", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as probing:
            wait_until(lambda: has_sampler(probing.pid))
            time.sleep(1.0)
            probing.send_signal(signal.SIGINT)
            text, problems = probing.communicate(timeout=_DEADLINE)
    assert probing.returncode == 130, problems
    assert problems == ""
    assert text.startswith(f"process {child.pid} (")
    assert "  held by any thread: " in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--pid", "0"], "pid: expected at least 1, got 0"),
        (["--pid", "x"], "pid: expected a whole number, got 'x'"),
        (["--pid"], "pid: expected one argument"),
        (["--pid", "1", "a.py"], "target: expected none together with --pid, got 'a.py'"),
        (["--pid", "1", "--trace", ""], "trace: expected the name of a file"),
        (["--pid", "1", "--repeat", "2"], "repeat: can't be combined with --pid"),
        (["--pid", "1", "--no-warmup"], "no-warmup: can't be combined with --pid"),
        (["--pid", "1", "--budget", "0"], "budget: expected above 0"),
    ],
)
def test_probe_refuses_options_that_are_not_for_processes(
    words: list[str], message: str
) -> None:
    done = run_gilx("probe", *words)
    assert done.returncode == 2
    assert message in done.stderr


def test_probe_of_no_process_exits_with_1() -> None:
    with process("print()") as (child, _):
        child.wait()
    done = run_gilx("probe", "--pid", str(child.pid))
    assert done.returncode == 1
    assert done.stderr == f"gilx probe: process {child.pid} does not exist\n"
