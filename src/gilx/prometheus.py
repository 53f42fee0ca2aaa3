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
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric
    from prometheus_client.registry import Collector

    from gilx.estimate import Estimate
    from gilx.sampling.counters import (
        Counters,
        StateSeconds,
        ThreadCounters,
        WorldCounters,
    )
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
# Of the threads of each name without a GIL, the field of `StateSeconds` and the help.
_STATES: dict[str, tuple[Callable[[StateSeconds], Estimate], str]] = {
    "gilx_thread_attached_seconds": (
        lambda states: states.attached,
        "Seconds for which the threads of a name ran attached to the interpreter.",
    ),
    "gilx_thread_detached_seconds": (
        lambda states: states.detached,
        "Seconds for which the threads of a name ran detached from the interpreter.",
    ),
    "gilx_thread_waited_lock_seconds": (
        lambda states: states.waiting_lock,
        "Seconds for which the threads of a name waited for locks, or spun on them.",
    ),
    "gilx_thread_waited_cpu_seconds": (
        lambda states: states.waiting_cpu,
        "Seconds for which the threads of a name waited for a CPU.",
    ),
    "gilx_thread_stopped_seconds": (
        lambda states: states.stopped,
        "Seconds for which the threads of a name waited for stops of the world.",
    ),
    "gilx_thread_asked_stop_seconds": (
        lambda states: states.asking,
        "Seconds for which the threads of a name had asked for stops of the world.",
    ),
    "gilx_thread_late_seconds": (
        lambda states: states.late,
        "Seconds for which stops of the world waited for the threads of a name.",
    ),
}
# Of stops of the world, the field of `WorldCounters` and the help.
_WORLD: dict[str, tuple[Callable[[WorldCounters], float], str]] = {
    "gilx_world_stopped_seconds": (
        lambda world: world.stopped_seconds.value,
        "Seconds in which a stop of the world was asked for or went on.",
    ),
    "gilx_world_stopping_seconds": (
        lambda world: world.stopping_seconds.value,
        "Seconds in which a stop of the world waited for threads to stop.",
    ),
    "gilx_world_stops": (
        lambda world: float(world.least_stops),
        "Stops of the world that samples distinguish: there were at least as many.",
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
        "Times that the GIL was not released, or a stop of the world not begun or ended.",
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
_LONGEST_STOP = (
    "gilx_world_longest_stop_seconds",
    f"Longest stop of the world of the last {_WINDOW:g} seconds at least.",
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
        for name, text in _helps(_BY_THREAD, _STATES):
            yield self._families.CounterMetricFamily(name, text, labels=["thread"])
        for name, text in _helps(_TOTALS, _WORLD):
            yield self._families.CounterMetricFamily(name, text)
        for name, text in (_LONGEST, _LONGEST_STOP, _RUNNING):
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
        without_gil = counters.states is not None
        for name, text in _helps(_STATES if without_gil else _BY_THREAD):
            family = self._families.CounterMetricFamily(name, text, labels=["thread"])
            for thread in counters.by_thread:
                if (value := _of_thread(name, thread)) is not None:
                    family.add_metric([thread.name], value)
            yield family
        if counters.world is not None:
            for name, (part, text) in _WORLD.items():
                yield self._families.CounterMetricFamily(
                    name, text, value=part(counters.world)
                )
        for name, (total, text) in _TOTALS.items():
            if (value := total(counters)) is not None:
                yield self._families.CounterMetricFamily(name, text, value=value)
        figure = counters.longest_hold
        if counters.world is not None:
            figure = counters.world.longest_stop
        if figure.known:
            longest = self._longest.add(counters.process, figure, time.monotonic())
            yield self._gauge(*(_LONGEST_STOP if without_gil else _LONGEST), longest)

    def _gauge(self, name: str, text: str, value: float) -> Metric:
        family: Metric = self._families.GaugeMetricFamily(name, text, value=value)
        return family


def _helps(*metrics: Mapping[str, tuple[object, str]]) -> Iterator[tuple[str, str]]:
    for some in metrics:
        for name, (_, text) in some.items():
            yield name, text


def _of_thread(name: str, thread: ThreadCounters) -> float | None:
    if name in _BY_THREAD:
        return _known(_BY_THREAD[name][0](thread))
    return None if thread.states is None else _known(_STATES[name][0](thread.states))


def _known(figure: Estimate) -> float | None:
    return figure.value if figure.known else None


class _LongestShown:
    """The longest hold or stop of the last readings, for several servers that scrape.

    Each of them, if it scrapes once in a window, finds each hold, whatever the others do.
    """

    def __init__(self) -> None:
        self._turn = Turn("the longest hold")
        self._process = 0
        self._begin = 0.0  # of the window
        self._before = self._now = 0.0  # longest hold of the last window and of this one

    def add(self, process: int, figure: Estimate, now: float) -> float:
        """Add a reading at a time in seconds; return the length to show."""
        with self._turn.taken():
            if process != self._process:  # the child of a fork
                self._process, self._begin = process, now
                self._before = self._now = 0.0
            self._now = max(self._now, figure.value)
            longest = max(self._before, self._now)
            if now - self._begin >= _WINDOW:
                self._before, self._now, self._begin = self._now, 0.0, now
            return longest
