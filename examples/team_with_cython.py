"""Run a Cython function on gilx's native team.

In a project of one's own the module is built with the others; here it is built on the
spot. `api` makes the function a capsule in ``__pyx_capi__``, with its signature as name.
"""

import importlib
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import gilx

SOURCE = """
from libc.stdint cimport int64_t

cdef api void halve(void *context, int64_t start, int64_t stop) noexcept nogil:
    cdef double *numbers = <double *>context
    cdef int64_t i
    for i in range(start, stop):
        numbers[i] *= 0.5
"""

with tempfile.TemporaryDirectory() as folder:
    (Path(folder) / "halving.pyx").write_text(SOURCE)
    words = ["-m", "Cython.Build.Cythonize", "--inplace", "-3", "halving.pyx"]
    subprocess.run([sys.executable, *words], cwd=folder, check=True, capture_output=True)
    sys.path.insert(0, folder)
    halve = importlib.import_module("halving").__pyx_capi__["halve"]

numbers = np.full(1_000_000, 4.0)
with gilx.Team(2) as team:
    team.run(halve, numbers, numbers.size, grain=10_000)
assert (numbers == 2.0).all()
print(f"{numbers.size} numbers halved by {team.workers} workers")
