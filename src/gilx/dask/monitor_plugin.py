"""Monitor in each worker of a Dask cluster, as a plugin of Dask's."""

from __future__ import annotations

import logging
import os
from typing import TYPE_CHECKING, Any

from distributed import WorkerPlugin
from tornado.ioloop import PeriodicCallback

from gilx.errors import MissingExtraError
from gilx.prometheus import register
from gilx.sampling.monitor import Monitor

if TYPE_CHECKING:
    from collections.abc import Callable

    from distributed import Worker

    from gilx.estimate import Estimate

_METRIC = "gilx"
_ROUND = 1000  # milliseconds between two searches for stalls

# A logger below that of Dask's workers, whose records `Client.get_worker_logs` returns.
_logger = logging.getLogger("distributed.worker.gilx")


class MonitorPlugin(WorkerPlugin):
    """Plugin that runs a `gilx.Monitor` in each worker of a Dask cluster.

    ``client.register_plugin(MonitorPlugin())`` starts it in all present workers and in
    each that joins later, and ``client.unregister_worker_plugin("gilx-monitor")`` ends
    it. gilx must be installed on each worker: Dask itself does not start a worker that
    can't load a plugin.

    * The counters are in the metrics of each worker, under ``gilx``:
      ``client.scheduler_info()["workers"][address]["metrics"]["gilx"]`` has the process
      and the fields of `gilx.Counters` that are numbers, in seconds; None is unknown.
      ``locked`` is the share of the time since the last heartbeat for which a thread held
      the GIL, and ``longest_hold`` the longest hold since then.
    * Each stall is logged with its stacks as a warning of the worker once it has ended,
      so that ``client.get_worker_logs()`` returns it. The monitor writes the same to
      `log` while the stall lasts.
    * If prometheus-client is installed on a worker, the address ``/metrics`` that Dask
      serves for the worker has the counters, as `gilx.prometheus.register` adds them.

    Several workers in one process have one GIL, and share the monitor of the first one.

    Parameters
    ----------
    stall, cost, lone, loop, log
        As those of `gilx.Monitor`. A path is a path on the worker.

    Raises
    ------
    ArgumentError
        An argument is not as described for `gilx.Monitor`.

    """

    name = "gilx-monitor"

    def __init__(
        self,
        stall: float | None = 0.1,
        cost: float = 0.01,
        *,
        lone: bool = False,
        loop: float | None = None,
        log: str | os.PathLike[str] | int | None = None,
    ) -> None:
        self._options: dict[str, Any] = {
            "stall": stall,
            "cost": cost,
            "lone": lone,
            "loop": loop,
            "log": log,
        }
        Monitor(**self._options)  # checks the options

    def setup(self, worker: Worker) -> None:
        """Start the monitor, unless another worker of this process has.

        Raises
        ------
        WatchUnavailableError
            The GIL can't be watched there. Dask logs it in the worker and raises it in
            the client that registers the plugin.

        """
        process = _processes.get(os.getpid()) or _ProcessMonitor(self._options)
        process.add(worker)
        _processes[os.getpid()] = process

    def teardown(self, worker: Worker) -> None:
        """Stop the monitor if this is the last worker of this process."""
        process = _processes.get(os.getpid())
        if process is not None and process.remove(worker):
            del _processes[os.getpid()]


class _ProcessMonitor:
    """Monitor of this process, for all workers in it."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._monitor = Monitor(**options)
        self._rounds: dict[str, PeriodicCallback] = {}  # by worker
        self._logged: set[tuple[str, int]] = set()
        self._unregister: Callable[[], None] | None = None

    def add(self, worker: Worker) -> None:
        """Give the counters to a worker; start the monitor if it is the first one."""
        if not self._monitor.running:
            self._monitor.start()
            self._unregister = self._register()
        rounds = PeriodicCallback(self._log_stalls, _ROUND)
        rounds.start()
        self._rounds[worker.id] = rounds
        worker.metrics[_METRIC] = _Metric(self._monitor)

    def remove(self, worker: Worker) -> bool:
        """Take the counters from a worker; return whether it was the last one."""
        worker.metrics.pop(_METRIC, None)
        rounds = self._rounds.pop(worker.id, None)
        if rounds is not None:
            rounds.stop()
        if self._rounds:
            return False
        if self._unregister is not None:
            self._unregister()
        self._monitor.stop()
        self._log_stalls(all_of_them=True)
        return True

    def _register(self) -> Callable[[], None] | None:
        try:
            return register(self._monitor)
        except MissingExtraError:
            return None  # Dask has no metrics for Prometheus either
        except ValueError as error:
            _logger.warning("gilx adds no metrics for Prometheus: %s", error)
            return None

    def _log_stalls(self, *, all_of_them: bool = False) -> None:
        """Log each stall once when it has ended; at the end, also those that go on."""
        for stall in self._monitor.stalls:
            key = stall.kind, stall.number
            if key not in self._logged and (stall.over or all_of_them):
                self._logged.add(key)
                _logger.warning("%s", "\n".join([str(stall), *stall.report]))


# By the number of the process, which may be the child of a fork.
_processes: dict[int, _ProcessMonitor] = {}


class _Metric:
    """Counters as one of the metrics that a worker sends with each heartbeat."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._before = 0.0, 0.0  # time, and time for which the GIL was held

    def __call__(self, _: Worker) -> dict[str, float | None]:
        """Return the counters, and the share of the time since the last call."""
        counters = self._monitor.read(reader=self)
        wall, held = counters.wall, counters.held_seconds.value
        wall_before, held_before = self._before
        self._before = wall, held
        known = counters.held_seconds.known and wall > wall_before
        locked = min(1.0, (held - held_before) / (wall - wall_before)) if known else None
        return {
            "process": counters.process,
            "wall": wall,
            "locked": locked,
            "held_seconds": _known(counters.held_seconds),
            "waited_seconds": _known(counters.waited_seconds),
            "unknown_seconds": counters.unknown_seconds,
            "cost_seconds": counters.cost_seconds,
            "stalls": counters.stalls,
            "blocked_loops": counters.blocked_loops,
            "longest_hold": _known(counters.longest_hold),
        }


def _known(figure: Estimate) -> float | None:
    return figure.value if figure.known else None
