"""A worker of the process pool: the regions it knows and how it computes them."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from mmap import mmap
from typing import Any

from gilx import kernels
from gilx.pools.pool import Region, compute
from gilx.pools.resource_usage import Share
from gilx.pools.shared_memory import Handle, counter_slots


@dataclass
class Worker:
    """State of a worker. A pool can ask for its methods."""

    index: int
    counters: list[memoryview] = field(default_factory=list)
    segments: dict[int, mmap] = field(default_factory=dict)
    regions: dict[int, Region] = field(default_factory=dict)

    def share_counters(self, workers: int, descriptor: int) -> None:
        """Map the memory of the counters of so many workers."""
        self.counters = counter_slots(descriptor, workers)
        os.close(descriptor)

    def attach(self, number: int, size: int, descriptor: int) -> None:
        """Map memory for arrays."""
        self.segments[number] = mmap(descriptor, size)
        os.close(descriptor)

    def define(
        self,
        number: int,
        names: tuple[str, str],
        arguments: tuple[Any, ...],
        rest: tuple[Any, ...],
    ) -> None:
        """Get ready to run a region, so that running it takes no longer than it must."""
        kernel, variant_name = names
        variant = kernels.get(kernel).variant(variant_name)
        opened = tuple(
            # References index arrays; compiled code takes any buffer.
            x.open(self.segments[x.segment], as_array=not variant.claims_grains)
            if isinstance(x, Handle)
            else x
            for x in arguments
        )
        self.regions[number] = Region(variant, opened, *rest)

    def run(self, number: int) -> None:
        """Compute this worker's share of a region."""
        region = self.regions[number]
        compute(region, region.share(self.index, len(self.counters), self.counters))

    def run_accounted(self, number: int) -> Share:
        """Compute this worker's share of a region, and return what that took."""
        region, account = self.regions[number], list[Share]()
        counter = region.share(self.index, len(self.counters), self.counters)
        compute(region, counter, account)
        return account[0]

    def forget(self, segments: list[int], regions: list[int]) -> None:
        """Let go of regions and memory that nobody has any longer."""
        for number in regions:
            self.regions.pop(number, None)
        for number in segments:
            self.segments.pop(number, None)
