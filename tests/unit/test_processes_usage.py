"""Usages of other processes, alone and together, in words."""

from __future__ import annotations

import os
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

import gilx
from gilx.sampling.process_readings import ProcessReadings
from gilx.sampling.processes_watch import ProcessesWatch
from gilx.sampling.ratio_interval import Ratio
from gilx.sampling.usage import WITHOUT_GIL
from gilx.sampling.watched_process import WatchedProcess
from tests.markers import needs_linux
from tests.unit.hold_sums import sums, usage_of

if TYPE_CHECKING:
    from gilx.sampling.hold_fraction import HoldSums
    from gilx.sampling.usage import GilUsage

pytestmark = [pytest.mark.concurrent_callers, needs_linux]

_LATE = "inconclusive: samples were late for 50 % of the time, since the CPUs were busy"
_GOOD = sums(200, 800)
_NOTHING = Ratio(*(0.0,) * 8)
_FREE = sums(0, 500, own=_NOTHING, locked=_NOTHING, waiters=_NOTHING)


def _late(made: HoldSums) -> HoldSums:
    return replace(made, wall=made.wall * 3 // 2, unknown=made.wall / 2)


def _usage(made: HoldSums, pid: int, end: str = "", command: str = "pool") -> GilUsage:
    process = WatchedProcess(pid, command, "3.12.1", "process_vm_readv", end)  # type: ignore[arg-type]
    reason = made.reason_of_program
    return usage_of(
        made, program=process.name, process=process, inconclusive_reason=reason
    )


def test_inconclusive_process_is_named_with_its_share_and_a_remedy() -> None:
    usage = _usage(_late(_GOOD), 7)
    share = usage.locked.text(lambda value: f"{value * 100:.0f} %")
    assert usage.sentence() == (
        f"process 7 (pool) holds the GIL for {share} of the 1.5 s in which it was watched;"
        f" {_LATE}; watch it longer, with a larger budget, or on a machine with a free CPU"
    )


def test_ended_process_cannot_be_watched_longer() -> None:
    usage = _usage(_late(_GOOD), 7, "ended")
    assert usage.sentence().endswith(f"{_LATE}; watch it on a machine with a free CPU")
    short = _usage(sums(1, 1), 7, "ended")
    assert short.sentence().endswith("are needed")
    longer = _usage(sums(1, 1), 7)
    assert longer.sentence().endswith("; watch it longer, with a larger budget")


def test_inconclusive_program_is_named() -> None:
    usage = replace(_usage(_late(_GOOD), 7), program="a.py", process=None)
    assert usage.sentence().startswith("a.py holds the GIL for 20 % (")
    assert usage.sentence().endswith(f" of its 1.5 s; {_LATE}")
    unknown = replace(usage, locked=gilx.Estimate.unknown())
    assert unknown.sentence() == f"a.py: {_LATE}"


def test_lines_without_a_figure_are_left_out_of_programs() -> None:
    usage = _usage(_GOOD, 7)
    usage = replace(usage, hold_length=(0.0, usage.wall))
    assert "mean hold" not in usage.details()
    low = replace(usage, hold_length=(2e-6, usage.wall))
    assert "mean hold: not resolved; at least 2 \u00b5s" in low.details()


def test_processes_have_a_gil_each() -> None:
    usages = [_usage(_GOOD, 7), _usage(sums(900, 100), 8)]
    found = gilx.ProcessesUsage.of(usages)
    assert found.sentence() == (
        "2 processes hold their GILs for 55 % of their 2 s all together; the one that"
        " holds it most is process 8 (pool), for 90 % of 1 s"
    )
    text = " ".join(str(found).split())
    assert text.startswith(f"{found.sentence()} ")
    assert " held by any thread: 55 %" in text
    assert all(usage.sentence() in text for usage in usages)
    assert "sampler: " not in text
    assert "\n  sampler: " in found.details()


def test_inconclusive_processes_are_named_with_their_shares() -> None:
    usages = [_usage(_late(_GOOD), pid) for pid in (7, 8)]
    found = gilx.ProcessesUsage.of(usages)
    text = " ".join(str(found).split())
    assert text.startswith("2 processes hold their GILs for 20 % (")
    assert f" of their 3 s all together; {_LATE}" in text
    assert all(f"process {pid} (pool) holds the GIL for 20 % (" in text for pid in (7, 8))


def test_programs_that_one_process_executed_are_not_called_processes() -> None:
    usages = [_usage(_GOOD, 7, "replaced", "a"), _usage(_GOOD, 7, command="b")]
    words = "2 programs of process 7 hold their GILs for 20 % of their 2 s"
    assert gilx.ProcessesUsage.of(usages).sentence().startswith(words)


def test_sum_of_processes_with_and_without_a_gil_is_of_those_with_one() -> None:
    usages = [_usage(_FREE, 6), _usage(_GOOD, 7)]
    found = gilx.ProcessesUsage.of(usages)
    assert found.total == usages[1]
    assert found.sentence() == (
        f"{usages[1].sentence()}; another 500 ms, without a GIL, are not counted"
    )
    assert "process 6 (pool) runs for 500 ms without a GIL" in str(found)
    assert gilx.ProcessesUsage.from_json(found.to_json()) == found
    three = gilx.ProcessesUsage.of([*usages, _usage(sums(900, 100), 8)])
    assert three.total.wall == 2
    assert three.sentence() == (
        "2 processes hold their GILs for 55 % of their 2 s all together; the one that"
        " holds it most is process 8 (pool), for 90 % of 1 s; another 500 ms, without a"
        " GIL, are not counted"
    )


def test_sum_of_processes_without_a_gil_is_of_all() -> None:
    found = gilx.ProcessesUsage.of([_usage(_FREE, 6), _usage(_FREE, 7)])
    assert found.total.wall == 1
    assert "not counted" not in str(found)
    assert found.sentence().startswith(
        "the group of 2 processes runs for 500 ms without a GIL"
    )


def test_process_that_got_a_gil_by_another_program_is_inconclusive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usages = [_usage(_FREE, 7, "replaced", "a"), _usage(_GOOD, 7, command="b")]
    watching = ProcessesWatch(os.getpid(), 0.01, subprocesses=False)
    monkeypatch.setattr(watching, "_first", SimpleNamespace(usages=lambda: usages))
    usage = watching.usage()
    assert usage.locked == usages[1].locked
    assert usage.inconclusive_reason.startswith(
        "the process executed a program that ran without a GIL for 500 ms, which are not"
    )
    assert "idle" not in str(usage)


def test_readings_with_and_without_a_gil_are_not_summed() -> None:
    readings = ProcessReadings(os.getpid(), 0.01)
    for made in (_FREE, _FREE):
        readings._add(_usage(made, 7))
    nothing = replace(_usage(_FREE, 7), sums=replace(_FREE, counted=0.0))
    readings._add(replace(nothing, backend=WITHOUT_GIL))
    assert readings.without_gil_before == 0
    for made in (_GOOD, _GOOD):
        readings._add(_usage(made, 7))
    assert readings.without_gil_before == 1.5
    assert readings.recent.wall == 2
    assert readings.recent.locked.value == pytest.approx(0.2)
    assert readings.sums.wall == 2e9
    readings._add(_usage(_FREE, 7))
    assert readings.without_gil_before == 1.5
    assert readings.sums.without_gil
    assert readings.sums.wall == 0.5e9
    assert readings.recent.sums.without_gil
