"""Usage of the GILs of several processes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gilx.errors import ArgumentError
from gilx.formatting import duration, percent, wrapped
from gilx.records import Record
from gilx.sampling.usage import GilUsage, headline, ran_without_gil

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gilx.sampling.thread_usage import ThreadUsage
    from gilx.sampling.watched_process import WatchedProcess

_MOST_SHOWN = 12  # processes, and reasons; the record has all of them


@dataclass(frozen=True)
class UnwatchedProcess:
    """A process that could not be watched."""

    pid: int
    command: str
    """First words of its command line, or its program and the end of code after ``-c``;
    empty if they are not known."""
    reason: str


@dataclass(frozen=True)
class ProcessesUsage(Record, schema="gilx.processes_usage", version=2):
    """Usage of the GILs of a process and of the processes that it started.

    Each process has a GIL of its own. `total` is their sum, so that its shares are of the
    time of all processes together: two processes of which one holds its GIL all the time
    and the other one never have 50 %.
    """

    total: GilUsage
    """Usage of all. Places in the code are joined by line, threads by name. If some had a
    GIL and others ran without one, it is the usage of those that had one."""
    processes: tuple[GilUsage, ...]
    """Usage of each, in the order in which they were found. A process that executed
    another program is there once for each program."""
    unwatched: tuple[UnwatchedProcess, ...]
    """Processes that could not be watched. Those without CPython are not among them."""

    @classmethod
    def of(
        cls, usages: Sequence[GilUsage], unwatched: Sequence[UnwatchedProcess] = ()
    ) -> ProcessesUsage:
        """Return the usage of processes by that of each."""
        counted = those_that_add_up(usages)
        name = (
            f"the group of {len(counted)} processes"
            if counted[1:]
            else counted[0].program
        )
        process = None if counted[1:] else counted[0].process
        total = together(counted, name, process)
        return cls(total, tuple(usages), tuple(unwatched))

    def _check(self, where: str) -> None:
        if not self.processes:
            raise ArgumentError(f"{where}.processes: expected at least one, got none")
        samples = sum(usage.samples for usage in those_that_add_up(self.processes))
        if self.total.samples != samples:
            raise ArgumentError(
                f"{where}.total.samples: expected {samples}, the sum over the processes"
                f" that it is about, got {self.total.samples}"
            )

    def __str__(self) -> str:
        return self._text(verbose=False)

    def details(self) -> str:
        """Return the usage as text with all figures, as ``gilx probe --verbose`` does."""
        return self._text(verbose=True)

    def _text(self, *, verbose: bool) -> str:
        total = self.total.details() if verbose else str(self.total)
        rows = wrapped(self.sentence(), "", "  ")
        rows.append(total.removeprefix(headline(self.total)).lstrip("\n"))
        if self.processes[1:]:
            shown = self.processes[:_MOST_SHOWN]
            for usage in shown:
                rows += wrapped(usage.sentence(), "", "  ")
            if more := len(self.processes) - len(shown):
                words = "processes were" if more > 1 else "process was"
                rows.append(f"{more} more {words} watched")
        return "\n".join([*rows, *self._unwatched_shown()])

    def sentence(self) -> str:
        """Return the finding in one sentence of plain words."""
        counted = those_that_add_up(self.processes)
        sentence = self._sentence_of(counted)
        if len(counted) == len(self.processes):
            return sentence
        time = time_without_gil(self.processes)
        return f"{sentence}; another {time}, without a GIL, are not counted"

    def _sentence_of(self, counted: Sequence[GilUsage]) -> str:
        """Return the sentence on the processes that the total is about."""
        total = self.total
        known = [usage for usage in counted if usage.locked.known]
        if not counted[1:] or not known:
            return total.sentence()
        time = f"their {duration(total.wall)} all together"
        if total.inconclusive_reason:
            share = total.locked.text(percent)
            end = f"; inconclusive: {total.inconclusive_reason}"
        else:
            share = percent(total.locked.value)
            part, line = total.main_line()
            place = f", {part} of it in {line}" if part else ""
            most = max(known, key=lambda usage: usage.locked.value)
            end = (
                f"{place}; the one that holds it most is {most.program}, for"
                f" {percent(most.locked.value)} of {duration(most.wall)}"
            )
        return f"{_subject(counted)} hold their GILs for {share} of {time}{end}"

    def _unwatched_shown(self) -> list[str]:
        alike: dict[str, list[UnwatchedProcess]] = {}
        for one in self.unwatched:
            key = one.reason.replace(str(one.pid), "PID")
            alike.setdefault(key, []).append(one)
        rows = []
        for first, *others in list(alike.values())[:_MOST_SHOWN]:
            more = f" (and {len(others)} more processes likewise)" if others else ""
            name = "" if str(first.pid) in first.reason else f"process {first.pid}: "
            rows += wrapped(f"not watched: {name}{first.reason}{more}", "", "  ")
        return rows


def those_that_add_up(usages: Sequence[GilUsage]) -> Sequence[GilUsage]:
    """Return the usages with a GIL, or all of them if none has one.

    Shares of both kinds together would have no meaning.
    """
    return [usage for usage in usages if not ran_without_gil(usage)] or usages


def _subject(usages: Sequence[GilUsage]) -> str:
    """Return how many processes there are; one may execute several programs."""
    pids = {usage.process.pid for usage in usages if usage.process}
    if len(pids) == 1:
        return f"{len(usages)} programs of process {min(pids)}"
    return f"{len(pids) or len(usages)} processes"


def time_without_gil(usages: Sequence[GilUsage]) -> str:
    """Return in words for how long there was no GIL."""
    return duration(sum(usage.wall for usage in usages if ran_without_gil(usage)))


def together(
    usages: Sequence[GilUsage], name: str, process: WatchedProcess | None
) -> GilUsage:
    """Return the sum of usages of different processes or programs, under one name.

    Threads of the same name are one there, in whichever process they are.
    """
    if not usages[1:]:
        return usages[0]
    backend = ", ".join(dict.fromkeys(usage.backend for usage in usages))
    parts = [
        replace(
            usage,
            program=name,
            process=process,
            backend=backend,
            by_thread=tuple(map(_without_number, usage.by_thread)),
        )
        for usage in usages
    ]
    return GilUsage.total(parts)


def _without_number(thread: ThreadUsage) -> ThreadUsage:
    """Return a thread without its native id, unless that is the only name it has."""
    unnamed = thread.name == f"thread {thread.native_id}"
    return thread if unnamed else replace(thread, native_id=None)
