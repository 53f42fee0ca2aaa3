"""Metrics of a monitor for Prometheus, from counters that are made up."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

import gilx
from gilx import (
    ArgumentError,
    Counters,
    Environment,
    Estimate,
    StateSeconds,
    ThreadCounters,
    WorldCounters,
)
from gilx.cli import prometheus_endpoint
from gilx.cli.prometheus_endpoint import Address, Endpoint, _OwnedSocket, _Stream
from gilx.prometheus import _WINDOW, _LongestShown, register
from gilx.sampling.longest_by_reader import LongestByReader
from tests.command import run_here
from tests.markers import needs, needs_linux

if TYPE_CHECKING:
    from collections.abc import Hashable
    from pathlib import Path

pytestmark = pytest.mark.any_python
needs_client = needs("prometheus_client")

MISSING = "no metrics without prometheus-client: pip install 'gilx[prometheus]'"
COUNTERS = Counters(
    process=17,
    wall=10.0,
    held_seconds=Estimate(2.0, 1.9, 2.1),
    waited_seconds=Estimate.unknown(),
    unknown_seconds=0.25,
    cost_seconds=0.125,
    stalls=3,
    blocked_loops=2,
    dropped_bytes=7,
    longest_hold=Estimate(0.5, 0.4, 0.6),
    by_thread=(
        ThreadCounters("MainThread", Estimate(1.5, 1.4, 1.6), Estimate.unknown()),
        ThreadCounters('a "b"\\', Estimate(0.5, 0.4, 0.6), Estimate(0.25, 0.0, 1.0)),
    ),
    environment=Environment.here(),
)


class Monitor:
    """Attributes of a monitor that a collector needs."""

    def __init__(self, counters: Counters | None) -> None:
        self.counters = counters
        self.running = counters is not None

    def read(self, reader: Hashable = None) -> Counters:
        assert reader is not None  # else it would steal from the program's own readings
        if self.counters is None:
            raise RuntimeError("the monitor was not started")
        return self.counters


def values(monitor: Any) -> dict[tuple[str, str], float]:
    """Return the values in what Prometheus would read, by name and thread."""
    import prometheus_client
    from prometheus_client.parser import text_string_to_metric_families

    registry = prometheus_client.CollectorRegistry()
    register(monitor, registry)
    text = prometheus_client.generate_latest(registry).decode()
    return {
        (one.name, one.labels.get("thread", "")): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


@needs_client
def test_metrics_have_the_values_of_the_counters() -> None:
    assert values(Monitor(COUNTERS)) == {
        ("gilx_gil_held_seconds_total", "MainThread"): 1.5,
        ("gilx_gil_held_seconds_total", 'a "b"\\'): 0.5,
        ("gilx_gil_waited_seconds_total", 'a "b"\\'): 0.25,
        ("gilx_process_gil_held_seconds_total", ""): 2.0,
        ("gilx_monitored_seconds_total", ""): 10.0,
        ("gilx_unknown_seconds_total", ""): 0.25,
        ("gilx_sampler_cpu_seconds_total", ""): 0.125,
        ("gilx_stalls_total", ""): 3.0,
        ("gilx_blocked_loops_total", ""): 2.0,
        ("gilx_dropped_report_bytes_total", ""): 7.0,
        ("gilx_gil_longest_hold_seconds", ""): 0.5,
        ("gilx_monitor_running", ""): 1.0,
    }


@needs_client
def test_metrics_without_a_gil_have_other_names() -> None:
    unknown = Estimate.unknown()
    states = StateSeconds(*(Estimate(one, 0.0, 9.0) for one in map(float, range(1, 9))))
    counters = replace(
        COUNTERS,
        held_seconds=unknown,
        longest_hold=unknown,
        by_thread=(
            ThreadCounters("worker", unknown, unknown, states),
            ThreadCounters("other", unknown, unknown, StateSeconds(*[unknown] * 8)),
        ),
        states=states,
        world=WorldCounters(
            Estimate(4.0, 3.0, 5.0),
            Estimate(2.0, 1.0, 3.0),
            7,
            Estimate(0.5, 0.1, 0.6),
        ),
    )
    found = values(Monitor(counters))
    assert {key: one for key, one in found.items() if "thread" in key[0]} == {
        (f"gilx_thread_{name}_seconds_total", "worker"): value
        for name, value in {
            "attached": 1.0,
            "detached": 2.0,
            "waited_lock": 3.0,
            "waited_cpu": 4.0,
            "stopped": 5.0,
            "asked_stop": 7.0,
            "late": 8.0,
        }.items()
    }
    assert {key[0]: one for key, one in found.items() if "world" in key[0]} == {
        "gilx_world_stopped_seconds_total": 4.0,
        "gilx_world_stopping_seconds_total": 2.0,
        "gilx_world_stops_total": 7.0,
        "gilx_world_longest_stop_seconds": 0.5,
    }
    assert not [key for key in found if "_gil_" in key[0]]
    assert found["gilx_stalls_total", ""] == 3.0
    alone = values(Monitor(replace(counters, world=None)))
    assert not [key for key in alone if "world" in key[0]]


@needs_client
def test_monitor_that_was_not_started_has_no_other_metric() -> None:
    assert values(Monitor(None)) == {("gilx_monitor_running", ""): 0.0}


@needs_client
def test_error_of_a_monitor_that_runs_is_not_hidden() -> None:
    monitor = Monitor(None)
    monitor.running = True
    with pytest.raises(RuntimeError, match="not started"):
        values(monitor)


@needs_client
def test_metrics_are_taken_out_of_the_registry_again() -> None:
    import prometheus_client

    registry = prometheus_client.CollectorRegistry()
    monitor: Any = Monitor(COUNTERS)
    unregister = register(monitor, registry)
    with pytest.raises(ValueError, match="gilx_gil_held_seconds"):
        register(monitor, registry)
    unregister()
    assert prometheus_client.generate_latest(registry) == b""
    register(monitor, registry)
    unregister()  # nothing happens
    assert b"gilx" in prometheus_client.generate_latest(registry)


@pytest.mark.parametrize("given", [None, gilx.Monitor, "x"])
def test_other_objects_than_monitors_are_refused(given: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^monitor: expected a gilx.Monitor, got "):
        register(given)


def test_missing_package_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(gilx.MissingExtraError, match=r"gilx\[prometheus\]"):
        register(gilx.Monitor())
    done = run_here(capsys, "monitor", "--prometheus", "9100", __file__)
    assert (done.returncode, done.stderr) == (1, f"gilx monitor: {MISSING}\n")


# ---- the longest hold -----------------------------------------------------------------


def test_each_reader_gets_the_longest_hold_since_its_last_reading() -> None:
    longest = LongestByReader()
    assert longest.take(None, (5, 9)) == (5, 9)
    assert longest.take("scrape", (1, 2)) == (5, 9)  # its first: since the start
    assert longest.take("scrape", (2, 3)) == (2, 3)
    assert longest.take(None, (1, 4)) == (2, 4)
    assert longest.take(None, (0, 1)) == (0, 1)
    assert longest.take("scrape", (0, 0)) == (1, 4)


def test_readers_that_do_not_come_back_are_forgotten() -> None:
    longest = LongestByReader()
    assert longest.take("first", (7, 9)) == (7, 9)
    for number in range(1000):
        assert longest.take("often", (0, 0)) == ((7, 9) if number == 0 else (0, 0))
        assert longest.take(number, (1, 2)) == (7, 9)
        assert longest.take("often", (0, 0)) == (1, 2)
    assert len(longest._unread) == 64
    assert longest.take("first", (0, 0)) == (7, 9)  # as in a first reading
    assert longest.take(999, (0, 0)) == (0, 0)


def test_hold_is_shown_to_each_server_that_scrapes_once_in_a_window() -> None:
    shown = _LongestShown()
    quiet = replace(COUNTERS, longest_hold=Estimate(0.0, 0.0, 0.0))
    for begin in range(5, 10 * int(_WINDOW), 7):
        # One server scrapes all the time; the hold is in one of its readings.
        found = []
        for second in range(int(_WINDOW) + 1):
            counters = COUNTERS if second == 0 else quiet
            found.append(
                shown.add(
                    counters.process, counters.longest_hold, 1000.0 * begin + second
                )
            )
        assert set(found) == {0.5}
        later = range(int(_WINDOW) + 1, 3 * int(_WINDOW))
        assert [
            shown.add(quiet.process, quiet.longest_hold, 1000.0 * begin + second)
            for second in later
        ][-1] == 0.0


def test_hold_of_the_parent_is_not_shown_in_the_child_of_a_fork() -> None:
    shown = _LongestShown()
    assert shown.add(COUNTERS.process, COUNTERS.longest_hold, 1.0) == 0.5
    child = replace(COUNTERS, process=18, longest_hold=Estimate(0.1, 0.0, 0.2))
    assert shown.add(child.process, child.longest_hold, 2.0) == 0.1


# ---- answers --------------------------------------------------------------------------


@needs_client
def test_scrape_that_fails_is_answered_and_logged(tmp_path: Path) -> None:
    import prometheus_client

    class Broken(prometheus_client.registry.Collector):
        def collect(self) -> Any:
            raise ValueError("broken\nfor good")

    registry = prometheus_client.CollectorRegistry(auto_describe=False)
    registry.register(Broken())
    with open(tmp_path / "log", "wb") as log:
        monitor: Any = Monitor(COUNTERS)
        endpoint = Endpoint(monitor, Address("127.0.0.1", 0, 0), log.fileno())
        endpoint._registry = registry
        status, _, body = endpoint._body()
    assert status == 500
    assert b"broken" in body
    text = (tmp_path / "log").read_text()
    assert re.fullmatch(
        r"gilx: process \d+: no metrics for Prometheus: .*broken.*\n", text
    )


@needs_client
@needs_linux
def test_listener_that_the_program_closed_ends_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus_endpoint, "_CHECK_INTERVAL", 0.1)
    with open(tmp_path / "log", "wb") as log:
        monitor: Any = Monitor(COUNTERS)
        endpoint = Endpoint(monitor, Address("127.0.0.1", 0, 0), log.fileno())
        endpoint.listen()
        endpoint.start()
        assert endpoint._listener is not None
        number = endpoint._listener.descriptor
        with socket.create_server(("127.0.0.1", 0)) as program:
            os.dup2(program.fileno(), number)
            assert endpoint._ended.acquire(timeout=60)
            assert endpoint.threads == 0
            endpoint.stop()
            os.fstat(number)  # is still open
            os.close(number)
    lines = (tmp_path / "log").read_text().splitlines()
    assert "metrics for Prometheus are at" in lines[0]
    assert lines[1].endswith(
        ": no more metrics for Prometheus: the program closed the port"
    )
    assert len(lines) == 2


@needs_client
@needs_linux
def test_connection_that_the_program_closed_is_left_alone() -> None:
    client, ours = socket.socketpair()
    other, program = socket.socketpair()
    with client, other, program:
        connection = _OwnedSocket(ours)
        os.dup2(program.fileno(), connection.descriptor)
        other.sendall(b"the program's")
        stream = _Stream(connection)
        with pytest.raises(OSError, match="Bad file descriptor"):
            stream.read(1)
        with pytest.raises(OSError, match="Bad file descriptor"):
            stream.write(b"x")
        connection.close()
        os.fstat(connection.descriptor)  # is still open
        os.close(connection.descriptor)
        assert program.recv(100) == b"the program's"


@needs_client
@needs_linux
def test_request_and_answer_have_a_time_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(prometheus_endpoint, "monotonic", lambda: now)
    client, ours = socket.socketpair()
    with client:
        connection = _OwnedSocket(ours)
        stream = _Stream(connection)
        for _ in range(4):  # a byte a second
            client.sendall(b"x")
            assert stream.read(1) == b"x"
            now += 1.0
        now += 1.5
        client.sendall(b"x")
        with pytest.raises(TimeoutError):
            stream.read(1)
        assert stream.write(b"answer") == 6
        now += 5.0
        with pytest.raises(TimeoutError):
            stream.write(b"x")
        connection.close()


@needs_client
@needs_linux
def test_full_pipe_as_log_does_not_block() -> None:
    reader, writer = os.pipe()
    monitor: Any = Monitor(COUNTERS)
    endpoint = Endpoint(monitor, Address("127.0.0.1", 0, 0), writer)
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    thread = threading.Thread(target=endpoint._say, args=("words",), daemon=True)
    thread.start()
    thread.join(60)
    ended = not thread.is_alive()
    os.close(reader)  # the thread ends in any case
    os.close(writer)
    assert ended


# ---- addresses ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("9100", ("127.0.0.1", 9100, 9100)),
        ("0", ("127.0.0.1", 0, 0)),
        ("0.0.0.0:9100", ("0.0.0.0", 9100, 9100)),
        ("[::1]:9100-9107", ("::1", 9100, 9107)),
        ("localhost:1-65535", ("localhost", 1, 65535)),
    ],
)
def test_address_is_host_and_ports(given: str, expected: tuple[str, int, int]) -> None:
    assert Address.parsed(given) == expected


@pytest.mark.parametrize(
    "given",
    [
        "",
        "x",
        ":9100",
        "9100:",
        "::1:9100",
        "65536",
        "-1",
        "0-9",
        "9107-9100",
        "1-",
        "٣",
        "80 ",
    ],
)
def test_wrong_address_is_shown(given: str) -> None:
    with pytest.raises(
        ArgumentError, match=r"^prometheus: expected a port, such as 9100"
    ):
        Address.parsed(given)


@pytest.mark.parametrize(
    "host", ["a..b", "a" * 64, "é..", ".a", "caf\udce9", "\udcff.example", "a\0b"]
)
def test_name_that_no_host_can_have_is_shown(host: str) -> None:
    with pytest.raises(
        ArgumentError,
        match=r"^prometheus: (expected the name or address of a host, got|can't listen)",
    ):
        Address.parsed(f"{host}:9100").listener()


def test_scope_of_a_link_local_address_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    place = "fe80::1", 9100, 0, 7
    family = socket.AF_INET6

    def getaddrinfo(*_: object, **__: object) -> list[Any]:
        return [(family, socket.SOCK_STREAM, 6, "", place)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    created: list[Any] = []
    monkeypatch.setattr(
        socket, "create_server", lambda *args, **how: created.append((*args, how))
    )
    Address.parsed("[fe80::1%eth0]:9100").listener()
    assert created == [(place, {"family": family})]
