"""All kernels. Adding one here is the last step of adding a kernel."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from gilx.errors import one_of

if TYPE_CHECKING:
    from gilx.kernels.kernel import Kernel

__all__ = ["get", "names"]

# Each name is that of a module beside this one, which calls its Kernel KERNEL.
_NAMES = (
    "mandelbrot",
    "nbody",
    "matmul",
    "collatz",
    "primes",
    "montecarlo",
    "histogram",
    "triad",
    "heat",
    "levenshtein",
)


def names() -> tuple[str, ...]:
    """Return the names of all kernels, in the order in which gilx shows them."""
    return _NAMES


def get(name: str) -> Kernel:
    """Return the kernel of that name.

    Raises
    ------
    ArgumentError
        There is none; the message lists the names.

    """
    module = importlib.import_module(f"gilx.kernels.{one_of('kernel', name, _NAMES)}")
    kernel: Kernel = module.KERNEL
    return kernel
