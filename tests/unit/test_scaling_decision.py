"""Decisions on scaling that follow from made-up blocks."""

from __future__ import annotations

import random
import time
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import pytest

from gilx.estimate import Estimate
from gilx.speedup.comparison import Block, RunningComparison, overlap
from gilx.speedup.scaling_decision import ScalingDecision
from gilx.speedup.timings import Sample
from gilx.speedup.waits_together import TogetherWatch, WaitsTogether
from gilx.testing import ScalingEvidence, Verdict
from gilx.testing.scaling_verdict import judge_scaling
from tests.markers import needs_two_cpus
from tests.unit.recorded_blocks import RecordedRelease

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def scaling(verdict: Verdict) -> ScalingEvidence:
    assert isinstance(verdict.evidence, ScalingEvidence)
    return verdict.evidence


def block(fraction: float, without_waits: float, ceiling: float = 2.0) -> Block:
    """Return a block of two workers in which a call takes 1 s alone."""
    together = 2 / ceiling
    alone = Sample(1.0, worker_cpu=1.0, longest=1.0, wait=0.0)
    parallel = Sample(
        together / fraction,
        cpu=2.0,
        worker_cpu=2.0,
        longest=1.0 / without_waits,
        wait=0.0,
        steal=0.0,
        throttled=0,
    )
    best = Sample(together, worker_cpu=2.0, longest=1.0, wait=0.0)
    return {"serial": alone.times(2), "parallel": parallel, "ceiling": best}


def but(one: Block, arm: str = "parallel", **changes: Any) -> Block:
    """Return a block with another sample of an arm."""
    return {**one, arm: replace(one[arm], **changes)}


def compared(blocks: Sequence[Block]) -> RunningComparison:
    comparison = RunningComparison(2)
    for one in blocks:
        comparison.add(one)
    return comparison


def waits(hindered: float, *, waiting_cpu: float = 0.0) -> WaitsTogether:
    """Return waits of two workers for locks."""
    nothing = Estimate(0.0, 0.0, 0.0)
    found = Estimate(hindered, max(0.0, hindered - 0.05), hindered + 0.05)
    return WaitsTogether(
        2, False, nothing, found, nothing, hindered > 0, "", "",
        hindered=found, blocked=found, waiting_cpu=waiting_cpu,
    )  # fmt: skip


def judged(
    blocks: Sequence[Block],
    *,
    efficiency: float = 0.8,
    side: int = -1,
    together: WaitsTogether | None = None,
) -> ScalingDecision:
    low = {-1: 0.0, 0: 0.5, 1: 0.9}[side]
    held = {-1: 0.1, 0: 0.625, 1: 1.0}[side]
    found: Any = RecordedRelease(0.625, Estimate(held, low, held + 0.1))
    assert found.side == side
    return ScalingDecision(compared(blocks), efficiency, found, together)


@pytest.mark.parametrize(
    ("blocks", "decision"),
    [
        ([block(1.0, 1.0)] * 5, "pass"),
        ([block(1.0, 1.0)] * 3, None),
        ([block(0.5, 0.5)] * 7, "fail"),
        ([block(0.5, 0.5)] * 3, None),
        # Only one CPU is free: processes are no faster than threads that take turns.
        ([block(1.0, 0.5, ceiling=1.0)] * 500, None),
        ([block(1.0, 0.8, ceiling=1.0)] * 500, None),
        # The machine has one CPU, and overlap shows that threads don't wait for each
        # other.
        ([block(1.0, 1.0, ceiling=1.0)] * 13, "pass"),
        # More CPUs are free, and kinds of waits can't be distinguished.
        ([block(1.0, 0.8, ceiling=1.8)] * 13, "pass"),
        ([block(0.95, 0.8, ceiling=1.25)] * 15, "pass"),
        ([block(0.91, 0.8, ceiling=1.5)] * 15, "pass"),
        # A call with 70 % behind a lock might reach that ceiling fraction, with a CPU
        # less.
        ([block(0.93, 0.8, ceiling=1.25)] * 500, None),
        # Threads that take turns might reach as much.
        ([block(0.89, 0.8, ceiling=1.8)] * 500, None),
        ([block(1.0, 0.8, ceiling=1.24)] * 500, None),
        # CPU time overlaps, but threads use more than processes, as when they spin.
        ([but(block(1.0, 0.8, 1.0), worker_cpu=4.0, cpu=4.0)] * 500, None),
        # With a CPU for each, threads would wait for each other half of the time.
        ([block(1.0, 0.5, ceiling=1.8)] * 5 + [block(1.0, 0.81, ceiling=1.8)] * 4, None),
        ([block(1.0, 0.75, 1.8)] * 8 + [block(1.0, 0.85, 1.8)] * 6, None),
        # More CPU time is needed in processes than threads ever used.
        ([but(block(1.0, 0.5, 1.0), "ceiling", worker_cpu=4.0)] * 500, None),
        # Calls do less in processes, so that these are not a ceiling for the threads.
        ([but(block(0.5, 0.5), "ceiling", worker_cpu=1.5)] * 500, None),
        ([but(block(0.5, 0.5), "ceiling", worker_cpu=1.7)] * 13, "fail"),
        # CPUs were taken away: a thread with the lock then kept the others waiting.
        ([but(block(0.5, 0.5), steal=0.3)] * 500, None),
        ([but(block(0.5, 0.5), throttled=1)] * 500, None),
        ([but(block(0.5, 0.5), steal=0.1)] * 13, "fail"),
        ([but(block(0.5, 0.5), steal=0.3)] * 50 + [block(0.5, 0.5)] * 13, "fail"),
        ([but(block(1.0, 1.0, 1.0), steal=0.3)] * 500, None),
        ([but(block(1.0, 1.0, 1.8), steal=0.3)] * 13, "pass"),
        # Ceiling fraction and overlap disagree.
        ([block(1.0, 0.5)] * 500, None),
        ([block(0.5, 1.0)] * 500, None),
    ],
)
def test_decision_follows_from_blocks(blocks: list[Block], decision: str | None) -> None:
    assert judged(blocks).decision() == decision


@pytest.mark.parametrize(
    ("blocks", "promising"),
    [
        ([block(1.0, 0.5)] * 10, True),
        ([block(1.0, 0.5, ceiling=1.2)] * 10, False),
        ([block(1.0, 0.9, ceiling=1.2)] * 9 + [block(1.0, 0.5, ceiling=1.2)], True),
        ([block(1.0, 0.9, ceiling=1.2)] * 8 + [block(1.0, 0.5, ceiling=1.2)] * 2, False),
        # Nothing is known of blocks in which CPUs were taken away.
        ([but(block(1.0, 0.5, 1.2), steal=0.3), *[block(1.0, 0.9, 1.2)] * 9], True),
        ([but(block(1.0, 0.9, 1.2), steal=0.3)] * 10, False),
    ],
)
def test_when_longer_blocks_are_needed(blocks: list[Block], promising: bool) -> None:
    assert judged(blocks).promising == promising


def test_nothing_passes_without_a_hold_fraction() -> None:
    found = judged([block(1.0, 1.0)] * 100, side=0)
    assert found.decision() is None
    words = "the share of time for which it holds the GIL is not known"
    assert found.reason().startswith(words)
    assert judged([block(0.5, 0.5)] * 100, side=0).decision() == "fail"


@pytest.mark.parametrize("efficiency", [0.5, 0.72, 1.0])
@pytest.mark.parametrize("waited", [0.0, 0.3, 0.66])
def test_overlap_leaves_out_waits_for_a_cpu(efficiency: float, waited: float) -> None:
    """While one of two workers waits for a CPU, the other runs without a loss."""
    cpu = 2 * efficiency * (1 - waited) + waited
    one = but(
        but(block(1.0, 1.0), "ceiling", worker_cpu=cpu),
        seconds=1.0,
        longest=1 - waited / 2,
        worker_cpu=cpu,
        wait=waited,
    )
    assert overlap(one, 2) == pytest.approx(efficiency)


@pytest.mark.parametrize(
    ("blocks", "together", "decision"),
    [
        # Nothing passes if threads were found waiting for longer than may be lost.
        ([block(1.0, 1.0)] * 100, waits(1.0), None),
        ([block(1.0, 1.0)] * 100, waits(0.4), "pass"),
        # Only one CPU is free; samples rule out that threads take turns.
        ([block(0.95, 0.6, ceiling=1.0)] * 20, waits(0.0), "pass"),
        ([block(0.95, 0.6, ceiling=1.0)] * 20, waits(0.3, waiting_cpu=0.7), None),
        ([block(0.95, 0.6, ceiling=1.0)] * 20, waits(1.0), "fail"),
        ([block(0.95, 0.6, ceiling=1.0)] * 20, waits(0.1, waiting_cpu=0.7), None),
        ([block(0.95, 0.6, ceiling=1.0)] * 3, waits(0.0), None),
        # The ratio has to agree, since it is the only one to show some causes.
        ([block(0.75, 0.6, ceiling=1.0)] * 200, waits(0.0, waiting_cpu=0.9), None),
        ([block(0.81, 0.6, ceiling=1.0), block(0.79, 0.6, 1.0)] * 50, waits(0.0), None),
        # Threads spin, or are bound by memory, and so use more CPU time.
        (
            [but(block(0.95, 0.6, 1.0), worker_cpu=4.0, cpu=4.0)] * 100,
            waits(0.0),
            None,
        ),
        ([but(block(0.5, 0.5), worker_cpu=4.0, cpu=4.0)] * 13, waits(0.0), "fail"),
        # A call that is slow on an idle machine fails even without waits for locks.
        ([block(0.5, 0.5)] * 13, waits(0.0), "fail"),
        ([block(0.5, 0.5)] * 13, waits(1.0), "fail"),
        ([block(0.5, 0.5)] * 100, waits(0.0, waiting_cpu=0.9), None),
    ],
)
def test_samples_of_threads_are_evidence_too(
    blocks: list[Block], together: WaitsTogether, decision: str | None
) -> None:
    found = judged(blocks, together=together)
    assert found.decision() == decision, found.reason()


def test_failure_by_clocks_alone_takes_longer_on_a_busy_machine() -> None:
    def blocks_needed(waiting_cpu: float, hindered: float = 0.3) -> int:
        together = waits(hindered, waiting_cpu=waiting_cpu)
        return next(
            count
            for count in range(1, 100)
            if judged([block(0.5, 0.5)] * count, together=together).decision() == "fail"
        )

    assert blocks_needed(0.0) < blocks_needed(0.7)
    # Samples that rule a pass out are the second evidence.
    assert blocks_needed(0.7, hindered=1.0) == blocks_needed(0.0)


def test_contradictions_of_clocks_and_samples_are_reasons() -> None:
    found = judged([block(1.0, 1.0)] * 100, together=waits(1.0))
    words = "found waiting for the GIL, locks or stops of all threads for at least 48 %"
    assert words in found.reason()
    busy = waits(0.0, waiting_cpu=0.9)
    found = judged([block(0.5, 0.5)] * 100, together=busy)
    assert "hardly found waiting, and need no more CPU time" in found.reason()


def test_samples_of_threads_alone_do_not_pass_a_call() -> None:
    blocks = [block(1.0, 1.0)] * 100
    assert judged(blocks, side=0, together=waits(0.0)).decision() is None


def test_reason_reports_cpus_that_were_taken_away() -> None:
    found = judged([but(block(0.5, 0.5), steal=0.3)] * 20 + [block(0.5, 0.5)] * 4)
    assert found.decision() is None
    words = "a hypervisor or a quota took CPUs away in 20 of 24 blocks; 2 threads reach"
    assert found.reason().startswith(words)


def test_reason_reports_threads_that_the_call_starts() -> None:
    found = judged([but(block(1.0, 1.0), cpu=4.0)] * 100)
    assert found.decision() is None
    assert "threads of its own" in found.reason()
    assert "limit_threads=1" in found.reason()


def test_reason_reports_unknown_waits_for_a_cpu() -> None:
    found = judged([but(block(0.5, 1.0), longest=None)] * 100)
    assert found.decision() is None
    assert found.reason().startswith("how long workers wait for a CPU is not known")


def test_other_work_as_a_ceiling() -> None:
    other = {"ceiling serial": Sample(1.6), "ceiling": Sample(1.0)}
    blocks = [{**block(1.0, 1.0), **other}] * 13
    figures = compared(blocks).result()
    assert figures.ceiling.value == pytest.approx(1.6)
    assert figures.ceiling_fraction.value == pytest.approx(2.0 / 1.6)
    assert judged(blocks).decision() == "pass"


@pytest.mark.parametrize(("cpu", "decision"), [(2.1, "fail"), (2.6, None)])
def test_memory_may_bind_processes_as_well(cpu: float, decision: str | None) -> None:
    one = but(block(0.65, 0.65), worker_cpu=cpu, cpu=cpu)
    other = {"ceiling serial": Sample(2.0), "ceiling": Sample(1.0)}
    found = judged([{**one, **other}] * 13)
    assert found.decision() == decision
    assert ("threads need 1.30 times the CPU time" in found.reason()) is (
        decision is None
    )


def test_reason_reports_that_processes_do_less() -> None:
    found = judged([but(block(0.5, 0.5), "ceiling", worker_cpu=0.4)] * 20)
    assert found.reason().startswith("in processes calls need 20 % of the CPU time")


@pytest.mark.parametrize("seed", range(4))
def test_fraction_at_the_threshold_is_hardly_ever_decided(seed: int) -> None:
    """Each kind of evidence errs at most once in a thousand sequences of any length."""
    draw = random.Random(seed)
    decided = 0
    for _ in range(50):
        found = [
            block(*(0.8 * draw.lognormvariate(0, 0.3) for _ in range(2)))
            for _ in range(60)
        ]
        decided += any(judged(found[:n]).decision() for n in range(13, 61, 4))
    assert decided == 0


@pytest.mark.parametrize("decision", ["pass", "fail"])
def test_noise_makes_a_decision_later_not_wrong(decision: str) -> None:
    draw = random.Random(1)
    true = 1.0 if decision == "pass" else 0.62
    lengths = []
    for _ in range(20):
        found: list[Block] = []
        while judged(found).decision() is None:
            noise = draw.lognormvariate(0, 0.25), draw.lognormvariate(0, 0.25)
            found.append(block(true * noise[0], true * noise[1]))
        assert judged(found).decision() == decision
        lengths.append(len(found))
    assert 4 <= min(lengths) < max(lengths) < 300


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"worker_cpu": 4.0}, "2.0 times the CPU time"),
        ({"worker_cpu": 2.0}, "threads wait for each other"),
        ({"worker_cpu": 2.0, "longest": 1.0}, "costs too much"),
        # It is unknown which thread waits for which: no work is called uneven.
        ({"worker_cpu": 2.0, "steal": 9.0}, "for a lock of the library's own"),
        ({"longest": None}, "for a lock of the library's own"),
    ],
)
def test_advice_names_the_likely_cause(change: dict[str, Any], words: str) -> None:
    assert words in judged([but(block(0.5, 0.5), **change)] * 13).advice()


def test_check_without_blocks_is_inconclusive() -> None:
    found = judged([])
    assert found.decision() is None
    assert "no time for a block" in found.reason()


class Read(Sample):
    """A sample that counts how often its figures are read."""

    reads = 0

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("__"):
            Read.reads += 1
        return super().__getattribute__(name)


def read_counted(block: Block) -> Block:
    return {
        arm: Read(**{field.name: getattr(sample, field.name) for field in fields(sample)})
        for arm, sample in block.items()
    }


class MadeUp:
    """Arms that make blocks in which two of the witnesses contradict each other."""

    kind, reason = "the same calls in processes", ""
    made = 5000

    def __init__(self, *_: object) -> None:
        self._draw = random.Random(0)

    def __enter__(self) -> MadeUp:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def slowdown(self, *_: float) -> float:
        return 1.0

    def empty_region(self) -> float:
        return 0.0

    def watch_together(self, _: TogetherWatch, _calls: int) -> None:
        pass

    def blocks(self, _: int, **_others: float) -> Iterator[Block]:
        for _number in range(self.made):
            fraction, other = (self._draw.lognormvariate(0, 0.1) for _ in range(2))
            yield read_counted(block(fraction, other / 2, 1.8))


@pytest.mark.slow
@needs_two_cpus
def test_a_large_budget_is_inconclusive_at_worst(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of blocks, which `--gilx-budget=240` has time for, do not settle it."""
    monkeypatch.setattr("gilx.testing.scaling_verdict.Arms", MadeUp)
    monkeypatch.setattr("gilx.testing.scaling_verdict.gil_enabled", lambda: False)
    monkeypatch.setattr(Read, "reads", 0)
    found = judge_scaling(time.sleep, 0.01, budget=240)
    assert found.outcome == "inconclusive"
    assert scaling(found).comparison.blocks == MadeUp.made
    low, high = scaling(found).comparison.ceiling_fraction.interval
    assert 0.98 < low < 1 < high < 1.02
    # Each block is read when it is made, and with nine others: not again with each later.
    assert Read.reads < 300 * MadeUp.made
