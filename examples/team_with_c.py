"""Run a C function of one's own on gilx's native team."""

import ctypes
import subprocess
import tempfile
from pathlib import Path

import numpy as np

import gilx

# What the function needs comes in one structure, as is usual in C.
SOURCE = """
#include <stdint.h>

struct job { double factor; double *numbers; };

void scale(void *context, int64_t start, int64_t stop) {
    const struct job *job = context;
    for (int64_t i = start; i < stop; ++i) {
        job->numbers[i] *= job->factor;
    }
}
"""


class Job(ctypes.Structure):
    """The same structure, for Python."""

    _fields_ = [("factor", ctypes.c_double), ("numbers", ctypes.c_void_p)]


with tempfile.TemporaryDirectory() as folder:
    source, library = Path(folder) / "scale.c", Path(folder) / "scale.so"
    source.write_text(SOURCE)
    subprocess.run(["cc", "-O3", "-shared", "-fPIC", source, "-o", library], check=True)
    scale = ctypes.CDLL(str(library)).scale

# The team takes no function whose signature it can't see.
scale.argtypes = [ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64]
scale.restype = None

numbers = np.ones(1_000_000)
with gilx.Team(2) as team:
    team.run(scale, Job(3.0, numbers.ctypes.data), numbers.size, grain=10_000)
assert (numbers == 3.0).all()
print(f"{numbers.size} numbers scaled by {team.workers} workers")
