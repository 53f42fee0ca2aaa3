"""Where the missing speedup went: ``workers - speedup``, split into named parts.

While a region lasts T seconds, N workers have N T seconds; the serial run needs T1. The
excess N T - T1, divided by T, is N - T1 / T = workers - speedup. It is used up as
follows:

    N T - T1 = (C - C1) + (Q - Q1) + (I - I1)

where C is the workers' CPU time, Q their wait for a CPU (run queue), and I the rest, in
which they were idle; C1, Q1 and I1 are those of the serial run. Workers are idle in three
places: before a worker begins, while it works, and after its end.

A watch of the same calls measures how long workers slept for locks other than the GIL,
and how long they were in system calls. The excess of these times over the serial run is
a part of the time in which working workers are idle. The rest of this idle time is
attributed to the GIL, up to the larger of two times: the time for which the work holds
the GIL, counted for each of the other workers, and the time for which samples found
workers waiting for the GIL.

A thread that is woken does not run at once. Until the CPU that shall run it has answered,
which takes long if that CPU slept or is virtual, Linux counts neither CPU time nor a wait
for a CPU (``ttwu_queue_wakelist`` in kernel/sched/core.c), and samples find the thread
running. So idle time that nothing else explains is attributed to the waits that were
found, in proportion, up to 0.1 ms for each time that a worker went to sleep.

Without a GIL the watch also finds stops of all threads. Threads that wait for a lock
first spin and yield their CPUs, so the growth of the system's part of C is attributed to
locks if the watch found any. If it found none, and hardly any stops, the growth of the
rest of C beyond that in processes is attributed to memory that threads share, such as the
reference counts of objects.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

from gilx.formatting import percent
from gilx.sampling.sites import Site  # noqa: TC001 - JSON is read by annotations
from gilx.sampling.waiting_sites import WaitingSite  # noqa: TC001 - likewise
from gilx.sampling.world import StopSite  # noqa: TC001 - likewise

if TYPE_CHECKING:
    from gilx.speedup.timings import Sample
    from gilx.speedup.waits_together import WaitsTogether

NAMES = (
    "GIL",
    "dispatch",
    "imbalance",
    "more CPU work",
    "machine",
    "unexplained",
)
STOPS, LOCKS, SHARED = WITHOUT_GIL = ("stops", "locks", "shared memory")
"""Further parts without a GIL, if a watch found what threads wait for."""
CALLS = "input and output"
WITH_GIL = (LOCKS, CALLS)
"""Further parts with a GIL, if a watch found what threads wait for."""
_MOST_SITES = 5
_WATCH = "a watch of simultaneous calls"
_HELD_AT_ALL = 0.01  # hold fractions below this make no thread wait
_LONGEST_WAKE = 1e-4  # seconds, of a thread that need not wait for a CPU
_QUIET = 0.05  # of the workers: locks and stops below this explain no growth of CPU time


@dataclass(frozen=True)
class Loss:
    """One part of the gap between the speedup and the number of workers."""

    cause: str
    amount: float
    """In workers; below 0 if it is a gain."""
    source: str
    """Measurements that it is computed from."""
    sites: tuple[Site | WaitingSite | StopSite, ...] = ()
    """At most five lines. For the GIL, the lines of one call alone that hold it most,
    with shares of the call's time. For locks, the lines at which threads waited for them
    while calls ran at once; for stops, without a GIL, the lines that asked for stops or
    were late to stop."""


@dataclass(frozen=True)
class KnownCosts:
    """Facts about a call and a pool that are known before blocks are compared."""

    held: float | None
    """Hold fraction of one call alone; None if not known, or there is no GIL."""
    empty_region: float
    """Seconds that a region without work takes on the pool."""
    own_gils: bool = False
    """True if each worker has a GIL of its own, so that none waits for another's."""
    sites: tuple[Site, ...] = ()
    """Lines of one call alone that hold the GIL, the one that holds it most first."""
    together: WaitsTogether | None = None
    """Waits of threads whose calls run simultaneously; None if they are not known."""


NO_COSTS = KnownCosts(None, 0.0)
"""Nothing is known."""


class RunningLosses:
    """Parts of ``workers - speedup``, to which blocks are added one at a time.

    The parts are means over those half of the blocks whose speedups are in the middle.
    Medians of each part would not add up if blocks are of two kinds.

    Parameters
    ----------
    workers : int
        How many workers ran the parallel samples.
    costs : KnownCosts
        Costs known from other measurements.

    """

    def __init__(self, workers: int, costs: KnownCosts) -> None:
        self._workers, self._costs = workers, costs
        names: tuple[str, ...] = NAMES[:-1]
        if costs.together is not None:
            more = WITHOUT_GIL if costs.together.without_gil else WITH_GIL
            names = (*names[:1], *more, *names[1:])
        self._names = (*names, NAMES[-1])
        self._blocks: list[tuple[float, dict[str, float]]] = []
        self._accounted = True
        self._growth = _CpuGrowth()

    def add(
        self, serial: Sample, parallel: Sample, processes: Sample | None = None
    ) -> None:
        """Add the samples of a block, and that of the same calls in processes."""
        parts = _parts_of_block(serial, parallel, self._workers, self._costs)
        self._accounted = self._accounted and parts is not None
        self._blocks.append((serial.seconds / parallel.seconds, parts or {}))
        self._growth.add(serial, parallel, processes)

    def result(
        self, speedup: float, ceiling: float, ceiling_kind: str, *, control: float | None
    ) -> tuple[Loss, ...]:
        """Split ``workers - speedup`` into parts that add up to it.

        Of the rest, a part up to the gap between the ceiling and the number of workers is
        attributed to the machine. What remains is unexplained.

        Parameters
        ----------
        speedup, ceiling : float
            Speedup and ceiling of the same blocks.
        ceiling_kind : str
            Kind of the ceiling.
        control : float, optional
            The speedup of native threads that only compute.

        Returns
        -------
        tuple of Loss
            One for each of `NAMES`, in this order. If a watch found what threads wait
            for, those of `WITHOUT_GIL` or `WITH_GIL` come after the first. Amounts are in
            workers. Empty if there are no blocks.

        """
        if not self._blocks:
            return ()
        amounts = self._means()
        workers = self._workers
        missing = workers - speedup
        if self._costs.together is not None:
            self._divide_cpu(amounts, self._costs.together)
        # Both a busy core and memory make work take more CPU time. The control, which
        # only computes, separates the two: with a control of c, and memory that makes the
        # same work take m times as long, the speedup is c / m, and N - c / m = (N - c) +
        # (c - c / m).
        slowed = 0.0
        if control is not None:
            slowed = workers - control - amounts["machine"]
            slowed = min(slowed, amounts["more CPU work"])
        if slowed > 0:
            amounts["machine"] += slowed
            amounts["more CPU work"] -= slowed
        rest = missing - math.fsum(amounts.values())
        shared = max(0.0, min(rest, workers - ceiling - amounts["machine"]))
        if ceiling_kind and shared > 0 and amounts["more CPU work"] < shared:
            amounts["machine"] += shared
        amounts["unexplained"] = missing - math.fsum(amounts.values())
        sources = self._sources(ceiling_kind, control)
        return tuple(
            Loss(name, amounts[name], sources[name], self._sites(name))
            for name in self._names
        )

    def _means(self) -> dict[str, float]:
        """Return the mean of each part over the middle half of the blocks.

        All are 0 if a block has no figures of its workers.
        """
        if not self._accounted:
            return dict.fromkeys(self._names[:-1], 0.0)
        blocks = sorted(self._blocks, key=itemgetter(0))
        left_out = len(blocks) // 4
        middle = [parts for _, parts in blocks[left_out : len(blocks) - left_out]]
        return {
            name: math.fsum(parts[name] for parts in middle) / len(middle)
            for name in self._names[:-1]
        }

    def _divide_cpu(self, amounts: dict[str, float], together: WaitsTogether) -> None:
        """Attribute the growth of CPU time in threads, as far as its cause is known."""
        work = amounts["more CPU work"]
        if work <= 0 or not self._growth.known:
            return
        if together.found_locks:
            spun = work * self._growth.system_part
            amounts[LOCKS] += spun
            work -= spun
        quiet = _QUIET * self._workers
        if together.without_gil and amounts[LOCKS] < quiet and amounts[STOPS] < quiet:
            amounts[SHARED] = work * self._growth.part_beyond_processes
            work -= amounts[SHARED]
        amounts["more CPU work"] = work

    def _sites(self, name: str) -> tuple[Site | WaitingSite | StopSite, ...]:
        together = self._costs.together
        if name == "GIL":
            return self._costs.sites[:_MOST_SITES]
        if together is None or name not in (STOPS, LOCKS):
            return ()
        return together.stop_sites if name == STOPS else together.lock_sites

    def _sources(self, ceiling_kind: str, control: float | None) -> dict[str, str]:
        """Return the measurements behind each part."""
        if not self._accounted:
            nothing = (
                "not measured: the CPU time of each worker is not known on this pool"
            )
            return {
                **dict.fromkeys(self._names, nothing),
                "machine": f"the ceiling ({ceiling_kind}) below {self._workers} workers",
                "unexplained": "the rest",
            }
        costs = self._costs
        if costs.own_gils:
            held = "none: each worker has a GIL of its own"
        elif costs.held is None:
            held = "not measured: no GIL here, or one call alone could not be watched"
        else:
            held = (
                "workers' waits, since one call alone holds the GIL for"
                f" {percent(costs.held)} of its time"
            )
        machine = f"; the ceiling ({ceiling_kind})" if ceiling_kind else ""
        if control is not None:
            machine = f"; a control that only computes: {control:.2f}x{machine}"
        return {
            "GIL": held,
            "dispatch": f"a region without work: {costs.empty_region * 1e6:.0f} \u00b5s",
            "imbalance": "time from each worker's end to the last worker's end, to the"
            " extent that the last worker used more CPU time",
            "more CPU work": "CPU time of the workers over that of the serial run",
            "machine": "workers' waits for a CPU, or for a worker that waits for one"
            f"{machine}",
            "unexplained": "the rest",
            **self._sources_of_watch(),
        }

    def _sources_of_watch(self) -> dict[str, str]:
        together = self._costs.together
        if together is None:
            return {}
        parked = percent(together.parked.value / self._workers)
        if not together.without_gil:
            calls = percent(together.system_call.value / self._workers)
            return {
                LOCKS: f"{_WATCH}: workers slept for locks other than the GIL for"
                f" {parked} of their time; the system's part of CPU time over that of the"
                " serial run",
                CALLS: f"{_WATCH}: workers were in system calls for {calls} of their"
                " time, less those of the serial run",
            }
        stops = percent(together.stopped.value / self._workers)
        locks = f": {together.locks}" if together.locks else ""
        return {
            STOPS: f"{_WATCH}: workers waited until all threads had stopped, or could go"
            f" on, for {stops} of their time"
            + (f"; {together.stops}" if together.stops else ""),
            LOCKS: f"{_WATCH}: workers slept for locks for {parked} of their time{locks};"
            " the system's part of CPU time over that of the serial run",
            SHARED: "CPU time of the workers over that of processes on the same calls, if"
            " there were neither locks nor stops",
        }


class _CpuGrowth:
    """CPU time in parallel over that of the serial run, summed over blocks.

    The system's part of a short sample is known only to some milliseconds, so the growth
    is summed over blocks, and no median is taken.
    """

    def __init__(self) -> None:
        self._cpu = self._system = self._beyond = 0.0
        self.known = True
        self._has_processes = True

    def add(self, serial: Sample, parallel: Sample, processes: Sample | None) -> None:
        """Add the samples of a block."""
        if serial.worker_cpu is None or parallel.worker_cpu is None:
            self.known = False
            return
        self._cpu += parallel.worker_cpu - serial.worker_cpu
        self._system += (parallel.worker_system or 0.0) - (serial.worker_system or 0.0)
        if processes is None or processes.worker_cpu is None:
            self._has_processes = False
        else:
            least = max(serial.worker_cpu, processes.worker_cpu)
            self._beyond += parallel.worker_cpu - least

    @property
    def system_part(self) -> float:
        """The system's part of the growth, 0 to 1."""
        return max(0.0, min(1.0, self._system / self._cpu)) if self._cpu > 0 else 0.0

    @property
    def part_beyond_processes(self) -> float:
        """The user part that processes do not have; 0 if not known."""
        if not self._has_processes or self._cpu <= 0:
            return 0.0
        user = self._cpu - max(0.0, self._system)
        return max(0.0, min(user, self._beyond) / self._cpu)


def _parts_of_block(
    serial: Sample, parallel: Sample, workers: int, costs: KnownCosts
) -> dict[str, float] | None:
    """Return the parts of one block, without the unexplained one.

    None if the CPU time of each worker is not known.
    """
    if parallel.worker_cpu is None or serial.worker_cpu is None:
        return None
    if parallel.early is None or parallel.uneven is None or parallel.uneven_cpu is None:
        return None
    wait, wait_alone = parallel.wait or 0.0, serial.wait or 0.0
    work = parallel.worker_cpu - serial.worker_cpu
    idle = (workers * parallel.seconds - parallel.worker_cpu - wait) - (
        serial.seconds - serial.worker_cpu - wait_alone
    )
    # Each cause gets at most the idle time that the causes before it have left.
    left = max(0.0, idle)
    dispatch = min(left, parallel.regions * workers * costs.empty_region)
    left -= dispatch
    ended = min(left, parallel.early)
    within = left - ended
    stops = locks = calls = gil = 0.0
    if (together := costs.together) is not None:
        # Waits count as far as the watch and the clocks of the blocks agree on them.
        stops = min(within, together.stopped.value * parallel.seconds)
        locks = min(within - stops, together.parked.value * parallel.seconds)
        if not together.without_gil:
            alone = max(0.0, serial.seconds - serial.worker_cpu - wait_alone)
            calls = max(0.0, together.system_call.value * parallel.seconds - alone)
            calls = min(within - locks, calls)
    if costs.held is not None and costs.held > _HELD_AT_ALL and not costs.own_gils:
        # Share of the idle time after workers' ends that is due to the GIL: 1 if the GIL
        # is held all the time, since calls then run one after the other; 0 if each worker
        # can hold it for as long as it needs without meeting another.
        forced = (workers * costs.held - 1) / (workers - 1) if workers > 1 else 0.0
        forced = max(0.0, min(1.0, forced))
        gil = within - locks - calls + forced * ended
        ended -= forced * ended
        # The whole work holds the GIL for `held` times the serial time, so each of the
        # other workers waits for it for that long at most. Other waits have another
        # cause, such as waking on a busy CPU.
        most = (workers - 1) * costs.held * serial.seconds
        if together is not None and together.waiting_gil.known:
            # Handing over the GIL takes time in which no thread has it; samples show
            # that.
            most = max(most, together.waiting_gil.low * parallel.seconds)
        gil = min(gil, most)
    # `ended` no longer includes the part that is due to the GIL.
    rest = left - ended - stops - locks - calls - gil
    # Without a watch it is not known whether workers slept for these waits.
    if together is not None and (waits := stops + locks + calls + gil) > 0:
        slept = max(0.0, (parallel.voluntary or 0) - (serial.voluntary or 0))
        longer = 1 + min(rest, slept * _LONGEST_WAKE) / waits
        stops, locks = stops * longer, locks * longer
        calls, gil = calls * longer, gil * longer
    # A worker that ended early because the last one waited for a CPU counts as waiting
    # for that CPU. If the last worker had more work, it used more CPU time; CPU time of
    # all workers beyond the serial run is not work, but a lock that spins, for instance.
    # If it had no more work, it slept: for a lock that other workers had, or for input
    # and output.
    apart = min(ended, parallel.uneven)
    imbalance = min(apart, max(0.0, parallel.uneven_cpu - max(0.0, work)))
    # Each second for which the last worker waited for a lock delayed its end by a second.
    locks += min(apart - imbalance, locks)
    seconds = parallel.seconds
    return {
        STOPS: stops / seconds,
        LOCKS: locks / seconds,
        SHARED: 0.0,
        CALLS: calls / seconds,
        "GIL": gil / seconds,
        "dispatch": dispatch / seconds,
        "imbalance": imbalance / seconds,
        "more CPU work": work / seconds,
        "machine": (wait - wait_alone + ended - apart) / seconds,
    }
