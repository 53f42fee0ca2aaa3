"""Conditions that tests need. Each skips a test where its condition is not met."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys

import pytest

from gilx._compat import gil_enabled
from gilx.system.environment import usable_cpus

HAS_WATCH = gil_enabled() and sys.platform == "linux"
HAS_INTERPRETERS = importlib.util.find_spec("concurrent.interpreters") is not None

needs_gil = pytest.mark.skipif(not gil_enabled(), reason="needs a GIL")
needs_no_gil = pytest.mark.skipif(gil_enabled(), reason="needs a free-threaded build")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
needs_watch = pytest.mark.skipif(
    not HAS_WATCH,
    reason="needs a GIL that can be watched: a build with the GIL, on Linux",
)
needs_verdicts = pytest.mark.skipif(
    sys.platform != "linux" or (not gil_enabled() and sys.version_info[:2] != (3, 14)),
    reason="needs a GIL, or thread states, that can be watched",
)
needs_monitor = needs_verdicts
needs_interpreters = pytest.mark.skipif(
    not HAS_INTERPRETERS, reason="needs sub-interpreters: Python 3.14 or newer"
)
needs_two_cpus = pytest.mark.skipif(usable_cpus() < 2, reason="needs two CPUs")
needs_affinity = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="needs affinity masks"
)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
needs_c_compiler = pytest.mark.skipif(
    shutil.which("cc") is None, reason="needs a C compiler"
)


def needs(*names: str) -> pytest.MarkDecorator:
    """Skip a test if one of the modules is not installed; see `tests.conftest`."""
    return pytest.mark.needs(*names)
