"""Descriptors that a program may close, and that are then those of other files."""

from __future__ import annotations

import errno
import os
import select

# The functions of this moment: packages such as gevent replace them in programs.
_poll = getattr(select, "poll", None)  # Windows has none
_AT_ONCE = getattr(select, "PIPE_BUF", 512)  # bytes that a pipe takes as a whole


class OwnedFile:
    """Descriptor that is used only while it belongs to the file for which it was opened.

    A program may close every descriptor, as daemons do, and open files of its own, which
    then have the same numbers. The check before each use can't help if that happens
    between the two, nor if the program opens the same file again.

    Parameters
    ----------
    descriptor : int
        Of a file or socket that is open, and gilx's own.

    Raises
    ------
    OSError
        It is not open.

    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._identity = identity(descriptor)

    @property
    def is_own(self) -> bool:
        """Return whether the descriptor still belongs to that file."""
        return is_same(self.descriptor, self._identity)

    def write_at_once(self, data: bytes) -> bool:
        """Write if the file is still our own and takes it; return whether it did.

        Raises
        ------
        OSError
            It can't be written.

        """
        return self.is_own and write_at_once(self.descriptor, data)

    def opened_again(self, path: str, how: int) -> OwnedFile:
        """Open the file by its path, when the descriptor is not our own any more.

        Raises
        ------
        OSError
            It can't be opened, or another file is at the path.

        """
        descriptor = os.open(path, how | os.O_CLOEXEC)
        if not is_same(descriptor, self._identity):
            os.close(descriptor)
            raise FileNotFoundError(errno.ENOENT, "another file took its place")
        return OwnedFile(descriptor)

    def close(self) -> None:
        """Close the file, unless the descriptor belongs to another one by now."""
        if self.is_own:
            os.close(self.descriptor)


def identity(descriptor: int) -> os.stat_result:
    """Return what `is_same` compares: the device and the inode, which sockets have too.

    Raises
    ------
    OSError
        The descriptor is not open.

    """
    return os.fstat(descriptor)


def is_same(descriptor: int, before: os.stat_result) -> bool:
    """Return whether a descriptor is open and has the identity that it had before."""
    try:
        return os.path.samestat(os.fstat(descriptor), before)
    except (OSError, OverflowError):
        return False


def write_at_once(descriptor: int, data: bytes) -> bool:
    """Write without waiting; return whether everything was written.

    A pipe that is full, or whose other end is closed, gets nothing more. Writing to the
    latter would end a program that has the default action for SIGPIPE.

    Raises
    ------
    OSError
        The descriptor can't be written.

    """
    rest = memoryview(data)
    while rest:
        if _poll is not None and events(descriptor, select.POLLOUT, 0) != select.POLLOUT:
            return False
        rest = rest[os.write(descriptor, rest[:_AT_ONCE]) :]
    return True


def events(descriptor: int, wanted: int, seconds: float) -> int:
    """Return what `select.poll` reports of a descriptor in that time; 0: nothing."""
    assert _poll is not None
    poller = _poll()
    poller.register(descriptor, wanted)
    found = poller.poll(1000 * seconds)
    return found[0][1] if found else 0
