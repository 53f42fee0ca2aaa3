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
    from gilx.pools.run import RunResult as RunResult
    from gilx.pools.run import run as run
    from gilx.pools.team import Team as Team
    from gilx.sampling.latency import Latency as Latency
    from gilx.sampling.latency import latency as latency
    from gilx.sampling.probe import probe as probe
    from gilx.sampling.usage import GilUsage as GilUsage
    from gilx.sampling.watch import watch as watch
    from gilx.speedup.grain import grain as grain
    from gilx.speedup.grain_record import Grain as Grain
    from gilx.speedup.measure import measure as measure
    from gilx.speedup.report import Report as Report

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
    "GilUsage": "gilx.sampling.usage",
    "Grain": "gilx.speedup.grain",
    "Latency": "gilx.sampling.latency",
    "Report": "gilx.speedup.report",
    "RunResult": "gilx.pools.run",
    "Team": "gilx.pools.team",
    "grain": "gilx.speedup.grain",
    "kernels": "gilx.kernels",
    "latency": "gilx.sampling.latency",
    "measure": "gilx.speedup.measure",
    "pools": "gilx.pools",
    "probe": "gilx.sampling.probe",
    "run": "gilx.pools.run",
    "testing": "gilx.testing",
    "watch": "gilx.sampling.watch",
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
