"""A worker process: what it does from its start to its end."""

from __future__ import annotations

import fcntl
import os
import pickle
import signal
import traceback
from contextlib import suppress
from dataclasses import dataclass, field
from mmap import mmap
from socket import recv_fds, socket
from typing import TYPE_CHECKING, Any

from gilx import kernels
from gilx.pools.pool import Region, compute
from gilx.pools.resource_usage import Share
from gilx.pools.shared_memory import Handle, counter_slots
from gilx.pools.worker_error import LARGEST, PackedError

if TYPE_CHECKING:
    from gilx.pools.pool import Schedule

__all__ = ["DONE", "MESSAGE_SIZE", "RegionMessage", "main"]

DONE = b"\0"
"""Answers to messages that were obeyed begin with it; what was asked for follows pickled,
if anything was. Any other answer is a pickled `PackedError`, which begins otherwise."""

MESSAGE_SIZE = LARGEST
"""No message is longer, in bytes. The system would take some 200 KB."""


@dataclass(frozen=True)
class RegionMessage:
    """A region as it travels: its kernel by name, its arrays by handle."""

    kernel: str
    variant: str
    arguments: tuple[Any, ...]
    items: int
    schedule: Schedule
    grain: int
    first: int


@dataclass
class _Worker:
    """What a worker knows. Its methods are what a pool can ask for."""

    channel: socket
    index: int
    workers: int
    counters: list[memoryview]
    segments: dict[int, mmap] = field(default_factory=dict)
    regions: dict[int, Region] = field(default_factory=dict)

    def echo(self, number: int) -> int:
        """Say a number, which tells that all messages before were answered."""
        return number

    def attach(self, number: int, size: int) -> None:
        """Map the memory whose descriptor comes in the next message."""
        _, [descriptor], _, _ = recv_fds(self.channel, 1, 1)
        self.segments[number] = mmap(descriptor, size)
        os.close(descriptor)

    def define(self, number: int, message: RegionMessage) -> None:
        """Get ready to run a region, so that running it takes no longer than it must."""
        variant = kernels.get(message.kernel).variant(message.variant)
        self.regions[number] = Region(
            variant,
            tuple(
                # References index arrays; compiled code takes any buffer.
                x.open(self.segments[x.segment], as_array=not variant.claims_grains)
                if isinstance(x, Handle)
                else x
                for x in message.arguments
            ),
            message.items,
            message.schedule,
            message.grain,
            message.first,
        )

    def run(self, number: int) -> None:
        """Compute this worker's share of a region."""
        region = self.regions[number]
        compute(region, region.share(self.index, self.workers, self.counters))

    def run_accounted(self, number: int) -> Share:
        """Compute this worker's share of a region, and return what that took."""
        region, account = self.regions[number], list[Share]()
        counter = region.share(self.index, self.workers, self.counters)
        compute(region, counter, account)
        return account[0]

    def forget(self, segments: list[int], regions: list[int]) -> None:
        """Let go of regions and memory that nobody has any longer."""
        for number in regions:
            self.regions.pop(number, None)
        for number in segments:
            self.segments.pop(number, None)


def _end_with(life: int) -> None:
    """Have this process killed when the other end of a pipe is closed.

    So it is when the pool's process ends, in whatever way. The signal comes from the
    system, since a worker that holds its GIL in a long call runs no Python to notice.
    """
    fcntl.fcntl(life, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(life, fcntl.F_SETFL, fcntl.fcntl(life, fcntl.F_GETFL) | os.O_ASYNC)


def main(channel: int, life: int, memory: int, index: int, workers: int) -> None:
    """Serve a pool until it is gone.

    Parameters
    ----------
    channel, life, memory : int
        Descriptors: of a socket that messages come and are answered by, of the end of a
        pipe that is never read, and of the counters' memory.
    index, workers : int
        Which worker this is, of how many.

    """
    # Ctrl-C is for the pool's process, which will say what is to be done. Until here it
    # was blocked, so that it can't end a worker that is starting.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    _end_with(life)
    # The pool may go at any time: that is no error of a worker's.
    gone = suppress(BrokenPipeError, ConnectionResetError)
    with gone, socket(fileno=channel) as connection:
        worker = _Worker(connection, index, workers, counter_slots(memory, workers))
        os.close(memory)
        buffer = memoryview(bytearray(MESSAGE_SIZE))
        connection.send(DONE)
        while size := connection.recv_into(buffer):
            try:
                name, *arguments = pickle.loads(buffer[:size])  # noqa: S301 - the pool's
                found = getattr(worker, name)(*arguments)
                answer = DONE if found is None else DONE + pickle.dumps(found)
            except BaseException as error:
                answer = PackedError(error, traceback.format_exc()).pack()
            connection.send(answer)
