"""Progress messages on the terminal."""

from __future__ import annotations

import shutil
import sys


def show(text: str) -> None:
    """Show progress on a terminal, in place of what was shown before."""
    if sys.stderr is not None and sys.stderr.isatty():
        # A longer line would go on below, and stay there.
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r\x1b[K{text[:width]}")
        sys.stderr.flush()
