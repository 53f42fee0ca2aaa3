"""The recipes for metrics on the page about monitoring, run as they stand there."""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING

import pytest

from tests.command import run_python
from tests.docs.pages import ROOT, blocks
from tests.markers import needs, needs_fork, needs_gil, needs_monitor

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.any_python, needs_monitor]

RECIPES = {
    block.file: block.text
    for block in blocks((ROOT / "docs" / "monitoring.md").read_text())
    if block.file
}


@needs_gil
def test_opentelemetry_collects_what_the_monitor_has(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.sdk")
    (tmp_path / "gil_metrics.py").write_text(RECIPES["gil_metrics.py"])
    (tmp_path / "main.py").write_text(
        textwrap.dedent(
            """\
            import ctypes, time
            from opentelemetry import metrics
            from opentelemetry.sdk.metrics import MeterProvider
            from opentelemetry.sdk.metrics.export import InMemoryMetricReader

            import gilx
            from gil_metrics import observe

            reader = InMemoryMetricReader()
            metrics.set_meter_provider(MeterProvider([reader]))

            def collect():
                found = {}
                for metric in reader.get_metrics_data().resource_metrics[0].scope_metrics[0].metrics:
                    for point in metric.data.data_points:
                        key = metric.name, point.attributes.get("thread.name", "")
                        found[" ".join(key).strip()] = point.value
                return found

            with gilx.Monitor(stall=0.1, lone=True, log="log") as monitor:
                observe(monitor)
                ctypes.PyDLL(None).usleep(500_000)
                first = collect()
                assert first["gilx.gil.held MainThread"] > 0.2, first
                assert first["gilx.stalls"] >= 1
                assert first["gilx.gil.longest_hold"] > 0.2
                assert monitor.read().longest_hold.high > 0.2
                second = collect()
                assert second["gilx.gil.held MainThread"] >= first["gilx.gil.held MainThread"]
                end = time.monotonic() + 60  # until a sample after the hold
                while collect()["gilx.gil.longest_hold"] > 0.2:
                    assert time.monotonic() < end
                    time.sleep(0.05)
            """
        )
    )
    run_python("main.py", check=True, cwd=tmp_path)


# Stands for the package where that is not installed.
FAKE_METRICS = """\
callbacks = {}

class Observation:
    def __init__(self, value, attributes=None):
        self.value = value

class Meter:
    def create_observable_counter(self, name, callbacks_, unit):
        [callbacks[name]] = callbacks_

    create_observable_gauge = create_observable_counter

def get_meter(name):
    return Meter()
"""


def test_opentelemetry_leaves_out_unknown_figures(tmp_path: Path) -> None:
    """A monitor that was just started, or runs without a GIL, does not know all."""
    (tmp_path / "gil_metrics.py").write_text(RECIPES["gil_metrics.py"])
    package = tmp_path / "opentelemetry"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "metrics.py").write_text(FAKE_METRICS)
    (tmp_path / "main.py").write_text(
        textwrap.dedent(
            """\
            from types import SimpleNamespace as Namespace

            from opentelemetry.metrics import callbacks

            from gil_metrics import observe
            from gilx import Estimate

            def collect(figure):
                thread = Namespace(name="T", held_seconds=figure, waited_seconds=figure)
                counters = Namespace(by_thread=[thread], stalls=3, longest_hold=figure)
                observe(Namespace(read=lambda reader: counters))
                return {
                    name: [one.value for one in callback(None)]
                    for name, callback in callbacks.items()
                }

            known = collect(Estimate(2.0, 1.0, 3.0))
            assert known == {
                "gilx.gil.held": [2.0],
                "gilx.gil.waited": [2.0],
                "gilx.stalls": [3],
                "gilx.gil.longest_hold": [2.0],
            }, known
            unknown = collect(Estimate.unknown())
            assert unknown == dict.fromkeys(known, []) | {"gilx.stalls": [3]}, unknown
            """
        )
    )
    run_python("main.py", check=True, cwd=tmp_path)


@needs_fork
@needs("prometheus_client")
def test_workers_of_gunicorn_have_ports_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "settings.py").write_text(RECIPES["gunicorn.conf.py"])
    (tmp_path / "main.py").write_text(
        textwrap.dedent(
            """\
            import os, re, time, urllib.request
            import prometheus_client
            import settings

            # Gunicorn forks so.
            children = []
            for _ in range(2):
                reading, writing = os.pipe()
                if (child := os.fork()) == 0:
                    server = prometheus_client.start_http_server
                    def start(port, *more):
                        found = server(port, *more)
                        os.write(writing, b"%d" % port)
                        return found
                    prometheus_client.start_http_server = start
                    settings.post_fork(None, None)
                    time.sleep(60)
                    os._exit(0)
                children.append((child, int(os.read(reading, 9))))
            assert len({port for _, port in children}) == 2
            for child, port in children:
                url = f"http://127.0.0.1:{port}/metrics"
                with urllib.request.urlopen(url, timeout=60) as answer:
                    assert b"gilx_monitor_running 1.0" in answer.read()
            for child, _ in children:
                os.kill(child, 9)
            """
        )
    )
    run_python("main.py", check=True, cwd=tmp_path)


@needs_fork
@needs("prometheus_client")
def test_multiprocess_mode_sums_over_workers(tmp_path: Path) -> None:
    (tmp_path / "worker_metrics.py").write_text(RECIPES["worker_metrics.py"])
    (tmp_path / "values").mkdir()
    (tmp_path / "main.py").write_text(
        textwrap.dedent(
            """\
            import ctypes, os, sys, time, warnings
            import prometheus_client, prometheus_client.multiprocess
            import worker_metrics

            warnings.simplefilter("ignore", DeprecationWarning)
            registry = prometheus_client.CollectorRegistry()
            prometheus_client.multiprocess.MultiProcessCollector(registry)
            children = []
            for _ in range(2):
                if (child := os.fork()) == 0:
                    worker_metrics.start(0.1)
                    for _ in range(50):  # samples may be late on a busy machine
                        ctypes.PyDLL(None).usleep(700_000)
                        time.sleep(0.5)
                    os._exit(0)
                children.append(child)

            def value(name, **labels):
                return registry.get_sample_value(name, labels) or 0.0

            end = time.monotonic() + 50
            while (
                value("gilx_gil_held_seconds_total", thread="MainThread") < 1.0
                or value("gilx_stalls_total") < 2
            ):
                assert time.monotonic() < end, prometheus_client.generate_latest(registry)
                time.sleep(0.05)
            for child in children:
                os.kill(child, 9)
            """
        )
    )
    environment = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "values")}
    run_python("main.py", check=True, cwd=tmp_path, env=environment)


def test_recipes_are_all_tested() -> None:
    assert set(RECIPES) == {
        "orders.py",
        "rates.py",
        "gil_metrics.py",
        "gunicorn.conf.py",
        "worker_metrics.py",
    }
