"""Keys that are pressed on the terminal, one by one."""

from __future__ import annotations

import os
import select
import sys
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType


class Keyboard:
    """Standard input, from which a ``with`` statement reads keys without Return.

    If standard input is not a terminal, no keys are read.
    """

    def __init__(self) -> None:
        self.present: bool = sys.stdin is not None and sys.stdin.isatty()

    def __enter__(self) -> Keyboard:
        if self.present:
            import termios  # noqa: PLC0415 - not on every system
            import tty  # noqa: PLC0415 - likewise

            self._input = sys.stdin.fileno()
            before = termios.tcgetattr(self._input)
            self._gone = termios.error
            self._restore = partial(
                termios.tcsetattr, self._input, termios.TCSADRAIN, before
            )
            tty.setcbreak(self._input)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.present:
            with suppress(self._gone):  # the terminal has gone away
                self._restore()

    def wait(self, seconds: float, keys: str) -> bool:
        """Wait for at most so many seconds; return whether one of `keys` was pressed."""
        if not self.present:
            time.sleep(seconds)
            return False
        if not select.select([self._input], [], [], seconds)[0]:
            return False
        try:
            pressed = os.read(self._input, 64).decode(errors="replace")
        except OSError:  # the terminal has gone away
            pressed = ""
        # Without a terminal, no key will ever come.
        return pressed == "" or any(key in pressed for key in keys)
