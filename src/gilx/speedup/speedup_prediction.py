"""Predicted speedups in threads for machines with more CPUs than this one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilx._compat import gil_enabled
from gilx.errors import WorkersUnavailableError
from gilx.sampling.prediction_record import (
    PredictionRow,  # noqa: TC001 - JSON is read by annotations
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilx.speedup.targets import Target


@dataclass(frozen=True)
class SpeedupPrediction:
    """Speedups of one target on the pool `threads`, if each worker had a CPU.

    They follow from the time for which one call alone holds the GIL (see `gilx.predict`).
    Whatever else workers share, such as memory and other locks, is not part of them.
    """

    target: str
    variant: str | None
    """The kernel's variant; None for a callable."""
    rows: tuple[PredictionRow, ...]
    """A prediction for each number of workers that was measured on `threads`."""
    missing: str = ""
    """Reason that there are no rows; empty if there are."""

    @property
    def name(self) -> str:
        """Name of the target in tables."""
        return self.target if self.variant is None else f"{self.target} {self.variant}"


def predicted(target: Target, workers: Sequence[int]) -> SpeedupPrediction:
    """Predict the speedups of a target that was measured.

    Parameters
    ----------
    target : Target
        With the usage of the GIL by one call alone.
    workers : sequence of int
        Numbers of workers, each at least 1.

    """
    usage = target.usage
    if not gil_enabled():
        missing = "there is no GIL to predict from"
    elif usage is None:
        missing = "the GIL was not watched"
    else:
        missing = usage.inconclusive_reason and (
            f"its use of the GIL is inconclusive ({usage.inconclusive_reason})"
        )
    rows: tuple[PredictionRow, ...] = ()
    if usage is not None and not missing:
        try:
            rows = usage.predict(workers, cpus=max(workers)).rows
        except WorkersUnavailableError as error:
            missing = f"the cost of a hand-over could not be measured ({error})"
    return SpeedupPrediction(target.name, target.variant, rows, missing)
