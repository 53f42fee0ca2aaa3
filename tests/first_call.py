"""Calls whose first one takes long, as that of code that is compiled on first use."""

from __future__ import annotations

import time
from itertools import count
from typing import TYPE_CHECKING

from gilx import ckernels

if TYPE_CHECKING:
    from collections.abc import Callable


def compiled_on_first_use(first: float, others: float) -> Callable[[], None]:
    """Return a call that holds the GIL for some seconds at first, and sleeps after that."""
    calls = count()

    def call() -> None:
        if next(calls) == 0:
            ckernels.spin(1, 0, int(first * 1e9))
        else:
            time.sleep(others)

    return call


work = compiled_on_first_use(0.3, 0.02)
