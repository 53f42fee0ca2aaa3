"""Monitors in a Dask cluster's workers: metrics, logs and Dask's address for Prometheus."""

from __future__ import annotations

import ctypes
import importlib
import urllib.request
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from gilx.errors import ArgumentError
from tests.dask_workers import client_of_workers
from tests.markers import needs, needs_watch
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [needs("distributed"), needs_watch, pytest.mark.any_python]
pytest.importorskip("distributed")
dask = importlib.import_module("gilx.dask")
NUMBERS = {
    "wall", "held_seconds", "waited_seconds", "unknown_seconds", "cost_seconds",
    "longest_hold",
}  # fmt: skip


def stall() -> None:
    ctypes.PyDLL(None).usleep(400_000)  # it holds the GIL


def metrics_of(client: Any, address: str) -> dict[str, Any]:
    """Return what the last heartbeat of a worker had of gilx; nothing if it had none."""
    found: dict[str, Any] = client.run_on_scheduler(
        lambda dask_scheduler: dask_scheduler.workers[address].metrics.get("gilx", {})
    )
    return found


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with client_of_workers(2) as client:
        yield client


def test_counters_and_stalls_are_where_users_of_dask_look(client: Any) -> None:
    busy, idle = client.nthreads()
    client.register_plugin(dask.MonitorPlugin(stall=0.1, lone=True))
    client.submit(stall, workers=[busy], pure=False).result()
    found = wait_until(
        lambda: metrics_of(client, busy).get("stalls") and metrics_of(client, busy),
        "no heartbeat with a stall",
    )
    assert found["held_seconds"] > 0.1  # of 0.4; late samples do not count
    assert found["wall"] > 0.4
    assert 0 <= found["locked"] <= 1
    assert found["blocked_loops"] == 0
    assert all(found[name] >= 0 for name in NUMBERS)
    assert found["process"] == client.run(process, workers=[busy])[busy]
    assert (
        wait_until(lambda: metrics_of(client, idle), "no heartbeat")["process"]
        != (found["process"])
    )
    # What a user asks for is the same.
    shown = client.scheduler_info()["workers"][busy]["metrics"]["gilx"]
    assert shown.keys() == found.keys()

    def logged(worker: str) -> list[str]:
        # On a busy machine, imports may hold the GIL for as long.
        return [
            text
            for level, text in client.get_worker_logs()[worker]
            if level == "WARNING" and "held the GIL for" in text and "in stall" in text
        ]

    (text,) = wait_until(lambda: logged(busy), "the stall was not logged")
    assert "test_dask_monitor.py" in text
    assert "most recent call first" in text
    assert not logged(idle)

    client.unregister_worker_plugin("gilx-monitor")
    wait_until(lambda: not metrics_of(client, busy), "the metric is still there")


def process(dask_worker: Any) -> int:
    import os

    assert dask_worker is not None
    return os.getpid()


@needs("prometheus_client")
def test_dasks_address_for_prometheus_has_the_counters(client: Any) -> None:
    address, *_ = client.nthreads()
    port = client.run(port_of, workers=[address])[address]

    def scraped() -> str:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}/metrics", timeout=60
        ) as answer:
            text: str = answer.read().decode()
            return text

    assert "gilx_" not in scraped()
    client.register_plugin(dask.MonitorPlugin())
    text = scraped()
    assert "gilx_monitor_running 1.0" in text
    assert "gilx_process_gil_held_seconds_total" in text
    assert "dask_worker_tasks" in text
    client.unregister_worker_plugin("gilx-monitor")
    assert "gilx_" not in scraped()


def port_of(dask_worker: Any) -> int:
    port: int = dask_worker.http_server.port
    return port


def test_plugin_that_is_registered_again_has_the_new_options(client: Any) -> None:
    client.register_plugin(dask.MonitorPlugin())
    client.register_plugin(dask.MonitorPlugin(stall=0.5, cost=0.02))
    (options,) = set(client.run(options_here).values())
    assert options == (0.5, 0.02, True)
    client.unregister_worker_plugin("gilx-monitor")
    assert set(client.run(options_here).values()) == {None}


def options_here() -> tuple[float | None, float, bool] | None:
    from gilx.dask import monitor_plugin

    for each in monitor_plugin._processes.values():
        monitor = each._monitor
        return monitor._stall, monitor._cost, monitor.running
    return None


def test_workers_of_one_process_share_a_monitor() -> None:
    with client_of_workers(2, processes=False) as client:
        first, second = client.nthreads()
        client.register_plugin(dask.MonitorPlugin())
        found = [
            wait_until(partial(metrics_of, client, each), "no heartbeat")
            for each in (first, second)
        ]
        assert found[0]["process"] == found[1]["process"]
        assert options_here() == (0.1, 0.01, True)
        client.cluster.scale(1)
        wait_until(lambda: len(client.nthreads()) == 1, "the worker does not end")
        assert options_here() == (0.1, 0.01, True)
    assert options_here() is None


@pytest.mark.parametrize(
    ("options", "message"),
    [({"stall": 0}, "stall: expected"), ({"cost": 2}, "cost: expected above 0")],
)
def test_bad_options_are_refused_before_they_are_sent(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        dask.MonitorPlugin(**options)
