"""gilx: whether compiled Python code really runs in parallel, in numbers you can trust.

The public names are loaded when they are first used, so that importing gilx costs next
to nothing.
"""

from __future__ import annotations

__version__ = "0.1.0"

# Type checkers read the same names in __init__.pyi; a test compares it with this table.
# gilx itself does not read the stub, since tools that bundle programs leave stubs out.
_NAMES = {
    "gilx.demo.demo_record": "Demo run_demo",
    "gilx.errors": (
        "ArgumentError MissingExtraError NoGilError NotCompiledError"
        " WatchUnavailableError WorkersUnavailableError WrongResultError"
    ),
    "gilx.estimate": "Estimate",
    "gilx.notebook": "load_ipython_extension",
    "gilx.pools.run": "RunResult run",
    "gilx.pools.team": "Team",
    "gilx.records": "Record",
    "gilx.rendering.picture": "Picture",
    "gilx.sampling.cluster_usage": "ClusterUsage",
    "gilx.sampling.counters": "Counters StateSeconds ThreadCounters WorldCounters",
    "gilx.sampling.hold_fraction": "HoldSums",
    "gilx.sampling.latency": "Latency LatencyRow latency",
    "gilx.sampling.lock_waits": "LockWait",
    "gilx.sampling.monitor": "Monitor",
    "gilx.sampling.prediction": "predict",
    "gilx.sampling.prediction_record": "Prediction PredictionRow",
    "gilx.sampling.process_watch": "attach",
    "gilx.sampling.probe": "probe",
    "gilx.sampling.processes_usage": "ProcessesUsage UnwatchedProcess",
    "gilx.sampling.release_costs": "ReleaseCosts release_costs",
    "gilx.sampling.sites": "HeldLine Site SiteCaller SiteSums",
    "gilx.sampling.stacks": "HeldStack StackFrame Stacks",
    "gilx.sampling.stalls": "Stall",
    "gilx.sampling.timeline": "Lane Span Timeline",
    "gilx.sampling.thread_usage": "ActivitySums SystemCalls ThreadSums ThreadUsage",
    "gilx.sampling.usage": "FirstCall GilUsage",
    "gilx.sampling.waiting_sites": "WaitSums WaitingSite",
    "gilx.sampling.watched_process": "WatchedProcess",
    "gilx.sampling.usage_comparison": "SiteChange compare_usages",
    "gilx.sampling.watch": "Watch watch",
    "gilx.sampling.world": "StopSite StopSums ThreadStops World WorldSums",
    "gilx.speedup.grain": "grain",
    "gilx.speedup.grain_record": "Grain GrainRow",
    "gilx.speedup.measure": "measure",
    "gilx.speedup.comparison": "Comparison",
    "gilx.speedup.losses": "Loss",
    "gilx.speedup.report": "Report ReportRow",
    "gilx.speedup.report_comparison": "RowChange compare",
    "gilx.speedup.speedup_prediction": "SpeedupPrediction",
    "gilx.system.conditions": "Conditions Snapshot between snapshot",
    "gilx.system.diagnostics": "Finding examine",
    "gilx.system.environment": "Environment EnvironmentDifference",
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}

__all__ = ["__version__", "audit", "kernels", "pools", "prometheus", "testing"]
__all__ += list(_HOMES)


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'gilx' has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - only when something is used

    value: object = importlib.import_module(_HOMES.get(name, f"gilx.{name}"))
    if name in _HOMES:
        value = getattr(value, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
