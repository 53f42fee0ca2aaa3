"""The same calls in processes of their own: the ceiling of a callable that can be sent.

The processes are new ones that load the callable's module, not forks, and not those of
`multiprocessing`, which would run the main script again.
"""

from __future__ import annotations

import os
import pickle
import pickletools
import signal
import time
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from mmap import mmap
from typing import TYPE_CHECKING, Any

from gilx.formatting import one_line
from gilx.pools.resource_usage import Share, accounting
from gilx.pools.shared_memory import anonymous_file
from gilx.speedup.timings import Sample, in_a_row, with_shares
from gilx.system.child_processes import ChildProcesses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATIENCE, _SLOWER = 30.0, 20.0  # seconds, and times of those expected
_SECONDS_TO_LOAD = 60
_GETS = ("BINGET", "LONG_BINGET")


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
    expected : float
        Seconds that a call takes in this process. A call may never return in another,
        as one that waits for a thread that was started here.

    Raises
    ------
    NoProcessesError
        A process did not start, or could not load the callable. So do the methods if one
        does not answer in many times as long as expected.

    """

    def __init__(self, data: bytes, workers: int, expected: float = 0.0) -> None:
        self._expected = expected
        try:
            self._children = ChildProcesses(
                "the pool of processes",
                workers,
                "gilx.speedup.call_processes:Calls",
                quiet=True,  # the other arms print what the callable prints
            )
        except (OSError, BrokenExecutor) as error:
            words = f"a process did not start: {one_line(error)}"
            raise NoProcessesError(words) from error
        try:
            with anonymous_file(len(data)) as file:
                file.write(data)
                self._ask(
                    "while it loaded the callable",
                    "load",
                    descriptor=file.fileno(),
                    seconds=_SECONDS_TO_LOAD,
                )
        except BaseException:
            self.close()
            raise

    def take_sample(self, calls: int) -> Sample:
        """Make so many calls in each process, all at once; return what that took.

        CPU time is that of the calls; steal and throttling are not known.
        """
        begin = time.perf_counter()
        limit = _PATIENCE + _SLOWER * calls * self._expected
        answers = self._ask("in its calls", "call", calls, seconds=limit)
        end = time.perf_counter()
        shares: list[Share] = list(map(pickle.loads, answers))
        cpu = sum(share.cpu for share in shares)
        sample = Sample(end - begin, cpu, steal=None, throttled=None, regions=1)
        return with_shares(sample, [(begin, end, end - begin, shares)])

    def prepare(self, calls: int) -> None:
        """Prepare so many calls in each process."""
        self._ask("while it prepared calls", "prepare", calls)

    def _ask(self, when: str, *message: object, **options: Any) -> list[bytes]:  # noqa: ANN401
        try:
            return self._children.ask(when, *message, **options)
        except BrokenExecutor as error:
            raise NoProcessesError(f"a process ended: {error}") from error

    def close(self) -> None:
        """End the processes: what they are doing is not needed any more."""
        self._children.close()


class Calls:
    """State of a child process. Its parent calls the methods."""

    def __init__(self, index: int) -> None:
        del index
        # Not ignored, as programs that the callable starts would ignore it, too.
        signal.signal(signal.SIGINT, lambda *_: None)
        self._fn: Callable[[], object]
        self._prepare: Callable[[int], object]

    def load(self, descriptor: int) -> None:
        """Load the callable from a file."""
        with mmap(descriptor, 0) as data, _reported("a process can't load it: "):
            os.close(descriptor)
            self._fn, self._prepare = pickle.loads(data)  # noqa: S301 - from our parent

    def prepare(self, calls: int) -> None:
        """Prepare so many calls."""
        with _reported("in a process it raised "):
            self._prepare(calls)

    def call(self, calls: int) -> Share:
        """Make so many calls, and return what that took."""
        account: list[Share] = []
        with _reported("in a process it raised "), accounting(account):
            in_a_row(self._fn, calls)
        return account[0]


@contextmanager
def _reported(words: str) -> Iterator[None]:
    """Have an exception travel as its text: its type may not be one to be sent."""
    try:
        yield
    except BaseException as error:
        raise NoProcessesError(f"{words}{one_line(error)}") from None
