"""Made-up sums of watches, and the usages that follow from them."""

from __future__ import annotations

from typing import Any

from gilx.estimate import Estimate
from gilx.sampling.hold_fraction import HoldSums
from gilx.sampling.ratio_interval import Ratio
from gilx.sampling.usage import GilUsage, ThreadShare
from gilx.system.environment import Environment

__all__ = ["SLICE", "sums", "usage_of"]

SLICE = 1_000_000  # nanoseconds of one sample


def sums(held: int, free: int, **changes: Any) -> HoldSums:
    """Return the sums of a watch with so many samples of either kind, but for changes."""
    samples = held + free
    square = SLICE**2
    ratio = Ratio(
        *(held * SLICE, samples * SLICE, held * square, held * square),
        *(samples * square, min(held, free) * square, 0, 0),
    )
    made: dict[str, Any] = {
        "own": ratio, "locked": ratio, "wall": samples * SLICE,
        "counted": float(samples * SLICE), "unknown": 0.0, "missed": 0.0,
        "unidentified": 0.0, "read": 0, "released": 0, "switches": 0,
        "samples": samples, "late": 0, "lateness": 0.0, "cost": 0, "prompt": True,
        "stacks": float(samples * SLICE), "stacks_squares": float(samples * square),
    }  # fmt: skip
    return HoldSums(**(made | changes))


def usage_of(made: HoldSums, **changes: Any) -> GilUsage:
    """Return the usage of a watch with these sums, but for changes."""
    share = made.own.x / made.counted
    found: dict[str, Any] = {
        **made.figures(), "longest_hold": Estimate(0.0, 0.0, 1e-3), "held_stretch": 1e-3,
        "by_thread": (ThreadShare("main", 1, share),), "cpu": made.wall / 1e9,
        "repeats": 1, "lateness_max": 1e-5, "backend": "made up", "sums": made,
        "environment": Environment.here(), "doubt": made.reason,
    }  # fmt: skip
    return GilUsage(**(found | changes))
