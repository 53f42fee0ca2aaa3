"""Usages of other processes, alone and together, in words."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import gilx
from gilx.sampling.watched_process import WatchedProcess
from tests.markers import needs_linux
from tests.unit.hold_sums import sums, usage_of

if TYPE_CHECKING:
    from gilx.sampling.hold_fraction import HoldSums
    from gilx.sampling.usage import GilUsage

pytestmark = [pytest.mark.concurrent_callers, needs_linux]

_LATE = "inconclusive: samples were late for 50 % of the time, since the CPUs were busy"
_GOOD = sums(200, 800)


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
    assert usage.sentence().endswith(f" of its time, 1.5 s; {_LATE}")
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
    assert " locked by anyone: 55 %" in text
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
