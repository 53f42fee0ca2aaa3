"""Losses and CPU overlap of made-up samples."""

from __future__ import annotations

import math
import threading
from array import array
from contextlib import nullcontext
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest

from gilx import ckernels
from gilx.estimate import Estimate
from gilx.kernels.kernel import Variant
from gilx.pools import Region, ThreadPool
from gilx.pools.resource_usage import Share
from gilx.speedup.comparison import RunningComparison, overlap
from gilx.speedup.losses import NAMES, WITH_GIL, WITHOUT_GIL, KnownCosts, RunningLosses
from gilx.speedup.timings import Sample, take_sample, with_shares
from gilx.speedup.waits_together import WaitsTogether
from tests.unit.made_up_sites import found, usage_with

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from gilx.ckernels import Counter
    from gilx.speedup.losses import Loss

ALONE = Sample(
    *(1.0, 1.0, 0.0, None, 1),
    worker_cpu=1.0,
    wait=0.0,
    late=0.0,
    early=0.0,
    uneven=0.0,
    uneven_cpu=0.0,
    longest=1.0,
    voluntary=0,
    involuntary=0,
)


@dataclass(frozen=True)
class Known:
    """Costs known from other measurements."""

    held: float | None = 0.0
    empty_region: float = 1e-4
    ceiling: float = 2.0
    control: float = 2.0
    own_gils: bool = False


KNOWN = Known()


def split(alone: Sample, parallel: Sample, workers: int, known: Known) -> Sequence[Loss]:
    """Return the losses of three blocks that are all the same."""
    costs = KnownCosts(known.held, known.empty_region, known.own_gils)
    running = RunningLosses(workers, costs)
    for _ in range(3):
        running.add(alone, parallel)
    speedup, kind = alone.seconds / parallel.seconds, "native threads on the same kernel"
    return running.result(speedup, known.ceiling, kind, control=known.control)


def together(seconds: float, cpu: float, **changes: Any) -> Sample:
    return replace(ALONE, seconds=seconds, cpu=cpu, worker_cpu=cpu, **changes)


@pytest.mark.parametrize(
    ("main", "parallel", "known"),
    [
        ("GIL", together(1.0, 1.0, late=1.0), replace(KNOWN, held=1.0)),
        ("GIL", together(1.0, 1.0, late=0.5, early=0.5), replace(KNOWN, held=1.0)),
        ("GIL", together(0.75, 1.0, late=0.0), replace(KNOWN, held=0.5)),
        # Held for far less than workers were late.
        ("unexplained", together(1.0, 1.0, late=1.0), replace(KNOWN, held=0.011)),
        (
            "imbalance",
            together(0.8, 1.0, early=0.6, uneven=0.6, uneven_cpu=0.6),
            KNOWN,
        ),
        # One worker waited for a CPU, and the other one for that.
        ("machine", together(1.0, 1.0, wait=0.5, early=0.5), KNOWN),
        ("more CPU work", together(0.9, 1.8), replace(KNOWN, ceiling=1.1)),
        # Work that only computes has slowed down as much: it is not memory.
        ("machine", together(0.9, 1.8), replace(KNOWN, ceiling=1.1, control=1.1)),
        ("more CPU work", together(0.9, 1.8), replace(KNOWN, control=math.nan)),
        ("dispatch", together(0.9, 1.0), replace(KNOWN, empty_region=0.4)),
        ("machine", together(1.0, 1.0, wait=1.0), replace(KNOWN, ceiling=1.0)),
        ("machine", together(1.0, 1.0), replace(KNOWN, ceiling=1.0)),
        ("unexplained", together(1.0, 1.0), KNOWN),
        ("unexplained", together(1.0, 1.0), replace(KNOWN, held=None)),
    ],
)
def test_losses_of_known_samples(main: str, parallel: Sample, known: Known) -> None:
    speedup = 1.0 / parallel.seconds
    losses = split(ALONE, parallel, 2, known)
    assert math.fsum(loss.amount for loss in losses) == pytest.approx(2 - speedup)
    assert max(losses, key=lambda loss: loss.amount).cause == main
    others = [abs(loss.amount) for loss in losses if loss.cause != main]
    assert max(others) < 0.02


def of_workers(*workers: tuple[float, float]) -> Sample:
    """Return the sample of workers of which the end and the CPU time are given."""
    shares = [Share(0.0, end, cpu, 0.0, 0, 0) for end, cpu in workers]
    seconds = max(end for end, _ in workers)
    sample = Sample(seconds, sum(cpu for _, cpu in workers), 0.0, None, 1)
    return with_shares(sample, [(0.0, seconds, seconds, shares)])


@pytest.mark.parametrize(
    ("main", "imbalance", "serial", "parallel"),
    [
        # Twice as much work for one as for the other.
        ("imbalance", 0.5, (3.0, 3.0), [(1.0, 1.0), (2.0, 2.0)]),
        # As much for each, behind a lock that one of them has nearly all of the time.
        ("unexplained", 0.0, (2.0, 2.0), [(1.1, 1.0), (2.0, 1.0)]),
        # The lock spins: what waits uses CPU time, and does no work.
        ("more CPU work", 0.0, (2.0, 2.0), [(1.0, 1.0), (2.0, 2.0)]),
        # One sleeps for longer than the other does.
        ("unexplained", 0.0, (3.0, 0.0), [(0.5, 0.0), (2.5, 0.0)]),
        # Three share a lock, and one has a bit more to do.
        ("unexplained", 0.2 / 3.1, (3.1, 3.1), [(1.0, 1.0), (2.0, 1.0), (3.1, 1.1)]),
    ],
)
def test_imbalance_is_uneven_work_only(
    main: str,
    imbalance: float,
    serial: tuple[float, float],
    parallel: list[tuple[float, float]],
) -> None:
    alone, sample = of_workers(serial), of_workers(*parallel)
    workers = len(parallel)
    known = replace(KNOWN, ceiling=float(workers), control=float(workers))
    losses = split(alone, sample, workers, known)
    assert max(losses, key=lambda loss: loss.amount).cause == main
    amounts = {loss.cause: loss.amount for loss in losses}
    assert amounts["imbalance"] == pytest.approx(imbalance, abs=1e-3)
    assert amounts["machine"] == pytest.approx(0.0, abs=1e-3)


def rows(lock: AbstractContextManager[object], sizes: list[int]) -> Variant:
    """Return work of which each item has a number of its own to compute, under a lock."""

    def compute(*, take: Counter) -> None:
        while (claim := take.take()) is not None:
            for size in sizes[claim[0] : claim[1]]:
                with lock:
                    ckernels.collatz_nogil(1, array("i", bytes(4 * size)))

    return Variant("rows", "call", compute, claims_grains=True)


@pytest.mark.parametrize(
    ("sizes", "lock", "uneven"),
    [
        ([20_000, 200_000], nullcontext(), True),
        ([100_000, 100_000], threading.Lock(), False),
    ],
    ids=["uneven", "lock"],
)
def test_only_uneven_work_uses_uneven_cpu_time(
    sizes: list[int], lock: AbstractContextManager[object], *, uneven: bool
) -> None:
    region = Region(rows(lock, sizes), (), len(sizes), "static")
    with ThreadPool(2) as pool:
        samples = [take_sample(pool, [region]) for _ in range(9)]
    parts = [(sample.uneven_cpu or 0) / (sample.worker_cpu or 1) for sample in samples]
    # Nine elevenths, or nothing, on CPUs that are as fast.
    assert (median(parts) > 0.4) == uneven, parts


def test_with_gils_of_their_own_nobody_waits_for_another() -> None:
    known = replace(KNOWN, held=1.0, own_gils=True)
    losses = split(ALONE, together(1.0, 1.0, late=1.0), 2, known)
    assert losses[0].amount == 0
    assert losses[0].source == "none: each worker has a GIL of its own"


@pytest.mark.parametrize(
    ("changes", "share"),
    [
        # Two calls that overlap, on CPUs of which a neighbour has half; and that do not.
        ({"seconds": 2.0, "wait": 2.0, "longest": 1.0}, 1.0),
        ({"seconds": 2.0, "longest": 2.0}, 0.5),
        ({"throttled": 1}, None),
        ({"steal": 0.3}, None),
        ({"longest": None}, None),
        ({"worker_cpu": None}, None),
    ],
)
def test_overlap_takes_out_what_others_took(
    changes: dict[str, Any], share: float | None
) -> None:
    parallel = replace(ALONE, **{"cpu": 2.0, "worker_cpu": 2.0, **changes})
    found = overlap({"serial": ALONE.times(2), "parallel": parallel}, 2)
    assert found == (None if share is None else pytest.approx(share))


@pytest.mark.parametrize(("wait", "known"), [(1.1, True), (1.3, False)])
def test_no_overlap_is_reported_of_workers_that_waited(
    *, wait: float, known: bool
) -> None:
    comparison = RunningComparison(2)
    parallel = together(1.0, 1.0, wait=wait, longest=1.0 - wait / 4)
    comparison.add({"serial": ALONE.times(2), "parallel": parallel})
    assert (comparison.result().cpu_overlap is not None) == known


def test_loss_by_the_gil_has_the_lines_that_hold_it() -> None:
    lines = usage_with(*(found(50 - n, line=n + 1) for n in range(8))).lines()
    running = RunningLosses(2, KnownCosts(0.5, 0.0, sites=lines))
    running.add(ALONE, ALONE)
    losses = {loss.cause: loss for loss in running.result(1.0, 2.0, "", control=None)}
    assert losses["GIL"].sites == lines[:5]
    assert not any(loss.sites for loss in losses.values() if loss.cause != "GIL")


def waits(
    stopped: float, parked: float, locks: str = "a 'list' at 0x10"
) -> WaitsTogether:
    """Return waits of two workers, in workers."""
    idle = Estimate(stopped, stopped, stopped), Estimate(parked, parked, parked)
    nothing = Estimate(0.0, 0.0, 0.0)
    found = bool(locks)
    return WaitsTogether(2, True, *idle, nothing, found, locks, "asked for by a")


def waits_with_gil(
    parked: float, in_calls: float, waiting_gil: float = math.nan
) -> WaitsTogether:
    """Return waits of two workers with a GIL, in workers."""
    nothing = Estimate(0.0, 0.0, 0.0)
    slept = Estimate(parked, parked, parked)
    called = Estimate(in_calls, in_calls, in_calls)
    awaited = Estimate(waiting_gil, waiting_gil, waiting_gil)
    return WaitsTogether(
        2, False, nothing, slept, called, parked > 0, "", "", waiting_gil=awaited
    )


def without_gil(
    parallel: Sample, together: WaitsTogether, processes: Sample | None = ALONE
) -> dict[str, float]:
    """Return the losses of three such blocks without a GIL."""
    running = RunningLosses(2, KnownCosts(None, 0.0, together=together))
    serial = replace(ALONE, worker_system=0.0)
    for _ in range(3):
        running.add(serial, parallel, processes)
    speedup = 1 / parallel.seconds
    losses = running.result(speedup, 2.0, "the same calls in processes", control=2.0)
    assert math.fsum(loss.amount for loss in losses) == pytest.approx(2 - speedup)
    assert {loss.cause for loss in losses} == {*NAMES, *WITHOUT_GIL}
    assert all(loss.source for loss in losses)
    return {loss.cause: loss.amount for loss in losses}


SYSTEM = replace(together(1.0, 2.0), worker_system=0.8)


@pytest.mark.parametrize(
    ("main", "amount", "parallel", "waiting"),
    [
        ("stops", 1.0, together(1.0, 1.0), waits(1.0, 0.0)),
        ("stops", 1.0, together(1.0, 1.0), waits(1.2, 0.3)),  # no more than was idle
        ("locks", 0.9, together(1.0, 1.0), waits(0.0, 0.9)),
        ("unexplained", 0.9, together(1.0, 1.0), waits(0.0, 0.1)),
        # Threads that spin yield their CPUs.
        ("locks", 0.8, SYSTEM, waits(0.0, 0.0)),
        ("more CPU work", 0.8, replace(SYSTEM, worker_system=0.2), waits(0.0, 0.0)),
        ("more CPU work", 1.0, replace(SYSTEM, worker_system=1.0), waits(0.0, 0.0, "")),
        ("shared memory", 1.0, together(1.0, 2.0), waits(0.0, 0.0, "")),
        # It is not claimed if threads were stopped meanwhile.
        ("more CPU work", 0.6, together(1.0, 1.6), waits(0.4, 0.0, "")),
    ],
)
def test_losses_without_a_gil(
    main: str, amount: float, parallel: Sample, waiting: WaitsTogether
) -> None:
    amounts = without_gil(parallel, waiting)
    assert max(amounts, key=amounts.__getitem__) == main
    assert amounts[main] == pytest.approx(amount)


def test_work_that_grows_in_processes_too_is_no_shared_memory() -> None:
    parallel = together(1.0, 2.0)
    amounts = without_gil(parallel, waits(0, 0, ""), replace(ALONE, worker_cpu=1.7))
    assert amounts["shared memory"] == pytest.approx(0.3)
    assert amounts["more CPU work"] == pytest.approx(0.7)
    for processes in (None, replace(ALONE, worker_cpu=None)):
        amounts = without_gil(parallel, waits(0, 0, ""), processes)
        assert amounts["shared memory"] == 0
        assert amounts["more CPU work"] == pytest.approx(1.0)


def test_losses_without_a_gil_name_lines_and_locks() -> None:
    running = RunningLosses(2, KnownCosts(None, 0.0, together=waits(0.5, 0.25)))
    running.add(ALONE, together(1.0, 1.0))
    losses = {loss.cause: loss for loss in running.result(1.0, 2.0, "", control=None)}
    assert "25 % of their time" in losses["stops"].source
    assert "asked for by a" in losses["stops"].source
    assert "'list' at 0x10" in losses["locks"].source


@pytest.mark.parametrize(
    ("main", "amount", "parallel", "waiting", "held"),
    [
        ("locks", 0.9, together(1.0, 1.0), waits_with_gil(0.9, 0.0), 0.02),
        ("locks", 1.0, together(1.0, 1.0), waits_with_gil(1.5, 0.0), 0.02),
        ("input and output", 0.8, together(1.0, 1.0), waits_with_gil(0.0, 0.8), 0.0),
        ("locks", 0.7, together(1.0, 1.0), waits_with_gil(0.7, 0.8), 0.0),
        # The rest is the GIL's, up to what it is held for.
        ("GIL", 0.8, together(1.0, 1.0), waits_with_gil(0.2, 0.0), 1.0),
        ("unexplained", 0.7, together(1.0, 1.0), waits_with_gil(0.2, 0.0), 0.1),
        # Workers were seen to wait for longer: it also has to be handed over.
        ("GIL", 0.6, together(1.0, 1.0), waits_with_gil(0.2, 0.0, 0.6), 0.1),
        ("GIL", 0.8, together(1.0, 1.0), waits_with_gil(0.2, 0.0, 1.5), 0.1),
        # Threads that wait for a lock call the system.
        ("locks", 0.8, SYSTEM, waits_with_gil(0.1, 0.0), 0.0),
        ("more CPU work", 1.0, SYSTEM, waits_with_gil(0.0, 0.0), 0.0),
    ],
)
def test_losses_by_locks_and_calls_with_a_gil(
    main: str, amount: float, parallel: Sample, waiting: WaitsTogether, held: float
) -> None:
    amounts = with_gil(ALONE, parallel, waiting, held)
    assert max(amounts, key=amounts.__getitem__) == main
    assert amounts[main] == pytest.approx(amount)


@pytest.mark.parametrize(
    ("voluntary", "locks", "gil", "unexplained"),
    [
        (0, 0.3, 0.1, 0.6),
        (2000, 0.45, 0.15, 0.4),  # 0.1 ms each
        (20_000, 0.75, 0.25, 0.0),
        (None, 0.3, 0.1, 0.6),
    ],
)
def test_time_to_wake_up_belongs_to_the_wait(
    voluntary: int | None, locks: float, gil: float, unexplained: float
) -> None:
    parallel = together(1.0, 1.0, voluntary=voluntary)
    amounts = with_gil(ALONE, parallel, waits_with_gil(0.3, 0.0), 0.1)
    assert amounts["locks"] == pytest.approx(locks)
    assert amounts["GIL"] == pytest.approx(gil)
    assert amounts["unexplained"] == pytest.approx(unexplained)


def test_time_to_wake_up_is_no_cause_of_its_own() -> None:
    parallel = together(1.0, 1.0, voluntary=20_000)
    amounts = with_gil(ALONE, parallel, waits_with_gil(0.0, 0.0), 0.0)
    assert amounts["unexplained"] == pytest.approx(1.0)


def test_time_to_wake_up_is_not_known_without_a_watch() -> None:
    parallel = together(1.0, 1.0, voluntary=20_000)
    running = RunningLosses(2, KnownCosts(0.1, 0.0))
    running.add(ALONE, parallel)
    amounts = {
        loss.cause: loss.amount for loss in running.result(1.0, 2.0, "", control=None)
    }
    assert amounts["GIL"] == pytest.approx(0.1)
    assert amounts["unexplained"] == pytest.approx(0.9)


def test_block_without_figures_of_workers_leaves_all_unexplained() -> None:
    running = RunningLosses(2, KnownCosts(0.5, 0.0))
    for parallel in (together(1.0, 1.0), replace(ALONE, worker_cpu=None)):
        running.add(ALONE, parallel)
    losses = {loss.cause: loss for loss in running.result(1.0, 2.0, "", control=None)}
    assert losses["GIL"].amount == 0
    assert losses["GIL"].source.startswith("not measured")
    assert losses["unexplained"].amount == pytest.approx(1.0)


def test_blocks_of_two_kinds_leave_nothing_unexplained() -> None:
    """Sometimes a worker waits for a CPU, and at other times the work takes longer."""
    running = RunningLosses(2, KnownCosts(0.0, 0.0))
    waited, slowed = together(0.8, 1.0, wait=0.6), together(0.9, 1.8)
    comparison = RunningComparison(2)
    for number in range(11):
        parallel = waited if number % 2 else slowed
        running.add(ALONE, parallel)
        comparison.add({"serial": ALONE, "parallel": parallel})
    speedup = comparison.result().speedup.value
    losses = running.result(speedup, 2.0, "", control=None)
    amounts = {loss.cause: loss.amount for loss in losses}
    assert amounts["machine"] > 0.1
    assert amounts["more CPU work"] > 0.1
    assert abs(amounts["unexplained"]) < 0.1


def test_worker_that_ends_early_waits_for_one_that_waited_for_a_lock() -> None:
    """The first one took the lock for all of its calls, and then the other one did."""
    parallel = together(1.0, 1.0, early=0.5, uneven=0.5)
    amounts = with_gil(ALONE, parallel, waits_with_gil(0.5, 0.0), 0.02)
    assert amounts["locks"] == pytest.approx(1.0)
    amounts = with_gil(ALONE, parallel, waits_with_gil(0.2, 0.0), 0.02)
    assert amounts["locks"] == pytest.approx(0.4)


def test_input_and_output_that_one_worker_has_alone_is_no_loss() -> None:
    """A call that sleeps for half of its time, and holds the GIL for the other half."""
    alone = replace(ALONE, worker_cpu=0.5, cpu=0.5)
    parallel = together(0.75, 0.5)
    amounts = with_gil(alone, parallel, waits_with_gil(0.0, 0.5 / 0.75), 0.5)
    assert amounts["input and output"] == pytest.approx(0.0)
    assert amounts["GIL"] == pytest.approx(0.5 / 0.75)


def with_gil(
    serial: Sample, parallel: Sample, together: WaitsTogether, held: float
) -> dict[str, float]:
    """Return the losses of three such blocks with a GIL."""
    running = RunningLosses(2, KnownCosts(held, 0.0, together=together))
    for _ in range(3):
        running.add(replace(serial, worker_system=0.0), parallel, ALONE)
    speedup = serial.seconds / parallel.seconds
    losses = running.result(speedup, 2.0, "the same calls in processes", control=2.0)
    assert math.fsum(loss.amount for loss in losses) == pytest.approx(2 - speedup)
    assert {loss.cause for loss in losses} == {*NAMES, *WITH_GIL}
    assert all(loss.source for loss in losses)
    return {loss.cause: loss.amount for loss in losses}
