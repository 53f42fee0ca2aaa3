"""Made-up sums of watches, and the usages that follow from them."""

from __future__ import annotations

from typing import Any

from gilx.estimate import Estimate
from gilx.sampling.hold_fraction import HoldSums
from gilx.sampling.ratio_interval import Ratio
from gilx.sampling.thread_usage import ActivitySums, ThreadSums, ThreadUsage
from gilx.sampling.usage import GilUsage
from gilx.system.environment import Environment

__all__ = ["SLICE", "sums", "thread_of", "usage_of"]

SLICE = 1_000_000  # nanoseconds of one sample


def sums(held: int, free: int, **changes: Any) -> HoldSums:
    """Return the sums of a watch with so many samples of either kind, but for changes."""
    samples = held + free
    square = SLICE**2
    ratio = Ratio(
        *(held * SLICE, samples * SLICE, held * square, held * square),
        *(samples * square, min(held, free) * square, 0, 0),
    )
    nobody = (0.0, samples * SLICE, 0.0, 0.0)
    waiters = Ratio(*nobody, samples * square, 0.0, 0.0, 0.0)
    made: dict[str, Any] = {
        "own": ratio, "locked": ratio, "wall": samples * SLICE,
        "counted": float(samples * SLICE), "unknown": 0.0, "missed": 0.0,
        "unidentified": 0.0, "read": 0, "released": 0, "switches": 0,
        "samples": samples, "late": 0, "lateness": 0.0, "cost": 0, "prompt": True,
        "stacks": float(samples * SLICE), "stacks_squares": float(samples * square),
        "waiters": waiters, "most_waiters": 0.0, "asked": 0, "askable": 0,
        "threads": float(samples * SLICE), "threads_squares": float(samples * square),
        "threads_missed": 0.0,
    }  # fmt: skip
    return HoldSums(**(made | changes))


def thread_of(
    watch: HoldSums,
    name: str,
    native_id: int | None,
    held: float,
    waited: float | None = None,
) -> ThreadUsage:
    """Return a thread that held the GIL, and waited for it, for such shares of a watch.

    It slept for the rest of the time. If it is not known for how long it waited, nothing
    is known of that.
    """

    def share(of: float) -> ActivitySums:
        square = of * SLICE * watch.counted
        return ActivitySums(of * watch.counted, square, square, square / 4)

    known = waited is not None
    made = ThreadSums(
        alive=watch.counted,
        known=watch.counted if known else 0.0,
        squares=SLICE * watch.counted if known else 0.0,
        cpu_wait=0.0,
        calls=known,
        gil_waits=known,
        holding=share(held),
        waiting_gil=share(waited or 0.0),
        sleeping=share(max(0.0, 1 - held - (waited or 0.0)) if known else 0.0),
    )
    return ThreadUsage.of(name, native_id, made, watch)


def usage_of(made: HoldSums, **changes: Any) -> GilUsage:
    """Return the usage of a watch with these sums, but for changes."""
    share = made.own.x / made.counted
    found: dict[str, Any] = {
        **made.figures(), "longest_hold": Estimate(0.0, 0.0, 1e-3), "held_stretch": 1e-3,
        "by_thread": (thread_of(made, "main", 1, share),), "cpu": made.wall / 1e9,
        "repeats": 1, "lateness_max": 1e-5, "backend": "made up", "sums": made,
        "environment": Environment.here(), "inconclusive_reason": made.reason,
    }  # fmt: skip
    return GilUsage(**(found | changes))
