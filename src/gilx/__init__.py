"""gilx: whether compiled Python code really runs in parallel, in numbers you can trust.

The public names are loaded when they are first used, so that importing gilx costs next
to nothing.
"""

from __future__ import annotations

# The module typing takes longer to load than all else here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from gilx import audit as audit
    from gilx import kernels as kernels
    from gilx import pools as pools
    from gilx import testing as testing
    from gilx.errors import ArgumentError as ArgumentError
    from gilx.errors import MissingExtraError as MissingExtraError
    from gilx.errors import NoGilError as NoGilError
    from gilx.errors import WatchUnavailableError as WatchUnavailableError
    from gilx.errors import WorkersUnavailableError as WorkersUnavailableError
    from gilx.errors import WrongResultError as WrongResultError
    from gilx.estimate import Estimate as Estimate
    from gilx.pools.run import RunResult as RunResult
    from gilx.pools.run import run as run
    from gilx.pools.team import Team as Team
    from gilx.sampling.latency import Latency as Latency
    from gilx.sampling.latency import LatencyRow as LatencyRow
    from gilx.sampling.latency import latency as latency
    from gilx.sampling.prediction import Prediction as Prediction
    from gilx.sampling.prediction import PredictionRow as PredictionRow
    from gilx.sampling.prediction import predict as predict
    from gilx.sampling.probe import probe as probe
    from gilx.sampling.release_costs import ReleaseCosts as ReleaseCosts
    from gilx.sampling.release_costs import release_costs as release_costs
    from gilx.sampling.timeline import Lane as Lane
    from gilx.sampling.timeline import Span as Span
    from gilx.sampling.timeline import Timeline as Timeline
    from gilx.sampling.usage import FirstCall as FirstCall
    from gilx.sampling.usage import GilUsage as GilUsage
    from gilx.sampling.usage import ThreadShare as ThreadShare
    from gilx.sampling.watch import Watch as Watch
    from gilx.sampling.watch import watch as watch
    from gilx.speedup.comparison import Comparison as Comparison
    from gilx.speedup.grain import grain as grain
    from gilx.speedup.grain_record import Grain as Grain
    from gilx.speedup.grain_record import GrainRow as GrainRow
    from gilx.speedup.losses import Loss as Loss
    from gilx.speedup.measure import measure as measure
    from gilx.speedup.report import Report as Report
    from gilx.speedup.report import ReportRow as ReportRow
    from gilx.speedup.report_comparison import RowChange as RowChange
    from gilx.speedup.report_comparison import compare as compare
    from gilx.system.conditions import Conditions as Conditions
    from gilx.system.conditions import Snapshot as Snapshot
    from gilx.system.conditions import between as between
    from gilx.system.conditions import snapshot as snapshot
    from gilx.system.diagnostics import Finding as Finding
    from gilx.system.diagnostics import examine as examine
    from gilx.system.environment import Environment as Environment
    from gilx.system.environment import EnvironmentDifference as EnvironmentDifference

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "Comparison",
    "Conditions",
    "Environment",
    "EnvironmentDifference",
    "Estimate",
    "Finding",
    "FirstCall",
    "GilUsage",
    "Grain",
    "GrainRow",
    "Lane",
    "Latency",
    "LatencyRow",
    "Loss",
    "MissingExtraError",
    "NoGilError",
    "Prediction",
    "PredictionRow",
    "ReleaseCosts",
    "Report",
    "ReportRow",
    "RowChange",
    "RunResult",
    "Snapshot",
    "Span",
    "Team",
    "ThreadShare",
    "Timeline",
    "Watch",
    "WatchUnavailableError",
    "WorkersUnavailableError",
    "WrongResultError",
    "__version__",
    "audit",
    "between",
    "compare",
    "examine",
    "grain",
    "kernels",
    "latency",
    "measure",
    "pools",
    "predict",
    "probe",
    "release_costs",
    "run",
    "snapshot",
    "testing",
    "watch",
]

# The names that each module has; the others are modules themselves.
_NAMES = {
    "gilx.errors": (
        "ArgumentError MissingExtraError NoGilError"
        " WatchUnavailableError WorkersUnavailableError WrongResultError"
    ),
    "gilx.estimate": "Estimate",
    "gilx.pools.run": "RunResult run",
    "gilx.pools.team": "Team",
    "gilx.sampling.latency": "Latency LatencyRow latency",
    "gilx.sampling.prediction": "Prediction PredictionRow predict",
    "gilx.sampling.probe": "probe",
    "gilx.sampling.release_costs": "ReleaseCosts release_costs",
    "gilx.sampling.timeline": "Lane Span Timeline",
    "gilx.sampling.usage": "FirstCall GilUsage ThreadShare",
    "gilx.sampling.watch": "Watch watch",
    "gilx.speedup.grain": "grain",
    "gilx.speedup.grain_record": "Grain GrainRow",
    "gilx.speedup.measure": "measure",
    "gilx.speedup.comparison": "Comparison",
    "gilx.speedup.losses": "Loss",
    "gilx.speedup.report": "Report ReportRow",
    "gilx.speedup.report_comparison": "RowChange compare",
    "gilx.system.conditions": "Conditions Snapshot between snapshot",
    "gilx.system.diagnostics": "Finding examine",
    "gilx.system.environment": "Environment EnvironmentDifference",
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - one function for names of all types
    if name not in __all__:
        raise AttributeError(f"module 'gilx' has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - only when something is used

    home = _HOMES.get(name)
    value = (
        importlib.import_module(f"gilx.{name}")
        if home is None
        else getattr(importlib.import_module(home), name)
    )
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
