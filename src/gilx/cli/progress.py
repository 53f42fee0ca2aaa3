"""Showing what is going on."""

from __future__ import annotations

import sys

__all__ = ["show"]


def show(text: str) -> None:
    """Show progress on a terminal, in place of what was shown before."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()
