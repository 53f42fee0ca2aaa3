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
    found = 0
    with socket.create_connection(("127.0.0.1", port), timeout=30) as line:
        while piece := line.recv(_REPLY):
            found += len(piece)
    return found


def read_file(path: str) -> int:
    """Read a file and return its length."""
    found = 0
    piece = bytearray(_PIECE)
    with Path(path).open("rb", buffering=0) as file:
        while length := file.readinto(piece):
            found += length
    return found


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
        """Return whether there were more round trips than the delay of each allows.

        A thread that waits for the GIL is late for each message. If it is not, the other
        thread was kept from computing, and the round trips show nothing.
        """
        slow = self.delay >= _SLOW
        return slow and self.echoes is not None and self.echoes * self.delay > 3


@dataclass(frozen=True)
class Waiting(Chapter):
    """Threads that sleep, read a socket and read files; and one that computes."""

    title: ClassVar[str] = "I/O-bound threads, and when the GIL begins to matter to them"
    depends: ClassVar[str] = (
        "what else runs in the process. A thread that waits holds no GIL; but where there"
        " is one, the thread wants it back after each wait, and a neighbour that computes"
        " makes it wait for that."
    )

    work: ClassVar[str] = "what"

    gil: bool
    switch_interval: float
    """Seconds after which a thread is asked to let the GIL go."""
    cpus: int
    """Number that the process may use."""
    waits: tuple[ReportRow, ...]
    beside: tuple[Beside, ...]
    """Beside a thread that computes without the GIL, which the others are compared with:
    beside none at all a CPU would fall asleep after each message, and wake up late. Then
    beside pure Python, and C that holds the GIL."""

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
        """Return those of threads that wait."""
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
        """Say how waits overlap, and what a neighbour does to them."""
        said = grouped(
            self.waits,
            {
                "scales": f"{_THREADS} threads wait at once, and the GIL hardly matters"
                if self.gil
                else f"{_THREADS} threads wait at once",
                "partly": "Faster, but by less than the machine could",
                "no faster": "No faster",
            },
        )
        if any(row.target == "read a file" for row in self.waits):
            said.append(
                "The file is in the system's cache, so that reading it is copying memory,"
                f" which {self.cpus} CPU{'s' if self.cpus > 1 else ''} share; a slow disk"
                " would be waiting, like a socket."
            )
        said += self._convoy()
        return said

    def _convoy(self) -> list[str]:
        released, python, held = self.beside
        hold = "hold the GIL" if self.gil else "would hold the GIL"
        late = (
            "Now one more thread computes, and the waiting one wants to run every 5 ms."
            f" It is late by {duration(released.delay)} beside C calls that release the"
            f" GIL, by {duration(python.delay)} beside pure Python, by"
            f" {duration(held.delay)} beside C calls that {hold} for"
            f" {duration(_CALL_NS * 1e-9)}. All three keep a CPU busy"
            f"{'; only the GIL differs' if self.gil else ', and there is no GIL'}."
        )
        said = [late]
        if self.gil and python.delay > 10 * released.delay:
            said.append(
                "A thread that computes in Python lets go only when asked, every"
                f" {duration(self.switch_interval)}; one in C, when its call is over."
            )
        if any(row.restless for row in self.beside):
            said.append(
                "Where round trips have a question mark, the machine was too busy: the"
                " other thread did not compute all the time."
            )
        elif self.gil and python.echoes and python.echoes < (released.echoes or 0):
            said.append(
                f"A server pays that for each message: {_number(released.echoes)} round"
                f" trips a second beside the released calls, {_number(python.echoes)}"
                " beside pure Python."
            )
        return said


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
