"""Exceptions of workers, packed to travel to the caller."""

from __future__ import annotations

import pickle
from typing import NamedTuple

LARGEST = 1 << 16
"""Bytes that a packed failure has at most."""


class PackedError(NamedTuple):
    """An exception, and the worker's traceback of it."""

    error: BaseException
    text: str

    def pack(self) -> bytes:
        """Return the failure pickled; one that describes it if it can't be pickled."""
        try:
            packed = pickle.dumps(self)
            # Some exceptions can be pickled and not be made again.
            pickle.loads(packed)  # noqa: S301 - just pickled
        except Exception:
            packed = b""
        if not 0 < len(packed) <= LARGEST:
            stand_in = RuntimeError(f"{type(self.error).__name__}, which can't be sent")
            packed = pickle.dumps(PackedError(stand_in, self.text[-LARGEST // 8 :]))
        return packed
