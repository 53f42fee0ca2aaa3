"""The speedup meter: what it says of known work, of known samples, and of bad input.

Nothing here asserts how long something takes. Where times matter they are made up, or what
is asserted is asserted of the interval that the meter itself states, several times over.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

import gilx
from gilx.conditions import Conditions
from gilx.environment import Environment, gil_enabled, usable_cpus
from gilx.errors import ArgumentError
from gilx.meter.losses import NAMES, Known, split
from gilx.meter.processes import CallProcesses, NoProcessesError, packed
from gilx.meter.report import Loss, Report, ReportRow
from gilx.meter.statistics import NOTHING_KNOWN
from gilx.meter.workers import Calls, Sample, concurrency, own_threads, take_sample
from gilx.pools import Region, ThreadPool

BYTES = bytes(300_000)
digest = partial(hashlib.sha256, BYTES)
measure = partial(gilx.measure, workers=2, blocks=6, budget=0.3)


def one(report: Report) -> ReportRow:
    (row,) = report.rows
    return row


# What is measured ------------------------------------------------------------------------


def test_a_kernel() -> None:
    report = measure("levenshtein", size=60)
    assert [row.variant for row in report.rows] == ["c-gil", "c-nogil"]
    # Not a number is not equal to itself, so the text is compared.
    assert Report.from_json(report.to_json()).to_json() == report.to_json()
    for row in report.rows:
        assert (row.target, row.pool, row.workers) == ("levenshtein", "threads", 2)
        assert row.unit == "cells"
        assert {len(times) for times in row.samples.values()} == {6}
        assert row.interval_kind == "preset"
        assert row.speedup_interval[0] <= row.speedup <= row.speedup_interval[1]
        assert row.ceiling_interval[0] <= row.ceiling <= row.ceiling_interval[1]
        assert row.efficiency == row.speedup / 2
        assert row.ceiling_kind == "native threads on the same kernel"
        missing = math.fsum(loss.amount for loss in row.losses)
        assert missing == pytest.approx(2 - row.speedup, abs=1e-12)
        assert [loss.name for loss in row.losses] == list(NAMES)
        assert row.reading


@pytest.mark.parametrize("variant", ["python", "numpy", "cython-nogil"])
def test_variants_of_a_kernel(variant: str) -> None:
    row = one(measure("triad", variants=[variant], blocks=1))
    assert row.variant == variant
    assert row.speedup > 0
    assert row.speedup_interval == NOTHING_KNOWN
    assert "1 block: too few for an interval" in row.notes


@pytest.mark.skipif(not gil_enabled(), reason="there is no GIL to hold")
def test_who_holds_the_gil_gets_no_faster() -> None:
    def hold() -> int:
        return sum(range(50_000))

    for _ in range(5):
        row = one(measure(hold, blocks=12, budget=1))
        # More than 1 is impossible; one interval in twenty is wrong.
        if row.speedup_interval[0] <= 1:
            break
    else:
        pytest.fail(str(row))
    assert row.held is None or row.held > 0.8


def test_two_rows_for_two_numbers_of_workers() -> None:
    report = measure("collatz", variants=["c-nogil"], size=3000, workers=[1, 2])
    assert [row.workers for row in report.rows] == [1, 2]
    assert report.rows[0].reading == "one worker: shows what the pool costs"


def test_pools_by_name_and_open_ones() -> None:
    with ThreadPool(3) as pool:
        report = gilx.measure(
            *("collatz",),
            variants=["c-nogil"],
            pools=[pool, "serial", "native"],
            size=3000,
            blocks=1,
            budget=0.2,
            workers=2,
        )
        found = [(row.pool, row.workers) for row in report.rows]
        assert found == [("threads", 3), ("serial", 1), ("native", 2)]
        pool.run(Region(Calls(int, "int"), "call", (), 3, "static"))


def test_a_callable_and_its_ceiling_in_processes() -> None:
    row = one(measure(digest, repeat=3))
    assert row.variant is None
    assert row.unit == "calls"
    assert row.ceiling_kind == "the same calls in processes"
    assert row.target == "openssl_sha256(...)"
    assert set(row.samples) == {
        *("serial", "parallel", "ceiling"),
        *("single serial", "single parallel", "control serial", "control"),
    }
    assert row.repeat == 3
    assert row.single_interval[0] <= row.single_speedup <= row.single_interval[1]


def test_a_process_that_fails_late_is_no_ceiling(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In a module of its own: the tests' may be where other processes don't look.
    (tmp_path / "ends_elsewhere.py").write_text(
        "import os\n"
        "def end_elsewhere(here, path):\n"
        "    'End the process after some calls, unless it is this one.'\n"
        "    if os.getpid() != here:\n"
        "        with open(path, 'a+') as file:\n"
        "            file.write('x')\n"
        "        if os.path.getsize(path) > 5:\n"
        "            os._exit(1)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    ends = importlib.import_module("ends_elsewhere")
    call = partial(ends.end_elsewhere, os.getpid(), str(tmp_path / "n"))
    row = one(measure(call, repeat=1))
    assert row.blocks == 6
    assert any("no ceiling by processes: a process ended" in n for n in row.notes), row


def test_a_callable_that_cannot_be_sent() -> None:
    row = one(measure(lambda: hashlib.sha256(BYTES)))
    assert row.ceiling_kind == "other work: mandelbrot on native threads"
    assert any(note.startswith("no ceiling by processes: it") for note in row.notes)


def test_every_worker_makes_its_calls_at_once() -> None:
    meet = threading.Barrier(3, timeout=30)
    region = Region(Calls(meet.wait, "meet"), "call", (), 6, "static")
    with ThreadPool(3) as pool:
        sample = take_sample(pool, [region, region])
    assert sample.regions == 2
    assert sample.worker_cpu is not None
    assert sample.longest is not None


def test_repeat_and_blocks_are_as_given() -> None:
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1

    # So large a budget has time for a block that warms up, on any machine.
    row = one(measure(call, null=True, blocks=4, repeat=7, budget=1000))
    assert (row.repeat, row.blocks) == (7, 4)
    # Twice to begin with, then two arms of four blocks, and one to warm up.
    assert calls == 2 + 2 * 5 * 7


def test_setup_comes_before_every_sample() -> None:
    stock: list[int] = []
    asked = 0

    def setup() -> None:
        nonlocal asked
        asked += 1
        stock[:] = range(20)

    row = one(measure(stock.pop, setup=setup, repeat=10, blocks=3, workers=2))
    assert asked >= 3 * 3
    assert row.blocks == 3


def test_null_finds_no_difference() -> None:
    for _ in range(5):
        row = one(measure(digest, null=True, blocks=9))
        assert row.null
        assert row.losses == ()
        # One interval in twenty misses, so five in a row do not.
        if row.speedup_interval[0] <= 1 <= row.speedup_interval[1]:
            assert "no difference" in row.reading
            return
    pytest.fail(str(row))


def test_without_a_number_of_blocks_the_interval_is_right_at_any_time() -> None:
    # It ends long before the budget does, but on a very busy machine.
    row = one(gilx.measure(digest, workers=2, repeat=1, budget=20, precision=0.5))
    assert row.interval_kind == "anytime"
    low, high = row.speedup_interval
    reached = low > 0 and math.log(high / low) / 2 <= math.log(1.5)
    told = any("the budget ended it" in n or "too few" in n for n in row.notes)
    assert reached != told


def test_where_there_is_time_for_few_blocks_their_number_is_set_before() -> None:
    for _ in range(5):
        row = one(gilx.measure(partial(time.sleep, 0.05), workers=2, budget=2))
        # On a machine that slows down meanwhile there is no time for that number.
        if row.interval_kind == "preset":
            return
    pytest.fail(str(row))


def test_progress_is_told_between_blocks() -> None:
    shown: list[str] = []
    measure(digest, blocks=2, progress=shown.append)
    assert shown[0] == "openssl_sha256(...) threads, 2 workers: calibrating"
    assert "openssl_sha256(...) threads, 2 workers: block 2 of 2" in shown
    assert shown[-1] == ""


# Callables that are trouble ----------------------------------------------------------------


def test_what_a_callable_raises_comes_through() -> None:
    def fail() -> None:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as caught:
        measure(fail)
    assert "gilx: raised by" in caught.value.__notes__[0]


def test_what_it_raises_in_a_worker_comes_through() -> None:
    main = threading.get_ident()

    def fail() -> None:
        if threading.get_ident() != main:
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as caught:
        measure(fail)
    assert "was measured" in caught.value.__notes__[0]


def test_a_call_longer_than_the_budget() -> None:
    report = gilx.measure(partial(time.sleep, 0.05), workers=2, budget=0.01)
    row = one(report)
    assert math.isnan(row.speedup)
    assert row.reading == "nothing could be compared"
    assert "more than the budget" in row.notes[0]
    assert str(Report.from_json(report.to_json())) == str(report)


def test_a_call_that_returns_at_once() -> None:
    for _ in range(5):
        row = one(measure(int, blocks=1))
        # A single stall of some ms makes it look longer.
        if row.repeat > 1 and any("too short to judge" in note for note in row.notes):
            return
    pytest.fail(str(row))


def test_a_call_that_keeps_its_result() -> None:
    kept: list[int] = []

    def call() -> None:
        if not kept:
            time.sleep(0.05)
            kept.append(1)

    row = one(measure(call, blocks=2, budget=1))
    assert any("if it keeps results" in note for note in row.notes)


def test_threads_of_its_own_are_seen() -> None:
    sample = Sample(0.1, 0.19, None, None, 1, worker_cpu=0.1, wait=0.0, longest=0.1)
    assert own_threads(sample)
    assert concurrency(sample, sample, 2, 2) == (None, "threads of the callable's own")
    assert not own_threads(replace(sample, cpu=0.101))
    assert not own_threads(replace(sample, worker_cpu=None))


# Other processes ---------------------------------------------------------------------------


def test_processes_make_calls() -> None:
    processes = CallProcesses(packed(digest, None), 2)
    try:
        processes.prepare()
        assert processes.run(3) > 0
    finally:
        processes.close()
    processes.close()


def test_what_cannot_be_sent_is_said() -> None:
    with pytest.raises(NoProcessesError, match="it can't be pickled"):
        packed(lambda: None, None)
    processes = CallProcesses(packed(partial(int, "x"), None), 1)
    with pytest.raises(NoProcessesError, match="in a process it raised ValueError"):
        processes.run(1)
    processes.close()
    with pytest.raises(NoProcessesError, match="a process can't load it"):
        CallProcesses(b"nothing", 1)
    processes = CallProcesses(packed(partial(exec, "raise OSError('\\x1b[2J')"), None), 1)
    with pytest.raises(NoProcessesError, match="it raised OSError: ") as caught:
        processes.run(1)
    processes.close()
    assert str(caught.value).isprintable()


def test_a_script_is_not_run_again(tmp_path: Any) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import gilx\nprint('once')\ndef f():\n    sum(range(1000))\n"
        "print(gilx.measure(f, blocks=1, budget=0.2, workers=2).rows[0].notes)\n"
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.stdout.count("once") == 1, done.stderr
    assert "it is defined in the main script" in done.stdout


# Known samples -------------------------------------------------------------------------------

ALONE = Sample(
    *(1.0, 1.0, 0.0, None, 1),
    worker_cpu=1.0,
    wait=0.0,
    late=0.0,
    early=0.0,
    uneven=0.0,
    longest=1.0,
    voluntary=0,
    involuntary=0,
)
KNOWN = Known(0.0, 1e-4, 2.0, "native threads on the same kernel", 2.0)


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
        ("imbalance", together(0.8, 1.0, early=0.6, uneven=0.6), KNOWN),
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
    losses = split([ALONE] * 3, [parallel] * 3, 2, speedup, known)
    assert math.fsum(loss.amount for loss in losses) == pytest.approx(2 - speedup)
    assert max(losses, key=lambda loss: loss.amount).name == main
    others = [abs(loss.amount) for loss in losses if loss.name != main]
    assert max(others) < 0.02


def test_with_gils_of_their_own_nobody_waits_for_another() -> None:
    known = replace(KNOWN, held=1.0, own_gils=True)
    losses = split([ALONE], [together(1.0, 1.0, late=1.0)], 2, 1.0, known)
    assert losses[0].amount == 0
    assert losses[0].source == "none: each worker has a GIL of its own"


def test_concurrency_takes_out_what_others_took() -> None:
    # Two calls that overlap, on CPUs of which a neighbour has half.
    busy = together(2.0, 2.0, wait=2.0, longest=1.0)
    assert concurrency(ALONE, busy, 2, 2) == (2.0, "")
    held = together(2.0, 2.0, longest=2.0)
    assert concurrency(ALONE, held, 2, 2) == (1.0, "")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seconds": 0.02}, "regions shorter than 50 ms"),
        ({"throttled": 1}, "a control group's quota stopped the process"),
        ({"steal": 0.3}, "more than 5% of the CPU time stolen"),
        ({"wait": 1.5}, "workers waited for a CPU for more than 60% of the time"),
        ({"wait": None}, "workers' CPU time and waits are not known"),
    ],
)
def test_concurrency_says_why_it_can_not_tell(
    changes: dict[str, Any], words: str
) -> None:
    assert concurrency(ALONE, replace(ALONE, **changes), 2, 2) == (None, words)


def test_more_workers_than_cpus_have_no_concurrency() -> None:
    assert concurrency(ALONE, ALONE, 3, 2)[1] == "more workers than usable CPUs (2)"


# Reports -----------------------------------------------------------------------------------------

ROW = ReportRow(
    target="f",
    variant=None,
    pool="threads",
    workers=2,
    blocks=20,
    repeat=3,
    serial_seconds=0.2,
    seconds=0.19,
    throughput=31.6,
    unit="calls",
    speedup=1.05,
    speedup_interval=(1.04, 1.06),
    interval_kind="anytime",
    single_speedup=0.8,
    single_interval=(0.7, 0.9),
    efficiency=0.525,
    ceiling=1.98,
    ceiling_interval=(1.96, 1.99),
    ceiling_kind="the same calls in processes",
    of_ceiling=0.53,
    of_ceiling_interval=(0.52, 0.54),
    control=1.99,
    concurrency=1.01,
    concurrency_doubt="",
    serial_cpu_seconds=0.2,
    cpu_seconds=0.21,
    voluntary_switches=3.5,
    involuntary_switches=1.0,
    run_queue_wait=0.001,
    steal=0.0,
    throttled=None,
    held=0.99,
    losses=(Loss("GIL", 0.9, "waits"), Loss("unexplained", 0.05, "the rest")),
    notes=("a <note>",),
    samples={"serial": (0.2, 0.21), "parallel": (0.19, 0.2)},
)
CONDITIONS = Conditions(
    seconds=10.0,
    load=0.1,
    others=0.0,
    steal=0.0,
    throttled=0.0,
    governors=("performance",),
    clock_source="tsc",
    clock_step=1e-7,
    gil="on",
    native_threads=(),
    thread_settings=(),
)
REPORT = Report((ROW,), Environment.here(), CONDITIONS, 0.02, 10.0)


def loses(name: str, **changes: Any) -> ReportRow:
    return replace(ROW, **{"losses": (Loss(name, 0.95, ""),), "held": 0.0, **changes})


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (ROW, "holds the GIL all the time: threads cannot help, processes would"),
        (loses("GIL", held=0.8), "threads can't make it more than 1.2 times as fast"),
        (loses("GIL", held=0.3), "although a call holds it for 30 % of its time only"),
        (
            loses(
                "more CPU work",
                ceiling_kind="native threads on the same kernel",
                of_ceiling=0.99,
            ),
            "limited by memory bandwidth or caches: native threads do no better",
        ),
        (loses("more CPU work"), "the same work takes more CPU time in parallel"),
        (loses("machine", of_ceiling=1.0), "limited by the machine and its neighbours"),
        (loses("machine"), "the machine was busy"),
        (loses("imbalance"), "some workers end long before others"),
        (loses("dispatch"), "too short: much of the time goes into handing the work out"),
        (loses("unexplained"), "does not scale, and not because of the GIL"),
        (replace(ROW, speedup=1.96), "scales: the workers run side by side"),
        (replace(ROW, speedup=math.nan), "nothing could be compared"),
        (loses("GIL", speedup_interval=(0, math.inf)), "too few blocks to tell"),
        (loses("GIL", speedup_interval=(0.5, 2.0)), "too noisy to tell"),
        (replace(ROW, workers=1), "one worker: shows what the pool costs"),
        (replace(ROW, ceiling_kind=""), "compared with itself, it differs: by chance"),
    ],
)
def test_plain_words(row: ReportRow, words: str) -> None:
    assert words in row.reading


def test_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    text = str(REPORT)
    assert "1.05x  1.04 to 1.06    1.98x        53 %" in text
    assert "single calls 0.80x (0.70 to 0.90)" in " ".join(text.split())
    assert "missing 0.95 of 2: GIL +0.90, unexplained +0.05" in text
    assert max(map(len, text.splitlines())) <= 90
    page = REPORT._repr_html_()
    assert "holds the GIL all the time" in page
    assert "<td>f</td>" in page


def test_a_long_name_has_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = str(replace(REPORT, rows=(ROW, replace(ROW, target="x" * 40))))
    assert "\n" + "x" * 40 + "\n" in text
    assert max(map(len, text.splitlines())) <= 80


def test_html_shows_names_as_they_are() -> None:
    page = Report(
        (replace(ROW, target="<b>"),), REPORT.environment, CONDITIONS, 0.02, 1
    )._repr_html_()
    assert "<td>&lt;b&gt;</td>" in page


def test_json_and_back() -> None:
    assert Report.from_json(REPORT.to_json()) == REPORT
    assert Report.from_json(REPORT.to_json(indent=1)) == REPORT
    few = replace(ROW, speedup_interval=(0.0, math.inf))
    report = replace(REPORT, rows=(few,))
    assert Report.from_json(report.to_json()) == report


def changed(**changes: Any) -> str:
    return json.dumps({**json.loads(REPORT.to_json()), **changes})


def with_row(**changes: Any) -> str:
    return changed(rows=[{**json.loads(REPORT.to_json())["rows"][0], **changes}])


def with_loss(**changes: Any) -> str:
    loss = json.loads(REPORT.to_json())["rows"][0]["losses"][0]
    return with_row(losses=[{**loss, **changes}])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "text: expected JSON of schema gilx.report, version 1; got other text"),
        (REPORT.to_json()[:-20], "got other text"),
        ("[" * 100_000, "got other text"),
        ("[1]", "got no JSON object"),
        (changed(schema="x"), "got x, version 1"),
        (changed(version=2), "got gilx.report, version 2; a newer gilx wrote it"),
        (changed(version=True), "got gilx.report, version True"),
        (changed(more=1), "text: expected no field 'more'"),
        (changed(rows={}), "text.rows: expected a list"),
        (changed(rows=[1]), r"text.rows\[0\]: expected an object, got 1"),
        (changed(precision="x"), "text.precision: expected float, got 'x'"),
        (changed(environment=None), "text.environment: expected an object"),
        (changed(conditions={}), "text.conditions: expected a field 'seconds'"),
        (with_row(workers=2.5), r"rows\[0\].workers: expected int, got 2.5"),
        (with_row(workers=-1), r"rows\[0\].workers: expected at least 1, got -1"),
        (with_row(speedup=[1]), r"rows\[0\].speedup: expected float"),
        (with_row(speedup=-1), r"rows\[0\].speedup: expected above 0, got -1"),
        (with_row(speedup="inf"), r"rows\[0\].speedup: expected above 0, got inf"),
        (with_row(speedup_interval=[1]), "speedup_interval: expected a list of 2"),
        (with_row(of_ceiling_interval=[2, 1]), "of_ceiling_interval: expected low and"),
        (with_row(target="\x1b[2J"), r"rows\[0\].target: expected printable text"),
        (with_row(samples={"a": ["x"]}), r"samples.a\[0\]: expected float"),
        (with_row(samples={"\x1b": [1]}), "samples: expected printable text"),
        (with_row(samples=[]), "samples: expected an object"),
        (with_row(losses=[{"name": "x"}]), r"losses\[0\]: expected a field 'amount'"),
        (with_loss(amount="x"), r"losses\[0\].amount: expected float"),
        (
            REPORT.to_json().replace('"speedup": 1.05', '"speedup": 1e999'),
            "speedup: expected float, got inf",
        ),
        (
            REPORT.to_json().replace('"speedup": 1.05', '"speedup": NaN'),
            "NaN is no number",
        ),
    ],
)
def test_other_text_is_refused(text: str, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        Report.from_json(text)


def test_csv_and_pandas() -> None:
    head, line = REPORT.to_csv().splitlines()
    assert head.startswith("target,variant,pool,workers,")
    values = dict(zip(head.split(","), line.split(","), strict=False))
    assert values["speedup_interval_low"] == "1.04"
    assert values["loss_GIL"] == "0.9"
    pandas = pytest.importorskip("pandas")
    frame = REPORT.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.loc[0, "speedup"] == 1.05


def test_the_picture(tmp_path: Any) -> None:
    pytest.importorskip("matplotlib")
    rows = [replace(ROW, workers=n, speedup=1 + n / 10) for n in (1, 2, 4)]
    rows += [replace(row, target="g", speedup=row.workers * 0.9) for row in rows]
    rows.append(replace(ROW, speedup=math.nan))
    path = tmp_path / "x.png"
    replace(REPORT, rows=tuple(rows)).plot().savefig(path)
    assert path.read_bytes().startswith(b"\x89PNG")


# Bad input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"target": "nope"}, "target: expected one of mandelbrot, "),
        (
            {"target": 3},
            "target: expected a kernel, its name or something to call; got 3",
        ),
        ({"workers": 0}, "workers: expected at least 1, got 0"),
        ({"workers": [1, 0]}, "workers: expected at least 1, got 0"),
        ({"workers": "2"}, "workers: expected a whole number"),
        ({"workers": []}, "workers: expected a whole number"),
        ({"budget": 0}, "budget: expected above 0, got 0"),
        ({"budget": math.nan}, "budget: expected a finite number"),
        ({"precision": 0}, "precision: expected 0.001 to 0.5, got 0"),
        ({"precision": -1}, "precision: expected 0.001 to 0.5, got -1"),
        ({"blocks": 0}, "blocks: expected at least 1, got 0"),
        ({"repeat": 0}, "repeat: expected at least 1, got 0"),
        ({"seed": -1}, "seed: expected at least 0, got -1"),
        ({"size": 0}, "size: expected at least 1, got 0"),
        ({"variants": ["x"]}, "variants: expected one of python, "),
        ({"variants": "c-gil"}, "variants: expected a sequence of python, "),
        ({"pools": "threads"}, "pools: expected a sequence of pools, got 'threads'"),
        ({"pools": ["x"]}, "pools: expected one of serial, threads, "),
        ({"pools": []}, "pools: expected a sequence of pools"),
        ({"setup": 1}, "setup: expected something to call, got 1"),
        ({"target": int, "variants": ["c-gil"]}, "variants: expected None, since target"),
        ({"target": int, "size": 3}, "size: expected None, since target is no kernel"),
        ({"target": int, "pools": ["native"]}, "pools: expected serial or threads for a"),
        (
            {"target": int, "pools": ["processes"]},
            "pools: expected serial or threads for",
        ),
    ],
)
def test_bad_arguments(change: dict[str, Any], words: str) -> None:
    arguments: dict[str, Any] = {"target": "triad", "budget": 0.1, **change}
    with pytest.raises(ArgumentError) as caught:
        gilx.measure(arguments.pop("target"), **arguments)
    assert words in str(caught.value)


def test_more_workers_than_cpus_is_noted() -> None:
    row = one(measure(digest, workers=usable_cpus() + 1, blocks=1))
    assert any("usable CPU" in note for note in row.notes)


@pytest.mark.alone
def test_kernels_on_processes() -> None:
    report = gilx.measure(
        "heat", variants=["c-gil"], pools=["processes"], workers=2, blocks=2, size=400
    )
    (row,) = report.rows
    assert row.pool == "processes"
    assert row.speedup > 0
    assert row.held is None
    # What the workers used is part of it, elsewhere though they are.
    assert row.run_queue_wait is not None or sys.platform != "linux"
    assert {loss.name: loss.source for loss in row.losses}["dispatch"].startswith("a reg")


def test_variants_that_a_pool_can_not_run_are_left_out() -> None:
    report = measure("collatz", pools=["threads", "native"], size=2000, blocks=1)
    assert [(row.variant, row.pool) for row in report.rows] == [
        ("c-gil", "threads"),
        ("c-nogil", "threads"),
        ("c-nogil", "native"),
    ]
    with pytest.raises(ArgumentError, match="variant: expected c-nogil on the native"):
        measure("collatz", variants=["c-gil"], pools=["threads", "native"])


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="needs an older Python")
def test_a_pool_that_is_not_there_is_found_out_first() -> None:
    shown: list[str] = []
    with pytest.raises(ArgumentError, match=r"interpreters needs Python 3\.14"):
        measure("collatz", pools=["threads", "interpreters"], progress=shown.append)
    assert shown == []
