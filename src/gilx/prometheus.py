"""A monitor's counters as metrics for Prometheus, by the package prometheus-client.

`gilx monitor --prometheus` serves them; `register` adds them to the metrics that an
application serves itself.
"""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING, Any, cast

from gilx.errors import ArgumentError, MissingExtraError, shown
from gilx.pools.fork_safe_lock import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector

    from gilx.estimate import Estimate
    from gilx.sampling.counters import Counters, ThreadCounters
    from gilx.sampling.monitor import Monitor

__all__ = ["register"]

_WINDOW = 120.0
"""Seconds for which a long hold is shown at least: two of the usual scrapes."""
_MISSING = "no metrics without prometheus-client: pip install 'gilx[prometheus]'"

# Of the threads of each name, the field of `ThreadCounters` and the help.
_BY_THREAD: dict[str, tuple[Callable[[ThreadCounters], Estimate], str]] = {
    "gilx_gil_held_seconds": (
        lambda thread: thread.held_seconds,
        "Seconds for which the threads of a name held the GIL.",
    ),
    "gilx_gil_waited_seconds": (
        lambda thread: thread.waited_seconds,
        "Seconds for which the threads of a name waited for the GIL.",
    ),
}
# Of the process. What is None is unknown, and has no value.
_TOTALS: dict[str, tuple[Callable[[Counters], float | None], str]] = {
    "gilx_process_gil_held_seconds": (
        lambda counters: _known(counters.held_seconds),
        "Seconds for which any thread held the GIL.",
    ),
    "gilx_process_gil_waited_seconds": (
        lambda counters: _known(counters.waited_seconds),
        "Seconds for which threads waited for the GIL, of all threads together.",
    ),
    "gilx_monitored_seconds": (
        lambda counters: counters.wall,
        "Seconds since the monitor was started.",
    ),
    "gilx_unknown_seconds": (
        lambda counters: counters.unknown_seconds,
        "Seconds without a sample in time.",
    ),
    "gilx_sampler_cpu_seconds": (
        lambda counters: counters.cost_seconds,
        "Seconds of CPU time that the sampler took.",
    ),
    "gilx_stalls": (
        lambda counters: float(counters.stalls),
        "Times that the GIL was not released for as long as makes a stall.",
    ),
    "gilx_blocked_loops": (
        lambda counters: float(counters.blocked_loops),
        "Times that an event loop was blocked; 0 if event loops are not watched.",
    ),
    "gilx_dropped_report_bytes": (
        lambda counters: float(counters.dropped_bytes),
        "Bytes of reports that could not be written.",
    ),
}
_RUNNING = "gilx_monitor_running", "Whether a monitor runs in this process."
_LONGEST = (
    "gilx_gil_longest_hold_seconds",
    f"Longest hold of the GIL of the last {_WINDOW:g} seconds at least.",
)


def register(
    monitor: Monitor, registry: CollectorRegistry | None = None
) -> Callable[[], None]:
    """Add a monitor's counters to the metrics of a registry.

    The monitor is read when the registry is asked for its metrics. It may be started
    before or later. In the child of a fork, they are those of the child.

    Parameters
    ----------
    monitor : Monitor
        What is read.
    registry : prometheus_client.CollectorRegistry, optional
        By default ``prometheus_client.REGISTRY``.

    Returns
    -------
    callable
        Takes the metrics out of the registry again; a second call does nothing.

    Raises
    ------
    ArgumentError
        `monitor` is not a monitor.
    MissingExtraError
        The package prometheus-client is not installed: the extra ``prometheus`` has it.
    ValueError
        The registry has metrics of these names.

    """
    if not isinstance(getattr(monitor, "running", None), bool):  # nor is the class one
        raise ArgumentError(f"monitor: expected a gilx.Monitor, got {shown(monitor)}")
    client = load_client()
    target = client.REGISTRY if registry is None else registry
    collector = cast("Collector", _Collector(monitor))
    target.register(collector)
    registered = [collector]

    def unregister() -> None:
        if registered:
            target.unregister(registered.pop())

    return unregister


def load_client() -> Any:  # noqa: ANN401 - may be missing
    """Return the module ``prometheus_client``.

    Raises
    ------
    MissingExtraError
        It is not installed, or can't be loaded.

    """
    try:
        return importlib.import_module("prometheus_client")
    except ImportError as error:
        raise MissingExtraError(_MISSING) from error


class _Collector:
    """Metrics of a monitor, made when the registry asks for them."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._families = importlib.import_module("prometheus_client.metrics_core")
        self._longest = _LongestShown()

    def describe(self) -> Iterator[Metric]:
        """Yield the metrics without values, for their names."""
        for name, (_, text) in _BY_THREAD.items():
            yield self._families.CounterMetricFamily(name, text, labels=["thread"])
        for name, (_, text) in _TOTALS.items():
            yield self._families.CounterMetricFamily(name, text)
        for name, text in (_LONGEST, _RUNNING):
            yield self._families.GaugeMetricFamily(name, text)

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; of a monitor that was not started here, only that."""
        running = self._monitor.running
        yield self._gauge(*_RUNNING, float(running))
        try:
            counters = self._monitor.read(reader=self)
        except RuntimeError:  # it was not started, or can't run in this child of a fork
            if running:
                raise
            return
        for name, (field, text) in _BY_THREAD.items():
            family = self._families.CounterMetricFamily(name, text, labels=["thread"])
            for thread in counters.by_thread:
                if (value := _known(field(thread))) is not None:
                    family.add_metric([thread.name], value)
            yield family
        for name, (total, text) in _TOTALS.items():
            if (value := total(counters)) is not None:
                yield self._families.CounterMetricFamily(name, text, value=value)
        longest = self._longest.add(counters, time.monotonic())
        yield self._gauge(*_LONGEST, longest)

    def _gauge(self, name: str, text: str, value: float) -> Metric:
        family: Metric = self._families.GaugeMetricFamily(name, text, value=value)
        return family


def _known(figure: Estimate) -> float | None:
    return figure.value if figure.known else None


class _LongestShown:
    """The longest hold of the last readings, for several servers that scrape.

    Each of them, if it scrapes once in a window, finds each hold, whatever the others do.
    """

    def __init__(self) -> None:
        self._turn = Turn("the longest hold")
        self._process = 0
        self._begin = 0.0  # of the window
        self._before = self._now = 0.0  # longest hold of the last window and of this one

    def add(self, counters: Counters, now: float) -> float:
        """Add a reading at a time in seconds; return the length to show."""
        with self._turn.taken():
            if counters.process != self._process:  # the child of a fork
                self._process, self._begin = counters.process, now
                self._before = self._now = 0.0
            self._now = max(self._now, counters.longest_hold.value)
            longest = max(self._before, self._now)
            if now - self._begin >= _WINDOW:
                self._before, self._now, self._begin = self._now, 0.0, now
            return longest
