"""Another process that was watched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

WAYS_TO_END = {"ended": "ended", "replaced": "executed another program"}
"""Words for how a process ended."""


@dataclass(frozen=True)
class WatchedProcess:
    """Another process whose GIL was watched from outside."""

    pid: int
    command: str
    """First words of its command line, or its program and the end of code after ``-c``;
    empty if they are not known."""
    python: str
    """Version of the CPython in it."""
    reader: str
    """Way in which its memory was read."""
    end: Literal["", "ended", "replaced"] = ""
    """``ended`` if the process ended while it was watched, ``replaced`` if it executed
    another program. The figures are those of the time before. Empty if it went on."""

    @property
    def name(self) -> str:
        """Number and command of the process, for texts."""
        return f"process {self.pid}" + (f" ({self.command})" if self.command else "")

    def __str__(self) -> str:
        end = f"; it {WAYS_TO_END[self.end]} while it was watched" if self.end else ""
        return f"{self.pid}, CPython {self.python}, read by {self.reader}{end}"
