"""The native pool: C threads that never touch Python. The ceiling for all others."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from gilx.errors import ArgumentError
from gilx.pools.fork_safe_lock import Turn
from gilx.pools.pool import Pool
from gilx.system.environment import usable_cpus

if TYPE_CHECKING:
    from gilx.pools.pool import Region
    from gilx.pools.resource_usage import Share

SPIN_NS = 200_000
"""Time for which an idle thread spins before it sleeps: about that of waking a thread
on a CPU of a virtual machine that has gone idle, so that waiting costs at most twice what
the better choice would have (A. R. Karlin et al., Competitive Randomized Algorithms for
Nonuniform Problems, Algorithmica 11, 1994). With less, a thread that was
woken is not awake yet when the thread that waits for it falls asleep, and so on."""


class NativePool(Pool):
    """A native team; the caller joins in, and a region costs one release of the GIL.

    It runs the variant c-nogil only, since nothing else can do without Python, and whole
    problems.
    """

    name = "native"
    survives_fork = True

    def __init__(self, workers: int) -> None:
        from gilx.ckernels import NativeTeam  # noqa: PLC0415 - not in every installation

        super().__init__(workers)
        # Who spins where there are too few CPUs takes one from who works.
        self._team = NativeTeam(workers, SPIN_NS if workers <= usable_cpus() else 0)
        self._turn = Turn("the native pool")

    @classmethod
    def check_variant(cls, variant: str) -> None:
        """Raise an `ArgumentError` if the variant is not c-nogil."""
        if variant != "c-nogil":
            raise ArgumentError(
                f"variant: expected c-nogil on the native pool; got {variant!r}"
            )

    def _run(self, region: Region, account: list[Share] | None) -> float:
        del account  # nobody keeps one in C
        self.check_variant(region.variant.name)
        if region.first:
            raise ArgumentError(
                "region: expected all items on the native pool, got those from"
                f" {region.first}"
            )
        grain = region.grain if region.schedule == "dynamic" else None
        with self._turn.taken():
            begin = perf_counter()
            self._team.compute(region.variant.target, region.arguments, grain)
            return perf_counter() - begin

    def settle(self) -> None:
        """Wait until no thread of the team spins any more."""
        with self._turn.taken():
            self._team.settle()

    def _close(self) -> None:
        with self._turn.taken():
            self._team.close()
