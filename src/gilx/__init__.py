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

__version__ = "0.1.0"

__all__ = ["RunResult", "__version__", "kernels", "pools", "run"]

# Where each public name lives; a module stands for itself.
_HOMES = {
    "RunResult": "gilx.dispatch",
    "kernels": "gilx.kernels",
    "pools": "gilx.pools",
    "run": "gilx.dispatch",
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
