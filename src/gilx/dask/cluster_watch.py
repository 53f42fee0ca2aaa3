"""Watch of the GILs of all workers of a Dask cluster."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from distributed import Client

import gilx
from gilx.dask.sent_functions import SentFunctions
from gilx.dask.worker_watch import Answer, begin, end, process_name
from gilx.errors import ArgumentError, above_zero, number_between, shown
from gilx.formatting import duration, printable
from gilx.sampling.cluster_usage import ClusterUsage
from gilx.sampling.usage import GilUsage
from gilx.sampling.watch import COST, environment_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

_ROUND = 0.5  # seconds between two queries of the scheduler for its workers
_LAST_ANSWERS = 1.0  # seconds to wait for workers when the watch is given up


def watch(client: Client, *, cost: float = COST, timeout: float = 30.0) -> ClusterWatch:
    """Watch the GILs of a cluster's workers while the body of a ``with`` statement runs.

    In each worker a thread samples the GIL as `gilx.watch` does; tasks go on meanwhile.
    Workers that join later are watched from then on, after about a second at most.
    Watches may overlap, also those of several clients; each samples by itself.

    A worker is asked at the start and at the end, and answers when its event loop gets
    the GIL. If the client is killed or closed in between, the samplers go on until the
    workers end or ``Client.restart`` ends them.

    Parameters
    ----------
    client : distributed.Client
        Client of the cluster. If it is asynchronous, ``async with`` takes the place of
        ``with``.
    cost : float
        The share of one CPU that the sampler of each worker may take, above 0 and at most
        0.5.
    timeout : float
        Seconds to wait for each worker at either end, above 0.

    Returns
    -------
    ClusterWatch
        A context manager; afterwards its ``usage`` is that of all workers, and its
        ``by_worker`` has that of each. Workers without figures are named in
        ``usage.notes``, with the reason.

    Raises
    ------
    ArgumentError
        An argument is not as described.

    """
    if not isinstance(client, Client):
        raise ArgumentError(f"client: expected a distributed.Client, got {shown(client)}")
    cost = number_between("cost", cost, 0, 0.5, above=True)
    return ClusterWatch(client, cost, above_zero("timeout", timeout))


@dataclass
class _Worker:
    """Facts about one worker, from its answers."""

    address: str
    late: float = 0.0  # seconds from the start of the watch to the start of this worker's
    name: str = ""
    process: str = ""
    owner: str = ""  # address of the worker that watches this process
    error: str = ""
    in_time: bool = True  # whether it answered in time when the watch began
    restarted: bool = False
    here: bool = True  # whether the scheduler still had it at the end
    usage: GilUsage | None = None

    def __str__(self) -> str:
        known = self.name not in ("", self.address)
        name = f"{self.name} ({self.address})" if known else self.address
        return printable(f"worker {name}")

    def add(self, answer: Answer) -> None:
        """Keep an answer; the first error counts."""
        self.name = answer.get("name", self.name)
        process = answer.get("process", self.process)
        self.restarted = self.process not in ("", process)
        self.process = process
        self.owner = answer.get("owner", self.owner)
        self.error = self.error or answer.get("error", "")
        if "usage" in answer:
            try:
                self.usage = GilUsage.from_json(answer["usage"])
            except ArgumentError as error:
                self.error = (
                    f"it runs gilx {answer['gilx']}, whose figures gilx"
                    f" {gilx.__version__} of the client can't read ({error})"
                )

    def notes(self) -> Iterator[str]:
        """Yield notes on the figures of this worker."""
        usage = self.usage
        if usage is None:
            return
        if not self.in_time:
            yield "did not answer in time at the start, and was watched later"
        elif self.late:
            yield f"joined {duration(self.late)} after the start, and was watched since"
        if self.process == process_name():
            yield (
                "runs in the process of the client, whose other threads are in its"
                " figures, too"
            )
        here, there = environment_now(), usage.environment
        if (here.python, here.gilx) != (there.python, there.gilx):
            yield (
                f"runs Python {there.python} and gilx {there.gilx}; the client runs"
                f" Python {here.python} and gilx {here.gilx}"
            )
        if usage.sites_missing:
            yield f"has no lines, since {usage.sites_missing}"

    def reason(self, others: Mapping[str, _Worker]) -> str:
        """Return the reason that this worker has no figures, '' if it has some."""
        if self.usage is not None:
            return ""
        if self.error or self.restarted:
            words = self.error or "it was restarted while it was watched"
            return f"has no figures: {words}"
        if self.owner in others and self.owner != self.address:
            return (
                f"runs in the process of {others[self.owner]}, whose figures are those of"
                " both"
            )
        return "has no figures: it joined at the end"


class ClusterWatch:
    """Watch of the GILs of a cluster's workers, see `gilx.dask.watch`."""

    def __init__(self, client: Client, cost: float, timeout: float) -> None:
        self._client = client
        self._cost = cost
        self._timeout = timeout
        self._name = uuid.uuid4().hex
        self._workers: dict[str, _Worker] = {}
        self._began = 0.0  # seconds since the epoch
        self._rounds: asyncio.Task[None] | None = None
        self._usage: ClusterUsage | None = None

    def __enter__(self) -> ClusterWatch:
        if self._client.asynchronous:
            raise ArgumentError(
                "client: expected one that is not asynchronous, or `async with`"
            )
        self._client.sync(self._begin)
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_closed:
            self._end_without_client()
        else:
            self._client.sync(self._end)

    async def __aenter__(self) -> ClusterWatch:
        if not self._client.asynchronous:
            raise ArgumentError("client: expected an asynchronous one, or `with`")
        await self._begin()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._is_closed:
            self._end_without_client()
        else:
            await self._end()

    @property
    def usage(self) -> ClusterUsage:
        """Usage of the GILs of all workers while the body ran.

        Raises
        ------
        RuntimeError
            The watch has not ended.

        """
        if self._usage is None:
            raise RuntimeError("the usage is not available yet: the watch has not ended")
        return self._usage

    @property
    def by_worker(self) -> Mapping[str, GilUsage]:
        """Usage of the GIL of each worker by its address, as that of a program.

        Raises
        ------
        RuntimeError
            The watch has not ended.

        """
        return self.usage.by_worker

    @property
    def _is_closed(self) -> bool:
        """True if the client no longer sends requests."""
        return self._client.status in ("closing", "closed")

    async def _begin(self) -> None:
        if self._rounds is not None:
            raise RuntimeError("a watch can be entered once only")
        self._began, began = time.time(), time.monotonic()
        try:
            await self._admit(await self._client.nthreads())
        except BaseException:
            await self._give_up()
            raise
        self._rounds = asyncio.create_task(self._admit_new_workers(began))

    async def _admit_new_workers(self, began: float) -> None:
        """Watch workers that join, until the client is closed or this task cancelled."""
        while not self._is_closed:
            await asyncio.sleep(_ROUND)
            present = await self._present()
            new = [each for each in present or () if each not in self._workers]
            await self._admit(new, late=time.monotonic() - began)

    async def _admit(self, addresses: Iterable[str], late: float = 0.0) -> None:
        workers = [_Worker(each, late) for each in addresses]
        self._workers |= {worker.address: worker for worker in workers}
        await asyncio.gather(
            *(self._ask(worker, begin, self._cost) for worker in workers)
        )

    async def _present(self) -> list[str] | None:
        """Return the addresses of all workers, None if the scheduler does not answer."""
        if self._is_closed:
            return None
        try:
            return list(await self._client.nthreads())
        except OSError:
            return None

    async def _end(self) -> None:
        rounds = self._rounds
        assert rounds is not None
        rounds.cancel()
        await asyncio.wait([rounds])
        try:
            await self._end_workers()
        except BaseException:
            await self._give_up()
            raise
        if not rounds.cancelled():
            rounds.result()  # raises the exception that ended the rounds

    async def _end_workers(self) -> None:
        """End the watch in each worker, and combine the figures."""
        present = await self._present()
        notes = []
        if present is not None:
            for worker in self._workers.values():
                worker.here = worker.address in present
                if not worker.here:
                    worker.error = worker.error or "it ended while it was watched"
            notes = [
                f"worker {each} has no figures: it joined at the end"
                for each in present
                if each not in self._workers
            ]
        live = [
            worker
            for worker in self._workers.values()
            if worker.here and not (worker.error and worker.in_time)
        ]
        await asyncio.gather(*(self._ask(worker, end, str(worker)) for worker in live))
        self._usage = self._together(notes)

    async def _give_up(self) -> None:
        """End the watch in each worker and discard its figures, as after Ctrl-C."""
        self._timeout = min(self._timeout, _LAST_ANSWERS)
        workers = self._workers.values()
        await asyncio.gather(*(self._ask(worker, end, str(worker)) for worker in workers))

    def _end_without_client(self) -> None:
        for worker in self._workers.values():
            worker.error = worker.error or "the client was closed during the watch"
        self._usage = self._together([])

    async def _ask(
        self, worker: _Worker, function: Callable[..., Answer], argument: object
    ) -> None:
        """Ask a worker, and keep its answer, or the reason that there is none."""
        try:
            answers = await asyncio.wait_for(
                self._client.run(
                    *(function, self._name, argument),
                    workers=[worker.address],
                    on_error="return",
                ),
                self._timeout,
            )
            answer = answers[worker.address]
        except TimeoutError:
            worker.in_time = function is not begin
            answer = {"error": f"it did not answer within {duration(self._timeout)}"}
        except Exception as error:  # the others are asked in any case
            answer = error
        if isinstance(answer, Exception):
            answer = {"error": _words(answer)}
        worker.add(answer)

    def _together(self, notes: list[str]) -> ClusterUsage:
        workers = self._workers
        functions = SentFunctions(self._began)
        for worker in workers.values():
            reason = worker.reason(workers)
            notes += [
                f"{worker} {each}" for each in ([reason] if reason else worker.notes())
            ]
        return ClusterUsage.of(
            {
                address: functions.named(worker.usage)
                for address, worker in workers.items()
                if worker.usage is not None
            },
            notes,
        )


def _words(error: Exception) -> str:
    """Return an error of a worker in words."""
    text = printable(str(error))
    if "No module named 'gilx" in text:  # the scheduler passes on the text alone
        return "gilx must be installed there as on the client; it is not, or is older"
    return f"{type(error).__name__}: {text}"
