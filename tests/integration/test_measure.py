"""The speedup meter: what it says of known work, and of bad input.

Nothing here asserts how long something takes. Where times matter they are made up, or what
is asserted is asserted of the interval that the meter itself states, several times over.
"""

from __future__ import annotations

import hashlib
import math
import os
import pickle
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from itertools import count
from typing import Any

import pytest

import gilx
from gilx.errors import ArgumentError
from gilx.pools import Region, ThreadPool
from gilx.pools.resource_usage import Share
from gilx.speedup.call_processes import CallProcesses, NoProcessesError, packed
from gilx.speedup.report import Report, ReportRow
from gilx.speedup.statistics import NOTHING_KNOWN
from gilx.speedup.timings import Sample, calls_of, own_threads, take_sample, with_shares
from gilx.system.environment import usable_cpus
from tests.alternating_call import AlternatingCall
from tests.command import run_python
from tests.first_call import compiled_on_first_use
from tests.markers import needs_gil
from tests.trying import first_that

BYTES = bytes(300_000)
digest = partial(hashlib.sha256, BYTES)
measure = partial(gilx.measure, workers=2, blocks=6, budget=0.3)


def one(report: Report) -> ReportRow:
    (row,) = report.rows
    return row


# What is measured ------------------------------------------------------------------------


@pytest.mark.slow
def test_more_blocks_than_powers_of_two_that_are_floats() -> None:
    """Half as likely with each block, a chance is too small for a float after 1,074."""
    row = one(measure(int, blocks=1100, repeat=1, budget=0.1))
    assert row.comparison.blocks == 1100
    assert len(row.comparison.samples["parallel"]) == 1100
    for low, high in (
        row.speedup.interval,
        row.ceiling.interval,
        row.comparison.single_speedup.interval,
    ):
        assert 0 < low <= high < math.inf or math.isnan(
            row.comparison.single_speedup.value
        )


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["python", "numpy", "cython-nogil"])
def test_variants_of_a_kernel(variant: str) -> None:
    row = one(measure("triad", variants=[variant], blocks=1))
    assert row.variant == variant
    assert row.speedup.value > 0
    assert row.speedup.interval == NOTHING_KNOWN
    assert "1 block: too few for an interval" in row.notes


@pytest.mark.slow
@needs_gil
def test_who_holds_the_gil_gets_no_faster() -> None:
    def hold() -> int:
        return sum(range(50_000))

    def takes_turns(row: ReportRow) -> bool:
        # Threads that take turns use one CPU. They may still look faster than one thread:
        # on a busy machine, two threads get a larger part of that CPU's time.
        uses_one = (row.comparison.cpu_seconds or 0) < 1.1 * (row.seconds or 0)
        return uses_one and (not row.held.known or row.held.value > 0.8)

    first_that(takes_turns, lambda: one(measure(hold, blocks=12, budget=1)))


def test_two_rows_for_two_numbers_of_workers() -> None:
    report = measure("collatz", variants=["c-nogil"], size=3000, workers=[1, 2])
    assert [row.workers for row in report.rows] == [1, 2]
    assert report.rows[0].reading == "One worker shows the cost of the pool."


@needs_gil
def test_more_threads_than_cpus_have_a_prediction_beside_them() -> None:
    many = usable_cpus() + 1
    kernel = partial(measure, "collatz", variants=["c-gil", "c-nogil"], size=20_000)
    report = kernel(workers=[1, many])
    assert [row.workers for row in report.rows] == [1, many] * 2
    held, released = report.predictions
    assert [held.variant, released.variant] == ["c-gil", "c-nogil"]
    for prediction in report.predictions:
        assert prediction.missing or len(prediction.rows) == 2
    assert Report.from_json(report.to_json()) == report


def test_as_many_threads_as_cpus_have_no_prediction() -> None:
    assert measure(digest, workers=[1, usable_cpus()]).predictions == ()


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
        pool.run(Region(calls_of(int, "int"), (), 3, "static"))


def test_a_callable_and_its_ceiling_in_processes() -> None:
    row = one(measure(digest, repeat=3))
    assert row.variant is None
    assert row.unit == "calls"
    assert row.ceiling_kind == "the same calls in processes"
    assert row.target == "openssl_sha256(...)"
    assert set(row.comparison.samples) == {
        *("serial", "parallel", "ceiling"),
        *("single serial", "single parallel", "control serial", "control"),
    }
    assert row.repeat == 3
    assert (
        row.comparison.single_speedup.interval[0]
        <= row.comparison.single_speedup.value
        <= row.comparison.single_speedup.interval[1]
    )


def test_arguments_follow_the_callable() -> None:
    row = one(gilx.measure(hashlib.sha256, BYTES, workers=2, blocks=1))
    assert row.target == "openssl_sha256"
    assert row.ceiling_kind == "the same calls in processes"


def test_a_callable_that_cannot_be_sent() -> None:
    row = one(measure(lambda: hashlib.sha256(BYTES)))
    assert row.ceiling_kind == "other work: mandelbrot on native threads"
    assert any(note.startswith("no ceiling by processes: it") for note in row.notes)


def test_every_worker_makes_its_calls_at_once() -> None:
    meet = threading.Barrier(3, timeout=30)
    region = Region(calls_of(meet.wait, "meet"), (), 6, "static")
    with ThreadPool(3) as pool:
        sample = take_sample(pool, [region, region])
    assert sample.regions == 2
    assert sample.worker_cpu is not None
    assert sample.longest is not None


def test_without_waits_nothing_is_said_of_their_absence() -> None:
    share = Share(begin=0.1, end=0.9, cpu=0.5, wait=0.2, voluntary=0, involuntary=0)
    sample = Sample(1.0, 1.0, None, None, 1)
    known = with_shares(sample, [(0.0, 1.0, 1.0, [share, share])])
    assert known.wait == pytest.approx(0.4)
    assert known.longest == pytest.approx(0.7)
    unknown = with_shares(sample, [(0.0, 1.0, 1.0, [share, replace(share, wait=None)])])
    assert unknown.wait is None
    assert unknown.longest is None


def test_repeat_and_blocks_are_as_given() -> None:
    calls = 0

    def call() -> None:
        nonlocal calls
        calls += 1

    # So large a budget has time for a block that warms up, on any machine.
    row = one(measure(call, aa=True, blocks=4, repeat=7, budget=1000))
    assert (row.repeat, row.comparison.blocks) == (7, 4)
    # Twice to begin with, then two arms of four blocks, and one to warm up.
    assert calls == 2 + 2 * 5 * 7


def test_calls_that_are_far_slower_at_once_are_fewer_in_a_row() -> None:
    row = one(measure(AlternatingCall(), blocks=2, budget=1))
    assert 1 <= row.repeat <= 20  # 400 calls of one worker take as long as is wanted
    assert one(measure(AlternatingCall(), blocks=1, repeat=25)).repeat == 25


def test_what_is_raised_by_calls_at_once_alone_comes_through() -> None:
    def fails() -> None:
        if threading.current_thread() is not threading.main_thread():
            raise KeyError("in a thread")
        time.sleep(1e-4)

    with pytest.raises(KeyError, match="in a thread") as raised:
        measure(fails)
    assert raised.value.__notes__[-1].endswith("was measured")


def test_setup_comes_before_every_sample() -> None:
    stock: list[int] = []
    asked = 0

    def setup() -> None:
        nonlocal asked
        asked += 1
        stock[:] = range(20)

    row = one(measure(stock.pop, setup=setup, repeat=10, blocks=3, workers=2))
    assert asked >= 3 * 3
    assert row.comparison.blocks == 3


def test_without_a_number_of_blocks_the_interval_is_right_at_any_time() -> None:
    # It ends long before the budget does, but on a very busy machine.
    row = one(gilx.measure(digest, workers=2, repeat=1, budget=20, precision=0.5))
    assert row.comparison.interval_kind == "anytime"
    low, high = row.speedup.interval
    reached = low > 0 and math.log(high / low) / 2 <= math.log(1.5)
    told = any("the budget ran out" in n or "too few" in n for n in row.notes)
    assert reached != told


@pytest.mark.idle_machine
def test_where_there_is_time_for_few_blocks_their_number_is_set_before() -> None:
    for _ in range(5):
        row = one(gilx.measure(partial(time.sleep, 0.05), workers=2, budget=2))
        # On a machine that slows down meanwhile there is no time for that number.
        if row.comparison.interval_kind == "preset":
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


def test_calls_at_once_longer_than_the_budget() -> None:
    alone = threading.get_ident()

    def call() -> None:
        time.sleep(1e-3 if threading.get_ident() == alone else 0.7)

    [row] = gilx.measure(call, workers=2, budget=0.5, repeat=4).rows
    assert not row.speedup.known
    assert any("nothing was compared" in note for note in row.notes)


def test_a_call_longer_than_the_budget() -> None:
    report = gilx.measure(partial(time.sleep, 0.05), workers=2, budget=0.01)
    row = one(report)
    assert math.isnan(row.speedup.value)
    assert row.reading == "No times could be compared."
    assert "more than the budget" in row.notes[0]
    assert str(Report.from_json(report.to_json())) == str(report)


@pytest.mark.slow
def test_a_long_first_call_says_nothing_of_the_length_of_others() -> None:
    row = one(gilx.measure(compiled_on_first_use(0.6, 0.01), workers=2, budget=2))
    assert row.comparison.blocks > 0
    assert any("the first call took" in note for note in row.notes), row


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
    assert any("if it keeps its result" in note for note in row.notes)


def test_threads_that_the_call_starts_are_reported() -> None:
    sample = Sample(0.1, 0.19, None, None, 1, worker_cpu=0.1, wait=0.0, longest=0.1)
    assert own_threads(sample)
    assert not own_threads(replace(sample, cpu=0.101))
    assert not own_threads(replace(sample, worker_cpu=None))


# Other processes ---------------------------------------------------------------------------


def test_processes_make_calls() -> None:
    processes = CallProcesses(packed(digest, None), 2)
    try:
        assert processes.take_sample(3).seconds > 0
    finally:
        processes.close()
    processes.close()


def test_killed_process_is_reported() -> None:
    processes = CallProcesses(packed(partial(time.sleep, 100), None), 2)
    [_, child] = processes._children.children
    killer = threading.Timer(0.3, child.process.kill)
    killer.start()
    with pytest.raises(NoProcessesError, match=r"worker 1 .* was killed by signal 9"):
        processes.take_sample(1)
    killer.join(30)
    assert not processes._children.children
    processes.close()


def test_exit_of_callable_in_process_is_reported() -> None:
    processes = CallProcesses(packed(partial(sys.exit, 3), None), 1)
    with pytest.raises(NoProcessesError, match="in a process it raised SystemExit"):
        processes.take_sample(1)
    processes.close()


def test_what_cannot_be_sent_is_said() -> None:
    with pytest.raises(NoProcessesError, match="it can't be pickled"):
        packed(lambda: None, None)
    processes = CallProcesses(packed(partial(int, "x"), None), 1)
    with pytest.raises(NoProcessesError, match="in a process it raised ValueError"):
        processes.take_sample(1)
    processes.close()
    with pytest.raises(NoProcessesError, match="a process can't load it"):
        CallProcesses(b"nothing", 1)
    processes = CallProcesses(packed(partial(exec, "raise OSError('\\x1b[2J')"), None), 1)
    with pytest.raises(NoProcessesError, match="it raised OSError: ") as caught:
        processes.take_sample(1)
    processes.close()
    assert str(caught.value).isprintable()


def test_the_current_directory_is_not_looked_in_first(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pickle", "gilx", "socket"):
        (tmp_path / f"{name}.py").write_text("open('loaded', 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    # Tests of the command have it looked in, as `python -m` does.
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    processes = CallProcesses(packed(partial(int, "1"), None), 1)
    assert processes.take_sample(1).seconds > 0
    processes.close()
    assert not (tmp_path / "loaded").exists()


def of_main(name: str) -> type:
    """Return a class that says to be of the main script."""
    return type(name, (), {"__module__": "__main__", "__call__": lambda _: None})


def test_only_globals_of_the_main_script_can_not_be_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = of_main("Kept")
    monkeypatch.setattr(sys.modules["__main__"], "Kept", kept, raising=False)
    text = "if __name__ == '__main__':"
    for sent in (
        partial(len, text),
        partial(len, ["__main__", "Kept", ["__main__"]]),
        partial(len, {"__main__": "__main__", "Kept": b"c__main__\nKept\n"}),
        partial(len, pickle.dumps(kept)),
    ):
        assert pickle.loads(packed(sent, None))[0]() == sent()
    for kept_back in (
        partial(len, [kept]),
        kept(),
        # Names that were written before are read from the pickler's memo.
        partial(print, "__main__", "Kept", kept),
        partial(print, *("__main__", "Kept") * 300, kept, kept),
        partial(print, *map(str, range(100_000)), text, kept),
    ):
        with pytest.raises(NoProcessesError, match="defined in the main script"):
            packed(kept_back, None)
        with pytest.raises(NoProcessesError, match="defined in the main script"):
            packed(digest, kept_back)


def test_a_script_is_not_run_again(tmp_path: Any) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import gilx\nprint('once')\ndef f():\n    sum(range(1000))\n"
        "print(gilx.measure(f, blocks=1, budget=0.2, workers=2).rows[0].notes)\n"
    )
    done = run_python(script)
    assert done.stdout.count("once") == 1, done.stderr
    assert "it is defined in the main script" in done.stdout


# Bad input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"target": "nope"}, "target: expected one of mandelbrot, "),
        (
            {"target": 3},
            "target: expected a kernel, its name or something to call; got 3",
        ),
        ({"args": (5,)}, "args: expected none for a kernel, got 5"),
        ({"workers": 0}, "workers: expected at least 1, got 0"),
        ({"workers": [1, 0]}, "workers: expected at least 1, got 0"),
        ({"workers": "2"}, "workers: expected a whole number"),
        ({"workers": []}, "workers: expected at least one whole number, got none"),
        ({"budget": 0}, "budget: expected above 0, got 0"),
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
        ({"target": int, "size": 3}, "size: expected None, since target is not a kernel"),
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
        gilx.measure(arguments.pop("target"), *arguments.pop("args", ()), **arguments)
    assert words in str(caught.value)


def test_more_workers_than_cpus_is_noted() -> None:
    row = one(measure(digest, workers=usable_cpus() + 1, blocks=1))
    assert any("usable CPU" in note for note in row.notes)


@pytest.mark.slow
def test_kernels_on_processes() -> None:
    report = gilx.measure(
        "heat", variants=["c-gil"], pools=["processes"], workers=2, blocks=2, size=400
    )
    (row,) = report.rows
    assert row.pool == "processes"
    assert row.speedup.value > 0
    assert not row.held.known
    # What the workers used is part of it, elsewhere though they are.
    assert row.comparison.run_queue_wait is not None or sys.platform != "linux"
    assert {loss.cause: loss.source for loss in row.losses}["dispatch"].startswith(
        "a reg"
    )


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


def test_more_workers_than_cpus_are_not_judged() -> None:
    row = one(measure(partial(time.sleep, 0.002), workers=usable_cpus() + 1, blocks=15))
    assert row.outcome == "inconclusive"


def test_calls_that_never_return_in_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ceiling is other work then, within the limit for processes to answer."""
    monkeypatch.setattr("gilx.speedup.call_processes._PATIENCE", 0.5)
    code = f"import os, time\nif os.getpid() != {os.getpid()}: time.sleep(1000)"
    row = one(measure(partial(exec, code), repeat=1, blocks=2))
    assert row.ceiling_kind.startswith("other work")
    assert any("did not answer" in note for note in row.notes), row.notes


def test_setup_gives_arguments_in_their_order() -> None:
    made: list[int] = []
    numbers = count()
    one(measure(made.append, setup=lambda: (next(numbers),), aa=True, blocks=3, repeat=4))
    assert made == sorted(made)
