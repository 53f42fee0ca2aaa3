"""gilx: whether compiled Python code really runs in parallel, in numbers you can trust.

The public names are loaded when they are first used, so that importing gilx costs next
to nothing.
"""

from __future__ import annotations

# The module typing takes longer to load than all else here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from gilx import kernels as kernels
    from gilx import pools as pools
    from gilx import testing as testing
    from gilx.dispatch import RunResult as RunResult
    from gilx.dispatch import run as run
    from gilx.gilwatch.convoy import Latency as Latency
    from gilx.gilwatch.convoy import latency as latency
    from gilx.gilwatch.probe import probe as probe
    from gilx.gilwatch.usage import GilUsage as GilUsage
    from gilx.gilwatch.watch import watch as watch
    from gilx.meter.grain_record import Grain as Grain
    from gilx.meter.grains import grain as grain
    from gilx.meter.measure import measure as measure
    from gilx.meter.report import Report as Report
    from gilx.team import Team as Team

__version__ = "0.1.0"

__all__ = [
    "GilUsage",
    "Grain",
    "Latency",
    "Report",
    "RunResult",
    "Team",
    "__version__",
    "grain",
    "kernels",
    "latency",
    "measure",
    "pools",
    "probe",
    "run",
    "testing",
    "watch",
]

# Where each public name lives; a module stands for itself.
_HOMES = {
    "GilUsage": "gilx.gilwatch.usage",
    "Grain": "gilx.meter.grains",
    "Latency": "gilx.gilwatch.convoy",
    "Report": "gilx.meter.report",
    "RunResult": "gilx.dispatch",
    "Team": "gilx.team",
    "grain": "gilx.meter.grains",
    "kernels": "gilx.kernels",
    "latency": "gilx.gilwatch.convoy",
    "measure": "gilx.meter.measure",
    "pools": "gilx.pools",
    "probe": "gilx.gilwatch.probe",
    "run": "gilx.dispatch",
    "testing": "gilx.testing",
    "watch": "gilx.gilwatch.watch",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - one function for names of all types
    if name not in _HOMES:
        raise AttributeError(f"module 'gilx' has no attribute {name!r}")
    import importlib  # noqa: PLC0415 - only when something is used

    module = importlib.import_module(_HOMES[name])
    value = module if module.__name__ == f"gilx.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
