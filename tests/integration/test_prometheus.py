"""Metrics for Prometheus, of real programs: by HTTP, and in a program's own registry."""

from __future__ import annotations

import ctypes
import http.client
import os
import re
import socket
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

from gilx import Monitor
from gilx._compat import gil_enabled
from gilx.prometheus import register
from tests.command import run_gilx
from tests.markers import needs, needs_fork, needs_gil, needs_monitor

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [needs_monitor, needs("prometheus_client")]

TIMEOUT = 60.0
URL = re.compile(
    r"gilx: process (\d+): metrics for Prometheus are at http://([\d.]+):(\d+)/"
)
HELD, LONGEST = (
    ("gilx_gil_held_seconds_total", "gilx_gil_longest_hold_seconds")
    if gil_enabled()
    else ("gilx_thread_attached_seconds_total", "gilx_world_longest_stop_seconds")
)
HOLD = """\
import ctypes, sys, threading
ctypes.PyDLL(None).usleep(600_000)
print(threading.active_count(), flush=True)
sys.stdin.read()
sys.exit(5)
"""
# Two children at once, of which each is asked for its end.
FORKS = """\
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
for _ in range(2):
    if os.fork() == 0:
        os.write(1, b"%d\\n" % os.getpid())  # at once, as two children write
        sys.stdin.read()
        sys.exit(6)
for _ in range(2):
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 6
"""


class Program:
    """A program under ``gilx monitor --prometheus``, and where it answers."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.input, self.output, self.errors = (
            process.stdin,
            process.stdout,
            process.stderr,
        )

    def end(self) -> int:
        self.input.close()
        return self.process.wait(TIMEOUT)

    def next_port(self) -> tuple[int, int]:
        """Return the process and the port in the next line of its standard error."""
        line = self.errors.readline()
        found = URL.match(line)
        assert found, line
        return int(found[1]), int(found[3])


@contextmanager
def program(path: Path, text: str, *options: str) -> Iterator[Program]:
    path.write_text(textwrap.dedent(text))
    words = [sys.executable, "-m", "gilx", "monitor", *options, path]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(words, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield Program(process)
        finally:
            if process.poll() is None:
                process.kill()


def ask(port: int, path: str = "/metrics") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def parsed(text: str) -> dict[tuple[str, str], float]:
    from prometheus_client.parser import text_string_to_metric_families

    return {
        (one.name, one.labels.get("thread", "")): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def scrape(port: int) -> dict[tuple[str, str], float]:
    status, text = ask(port)
    assert status == 200, text
    return parsed(text)


def free_ports(count: int) -> int:
    """Return the first of several ports that nobody uses."""
    for first in range(20000 + os.getpid() % 20000, 60000):
        try:
            for port in range(first, first + count):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")


# ---- by HTTP --------------------------------------------------------------------------


def test_scrape_of_a_program_has_its_counters(tmp_path: Path) -> None:
    options = (
        "--prometheus",
        "0",
        "--stall",
        "0.1",
        "--lone",
        "--log",
        str(tmp_path / "log"),
    )
    with program(tmp_path / "hold.py", HOLD, *options) as running:
        assert running.output.readline() == "1\n"  # no thread of ours is among its own
        found = URL.match((tmp_path / "log").read_text())
        assert found
        assert int(found[1]) == running.process.pid
        port = int(found[3])
        first, second = scrape(port), scrape(port)
        if gil_enabled():  # without one, it slept attached, which takes no CPU
            assert first[HELD, "MainThread"] > 0.1
        assert first[LONGEST, ""] > 0.1
        assert first["gilx_stalls_total", ""] >= 1
        assert first["gilx_monitor_running", ""] == 1
        assert first["gilx_monitored_seconds_total", ""] >= 0.3
        assert first.keys() <= second.keys()
        assert not [
            name for name, value in first.items()
            if name[0].endswith("_total") and second[name] < value
        ]  # fmt: skip
        assert ask(port, "/")[0] == 404
        assert running.end() == 5
    with pytest.raises(ConnectionRefusedError):
        ask(port)


def test_port_in_use_is_wrong_and_nothing_runs(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text("print('runs')")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        for given, words in [
            (f"{port}", f"port {port} is in use"),
            (f"{port}-{port}", f"port {port} is in use"),
            ("192.0.2.1:9100", "can't listen at 192.0.2.1 port 9100: "),
            ("9100-9099", "expected a port, such as 9100"),
        ]:
            done = run_gilx("monitor", "--prometheus", given, "program.py", cwd=tmp_path)
            assert (done.returncode, done.stdout) == (2, "")
            assert done.stderr.startswith("gilx monitor: prometheus: ")
            assert words in done.stderr
            assert done.stderr.count("\n") == 1


def test_program_may_end_while_it_is_scraped(tmp_path: Path) -> None:
    # Its hold would be reported if the thread that serves happened to wait for the GIL.
    words = "--prometheus", "0", "--stall", "60"
    with program(tmp_path / "hold.py", HOLD, *words) as running:
        _, port = running.next_port()
        running.output.readline()
        answers: list[int] = []
        problems: list[BaseException] = []

        def scrape_on() -> None:
            try:
                while True:
                    answers.append(ask(port)[0])  # one that is cut is an error
            except (OSError, http.client.RemoteDisconnected):
                return  # nobody listens any more
            except BaseException as error:
                problems.append(error)

        threads = [threading.Thread(target=scrape_on) for _ in range(4)]
        for thread in threads:
            thread.start()
        end = time.monotonic() + TIMEOUT
        while len(answers) < 8 and time.monotonic() < end:
            time.sleep(0.01)
        assert running.end() == 5
        for thread in threads:
            thread.join(TIMEOUT)
        assert not problems
        assert set(answers) == {200}
        assert running.errors.read() == ""


@pytest.mark.slow  # until that client has had its time
def test_client_that_says_nothing_does_not_block_others_for_long(tmp_path: Path) -> None:
    with program(tmp_path / "hold.py", HOLD, "--prometheus", "0") as running:
        _, port = running.next_port()
        with socket.create_connection(("127.0.0.1", port)):
            assert ask(port)[0] == 200
        assert running.end() == 5


@pytest.mark.slow  # until that client has had its time
def test_client_that_sends_slowly_does_not_block_others_for_long(tmp_path: Path) -> None:
    with program(tmp_path / "hold.py", HOLD, "--prometheus", "0") as running:
        _, port = running.next_port()
        ended = threading.Event()
        with socket.create_connection(("127.0.0.1", port)) as client:

            def send_slowly() -> None:
                with suppress(OSError):
                    while not ended.wait(0.5):
                        client.sendall(b"x")

            thread = threading.Thread(target=send_slowly)
            thread.start()
            try:
                assert ask(port)[0] == 200
            finally:
                ended.set()
                thread.join()
        assert running.end() == 5


def test_requests_for_headers_and_by_a_whole_address_are_answered(
    tmp_path: Path,
) -> None:
    with program(tmp_path / "hold.py", HOLD, "--prometheus", "0") as running:
        _, port = running.next_port()
        for path, expected in [
            ("/metrics", 200),
            ("/metrics?x=/", 200),
            ("http://x/metrics", 200),
            ("HTTP://x:80/metrics?x", 200),
            ("http://x/", 404),
            ("x/metrics", 404),
            ("/metrics/", 404),
        ]:
            status, text = ask(port, path)
            assert status == expected, path
            assert ("gilx_monitor_running" in text) == (status == 200)
        for path, expected in ("/metrics", 200), ("/", 404):
            with socket.create_connection(("127.0.0.1", port), TIMEOUT) as client:
                client.sendall(f"HEAD {path} HTTP/1.0\r\n\r\n".encode())
                with client.makefile("rb") as file:
                    answer = file.read()
            assert answer.startswith(b"HTTP/1.0 %d " % expected)
            assert b"\r\nContent-Length: " in answer
            assert answer.endswith(b"\r\n\r\n")
            assert answer.count(b"\r\n\r\n") == 1
        assert running.end() == 5


STEAL = """\
import os, socket, sys
print("runs", flush=True)
sys.stdin.readline()
os.closerange(3, 20)
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(12)]
files = [open(f"file{number}", "w") for number in range(8)]
print(*(one.getsockname()[1] for one in sockets), flush=True)
for one in sockets:
    connection, _ = one.accept()
    connection.sendall(b"the program's")
    connection.close()
sys.stdin.read()
assert [one.getsockname()[1] for one in sockets]  # all are still open
assert not any(os.fstat(one.fileno()).st_size for one in files)
sys.exit(5)
"""


def test_files_and_sockets_of_a_program_that_closed_every_descriptor_are_its_own(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log"
    options = "--prometheus", "0", "--stall", "60", "--log", str(log)
    text = f"import os\nos.chdir({str(tmp_path)!r})\n{STEAL}"
    with program(tmp_path / "steal.py", text, *options) as running:
        assert running.output.readline() == "runs\n"
        found = URL.match(log.read_text())
        assert found
        port = int(found[3])
        assert ask(port)[0] == 200
        running.input.write("\n")
        running.input.flush()
        ports = [int(word) for word in running.output.readline().split()]
        assert len(ports) == 12
        # Nothing answers any more at gilx's own port.
        with socket.socket() as client:
            client.settimeout(0.5)
            with suppress(OSError):
                client.connect(("127.0.0.1", port))
                client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
                assert client.recv(100) == b""
        for other in ports:
            with socket.create_connection(("127.0.0.1", other), TIMEOUT) as client:
                client.sendall(b"GET / HTTP/1.0\r\n\r\n")
                assert client.recv(100) == b"the program's"
        assert running.end() == 5, running.errors.read()


# ---- forks ----------------------------------------------------------------------------


@needs_fork
def test_children_of_forks_have_ports_of_a_range_as_long_as_there_are(
    tmp_path: Path,
) -> None:
    first = free_ports(2)
    options = "--prometheus", f"{first}-{first + 1}"
    with program(tmp_path / "forks.py", FORKS, *options) as running:
        assert running.next_port() == (running.process.pid, first)
        children = {int(running.output.readline()) for _ in range(2)}
        lines = [running.errors.readline() for _ in range(2)]
        (child,) = [line for line in lines if URL.match(line)]
        (other,) = [line for line in lines if line != child]
        assert f":{first + 1}/" in child
        assert other.endswith(
            ": no metrics for Prometheus in this child of a fork: prometheus: expected a"
            f" free port at 127.0.0.1, but ports {first} to {first + 1} are in use\n"
        )
        assert {int(re.findall(r"process (\d+)", line)[0]) for line in lines} == children
        for port in first, first + 1:
            assert scrape(port)["gilx_monitor_running", ""] == 1
        assert running.end() == 0


@needs_fork
def test_child_of_a_fork_leaves_a_single_port_to_its_parent(tmp_path: Path) -> None:
    text = """\
    import os, sys, warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    if os.fork() == 0:
        print("child", flush=True)
        sys.stdin.read()
        print("ends", flush=True)
        sys.exit(0)
    input()
    os._exit(7)
    """
    port = free_ports(1)
    with program(tmp_path / "forks.py", text, "--prometheus", str(port)) as running:
        assert running.next_port() == (running.process.pid, port)
        assert running.output.readline() == "child\n"
        assert scrape(port)["gilx_monitor_running", ""] == 1
        running.process.kill()
        running.process.wait(TIMEOUT)
        # The child goes on, and does not keep the port.
        socket.create_server(("127.0.0.1", port)).close()
        running.input.close()
        assert running.output.readline() == "ends\n"
        assert running.errors.read() == ""


@needs_gil
@needs_fork
def test_registry_in_the_child_of_a_fork_has_the_counters_of_the_child(
    tmp_path: Path,
) -> None:
    script = tmp_path / "main.py"
    script.write_text(
        textwrap.dedent(
            """\
            import ctypes, os, sys, warnings
            import prometheus_client
            import gilx, gilx.prometheus

            def value(name):
                return prometheus_client.REGISTRY.get_sample_value(name)

            warnings.simplefilter("ignore", DeprecationWarning)
            held, longest = (
                "gilx_process_gil_held_seconds_total", "gilx_gil_longest_hold_seconds"
            )
            monitor = gilx.Monitor(stall=None)
            gilx.prometheus.register(monitor)
            monitor.start()
            while not (value(held) > 0.2 and value(longest) > 0.2):
                ctypes.PyDLL(None).usleep(400_000)  # samples may be late
            before = value(held), value(longest)
            for memory in ("", "none"):
                if memory:
                    os.environ["GILX_MEMORY"] = memory
                child = os.fork()
                if child == 0:
                    assert value("gilx_monitor_running") == (not memory)
                    if memory:
                        assert value(held) is None
                    else:
                        assert value(held) < before[0] and value(longest) < before[1]
                    os._exit(0)
                assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            """
        )
    )
    done = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# ---- in a program's own registry --------------------------------------------------------


def registry_of(monitor: Monitor) -> Any:
    import prometheus_client

    registry = prometheus_client.CollectorRegistry()
    register(monitor, registry)
    return registry


def text_of(registry: Any) -> str:
    import prometheus_client

    return prometheus_client.generate_latest(registry).decode()


@needs_gil
def test_scrapes_and_readings_do_not_disturb_each_other() -> None:
    with Monitor(stall=None) as monitor:
        registry = registry_of(monitor)
        ctypes.PyDLL(None).usleep(300_000)
        for _ in range(2):
            assert parsed(text_of(registry))[LONGEST, ""] > 0.15
        assert monitor.read().longest_hold.high > 0.15


def test_many_names_of_threads_make_few_labels_and_no_counter_decreases() -> None:
    before: dict[tuple[str, str], float] = {}
    with Monitor(stall=None, cost=0.3) as monitor:
        registry = registry_of(monitor)
        for number in range(400):
            name = f"request {number:x}\n\udcff"
            thread = threading.Thread(target=sum, args=(range(20_000),), name=name)
            thread.start()
            thread.join()
            if number % 20 == 0:
                now = parsed(text_of(registry))
                less = [
                    key for key, value in before.items()
                    if key[0].endswith("_total") and now.get(key, 0.0) < value
                ]  # fmt: skip
                assert not less
                before = now
        labels = {thread for name, thread in parsed(text_of(registry)) if name == HELD}
    assert 2 <= len(labels) <= 104
