"""The call that is judged: checked, and with fresh arguments where they are used up."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from gilx.errors import ArgumentError
from gilx.meter.subjects import name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Call", "raising"]


class Call:
    """A function with its arguments, and what makes more of them for each call.

    Parameters
    ----------
    fn : callable
        What to call.
    args : tuple
        What to call it with.
    setup : callable, optional
        Called once before each call, outside of what is timed. It returns a tuple, the
        arguments of one call after `args`, or None for none.

    Raises
    ------
    ArgumentError
        An argument is not as described.

    """

    def __init__(
        self,
        fn: Callable[..., object],
        args: tuple[Any, ...],
        setup: Callable[[], object] | None,
    ) -> None:
        if not callable(fn):
            raise ArgumentError(f"fn: expected something to call, got {fn!r}")
        if setup is not None and not callable(setup):
            raise ArgumentError(f"setup: expected something to call, got {setup!r}")
        self.name = name_of(fn)
        self.has_setup = setup is not None
        self._fn, self._args, self._setup = fn, args, setup
        self._ready: list[tuple[Any, ...]] = []
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

    def _fresh(self) -> object:
        return self._fn(*self._args, *self._ready.pop())

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_ready": []}


@contextmanager
def raising(name: str) -> Iterator[None]:
    """Add a note to what the call raises."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, ArgumentError):
            error.add_note(f"gilx: raised while {name} was called to be judged")
        raise
