"""Waiting for a condition, with a deadline that only a fault reaches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TIMEOUT", "wait_until"]

TIMEOUT = 60.0  # seconds


def wait_until(condition: Callable[[], Any], message: str = "") -> Any:
    """Return the first true value of a condition; it gives an event loop nothing to do."""
    end = time.monotonic() + TIMEOUT
    while not (value := condition()):
        assert time.monotonic() < end, message
        time.sleep(0.01)
    return value
