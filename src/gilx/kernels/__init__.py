"""The kernels: known CPU-heavy work in two variants, one holding the GIL, one not."""

from gilx.kernels.kernel import Kernel, Problem
from gilx.kernels.registry import get, names

__all__ = ["Kernel", "Problem", "get", "names"]
