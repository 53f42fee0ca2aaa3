"""Activities of threads in a watch, and the waiting that lines of code cause."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import gilx
from gilx import ckernels
from gilx.sampling.thread_states import ACTIVITIES
from tests.command import run_python
from tests.markers import needs_affinity, needs_watch
from tests.trying import conclusive, first_that
from tests.waiting import wait_until

from .conftest import MS

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = needs_watch

# Activities of threads that do one thing, as the fields of a usage's sums name them.
BLOCKED = {
    "lock": "waiting_lock",
    "sleep": "sleeping",
    "read": "reading",
    "receive": "reading",
    "poll": "polling",
    "child": "waiting_child",
}


class Blocked:
    """A watch of threads each of which does one thing from before it to after it."""

    def __init__(self) -> None:
        lock = threading.Lock()
        lock.acquire()
        reader, writer = os.pipe()
        ours, theirs = socket.socketpair()
        polled, signal = os.pipe()
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        acts: dict[str, Callable[[], object]] = {
            "lock": lock.acquire,
            "sleep": lambda: time.sleep(1.0),
            "read": lambda: os.read(reader, 1),
            "receive": lambda: ours.recv(1),
            "poll": lambda: select.select([polled], [], []),
            "child": child.wait,
        }
        threads = [threading.Thread(target=act, name=name) for name, act in acts.items()]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        wait_until_all_rest(threads)
        with gilx.watch(cost=0.2) as watch:
            ckernels.spin(1 * MS, 1 * MS, 200 * MS)
        self.in_time = time.monotonic() - began < 1.0  # before the sleep ended
        lock.release()
        child.communicate(b"\n")
        for file in (writer, signal):
            os.write(file, b"x")
        theirs.send(b"x")
        for thread in threads:
            thread.join()
        for file in (reader, writer, polled, signal):
            os.close(file)
        ours.close()
        theirs.close()
        self.usage = watch.usage
        self.timeline = watch.timeline

    @property
    def is_steady(self) -> bool:
        """True if each thread was found, in what it does and in nothing else."""
        threads = {one.name: one.sums for one in self.usage.by_thread}
        return self.in_time and all(
            name in threads
            and getattr(threads[name], activity).time == threads[name].known > 0
            for name, activity in BLOCKED.items()
        )


def wait_until_all_rest(threads: list[threading.Thread]) -> None:
    """Wait until Linux says that all threads sleep and that none ran for a moment."""
    seen: list[list[str]] = [[]]

    def rest() -> bool:
        texts = [
            Path(f"/proc/self/task/{thread.native_id}/status").read_text()
            for thread in threads
        ]
        seen.append([text[text.index("\nvoluntary") :] for text in texts])
        return seen[-1] == seen[-2] and all("\nState:\tS" in text for text in texts)

    wait_until(rest)


def insist_on_states(usage: gilx.GilUsage) -> None:
    """Skip the test if it is not known here what threads do."""
    if usage.states_missing:
        pytest.skip(usage.states_missing)


@pytest.mark.slow
def test_threads_that_wait_are_found_in_what_they_wait_for() -> None:
    found: Blocked = first_that(
        lambda one: one.is_steady or one.usage.states_missing, Blocked
    )
    insist_on_states(found.usage)
    threads = {one.name: one for one in found.usage.by_thread}
    for name, activity in BLOCKED.items():
        sums = threads[name].sums
        assert sums.reads > 0
        assert getattr(sums, activity).time == sums.known
        assert threads[name].holding.value == 0
    for name, field in {
        "sleep": "sleeping",
        "read": "reading",
        "poll": "polling",
    }.items():
        assert getattr(threads[name].system_calls, field).value > 0.5
        assert threads[name].system_call.value > 0.5
    assert threads["lock"].waiting_lock.value > 0.5
    main = threads["MainThread"]
    assert main.holding.value > 0
    assert main.running.value > 0 or main.waiting_cpu.value > 0
    # None of them used the GIL or ran, so they have no lanes.
    assert not BLOCKED.keys() & {lane.name for lane in found.timeline.lanes}
    assert gilx.GilUsage.from_json(found.usage.to_json()) == found.usage


def hold_long() -> None:
    """Hold the GIL while others wait for it."""
    ckernels.spin(20 * MS, 0, 20 * MS)


def hold_short() -> None:
    """Hold the GIL for a moment."""
    ckernels.spin(MS // 10, 0, MS // 10)


class Waiting:
    """A watch of a thread that has others wait for the GIL in one of two functions."""

    def __init__(self) -> None:
        over = threading.Event()

        def want() -> None:
            while not over.is_set():
                hold_short()
                time.sleep(0.002)

        threads = [threading.Thread(target=want, name=f"waits-{i}") for i in range(3)]
        with gilx.watch(cost=0.1) as watch:
            for thread in threads:
                thread.start()
            for _ in range(15):
                hold_long()
                time.sleep(0.002)
            over.set()
            for thread in threads:
                thread.join()
        self.usage: gilx.GilUsage = watch.usage
        self.timeline = watch.timeline
        self.inconclusive_reason, self.unknown = (
            self.usage.inconclusive_reason,
            self.usage.unknown,
        )

    @property
    def is_clear(self) -> bool:
        """True if threads waited for the GIL, and hardly for anything else, such as a CPU."""
        usage = self.usage
        waits = [one for one in usage.by_thread if one.name.startswith("waits-")]
        if len(waits) < 3 or any(one.waiting_gil.value <= 0.3 for one in waits):
            return bool(usage.states_missing)
        if not usage.waited.known or usage.sites_missing:
            return True
        caused = {site.function: site.waiting_caused for site in usage.lines()}
        most = max(caused, key=lambda name: caused[name].value, default="")
        where = [site.text for site in usage.waiting_sites[:1]]
        return (
            most == "hold_long"
            and where == ["time.sleep(0.002)"]
            and any(site.waiting_lock.value > 0 for site in usage.waiting_sites)
        )


@pytest.mark.slow
def test_the_line_that_makes_others_wait_is_named() -> None:
    found: Waiting = first_that(lambda one: one.is_clear, lambda: conclusive(Waiting))
    usage = found.usage
    insist_on_states(usage)
    waits = [one for one in usage.by_thread if one.name.startswith("waits-")]
    assert len(waits) == 3
    lanes = {lane.name: lane for lane in found.timeline.lanes}
    assert lanes["waits-0"].share("waiting_gil") > 0
    if not usage.waited.known:
        pytest.skip("this C library does not count the threads that wait")
    assert usage.waited.low <= usage.waited.value <= usage.waited.high
    if usage.sites_missing:
        pytest.skip(usage.sites_missing)
    caused = {site.function: site.waiting_caused for site in usage.lines()}
    whole = sum(one.value for one in caused.values())
    assert whole <= usage.waited.value * (1 + 1e-9)
    assert "for the GIL, all together" in str(usage)
    # They wait for it where they want it back: after their sleeps.
    where = usage.waiting_sites[0]
    assert where.function.rpartition(".")[2] == "want"
    waited = sum(site.waiting_gil.value for site in usage.waiting_sites)
    threads = sum(one.waiting_gil.value for one in usage.by_thread) * usage.wall
    assert waited == pytest.approx(threads, rel=0.05)
    assert gilx.GilUsage.from_json(usage.to_json()) == usage


class OnOneCpu:
    """A watch of two threads that run without the GIL, on one CPU, and then end."""

    def __init__(self) -> None:
        cpu = min(os.sched_getaffinity(0))

        def run() -> None:
            os.sched_setaffinity(0, {cpu})
            ckernels.spin(0, 300 * MS, 300 * MS)

        threads = [threading.Thread(target=run, name=f"runs-{i}") for i in range(2)]
        with gilx.watch(cost=0.1) as watch:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.usage: gilx.GilUsage = watch.usage
        self.inconclusive_reason, self.unknown = (
            self.usage.inconclusive_reason,
            self.usage.unknown,
        )


@pytest.mark.slow
@needs_affinity
def test_threads_on_one_cpu_wait_for_it_in_turn() -> None:
    def take_turns(found: OnOneCpu) -> bool:
        insist_on_states(found.usage)
        threads = [one for one in found.usage.by_thread if one.name.startswith("runs-")]
        if not all(one.waiting_cpu.known for one in threads):
            pytest.skip("the scheduler does not say for how long threads wait")
        return len(threads) == 2 and all(
            one.waiting_cpu.value > 0.1 and one.running.value > 0.1 for one in threads
        )

    # Other processes may have that CPU for nearly all of the time.
    first_that(take_turns, lambda: conclusive(OnOneCpu))


# A process that has changed its user is not dumpable.
NO_CALLS = """
import os, time
import gilx

def watched():
    with gilx.watch() as watch:
        time.sleep(0.1)
    return watch.usage

print(str(watched())[:0] + watched().states_missing)
os.setgid(65534)
os.setuid(65534)
usage = watched()
print(usage.states_missing)
print(usage.by_thread[0].system_call.known, usage.by_thread[0].holding.known)
print("activities: unknown in part, since" in " ".join(str(usage).split()))
"""


def test_a_reference_watch_does_not_ask() -> None:
    with gilx.watch(reference=True) as watch:
        time.sleep(0.05)
    usage = watch.usage
    assert usage.states_missing == "a reference watch does not ask what threads do"
    assert not usage.by_thread[0].system_call.known
    assert gilx.GilUsage.from_json(usage.to_json()) == usage


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="needs root")
def test_where_linux_does_not_say_what_threads_do_that_is_said() -> None:
    done = run_python("-W", "ignore", "-c", NO_CALLS, timeout=60)
    assert done.returncode == 0, done.stderr
    before, *after = done.stdout.splitlines()
    if before:
        pytest.skip(before)
    assert after == [
        "Linux does not say here in which system calls threads are",
        "False True",
        "True",
    ]


def test_each_activity_of_the_sampler_has_a_field() -> None:
    usage = gilx.probe(time.sleep, 0.01, repeat=1, warmup=False)
    fields = vars(usage.by_thread[0].sums)
    assert len(ACTIVITIES) == sum(
        isinstance(value, gilx.ActivitySums) and name != "spun_without_cpu"
        for name, value in fields.items()
    )


FORKED = """
import os, threading, time, gilx
def descriptors():
    return len(os.listdir("/proc/self/fd"))
def files_of_sampler():
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/comm") as name:
            if name.read() == "gilx-watch\\n":
                return os.listdir(f"/proc/self/task/{task}/fd")
before = descriptors()
watch = gilx.watch()
watch.__enter__()
over = threading.Event()
threads = [threading.Thread(target=over.wait) for _ in range(30)]
for thread in threads:
    thread.start()
until = time.monotonic() + 60
while len(files_of_sampler()) < 10 and time.monotonic() < until:
    time.sleep(0.01)
many = len(files_of_sampler())
child = os.fork()
if child == 0:
    del watch
    print(many >= 10, descriptors() - before, flush=True)
    os._exit(0)
os.waitpid(child, 0)
over.set()
"""


def test_the_child_of_a_fork_has_no_file_of_the_sampler() -> None:
    done = run_python("-W", "ignore", "-c", FORKED, timeout=100)
    assert done.stdout == "True 0\n", done.stdout + done.stderr


def test_waits_of_threads_that_are_seldom_asked_are_not_denied() -> None:
    number = 150
    over = threading.Event()
    threads = [threading.Thread(target=over.wait) for _ in range(number)]
    for thread in threads:
        thread.start()
    wait_until_all_rest(threads)

    def watched() -> gilx.GilUsage:
        with gilx.watch() as watch:
            time.sleep(0.3)
        return watch.usage

    def may_be_all(usage: gilx.GilUsage) -> bool:
        most = sum(site.waiting_lock.high for site in usage.waiting_sites)
        return bool(usage.states_missing) or most > 0.8 * number * usage.wall

    try:
        insist_on_states(first_that(may_be_all, watched))
    finally:
        over.set()
        for thread in threads:
            thread.join()


OTHER_WATCHES = """
import time, gilx
with gilx.watch() as outer, gilx.watch() as inner:
    time.sleep(0.5)
print([len(watch.usage.by_thread) for watch in (outer, inner)])
"""


def test_threads_of_other_watches_are_not_of_the_program() -> None:
    done = run_python("-W", "ignore", "-c", OTHER_WATCHES, timeout=100)
    assert done.stdout == "[1, 1]\n", done.stdout + done.stderr


ALL_CLOSED = """
import ctypes, json, os, platform, resource, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
if "refused" in sys.argv:
    # close_range(2), by which the sampler has files of its own, is answered with ENOSYS.
    class Filter(ctypes.Structure):
        _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte),
                    ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint)]
    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filters", ctypes.POINTER(Filter))]
    filters = (Filter * 4)(Filter(0x20, 0, 0, 0), Filter(0x15, 0, 1, 436),
                           Filter(0x06, 0, 0, 0x50000 | 38), Filter(0x06, 0, 0, 0x7fff0000))
    assert libc.prctl(38, 1, 0, 0, 0) == 0
    if libc.prctl(22, 2, ctypes.byref(Program(4, filters)), 0, 0) != 0:
        sys.exit("no filter")
import gilx
# Numbers beyond the limit can't be used again, so that the sampler's would be among these.
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
over = threading.Event()
threads = [threading.Thread(target=over.wait, daemon=True) for _ in range(20)]
for thread in threads:
    thread.start()
def numbers():
    return sorted(os.listdir("/proc/self/fd"), key=int)
before = numbers()
with gilx.watch() as watch:
    end = time.monotonic() + 0.1
    while time.monotonic() < end:
        pass
    during = numbers()
    os.closerange(3, 64)
    files = [os.open(sys.argv[1], os.O_RDWR | os.O_CREAT) for _ in range(45)]
    os.write(files[0], b"of the program")
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        time.sleep(0.001)
after = os.pread(files[-1], 100, 0).decode()
for file in files:
    os.close(file)  # fails if it is closed already
usage = watch.usage
print(json.dumps([during == before, after, usage.sums.identified,
                  usage.by_thread[0].system_call.known]))
"""


def all_closed(tmp_path: Path, *words: str) -> list[object]:
    file = str(tmp_path / "file")
    done = run_python("-W", "ignore", "-c", ALL_CLOSED, file, *words, timeout=100)
    if "no filter" in done.stderr:
        pytest.skip("no seccomp filter is permitted here")
    assert done.returncode == 0, done.stderr
    found: list[object] = json.loads(done.stdout)
    return found


def test_watch_has_files_that_the_program_cannot_close_or_replace(tmp_path: Path) -> None:
    found = all_closed(tmp_path)
    if not found[0]:
        pytest.skip("this Linux gives a thread no files of its own")
    assert found == [True, "of the program", True, True]


def test_watch_without_files_of_its_own_writes_to_none(tmp_path: Path) -> None:
    _, text, identified, _ = all_closed(tmp_path, "refused")
    assert text == "of the program"
    assert identified


def test_thread_was_there_for_as_long_as_it_held() -> None:
    with gilx.watch() as watch:
        for _ in range(20):  # one holds to its end, which comes before it is asked again
            thread = threading.Thread(target=ckernels.spin, args=(5 * MS, 0, 5 * MS))
            thread.start()
            thread.join()
    for one in watch.usage.by_thread:
        assert one.sums.holding.time <= one.sums.alive * (1 + 1e-9)


FEW_FILES = """
import errno, os, resource, threading, time, gilx
def watched(limit):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    over = threading.Event()
    threads = [threading.Thread(target=over.wait) for _ in range(20)]
    with gilx.watch() as watch:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft if limit is None else limit, hard))
        for thread in threads:
            thread.start()
        time.sleep(0.3)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    over.set()
    return watch.usage
words = f"some threads could not be listed or read: {os.strerror(errno.EMFILE)}"
# On a busy machine, the sampler may not list threads in so short a time.
print(watched(None).states_missing != words,
      any(watched(0).states_missing == words for _ in range(5)))
"""


def test_threads_that_cannot_be_listed_or_read_are_reported() -> None:
    done = run_python("-W", "ignore", "-c", FEW_FILES, timeout=100)
    assert done.stdout == "True True\n", done.stdout + done.stderr


def test_threads_that_run_are_asked_more_often_than_those_that_wait() -> None:
    def reads_by_name() -> dict[str, int]:
        over = threading.Event()
        idle = [threading.Thread(target=over.wait, name="idle") for _ in range(100)]
        busy = threading.Thread(
            target=ckernels.spin, args=(0, 1000 * MS, 1000 * MS), name="busy"
        )
        for thread in (*idle, busy):
            thread.start()
        with gilx.watch() as watch:
            busy.join()
        over.set()
        for thread in idle:
            thread.join()
        insist_on_states(watch.usage)
        return {one.name: one.sums.reads for one in watch.usage.by_thread}

    first_that(lambda reads: reads["busy"] > 3 * reads["idle"], reads_by_name)
