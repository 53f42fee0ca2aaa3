"""A call that takes far longer if threads make it in turn."""

from __future__ import annotations

import threading
import time

__all__ = ["AlternatingCall"]


class AlternatingCall:
    """Takes 0.1 ms, or 20 ms if another thread made the call before this one."""

    def __init__(self) -> None:
        self._last = 0

    def __call__(self) -> None:
        caller = threading.get_ident()
        is_next = caller == self._last
        self._last = caller
        time.sleep(1e-4 if is_next else 0.02)
