"""The same calls in processes of their own: the ceiling of a callable that can be sent.

The processes are new ones that load the callable's module, not forks, and not those of
`multiprocessing`, which would run the main script again.
"""

from __future__ import annotations

import pickle
import pickletools
import socket
import subprocess
import time
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from gilx.formatting import one_line
from gilx.pools.resource_usage import Share, accounting
from gilx.speedup.timings import Sample, in_a_row, with_shares
from gilx.system.child_python import command

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CallProcesses", "NoProcessesError", "packed"]

_SECONDS_TO_START = 60
_GETS = ("BINGET", "LONG_BINGET")
_CHILD = "from gilx.speedup.call_processes import serve; serve({})"


class NoProcessesError(RuntimeError):
    """The calls can't be made in other processes; the message says why."""


def packed(fn: Callable[[], object], prepare: Callable[[int], object] | None) -> bytes:
    """Return a callable, and what prepares so many calls, as what can be sent.

    Raises
    ------
    NoProcessesError
        They can't be sent.

    """
    try:
        data = pickle.dumps((fn, prepare))
    except Exception as error:
        raise NoProcessesError(f"it can't be pickled: {one_line(error)}") from error
    if _needs_main(data):
        raise NoProcessesError(
            "it is defined in the main script, which would be run again: in a module it"
            " can be sent"
        )
    return data


def _needs_main(data: bytes) -> bool:
    """Return whether a pickle has globals of the main script: not only its name as text.

    The names of a global are the two strings before its opcode, or were memoized earlier.
    """
    if b"__main__" not in data:
        return False  # nearly always, and at once
    memo: list[object] = []
    strings: list[object] = [None, None]
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name == "STACK_GLOBAL":
            if strings[-2] == "__main__":
                return True
        elif opcode.name == "MEMOIZE":
            memo.append(strings[-1])
            continue
        elif opcode.name == "FRAME":
            continue
        known = memo[int(argument or 0)] if opcode.name in _GETS else argument
        strings = [strings[-1], known if isinstance(known, str) else None]
    return False


class CallProcesses:
    """Processes that make the same call, kept warm.

    Parameters
    ----------
    data : bytes
        What `packed` returned.
    workers : int
        How many processes.

    Raises
    ------
    NoProcessesError
        A process did not start, or could not load the callable.

    """

    def __init__(self, data: bytes, workers: int) -> None:
        self._children: list[tuple[subprocess.Popen[bytes], Connection]] = []
        try:
            for _ in range(workers):
                self._children.append(_start())
            for _, line in self._children:
                line.send(data)
            for _, line in self._children:
                _answer(line, _SECONDS_TO_START)
        except BaseException as error:
            self.close()
            if isinstance(error, (OSError, EOFError)):
                words = f"a process did not start: {one_line(error)}"
                raise NoProcessesError(words) from error
            raise

    def take_sample(self, calls: int) -> Sample:
        """Make so many calls in each process, all at once; return what that took.

        CPU time is that of the calls; steal and throttling are not known.
        """
        begin = time.perf_counter()
        shares = self._ask(calls, prepare=False)
        end = time.perf_counter()
        cpu = sum(share.cpu for share in shares)
        sample = Sample(end - begin, cpu, steal=None, throttled=None, regions=1)
        return with_shares(sample, [(begin, end, end - begin, shares)])

    def prepare(self, calls: int) -> None:
        """Prepare so many calls in each process."""
        self._ask(calls, prepare=True)

    def _ask(self, calls: int, *, prepare: bool) -> list[Share]:
        try:
            for _, line in self._children:
                line.send((calls, prepare))
            answers = [_answer(line, None) for _, line in self._children]
        except (OSError, EOFError) as error:
            raise NoProcessesError(f"a process ended: {one_line(error)}") from error
        return [share for share in answers if share is not None]

    def close(self) -> None:
        """End the processes: what they are doing is of no use any more."""
        for child, line in self._children:
            line.close()
            child.kill()
            child.wait()
        self._children.clear()


def _start() -> tuple[subprocess.Popen[bytes], Connection]:
    ours, theirs = socket.socketpair()
    with theirs:
        # What the callable prints there is printed by the other arms already.
        child = subprocess.Popen(  # noqa: S603 - this Python, and code of ours
            command(_CHILD.format(theirs.fileno())),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    return child, Connection(ours.detach())


def _answer(line: Connection, seconds: float | None) -> Share | None:
    """Wait for a process to be done; return what that took, where it made calls."""
    if not line.poll(seconds):
        raise NoProcessesError(f"a process did not answer within {seconds:.0f} s")
    answer: Share | str | None = line.recv()
    if isinstance(answer, str):
        raise NoProcessesError(answer)
    return answer


def serve(line_number: int) -> None:
    """Make calls for the process at the other end of the line, until it hangs up."""
    with Connection(line_number) as line:
        try:
            fn, prepare = _loaded(line, line.recv())
            while True:
                calls, first = line.recv()
                line.send(_done(fn, prepare if first else None, calls))
        except (EOFError, OSError):
            return


def _loaded(line: Connection, data: bytes) -> Any:  # noqa: ANN401 - whatever was sent
    try:
        found = pickle.loads(data)  # noqa: S301 - from the process that started us
    except Exception as error:
        line.send(f"a process can't load it: {one_line(error)}")
        raise EOFError from error
    line.send(None)
    return found


def _done(
    fn: Callable[[], object], prepare: Callable[[int], object] | None, calls: int
) -> Share | str | None:
    """Prepare or make calls; return what these took, or what went wrong."""
    try:
        if prepare is not None:
            prepare(calls)
            return None
        account: list[Share] = []
        with accounting(account):
            in_a_row(fn, calls)
        return account[0]
    except Exception as error:
        return f"in a process it raised {one_line(error)}"
