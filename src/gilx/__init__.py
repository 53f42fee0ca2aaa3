"""gilx: whether compiled Python code really runs in parallel, in numbers you can trust.

The public names are loaded when they are first used, so that importing gilx costs next
to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gilx import kernels as kernels
    from gilx import pools as pools
    from gilx.dispatch import RunResult as RunResult
    from gilx.dispatch import run as run
    from gilx.gilwatch.convoy import Latency as Latency
    from gilx.gilwatch.convoy import latency as latency
    from gilx.gilwatch.probe import probe as probe
    from gilx.gilwatch.usage import GilUsage as GilUsage
    from gilx.gilwatch.watch import watch as watch
    from gilx.meter.measure import measure as measure
    from gilx.meter.report import Report as Report
    from gilx.team import Team as Team

__version__ = "0.1.0"

__all__ = [
    "GilUsage",
    "Latency",
    "Report",
    "RunResult",
    "Team",
    "__version__",
    "kernels",
    "latency",
    "measure",
    "pools",
    "probe",
    "run",
    "watch",
]

# Where each public name lives; a module stands for itself.
_HOMES = {
    "GilUsage": "gilx.gilwatch.usage",
    "Latency": "gilx.gilwatch.convoy",
    "Report": "gilx.meter.report",
    "RunResult": "gilx.dispatch",
    "Team": "gilx.team",
    "kernels": "gilx.kernels",
    "latency": "gilx.gilwatch.convoy",
    "measure": "gilx.meter.measure",
    "pools": "gilx.pools",
    "probe": "gilx.gilwatch.probe",
    "run": "gilx.dispatch",
    "watch": "gilx.gilwatch.watch",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - one function for names of all types
    if name not in _HOMES:
        raise AttributeError(f"module 'gilx' has no attribute {name!r}")
    module = importlib.import_module(_HOMES[name])
    value = module if module.__name__ == f"gilx.{name}" else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
