"""The longest hold since the last reading, for several readers of one monitor."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

Bounds = tuple[int, ...]
"""The least and the greatest length of a hold, in ns; or likewise of a stop."""

_MOST_READERS = 64


class LongestByReader:
    """Bounds of the longest hold since each reader's last reading.

    A first reading covers the time since the start. So does that of a reader who comes
    back after `_MOST_READERS` others have read: each request of a server, or each of its
    threads, may be a reader, and those that have ended are not known.
    """

    def __init__(self) -> None:
        self._ever: Bounds = ()
        self._unread: dict[Hashable, Bounds] = {}

    def take(self, reader: Hashable, found: Bounds) -> Bounds:
        """Add a reading; return the longest hold since the last one of a reader.

        Parameters
        ----------
        reader : hashable
            Whose reading it is.
        found : tuple of int
            Bounds of the longest hold since the last reading of any reader.

        """
        self._ever = _longer(self._ever, found)
        for name, bounds in self._unread.items():
            self._unread[name] = _longer(bounds, found)
        longest = self._unread.pop(reader, self._ever)
        self._unread[reader] = ()  # as the last one
        if len(self._unread) > _MOST_READERS:
            del self._unread[next(iter(self._unread))]
        return longest


def _longer(one: Bounds, other: Bounds) -> Bounds:
    return tuple(map(max, one, other)) if one and other else one or other
