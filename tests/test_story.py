"""The story: its figures, the words that follow from them, and the command that tells it."""

from __future__ import annotations

import dataclasses
import importlib.util
import math
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pytest

import gilx
from gilx import ckernels
from gilx._compat import gil_enabled
from gilx.cli import demo
from gilx.demo.chapter import Chapter, Effort, Held, Speedup, grouped, speedup_table
from gilx.demo.chapter_1_pure_python import PurePython
from gilx.demo.chapter_2_lock import Additions, Lock
from gilx.demo.chapter_3_waiting import Beside, Waiting
from gilx.demo.chapter_4_processes import Moving, Processes, pays_from
from gilx.demo.chapter_5_libraries import Libraries
from gilx.demo.chapter_6_extension import Extension, Proof
from gilx.demo.chapter_7_interpreters import Interpreters
from gilx.demo.chapter_8_free_threading import FreeThreaded
from gilx.demo.chapters import CHAPTERS, Story, tell
from gilx.demo.courier_process import Courier
from gilx.demo.decision_table import decision_table
from gilx.demo.problem_sizes import problem_size, size_lasting
from gilx.demo.release_proof import meet, runs_beside
from gilx.demo.saved_directory import draw, new_directory
from gilx.errors import ArgumentError
from gilx.estimate import Estimate
from gilx.speedup.report import Loss, ReportRow
from gilx.system.environment import Environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DEADLINE = 60


def row(name: str = "a", **changes: Any) -> Speedup:
    """A speedup of two threads that take turns, but for the changes."""
    fields: dict[str, Any] = {
        "name": name,
        "pool": "threads",
        "workers": 2,
        "serial": 0.02,
        "seconds": 0.02,
        "speedup": 1.0,
        "interval": (0.98, 1.02),
        "ceiling": 1.95,
        "ceiling_interval": (1.9, 1.98),
        "ceiling_kind": "the same calls in processes",
        "fraction": 0.51,
        "held": 1.0,
        "losses": (Loss("GIL", 0.96, "seen"), Loss("dispatch", 0.04, "seen")),
        "notes": (),
    }
    fields |= changes
    return Speedup(
        speedup=Estimate(fields.pop("speedup"), *fields.pop("interval")),
        ceiling=Estimate(fields.pop("ceiling"), *fields.pop("ceiling_interval")),
        ceiling_fraction=Estimate(fields.pop("fraction"), 0.0, 1.0),
        **fields,
    )


def scaling(name: str = "b") -> Speedup:
    return row(name, speedup=1.9, interval=(1.85, 1.94), fraction=0.97, held=0.0)


OUTCOMES = {
    "no faster": row(),
    "scales": scaling(),
    "partly": row(speedup=1.5, interval=(1.4, 1.6)),
    "no room": row(speedup=1.0, interval=(0.9, 1.1), ceiling=1.1),
    "unclear": row(speedup=1.4, interval=(0.9, 1.9)),
}


def story(**changes: Any) -> Story:
    """Every chapter, with figures of an idle machine with two CPUs and a GIL."""
    chapters: dict[str, Any] = {
        "pure": PurePython(missing=(), gil=True, threads=row("count down")),
        "lock": Lock(
            missing=(),
            gil=True,
            additions=(
                Additions("unprotected", 100, 51, 1e-9, 2e-9),
                Additions("GIL held", 100, 100, 1e-9, 1e-9),
                Additions("atomic", 100, 100, 5e-9, 9e-9),
            ),
            price=Estimate(9.0, 8.5, 9.5),
        ),
        "waiting": Waiting(
            missing=(),
            gil=True,
            switch_interval=0.005,
            cpus=2,
            waits=(scaling("sleep"), row("read a file")),
            beside=(
                Beside("released C", 1e-4, 2e-4, 39_000.0),
                Beside("pure Python", 5e-3, 9e-3, 190.0),
                Beside("held C", 1e-2, 2e-2, None),
            ),
        ),
        "processes": Processes(
            missing=(),
            gil=True,
            processes=(scaling("pure Python"), scaling("C, held")),
            sizes=(2_700, 220_000),
            moving=Moving(start=0.1, message=1e-4, data=0.03, megabytes=8),
        ),
        "libraries": Libraries(
            missing=("pandas is not installed: pip install pandas.",),
            calls=(
                Held("NumPy", "sort", 0.01, Estimate(0.001, 0.0, 0.01), 1.0, ""),
                Held("NumPy", "tolist", 0.01, Estimate(1.0, 0.99, 1.0), 1.0, ""),
                Held("NumPy", "x", 0.01, Estimate.unknown(), 1.9, "too busy"),
            ),
            blas="kept to one thread",
        ),
        "extension": Extension(
            missing=(),
            gil=True,
            variants=(row("C, held"), scaling("C, released")),
            proofs=(Proof("C, held", False), Proof("C, released", True)),
            met_held=1,
            met_released=2,
        ),
        "interpreters": Interpreters(
            missing=("needs 3.14",), gil=True, held=None, start_seconds=None
        ),
        "free": FreeThreaded(missing=("a GIL",), free_threaded=False, calls=()),
    }
    return Story(
        environment=Environment.here(),
        quick=True,
        workers=2,
        seconds=12.5,
        **chapters | changes,
    )


# ---- what threads do to a counter --------------------------------------------------------

WAYS = [ckernels.increment_gil, ckernels.increment_nogil, ckernels.increment_atomic]


def added(increment: Callable[[Any, int], int], times: int, threads: int) -> int:
    cell = bytearray(8)
    barrier = threading.Barrier(threads)

    def add() -> None:
        barrier.wait(DEADLINE)
        increment(cell, times)

    workers = [threading.Thread(target=add) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(DEADLINE)
    return int.from_bytes(cell, sys.byteorder)


@pytest.mark.parametrize("increment", WAYS)
@pytest.mark.parametrize("times", [0, 1, 16_384, 50_001])
def test_one_thread_loses_nothing(
    increment: Callable[[Any, int], int], times: int
) -> None:
    assert added(increment, times, 1) == times


def test_atomic_additions_lose_nothing() -> None:
    assert added(ckernels.increment_atomic, 500_000, 3) == 1_500_000


@pytest.mark.skipif(not gil_enabled(), reason="there is no GIL to hold")
def test_with_the_gil_held_nothing_is_lost() -> None:
    assert added(ckernels.increment_gil, 500_000, 3) == 1_500_000


def test_unprotected_additions_never_make_more() -> None:
    assert 0 < added(ckernels.increment_nogil, 500_000, 3) <= 1_500_000


def test_increment_touches_its_cell_only() -> None:
    cell = bytearray(24)
    assert ckernels.increment_atomic(memoryview(cell)[8:16], 3) >= 0
    assert cell == bytes(8) + (3).to_bytes(8, sys.byteorder) + bytes(8)


@pytest.mark.parametrize("increment", WAYS)
@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ((3, 1), TypeError, "cell: expected a writable, C-contiguous buffer, got int"),
        ((bytes(8), 1), BufferError, "cell: expected a writable, C-contiguous buffer"),
        ((bytearray(7), 1), ValueError, "cell: expected at least 8 bytes, got 7"),
        (
            (memoryview(bytearray(17))[1:9], 1),
            ValueError,
            "cell: expected memory aligned",
        ),
        ((memoryview(bytearray(32))[::2], 1), BufferError, "cell: expected a writable"),
        ((np.zeros(1, "O"), 1), TypeError, "cell: expected plain memory, got ref"),
        ((bytearray(8), -1), ValueError, "times: expected 0 to"),
        ((bytearray(8), 10**19), ValueError, "times: expected 0 to"),
        ((bytearray(8), 1.5), TypeError, "times: expected an integer, got float"),
    ],
)
def test_bad_increments(
    increment: Callable[..., int],
    arguments: tuple[Any, Any],
    error: type[Exception],
    words: str,
) -> None:
    with pytest.raises(error, match=words):
        increment(*arguments)


# ---- who gets to run ---------------------------------------------------------------------


@pytest.mark.thread_unsafe(reason="callers meet those of other tests")
def test_callers_meet_where_the_gil_is_released() -> None:
    assert meet(ckernels.rendezvous_nogil, DEADLINE) == 2
    if gil_enabled():
        assert meet(ckernels.rendezvous_gil, 0.05) == 1


@pytest.mark.thread_unsafe(reason="changes the switch interval")
@pytest.mark.skipif(not gil_enabled(), reason="there is no GIL to hold")
def test_another_thread_runs_beside_a_released_call_only() -> None:
    before = sys.getswitchinterval()
    assert runs_beside(lambda: ckernels.rendezvous_nogil(2, 20_000_000))
    assert not runs_beside(lambda: ckernels.spin(10_000_000, 0, 10_000_000))
    assert sys.getswitchinterval() == before


# ---- words -------------------------------------------------------------------------------


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_outcomes_follow_from_the_figures(outcome: str) -> None:
    assert OUTCOMES[outcome].outcome == outcome


def test_no_faster_is_said_only_where_the_machine_surely_allowed_it() -> None:
    assert row(ceiling=1.4, ceiling_interval=(1.3, 1.5)).outcome == "no faster"
    assert row(ceiling=1.4, ceiling_interval=(0.9, 1.5)).outcome == "unclear"
    assert row(ceiling=math.nan, ceiling_interval=(0, math.inf)).outcome == "no faster"


def test_no_room_is_said_only_where_the_work_found_none_either() -> None:
    lucky = row(
        speedup=1.5, interval=(0.8, 2.1), ceiling=1.1, ceiling_interval=(0.9, 1.3)
    )
    assert lucky.outcome == "unclear"


def report_row(repeat: int, **changes: Any) -> ReportRow:
    """A row of a report whose samples had the work so many times."""
    fields: dict[str, Any] = {
        field.name: math.nan for field in dataclasses.fields(ReportRow)
    }
    fields |= {
        "target": "mandelbrot",
        "variant": "c-gil",
        "pool": "threads",
        "workers": 2,
        "repeat": repeat,
        "serial_seconds": 0.01 * repeat,
        "seconds": 0.006 * repeat,
        "speedup": Estimate(10 / 6, 1.6, 1.7),
        "ceiling": Estimate.unknown(),
        "ceiling_fraction": Estimate.unknown(),
        "ceiling_kind": "processes",
        "losses": (),
        "notes": (),
        "samples": {},
    }
    return ReportRow(**fields | changes)


@pytest.mark.parametrize("repeat", [1, 3, 11])
def test_times_are_of_one_unit_of_work(repeat: int) -> None:
    found = Speedup.of(report_row(repeat), "C, held")
    assert found.serial == pytest.approx(0.01)
    assert found.seconds == pytest.approx(0.006)
    [cells] = speedup_table([found], what="mandelbrot", together="2 threads").rows
    assert cells[1:3] == ("10 ms", "6 ms")


def test_open_chapters_are_known() -> None:
    chapters: dict[str, Any] = {name: chapter for _, name, chapter in story().chapters()}
    assert not is_open(chapters["extension"])
    assert is_open(chapters["libraries"])  # a call of which nothing is known
    open_row = row("C, held", speedup=1.3, interval=(1.1, 1.5), ceiling=2.0)
    assert open_row.outcome == "unclear"
    changed = dataclasses.replace(chapters["extension"], variants=(open_row,))
    assert is_open(changed)


def test_more_round_trips_than_their_delay_allows_are_marked() -> None:
    waiting = story().waiting
    assert waiting is not None
    released, python, held = waiting.beside
    quick = dataclasses.replace(python, echoes=9_000.0)
    restless = dataclasses.replace(waiting, beside=(released, quick, held))
    assert restless.tables()[1].rows[1][-1] == "9,000 ?"
    assert "did not compute all the time" in " ".join(restless.sentences())
    assert "?" not in "".join(row[-1] for row in waiting.tables()[1].rows)
    assert "190 beside pure Python" in " ".join(waiting.sentences())


def test_missing_workers_are_told_by_the_measured_losses() -> None:
    lost = (
        Loss("unexplained", 0.1, ""),
        Loss("dispatch", 0.4, ""),
        Loss("GIL", -0.2, ""),
    )
    slow = row("C, held", speedup=1.7, interval=(1.6, 1.7), ceiling=2.1, losses=lost)
    assert slow.outcome == "partly"
    sentence = "Of the 2 workers of C, held, 0.30 are lost: 0.30 to dispatch."
    assert slow.lost() == sentence
    assert grouped([slow], {"partly": "In part"})[-1] == sentence
    assert "0.96 to the GIL" in row().lost()
    assert scaling().lost() == ""
    assert row(losses=()).lost() == ""


@pytest.mark.parametrize("power", [1, 2, 3])
@pytest.mark.parametrize("unit", [1e-9, 1e-7, 1e-5])
def test_sizes_follow_from_a_time(power: int, unit: float) -> None:
    def timed(size: int) -> float:
        return 1e-6 + unit * float(size) ** power

    size = size_lasting(timed, 0.02)
    assert timed(size) == pytest.approx(0.02, rel=0.2)
    assert set(str(size)[2:]) <= {"0"}


def test_work_that_takes_too_long_at_once_is_small() -> None:
    assert size_lasting(lambda size: 1.0 * size, 0.02) == 1


def test_problems_are_sized_by_what_they_take() -> None:
    kernel = gilx.kernels.get("collatz")
    quick, slow = (problem_size(kernel, name, 0.002) for name in ("c-gil", "python"))
    assert quick > 2 * slow


def test_too_few_blocks_say_nothing() -> None:
    few = row(interval=(0.0, math.inf))
    assert few.outcome == "unclear"
    assert "too few blocks" in few.words()


def test_without_a_ceiling_it_is_the_workers_that_count() -> None:
    assert row(speedup=1.9, interval=(1.8, 2), ceiling=math.nan).outcome == "scales"
    assert row(speedup=1.4, interval=(1.3, 1.5), ceiling=math.nan).outcome == "partly"


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("gil", [True, False])
def test_chapters_have_words_for_every_outcome(outcome: str, gil: bool) -> None:
    found = OUTCOMES[outcome]
    waiting, extension = story().waiting, story().extension
    assert waiting is not None
    assert extension is not None
    chapters: list[Chapter] = [
        PurePython(missing=(), gil=gil, threads=found),
        dataclasses.replace(waiting, gil=gil, waits=(found,)),
        Processes(
            missing=(),
            gil=gil,
            processes=(found,),
            sizes=(9,),
            moving=Moving(0.1, 1e-4, 0.03, 8),
        ),
        dataclasses.replace(extension, gil=gil, variants=(found,)),
        Interpreters(missing=(), gil=gil, held=found, start_seconds=0.1),
        FreeThreaded(missing=(), free_threaded=True, calls=(found,)),
    ]
    for chapter in chapters:
        said = " ".join(chapter.sentences())
        assert found.words() in said
        turns = "take turns" in said and isinstance(chapter, PurePython)
        assert turns == (
            isinstance(chapter, PurePython) and gil and outcome == "no faster"
        )


def test_words_about_a_counter() -> None:
    lock = story().lock
    assert lock is not None
    assert "lost 49 %" in " ".join(lock.sentences())
    unprotected, held, atomic = lock.additions
    lucky = dataclasses.replace(
        lock, additions=(dataclasses.replace(unprotected, kept=100), held, atomic)
    )
    assert "none was lost this time, by luck" in " ".join(lucky.sentences())
    # A share that rounds to nothing is not nothing.
    loses = dataclasses.replace(held, kept=99)
    free = dataclasses.replace(lock, gil=False, additions=(unprotected, loses, atomic))
    assert "The call that would hold the GIL lost 1.0 %" in " ".join(free.sentences())


def test_what_pays() -> None:
    # 1 ms alone, half of it by two, and half for moving it: even.
    assert pays_from(0.5e-3, 2.0) == pytest.approx(1e-3)
    processes = story().processes
    assert processes is not None
    assert processes.gain() == 1.9
    said = " ".join(processes.sentences())
    assert "pays from about 211 µs of work" in said
    # Rows whose times are alike do not do the same work.
    assert "about 30 ms: 2,700 in pure Python; 220,000 in C, held." in said
    nothing = dataclasses.replace(processes, processes=(row(),), sizes=(9,))
    assert nothing.gain() is None
    assert "No gain was seen" in " ".join(nothing.sentences())


def test_shares_of_calls() -> None:
    libraries = story().libraries
    assert libraries is not None
    assert [call.outcome for call in libraries.calls] == [
        "releases it",
        "holds it",
        "unclear",
    ]
    assert Held("a", "b", 1.0, Estimate(0.5, 0.45, 0.55), 1.0, "").outcome == "in part"
    assert Held("a", "b", 1.0, Estimate(0.5, 0.2, 0.8), 1.0, "").outcome == "unclear"
    assert "Threads of its own had NumPy x." in libraries.sentences()


def test_decisions() -> None:
    table = decision_table(story())
    here = {line[0]: line[2] for line in table.rows}
    assert here["Python that computes"] == (
        "2 threads 1.00x; 2 processes 1.90x; for tasks of 211 µs or more"
    )
    assert here["NumPy, pandas"] == "of 3 calls 1 release it, 0 in part"
    assert here["a Python without GIL"] == "-"
    doubtful = story(pure=PurePython(missing=(), gil=True, threads=OUTCOMES["unclear"]))
    assert "2 threads 1.40x?;" in decision_table(doubtful).rows[2][2]
    nothing = story(**dict.fromkeys(CHAPTERS))
    assert {line[2] for line in decision_table(nothing).rows} == {"-"}


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_text_fits_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for number, _, chapter in story().chapters():
        text = demo._chapter(number, chapter, first=False)
        assert chapter.title[:20] in text
        # Tables are as wide as their figures.
        assert max(map(len, text.splitlines())) <= max(80, columns)
    assert max(map(len, demo._end(story()).splitlines())) <= max(80, columns)


# ---- claims ------------------------------------------------------------------------------

# How much trouble `gilx demo` takes in full.
FULL = Effort(quick=False, workers=2, progress=lambda _: None)
alone = pytest.mark.alone
thorough = pytest.mark.timeout(600)


C = TypeVar("C", bound=Chapter)


def measured(chapter: type[C]) -> C:
    """Measure a chapter, up to three times as long as it is open on a restless machine."""
    for _ in range(2):
        found = chapter.measure(FULL)
        if not is_open(found):
            return found
    return chapter.measure(FULL)


def is_open(chapter: Chapter) -> bool:
    """Whether any row of a chapter says that it does not tell."""
    for field in dataclasses.fields(chapter):
        value = getattr(chapter, field.name)
        for row in value if isinstance(value, tuple) else (value,):
            if getattr(row, "outcome", "") in ("unclear", "no room"):
                return True
            if getattr(row, "restless", False):
                return True
    return False


def outcomes(rows: tuple[Speedup, ...]) -> dict[str, str]:
    return {one.name: one.outcome for one in rows}


@alone
@thorough
def test_claim_of_pure_python() -> None:
    found = measured(PurePython)
    assert found.missing == ()
    expected = "no faster" if gil_enabled() else "scales"
    assert found.threads.outcome == expected, found.sentences()


@alone
@thorough
def test_claim_of_the_lock() -> None:
    found = measured(Lock)
    assert found.missing == ()
    unprotected, held, atomic = found.additions
    assert unprotected.lost > 0
    assert (held.lost == 0) == gil_enabled()
    assert atomic.lost == 0
    assert found.price.low > 1


@alone
@thorough
def test_claim_of_waiting() -> None:
    found = measured(Waiting)
    assert found.missing == ()
    waits = outcomes(found.waits)
    waits.pop("read a file")  # which is copying memory, as the text says
    assert waits == {"sleep": "scales", "read a socket": "scales"}, found.sentences()
    released, python, held = found.beside
    assert released.echoes is not None
    assert python.echoes is not None
    if gil_enabled():
        assert python.delay > 10 * released.delay
        assert held.delay > 10 * released.delay
        assert python.echoes < released.echoes
    else:
        assert python.delay < found.switch_interval
        assert held.delay < found.switch_interval


@alone
@thorough
def test_claim_of_processes() -> None:
    found = measured(Processes)
    assert found.missing == ()
    assert outcomes(found.processes) == {"pure Python": "scales", "C, held": "scales"}, (
        found.sentences()
    )
    assert found.moving is not None
    assert 0 < found.moving.message < found.moving.data
    assert found.gain() is not None


@alone
@thorough
def test_claim_of_libraries() -> None:
    found = measured(Libraries)
    if not gil_enabled():
        assert found.calls == ()
        assert found.missing[0].startswith("There is nothing to watch: ")
        return
    numpy = {call.name: call.outcome for call in found.calls if call.library == "NumPy"}
    assert numpy == {
        "sort": "releases it",
        "sin": "releases it",
        "matrix @ matrix": "releases it",
        "sum of Python objects": "holds it",
        "tolist": "holds it",
    }


@alone
@thorough
def test_claim_of_extensions() -> None:
    found = measured(Extension)
    assert found.missing == ()
    held = "no faster" if gil_enabled() else "scales"
    assert outcomes(found.variants) == {
        "C, held": held,
        "C, released": "scales",
        "Cython, held": held,
        "Cython, released": "scales",
    }, found.sentences()
    assert (found.met_held, found.met_released) == (1 if gil_enabled() else 2, 2)
    assert [proof.runs_beside for proof in found.proofs] == [
        not gil_enabled(),
        True,
        not gil_enabled(),
        True,
    ]


@alone
@thorough
def test_claim_of_interpreters() -> None:
    found = measured(Interpreters)
    if importlib.util.find_spec("concurrent.interpreters") is None:
        assert found.held is None
        [why] = found.missing
        assert why.startswith("It needs Python 3.14")
        return
    assert found.missing == ()
    assert found.held is not None
    assert found.held.outcome == "scales", found.sentences()


@alone
@thorough
def test_claim_of_free_threading() -> None:
    found = measured(FreeThreaded)
    if gil_enabled():
        assert found.calls == ()
        [why] = found.missing
        assert "GIL" in why
        return
    assert found.missing == ()
    assert outcomes(found.calls) == dict.fromkeys(
        ("pure Python", "C, held", "Cython, held"), "scales"
    ), found.sentences()


# ---- the record --------------------------------------------------------------------------


def test_json_brings_everything_back() -> None:
    told = story()
    text = told.to_json()
    again = Story.from_json(text)
    # Not a number is not equal to itself.
    assert again.to_json() == text
    assert again.pure == told.pure
    assert [name for _, name, _ in again.chapters()] == list(CHAPTERS)
    assert Story.from_json(story(lock=None).to_json()).lock is None
    with pytest.raises(
        ArgumentError, match=r"gilx\.story, version 1; got gilx\.story, version 2"
    ):
        Story.from_json(text.replace('"version": 1', '"version": 2', 1))
    with pytest.raises(ArgumentError, match=r"text\.quick: expected bool"):
        Story.from_json(text.replace('"quick": true', '"quick": 3'))


@pytest.mark.parametrize("number", [0, 9, -1])
def test_chapters_that_are_none(number: int) -> None:
    with pytest.raises(ArgumentError, match=f"chapter: expected 1 to 8, got {number}"):
        tell([number])


def test_efforts() -> None:
    quick, full = (Effort(quick, 2, print) for quick in (True, False))
    assert quick.seconds(1) < full.seconds(1) == 1
    assert 6 <= quick.blocks < full.blocks  # fewer than 6 have no interval


def test_a_courier_brings_back_what_it_is_given() -> None:
    with Courier() as courier:
        assert courier.start_seconds > 0
        assert courier.round_trip(bytes(1 << 20)) > 0
        courier._child.kill()
        courier._child.wait()
        with pytest.raises(OSError, match=r"ended|reset|[Bb]roken"):
            courier.round_trip(b"")


def test_blas_is_pinned_before_numpy_is_loaded_only() -> None:
    code = (
        "import os; from gilx.demo.chapter_5_libraries import pin_blas\n"
        "before = pin_blas(), os.environ.get('OPENBLAS_NUM_THREADS')\n"
        "import numpy; del os.environ['OPENBLAS_NUM_THREADS']\n"
        "print(before, pin_blas())"
    )
    clean = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=clean,
        timeout=DEADLINE,
    )
    assert done.stdout == "(True, '1') False\n"


# ---- directories and pictures ------------------------------------------------------------


def test_a_directory_appears_when_it_is_complete(tmp_path: Path) -> None:
    wanted = tmp_path / "new"
    with new_directory(str(wanted)) as directory:
        (directory / "file").write_text("x")
        assert not wanted.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert (wanted / "file").read_text() == "x"
    with (
        pytest.raises(
            ArgumentError, match="save: expected a directory that is not there"
        ),
        new_directory(str(wanted)),
    ):
        pass


def fail_in(directory: Path) -> None:
    with new_directory(str(directory)) as inside:
        (inside / "file").write_text("x")
        raise ZeroDivisionError


def test_nothing_is_left_of_a_directory_that_failed(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        fail_in(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_came_meanwhile_stays(tmp_path: Path) -> None:
    wanted = tmp_path / "new"

    def take_the_name() -> None:
        with new_directory(str(wanted)):
            wanted.mkdir()
            (wanted / "mine").write_text("x")

    with pytest.raises(ArgumentError, match="save: can't make the directory"):
        take_the_name()
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert (wanted / "mine").read_text() == "x"


def test_every_picture_can_be_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawn = 0
    for number, _, chapter in story().chapters():
        picture = chapter.picture()
        if picture is not None:
            figure = draw(picture, f"{number}. {chapter.title}")
            figure.savefig(tmp_path / f"{number}.png")
            drawn += 1
            names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
            assert len(figure.axes[0].patches) == len(names) == len(picture.bars)
            unknown = [name for name in names if name.endswith(": unknown")]
            assert unknown == (["NumPy x: unknown"] if number == 5 else [])
    assert drawn == 6


# ---- the command -------------------------------------------------------------------------


def command(
    *arguments: str, cwd: Path, timeout: float = 100, **changes: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gilx", "demo", "--quick", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **changes},
        timeout=timeout,
        cwd=cwd,
    )


@pytest.mark.alone
@pytest.mark.timeout(300)
def test_the_whole_story(tmp_path: Path) -> None:
    done = command("--save", "new", cwd=tmp_path, timeout=280, COLUMNS="80")
    if importlib.util.find_spec("matplotlib") is None:
        assert done.returncode == 1
        assert done.stderr == f"gilx demo: save: {demo._NO_PICTURES}\n"
        pictures = []
    else:
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        pictures = ["1-pure.png", "2-lock.png"]
    for number, kind in enumerate(CHAPTERS.values(), 1):
        assert f"\n{number}. {kind.title}\n" in done.stdout
    assert "\nWhat should I use?\n" in done.stdout
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 84
    new = tmp_path / "new"
    names = {path.name for path in new.iterdir()}
    assert names >= {"story.txt", "story.json", *pictures}
    assert (new / "story.txt").read_text() == done.stdout
    told = Story.from_json((new / "story.json").read_text())
    assert len(told.chapters()) == 8
    lock, extension = told.lock, told.extension
    assert lock is not None
    assert extension is not None
    assert lock.additions[2].lost == 0
    assert extension.met_released == 2
    if gil_enabled():
        assert lock.additions[1].lost == 0
        assert extension.met_held == 1
        assert [proof.runs_beside for proof in extension.proofs] == [
            False,
            True,
            False,
            True,
        ]


def test_chapters_as_json(tmp_path: Path) -> None:
    done = command("--chapter", "2,8", "--workers", "3", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    told = Story.from_json(done.stdout)
    assert [number for number, _, _ in told.chapters()] == [2, 8]
    assert told.workers == 3
    assert told.free is not None
    assert bool(told.free.calls) != gil_enabled()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs affinity masks")
def test_on_one_cpu(tmp_path: Path) -> None:
    cpu = str(min(os.sched_getaffinity(0)))
    done = subprocess.run(
        [
            "taskset",
            "-c",
            cpu,
            sys.executable,
            "-m",
            "gilx",
            "demo",
            "--quick",
            "--chapter",
            "1,2",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    words = " ".join(done.stdout.split())
    assert "no speedup can be seen here" in words
    assert "that makes it rare, not safe" in words


def test_without_pandas_and_matplotlib(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "for name in ('pandas', 'matplotlib', 'threadpoolctl'):\n"
        "    sys.modules[name] = None\n"
    )
    words = ("--chapter", "5", "--save", "new")
    done = command(*words, cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == f"gilx demo: save: {demo._NO_PICTURES}\n"
    said = " ".join(done.stdout.split())
    assert "pandas is not installed: pip install pandas." in said
    if gil_enabled() and sys.platform == "linux":
        assert "kept to one thread by the environment" in said
        assert "\nNumPy  sort " in done.stdout
    else:
        assert "There is nothing to watch" in said
    assert {path.name for path in (tmp_path / "new").iterdir()} == {
        "story.txt",
        "story.json",
    }
