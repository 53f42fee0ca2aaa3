"""Throughput of the variants of a kernel and of its peers, and how they compare.

All are timed in one run, in one thread, in blocks of random order; ratios are taken
within a block. Run it with nothing else running::

    python benchmarks/speed/kernels.py [--blocks N] [KERNEL ...]

Ratios are of speeds (first over second), with an interval of the median at 95 %.
Beside gilx's variants are timed the peers that can be had (``pip install gilx[bench]``):
numba's versions of the Cython loops, straightforward C compiled for this machine, the
library that a user would pick, on one thread, and for kernels that memory binds a copy
loop that moves as many bytes. ``GILX_ISA=avx2`` in the environment gives the C kernels
an instruction set other than the best.
"""

from __future__ import annotations

from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import one_thread  # noqa: F401 - before NumPy is loaded
from figures import Measured, ratio, run_script, typical
from peers import LIBRARIES, peers

from gilx import kernels
from gilx.pools import SerialPool
from gilx.pools.run import regions, run_all
from gilx.speedup.blocks import interleaved, samples_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["measure"]

FULL, QUICK = 21, 7  # blocks
# What the references work on: bound by memory, they must meet the same arrays.
_REFERENCES = {"histogram": ("python",), "triad": ("python",), "heat": ("python",)}
_LIBRARIES = tuple(library for library, _ in LIBRARIES.values())
# What is compared with what: in the suite, and beside that by the script.
_PEERS = (
    *(("c-nogil", peer) for peer in ("numba", "plain C", *_LIBRARIES, "copy")),
    ("cython-nogil", "numba"),
)
_VARIANTS = (
    *(("c-nogil", "python"), ("c-nogil", "numpy"), ("c-gil", "c-nogil")),
    *(("cython-gil", "cython-nogil"), ("cython-nogil", "c-nogil")),
)


def measure(subject: str, blocks: int, *, every_variant: bool = False) -> Measured:
    """Time variants of a kernel and its peers in one run of so many blocks.

    The variants are those that release the GIL, or all of them.
    """
    kernel = kernels.get(subject)
    variants = kernel.variants if every_variant else ("c-nogil", "cython-nogil")
    pairs = [*_PEERS, *(_VARIANTS if every_variant else ())]
    large = kernel.problem()
    # The references are slow: they work on a small problem, and rates are compared.
    slow = _REFERENCES.get(kernel.name, ("python", "numpy"))
    small = kernel.problem(kernel.python_size)
    beside = peers(large)
    units = {v: (small if v in slow else large).units for v in variants}
    units |= dict.fromkeys(beside.arms, large.units)
    with SerialPool() as pool:
        arms: dict[str, Callable[[], float]] = {
            variant: partial(
                run_all,
                pool,
                regions(small if variant in slow else large, variant=variant),
            )
            for variant in variants
        }
        samples = samples_of(islice(interleaved(arms | beside.arms), blocks))
    each = {
        arm: [seconds / units[arm] for seconds in times] for arm, times in samples.items()
    }
    figures = [
        typical(arm, [1e-6 / unit for unit in times], unit=f"million {kernel.unit}/s")
        for arm, times in each.items()
    ]
    pairs = [pair for pair in pairs if pair[0] in each]
    figures += [
        ratio(f"{first} / {second}", each[second], each[first])
        for first, second in pairs
        if second in each
    ]
    missing = {
        f"{first} / {second}": beside.missing[second]
        for first, second in pairs
        if second in beside.missing
    }
    return Measured(
        tuple(figures), missing, {arm: tuple(times) for arm, times in samples.items()}
    )


if __name__ == "__main__":
    run_script(
        __doc__, partial(measure, every_variant=True), kernels.names(), blocks=FULL
    )
