"""Verdicts on calls that scale or do not. A busy machine may make them inconclusive, and never wrong."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import threading
import time
import zlib
from functools import partial
from typing import Any

import pytest

from gilx import ckernels
from gilx.errors import ArgumentError, WatchUnavailableError
from gilx.testing import ScalingEvidence, Verdict, release_verdict
from gilx.testing.scaling_verdict import judge_scaling, not_scaled
from tests.alternating_call import AlternatingCall
from tests.first_call import compiled_on_first_use
from tests.markers import needs, needs_no_gil, needs_two_cpus, needs_verdicts, needs_watch

# It writes nothing: what threads allocate may lie so close together that none gains.
COMPUTE = partial(zlib.crc32, bytes(8 << 20))


def scaling(verdict: Verdict) -> ScalingEvidence:
    assert isinstance(verdict.evidence, ScalingEvidence)
    return verdict.evidence


@needs_two_cpus
def test_what_scales_is_never_said_not_to() -> None:
    found = judge_scaling(COMPUTE, budget=4)
    assert found.outcome != "fail"
    assert scaling(found).comparison.ceiling_kind == "the same calls in processes"
    assert scaling(found).comparison.blocks
    assert Verdict.from_json(found.to_json()) == found


@needs_two_cpus
@needs_watch
def test_what_holds_the_gil_never_passes() -> None:
    found = judge_scaling(sum, range(200_000), budget=3)
    assert found.outcome != "pass"
    if found.outcome == "fail" and not scaling(found).comparison.blocks:
        assert "one call alone holds the GIL for" in found.reason
        assert "Py_BEGIN_ALLOW_THREADS" in found.advice


@pytest.mark.slow
@needs_two_cpus
def test_calls_that_can_not_be_sent_have_another_ceiling() -> None:
    found = judge_scaling(lambda: COMPUTE(), budget=3)  # noqa: PLW0108 - not to be sent
    assert (
        scaling(found).comparison.ceiling_kind
        == "other work: mandelbrot on native threads"
    )
    assert any(
        note.startswith("the ceiling is that of other work") for note in found.notes
    )
    assert found.outcome != "fail"


@needs_two_cpus
def test_too_long_for_the_budget() -> None:
    found = judge_scaling(time.sleep, 0.2, budget=1)
    assert found.outcome == "inconclusive"
    assert re.match(r"too long: a call takes \d", found.reason), found
    assert "(budget: 1 s, of which " in found.reason


@needs_two_cpus
def test_calls_that_are_far_slower_at_once_are_fewer_in_a_row() -> None:
    found = judge_scaling(AlternatingCall(), budget=5)
    assert found.outcome != "pass"
    assert 1 <= scaling(found).calls <= 20  # 200 calls of one thread take as long


@needs_two_cpus
def test_too_short() -> None:
    found = judge_scaling(int, efficiency=0.5, budget=3)
    assert found.outcome == "inconclusive"
    assert found.reason.startswith("too short: a call takes")


@needs_two_cpus
def test_too_short_with_a_setup() -> None:
    found = judge_scaling(len, setup=lambda: ((),), efficiency=0.5, budget=3)
    assert found.outcome == "inconclusive"
    assert found.reason.startswith("too short: a call takes")


def data_of_this_process(sizes: list[int] = []) -> None:  # noqa: B006 - that is the point
    """Do more where there are sizes."""
    for size in sizes:
        hashlib.sha256(bytes(size))


@pytest.mark.slow
@needs_two_cpus
@needs_watch
def test_a_long_first_call_is_not_what_is_judged() -> None:
    # More than a fifth of the budget, which is for the hold fraction.
    found = judge_scaling(compiled_on_first_use(0.5, 0.02), budget=2)
    assert found.outcome != "fail", found
    release = scaling(found).release
    assert release is not None
    assert release.usage is not None
    assert release.usage.wall != release.first_seconds
    assert release.held.interval[0] < 0.1


@pytest.mark.slow
@needs_two_cpus
def test_processes_that_do_less(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_of_this_process, "__defaults__", ([3_000_000] * 5,))
    found = judge_scaling(data_of_this_process, budget=3)
    assert found.outcome != "fail"


@pytest.mark.slow
@needs_two_cpus
def test_it_starts_threads() -> None:
    def call() -> None:
        other = threading.Thread(target=COMPUTE)
        other.start()
        COMPUTE()
        other.join()

    found = judge_scaling(call, budget=2)
    assert found.outcome == "inconclusive"
    if scaling(found).comparison.blocks:
        assert "threads of its own" in found.reason


@pytest.mark.slow
@needs_two_cpus
def test_without_a_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise WatchUnavailableError("an unknown version")

    monkeypatch.setattr(release_verdict, "watch_with_callers", refuse)
    monkeypatch.setattr("gilx.testing.scaling_verdict.gil_enabled", lambda: True)
    found = judge_scaling(COMPUTE, budget=3)
    assert found.outcome != "fail"
    assert "the GIL could not be watched: an unknown version" in found.notes


@pytest.mark.thread_unsafe(reason="wants the CPUs")
@needs_two_cpus
def test_what_raises_in_a_block_comes_through() -> None:
    made: list[int] = []

    def call() -> None:
        made.append(0)
        COMPUTE()
        if len(made) > 25:
            raise KeyError("late")

    with pytest.raises(KeyError, match="late") as e:
        judge_scaling(call, efficiency=0.5, budget=30)
    assert e.value.__notes__ == ["gilx: raised while call was called to be judged"]


@needs_two_cpus
@pytest.mark.skipif(
    importlib.util.find_spec("threadpoolctl") is not None, reason="it is installed"
)
def test_threads_can_not_be_limited() -> None:
    with pytest.raises(ArgumentError, match="limit_threads: expected None, since"):
        judge_scaling(COMPUTE, limit_threads=1)


@pytest.mark.parametrize("limit", [0, -1, 1.5, "1"])
def test_bad_limits(limit: Any) -> None:
    with pytest.raises(ArgumentError, match="limit_threads: expected"):
        judge_scaling(COMPUTE, limit_threads=limit)


@needs_two_cpus
@needs("threadpoolctl")
def test_threads_are_limited() -> None:
    from gilx.speedup.thread_limits import limits

    threadpoolctl = pytest.importorskip("threadpoolctl")
    pytest.importorskip("numpy")
    with limits(1):
        assert {pool["num_threads"] for pool in threadpoolctl.threadpool_info()} <= {1}
    assert judge_scaling(COMPUTE, limit_threads=1, budget=4).outcome != "fail"


@needs_no_gil
@needs_two_cpus
def test_scaling_without_a_gil() -> None:
    found = judge_scaling(partial(ckernels.spin, 1_000_000, 0, 20_000_000), budget=6)
    assert found.outcome != "fail"
    assert scaling(found).release is None


def test_what_should_not_be_timed_is_not_called() -> None:
    found = not_scaled(int, "x", why="there is a tracer")
    assert (found.outcome, found.reason) == ("inconclusive", "there is a tracer")
    assert scaling(found).comparison.blocks == 0
    with pytest.raises(ArgumentError, match="workers: expected at least 2"):
        not_scaled(int, why="", workers=1)


@needs_no_gil
@needs_verdicts
@needs_two_cpus
def test_without_a_gil_a_failure_names_the_lock() -> None:
    lock = threading.Lock()

    def work() -> None:
        with lock:
            ckernels.spin(2_000_000, 0, 2_000_000)

    found = judge_scaling(work, budget=8)
    assert found.outcome != "pass"
    losses = {loss.cause: loss for loss in scaling(found).comparison.losses}
    if "locks" not in losses or found.outcome != "fail":
        pytest.skip(str(found))
    if losses["locks"].amount > 0.3:
        assert "_thread.lock" in found.advice
    assert Verdict.from_json(found.to_json()) == found
