"""Call that is measured: checked, and with fresh arguments where it uses them up."""

from __future__ import annotations

import sys
from collections import deque
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from gilx.callable_lookup import check_call
from gilx.errors import ArgumentError
from gilx.formatting import name_of
from gilx.speedup.timings import in_a_row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Arguments that are kept ready may be large.
_MOST_PREPARED = 1000


class PreparedCall:
    """A function with its arguments, and what makes more of them for each call.

    Parameters
    ----------
    fn : callable
        The callable.
    args : tuple
        Arguments of the call.
    setup : callable, optional
        Called once for each call, before a row of them and outside of what is timed. It
        returns a tuple, the arguments of one call after `args`, or None for none.

    Raises
    ------
    ArgumentError
        An argument is not as described, or `fn` is a coroutine function or a generator
        function, whose body does not run when it is called.

    """

    def __init__(
        self,
        fn: Callable[..., object],
        args: tuple[Any, ...],
        setup: Callable[[], object] | None,
    ) -> None:
        check_call(fn)
        if setup is not None and not callable(setup):
            raise ArgumentError(f"setup: expected something to call, got {setup!r}")
        self.name: str = name_of(fn)
        self.has_setup: bool = setup is not None
        self.most: int = sys.maxsize if setup is None else _MOST_PREPARED
        """Number of calls that there may be in a row."""
        self.longest: float = 0.0
        """Seconds of a call in the row in which calls took longest so far."""
        self._fn, self._args, self._setup = fn, args, setup
        self._ready: deque[tuple[Any, ...]] = deque()
        # Without a setup nothing of ours stands between the watch and the function.
        self.make: Callable[[], object] = (
            self._fresh if setup else partial(fn, *args) if args else fn
        )

    def prepare(self, count: int) -> None:
        """Have arguments ready for so many calls."""
        if self._setup is None:
            return
        while len(self._ready) < count:
            made = self._setup()
            if made is not None and not isinstance(made, tuple):
                raise ArgumentError(
                    "setup: expected it to return a tuple of arguments, or None; got"
                    f" {made!r:.60}"
                )
            self._ready.append(made or ())

    def timed(self, count: int) -> float:
        """Make so many calls in a row, or `most`; return the seconds of so many."""
        some = min(count, self.most)
        self.prepare(some)
        seconds = in_a_row(self.make, some)
        self.longest = max(self.longest, seconds / some)
        return seconds * (count / some)

    def _fresh(self) -> object:
        return self._fn(*self._args, *self._ready.popleft())

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_ready": deque()}


@contextmanager
def raising(name: str, when: str = "called to be judged") -> Iterator[None]:
    """Add a note to what the call raises: that it was raised while it was called."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, ArgumentError):
            error.add_note(f"gilx: raised while {name} was {when}")
        raise
