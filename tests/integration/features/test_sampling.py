"""Sampling: shares and places of the GIL, delays of others, and what follows from them."""

from __future__ import annotations

import itertools
import json
import os
import re
import sysconfig
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

import gilx
from gilx import ckernels
from gilx._compat import gil_enabled
from gilx.system.conditions import Conditions
from tests.markers import needs_watch
from tests.trying import conclusive, first_that, insist

from .conftest import MS, Watched
from .interface import (
    DOCTOR_SECONDS,
    LATENCY_SECONDS,
    SELFTEST_SECONDS,
    bounds,
    busy_threads,
    command,
    figure,
    latency,
    predict,
    release_costs,
    share_of_thread,
)

if TYPE_CHECKING:
    from pathlib import Path


def true_share(spin: ckernels.SpinResult) -> tuple[float, float]:
    """Return between which shares of its time a spin really held the GIL."""
    return spin.held_min_ns / spin.wall_ns, spin.held_max_ns / spin.wall_ns


def agrees(usage: gilx.GilUsage, spin: ckernels.SpinResult) -> bool:
    """Return whether the interval of what a watch found has the true share in it."""
    (low, high), (least, most) = bounds(usage, "held"), true_share(spin)
    return low <= most and least <= high


# ---- one call and a part of a program ----------------------------------------------------


@pytest.mark.slow
@needs_watch
@pytest.mark.parametrize(
    ("hold", "release"), [(1, 0), (1, 1), (0, 1)], ids=["held", "half", "released"]
)
def test_probe_finds_the_share_that_a_known_rhythm_held(hold: int, release: int) -> None:
    spin = partial(ckernels.spin, hold * MS, release * MS, 300 * MS)

    def probed() -> gilx.GilUsage:
        found: gilx.GilUsage = conclusive(lambda: gilx.probe(spin, repeat=1))
        return found

    def is_right(usage: gilx.GilUsage) -> bool:
        low, high = bounds(usage, "held")
        # A stall of the sampler might be a hold; so wide an interval says nothing.
        longest = usage.longest_hold.high >= 0.3
        return (
            agrees(usage, usage.result) and high - low < 0.6 and longest == (release == 0)
        )

    usage = first_that(is_right, probed)
    low, high = bounds(usage, "held")
    assert low <= figure(usage, "held") <= high
    assert usage.repeats == 1
    assert usage.first is not None


@needs_watch
def test_probe_of_the_command_reports_a_call_and_a_program(tmp_path: Path) -> None:
    def probed() -> gilx.GilUsage:
        words = ("time:sleep", "0.1", "--repeat", "2", "--json")
        done = command("probe", *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return gilx.GilUsage.from_json(done.stdout)

    usage = first_that(lambda usage: bounds(usage, "held")[0] < 0.1, probed)
    assert usage.repeats == 2
    done = command("probe", "--repeat", "3", "math:fabs", "-2.5", cwd=tmp_path)
    assert "in 3 calls" in done.stdout

    (tmp_path / "program.py").write_text(
        "import sys, time\nprint(__name__, sys.argv[1:])\ntime.sleep(0.2)\nsys.exit(5)\n"
    )
    words = ("probe", "--trace", "trace.json", "program.py", "a", "--json")
    done = command(*words, cwd=tmp_path)
    assert done.returncode == 5, done.stderr
    assert done.stdout.startswith("__main__ ['a', '--json']\n")
    assert "held by any thread" in done.stdout
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]


class Nested:
    """A watch around another one, and rhythms that are known."""

    def __init__(self) -> None:
        with gilx.watch() as outer:
            self.held = ckernels.spin(MS, 0, 200 * MS)
            with gilx.watch() as inner:
                self.released = ckernels.spin(0, MS, 200 * MS)
        self.outer, self.inner = outer.usage, inner.usage

    @property
    def inconclusive_reason(self) -> str:
        return self.outer.inconclusive_reason or self.inner.inconclusive_reason

    @property
    def unknown(self) -> float:
        return max(self.outer.unknown, self.inner.unknown)


@needs_watch
def test_nested_watches_report_their_own_parts() -> None:
    def tells_apart(found: Nested) -> bool:
        outer, inner = bounds(found.outer, "held"), bounds(found.inner, "held")
        return (
            agrees(found.inner, found.released)
            and inner[1] < outer[0]
            and 0.1 < figure(found.outer, "held") < 0.9
        )

    found = first_that(tells_apart, lambda: conclusive(Nested))
    assert found.inner.wall < found.outer.wall


@needs_watch
def test_usage_names_the_threads_that_held_the_gil(watched: Watched) -> None:
    insist(watched)
    shares = {one.name: share_of_thread(one) for one in watched.usage.by_thread}
    assert next(iter(shares)) == "MainThread"
    low, high = bounds(watched.usage, "locked")
    assert sum(shares.values()) == pytest.approx(
        figure(watched.usage, "locked"), abs=0.02
    )
    assert 0 <= low <= watched.usage.locked.value <= high <= 1
    assert watched.usage.samples > 10
    assert watched.usage.backend


# ---- timeline and trace ------------------------------------------------------------------


@needs_watch
def test_timeline_has_a_lane_without_gaps_for_each_thread(watched: Watched) -> None:
    lanes = {lane.name: lane for lane in watched.timeline.lanes}
    for lane in lanes.values():
        assert lane.spans[0].start == watched.timeline.since
        assert lane.spans[-1].end == watched.timeline.wall
        for before, after in itertools.pairwise(lane.spans):
            assert before.end == after.start
            assert (before.state, before.line) != (after.state, after.line)
    insist(watched)
    assert {"MainThread", "released"} <= lanes.keys()
    assert lanes["MainThread"].share("holding") > lanes["released"].share("holding")
    # On a busy machine, it may wait for a CPU all the time.
    released = lanes["released"]
    assert released.share("running") + released.share("waiting_cpu") > 0


@needs_watch
def test_trace_has_what_perfetto_needs(watched: Watched, tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    watched.timeline.save(path)
    trace = json.loads(path.read_text())
    events = trace["traceEvents"]
    names = {
        event["tid"]: event["args"]["name"]
        for event in events
        if event["ph"] == "M" and event["name"] == "thread_name"
    }
    assert list(names.values()) == [lane.name for lane in watched.timeline.lanes]
    complete = [event for event in events if event["ph"] == "X"]
    runs = [run for lane in watched.timeline.lanes for run, _ in lane.runs()]
    assert len([event for event in complete if event["cat"] == "gil"]) == len(runs)
    assert {event["tid"] for event in complete} == names.keys()
    assert {event["pid"] for event in events} == {os.getpid()}
    for event in complete:
        assert event["ts"] >= 0
        assert event["dur"] > 0
    ends = [event["ts"] + event["dur"] for event in complete]
    begin, wall = watched.timeline.start, watched.timeline.wall
    assert begin + wall <= time.monotonic()
    assert max(ends) == pytest.approx((begin + wall) * 1e6, abs=1)


@needs_watch
def test_trace_has_the_line_that_held_the_gil(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text(
        "from gilx import ckernels\nckernels.spin(5_000_000, 5_000_000, 300_000_000)\n"
    )

    def details() -> set[str]:
        done = command("probe", "--trace", "trace.json", "work.py", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
        return {
            event["args"]["detail"]
            for event in events
            if event["ph"] == "X" and "args" in event
        }

    line = "work.py:2 `ckernels.spin(5_000_000, 5_000_000, 300_000_000)`"
    first_that(lambda found: line in found, details)


# ---- what a hold costs others ------------------------------------------------------------

HOLD = 0.04


@pytest.mark.slow
def test_latency_has_the_delay_and_the_echoes_beside_a_callable(tmp_path: Path) -> None:
    length = int(HOLD * 1e9)
    found = latency(partial(ckernels.spin, length, 0, length), (1,), 1.2)
    alone, beside = found.rows
    assert (busy_threads(alone), busy_threads(beside)) == (0, 1)
    assert (alone.calls, beside.calls > 0) == (0, True)
    for row in found.rows:
        assert 0 <= row.p50 <= row.p99 <= row.max
        assert row.wakes >= 5
        assert row.echoes is None or row.echoes > 0
        assert (row.stop_max is None) == gil_enabled()
    if gil_enabled():
        # Wakes come at any moment of a call. That all of them meet the last fifth of one
        # has a chance of one in a hundred thousand or less.
        assert beside.max > HOLD / 5
    assert alone.echoes is not None, "there is no echo server on the loopback"

    words = ("math:factorial", "500", LATENCY_SECONDS, "0.3", "--json", "a.json")
    done = command("latency", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "beside math:factorial(500)" in done.stdout
    assert "On this machine:" in done.stdout
    found = gilx.Latency.from_json((tmp_path / "a.json").read_text())
    assert found.target == "math:factorial(500)"


def test_release_costs_say_which_release_pays() -> None:
    costs = release_costs()
    assert 0 < costs.release.low <= costs.release.value <= costs.release.high
    assert (costs.handover is None) == (not gil_enabled())
    if costs.handover is not None:
        assert costs.handover.value > 0
    tiny, long = costs.says_of(1e-9), costs.says_of(10.0)
    assert tiny != long
    assert re.search(r"\d", str(costs))


# ---- predictions -------------------------------------------------------------------------


def test_prediction_stays_below_its_bounds() -> None:
    workers = [1, 2, 8, 64]
    hold, release, waiting = 1e-3, 1e-3, 8e-3
    rows = predict(workers, hold=hold, release=release, waiting=waiting, cpus=4).rows
    assert [row.workers for row in rows] == workers
    assert rows[0].throughput == pytest.approx(1 / (hold + release + waiting), rel=1e-3)
    for row in rows:
        bound = min(row.workers, 1 / 0.1, 4 / 0.2)
        assert row.bound == pytest.approx(bound)
        assert 0 < row.speedup <= bound * (1 + 1e-9)
    assert rows[-1].throughput == pytest.approx(1 / hold, rel=0.02)


@needs_watch
def test_usage_predicts_more_threads_from_one() -> None:
    spin = partial(ckernels.spin, 5 * MS, 5 * MS, 200 * MS)
    usage = conclusive(lambda: gilx.probe(spin, repeat=1))
    one, two, many = usage.predict([1, 2, 32], cpus=32, handover=0.0).rows
    assert one.speedup == pytest.approx(1)
    assert one.speedup <= two.speedup <= many.speedup
    assert many.speedup <= many.bound * (1 + 1e-9)
    assert many.bound == pytest.approx(1 / figure(usage, "held"), rel=0.01)


# ---- the machine and the watch itself ----------------------------------------------------


def test_doctor_finds_that_there_is_one_cpu_only(tmp_path: Path) -> None:
    words = ("doctor", DOCTOR_SECONDS, "0.1", "--json", "a.json")
    done = command(*words, cwd=tmp_path, one_cpu=True)
    assert done.returncode == 1, done.stderr
    assert "* one usable CPU (1 of " in done.stdout
    record = json.loads((tmp_path / "a.json").read_text())
    assert (record["schema"], record["version"]) == ("gilx.doctor", 2)
    assert record["has_warnings"] is True
    findings = {finding["name"]: finding for finding in record["findings"]}
    assert findings["one-cpu"]["is_warning"]
    assert findings["one-cpu"]["remedy"]
    environment = gilx.Environment.from_json(json.dumps(record["environment"]))
    assert environment.usable_cpus == 1
    here = gilx.Environment.here()
    assert environment.cpus.model == here.cpus.model
    assert not environment.same_machine(here).software
    conditions = Conditions.from_json(json.dumps(record["conditions"]))
    assert conditions.seconds >= 0.1


def test_doctor_prints_a_page_and_its_status_follows_from_it(tmp_path: Path) -> None:
    done = command("doctor", DOCTOR_SECONDS, "0.1", "json", cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    assert done.stderr == ""
    assert done.stdout.startswith("Python       ")
    is_fine = "No measurement problems found." in done.stdout
    assert is_fine == (done.returncode == 0)
    has_warnings = "\nMeasurement problems found:\n* " in done.stdout
    assert has_warnings == (done.returncode == 1)


@pytest.mark.slow
@needs_watch
def test_selftest_trusts_the_watch_where_it_is_right(tmp_path: Path) -> None:
    done = command("selftest", SELFTEST_SECONDS, "0.2", cwd=tmp_path)
    assert done.returncode in (0, 3), done.stdout
    assert ("The watch can be trusted here." in done.stdout) == (done.returncode == 0)
    assert "always held" in done.stdout
    assert done.stdout.count(" right") + done.stdout.count(" WRONG") >= 5


@needs_watch
@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="needs a free-threaded build"
)
def test_watch_of_a_free_threaded_build_with_the_gil_says_why_it_has_no_sites() -> None:
    with gilx.watch() as watch:
        sum(range(1000))
    assert watch.usage.sites == ()
    assert watch.usage.sites_missing == (
        "stacks are not read in free-threaded builds of Python"
    )


@pytest.mark.skipif(gil_enabled(), reason="needs a free-threaded build without the GIL")
def test_selftest_without_a_gil_is_refused(tmp_path: Path) -> None:
    done = command("selftest", cwd=tmp_path)
    assert done.returncode == 1
    assert "runs without a GIL" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(gil_enabled(), reason="needs a free-threaded build without the GIL")
def test_probe_without_a_gil_reports_what_the_thread_did(tmp_path: Path) -> None:
    done = command("probe", "time:sleep", "0.1", cwd=tmp_path)
    assert done.returncode == 0
    assert "thread MainThread" in done.stdout
    usage = gilx.probe(time.sleep, 0.1)
    assert not usage.held.known
    assert usage.by_thread[0].system_call.high > 0.5
