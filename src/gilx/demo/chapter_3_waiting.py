"""Chapter 3: threads that wait."""

from __future__ import annotations

import socket
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

from gilx._compat import gil_enabled
from gilx.demo.chapter import Chapter, Effort, grouped
from gilx.demo.chapter_1_pure_python import pure_python_call
from gilx.formatting import duration, one_line
from gilx.rendering.html_page import Table
from gilx.sampling.latency import latency
from gilx.speedup.report import ReportRow  # noqa: TC001 - JSON is read by annotations
from gilx.system.child_python import local_server
from gilx.system.environment import usable_cpus

if TYPE_CHECKING:
    from collections.abc import Callable

_THREADS = 4  # often more than CPUs: a thread that waits needs none
_WAIT = 0.02  # seconds that a sleep, or a server's answer, takes
_REPLY = 65_536  # bytes
_FILE = 16 << 20
_PIECE = 1 << 20
_CALL_NS = 20_000_000
_SLOW = 1e-3  # seconds: a delay of that much is due to the GIL

_SERVER = f"""
import asyncio, sys
async def answer(reader, writer):
    await asyncio.sleep({_WAIT})
    writer.write(bytes({_REPLY}))
    await writer.drain()
    writer.close()
async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    loop = asyncio.get_running_loop()
    done = loop.create_future()
    loop.add_reader(sys.stdin, done.set_result, None)
    await done
asyncio.run(main())
"""


def read_reply(port: int) -> int:
    """Connect to the server, read all that it sends, and return how much that was."""
    length = 0
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        while piece := line.recv(_REPLY):
            length += len(piece)
    return length


def read_file(path: str) -> int:
    """Read a file and return its length."""
    length = 0
    piece = bytearray(_PIECE)
    with Path(path).open("rb", buffering=0) as file:
        while count := file.readinto(piece):
            length += count
    return length


@dataclass(frozen=True)
class Beside:
    """Delays of a thread that answers beside one that computes. From `gilx.latency`."""

    name: str
    """Work of the other thread."""
    delay: float
    """Median delay beside it, in seconds."""
    worst: float
    """The delay that 99 % do not exceed."""
    echoes: float | None
    """Round trips to another process a second; None if the loopback does not work."""

    @property
    def restless(self) -> bool:
        """True if there were more round trips than the delay of each allows.

        A thread that waits for the GIL is late for each message. If it is not, the other
        thread was kept from computing, and the round trips show nothing.
        """
        slow = self.delay >= _SLOW
        return slow and self.echoes is not None and self.echoes * self.delay > 3


@dataclass(frozen=True)
class Waiting(Chapter):
    """Threads that sleep, read a socket and read files; and one that computes."""

    title: ClassVar[str] = "I/O-bound threads, and the delays that the GIL causes them"
    depends: ClassVar[str] = (
        "the other threads of the process. A thread that waits does not hold the GIL. If"
        " there is a GIL, the thread needs the GIL again after each wait, and is late if"
        " another thread holds it."
    )

    work: ClassVar[str] = "action"

    gil: bool
    switch_interval: float
    """Seconds after which a thread is asked to let the GIL go."""
    cpus: int
    """Number that the process may use."""
    waits: tuple[ReportRow, ...]
    beside: tuple[Beside, ...]
    """First the baseline, beside a thread that computes without the GIL: beside no thread
    at all, a CPU would fall asleep after each message, and wake up late. Then beside pure
    Python, and beside C that holds the GIL."""

    @classmethod
    def measure(cls, effort: Effort) -> Self:
        """Measure three kinds of waiting, and the delays beside three kinds of work."""
        missing: list[str] = []
        waits = [_measured(partial(time.sleep, _WAIT), "sleep", effort)]
        try:
            with local_server(_SERVER) as port:
                if port is None:
                    raise OSError("the server did not start")
                waits.append(
                    _measured(partial(read_reply, port), "read a socket", effort)
                )
        except OSError as error:
            missing.append(f"Reading a socket can't be shown: {one_line(error)}.")
        try:
            with tempfile.TemporaryDirectory() as directory:
                path = Path(directory) / "file"
                path.write_bytes(bytes(_FILE))
                call = partial(read_file, str(path))
                waits.append(_measured(call, "read a file", effort))
        except OSError as error:
            missing.append(f"Reading files can't be shown: {one_line(error)}.")
        from gilx.ckernels import spin  # noqa: PLC0415 - not in every installation

        # Work in C of a known length, holding the GIL and not.
        computing: dict[str, Callable[[], object]] = {
            "released C": partial(spin, 0, _CALL_NS, _CALL_NS),
            "pure Python": pure_python_call(_CALL_NS * 1e-9),
            "held C": partial(spin, _CALL_NS, 0, _CALL_NS),
        }
        return cls(
            missing=tuple(missing),
            gil=gil_enabled(),
            switch_interval=sys.getswitchinterval(),
            cpus=usable_cpus(),
            waits=tuple(waits),
            beside=tuple(_beside(call, name, effort) for name, call in computing.items()),
        )

    def speedups(self) -> tuple[ReportRow, ...]:
        """Return the speedups of threads that wait."""
        return self.waits

    def tables(self) -> list[Table]:
        """Return the speedups and the delays."""
        return [
            *super().tables(),
            Table(
                ("beside a thread in", "delay", "p99", "echoes/s"),
                tuple(
                    (
                        row.name,
                        duration(row.delay),
                        duration(row.worst),
                        f"{_number(row.echoes)}{' ?' if row.restless else ''}",
                    )
                    for row in self.beside
                ),
                right=(1, 2, 3),
            ),
        ]

    def sentences(self) -> list[str]:
        """Return sentences on overlapping waits, and on the effect of a neighbour."""
        sentences = grouped(
            self.waits,
            {
                "scales": f"{_THREADS} threads wait at once, and the GIL hardly matters"
                if self.gil
                else f"{_THREADS} threads wait at once",
                "partly": (
                    "Threads are faster, but by less than the machine could achieve"
                ),
                "no faster": "Threads are no faster",
            },
        )
        if any(row.target == "read a file" for row in self.waits):
            limit = f"{self.cpus} CPUs limit" if self.cpus > 1 else "only CPU limits"
            sentences.append(
                "The file is in the system's cache, so a read only copies memory, and the"
                f" {limit} it; with a slow disk, a thread would wait, as for a socket."
            )
        sentences += self._convoy()
        return sentences

    def _convoy(self) -> list[str]:
        released, python, held = self.beside
        hold = "hold the GIL" if self.gil else "would hold the GIL"
        late = (
            "In the second table, another thread computes, and the waiting thread wants"
            " to run every 5 ms."
            f" The waiting thread is late by {duration(released.delay)} beside C calls"
            f" that release the GIL, by {duration(python.delay)} beside pure Python, and"
            f" by {duration(held.delay)} beside C calls that {hold} for"
            f" {duration(_CALL_NS * 1e-9)}. All three keep a CPU busy"
            f"{'; only the GIL differs' if self.gil else ', and there is no GIL'}."
        )
        sentences = [late]
        if self.gil and python.delay > 10 * released.delay:
            sentences.append(
                "A thread that computes in Python releases the GIL only when asked, every"
                f" {duration(self.switch_interval)}; C code that holds the GIL"
                " releases it when the call is over."
            )
        if any(row.restless for row in self.beside):
            sentences.append(
                "A question mark after the round trips (echoes) means that the other"
                " thread did not compute all the time, since the machine was too busy."
            )
        elif self.gil and python.echoes and python.echoes < (released.echoes or 0):
            sentences.append(
                "A server has that delay for each message: it makes"
                f" {_number(released.echoes)} round trips a second beside the released"
                f" calls, and {_number(python.echoes)} beside pure Python."
            )
        return sentences


def _measured(call: Callable[[], object], name: str, effort: Effort) -> ReportRow:
    def progress(text: str) -> None:
        effort.progress(f"{name}: {text}" if text else "")

    named = replace(effort, progress=progress)
    return named.speedups(call, [name], 4, workers=_THREADS)[0]


def _beside(call: Callable[[], object], name: str, effort: Effort) -> Beside:
    effort.progress(f"delays beside {name}")
    _, row = latency(call, budget=effort.seconds(3.6)).rows
    return Beside(name=name, delay=row.p50, worst=row.p99, echoes=row.echoes)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"
