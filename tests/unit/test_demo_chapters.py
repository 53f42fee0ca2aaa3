"""Chapters of the demo: sentences follow from figures, and records travel as JSON."""

from __future__ import annotations

import dataclasses
import inspect
import math
import sys
import sysconfig
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

import gilx
from gilx.cli import demo
from gilx.demo import chapter_4_processes, chapter_8_free_threading
from gilx.demo.chapter import Chapter, Effort, grouped, losses_of, outcome_of, words_of
from gilx.demo.chapter_1_pure_python import PurePython, pure_python_call
from gilx.demo.chapter_4_processes import Moving, Processes, pays_from
from gilx.demo.chapter_5_libraries import Held
from gilx.demo.chapter_7_interpreters import Interpreters
from gilx.demo.chapter_8_free_threading import FreeThreaded
from gilx.demo.decision_table import decision_table
from gilx.demo.demo_record import CHAPTERS, Demo, run_demo
from gilx.demo.problem_sizes import problem_size, size_lasting
from gilx.errors import ArgumentError
from gilx.estimate import Estimate
from gilx.speedup.losses import Loss
from tests.demo_records import OUTCOMES, demo_record, row, scaling
from tests.made_up_rows import ROW, changed

if TYPE_CHECKING:
    from types import FrameType

    from _typeshed import TraceFunction


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_outcomes_follow_from_the_figures(outcome: str) -> None:
    assert outcome_of(OUTCOMES[outcome]) == outcome


def test_no_faster_is_said_only_where_the_machine_surely_allowed_it() -> None:
    assert outcome_of(row(ceiling=1.4, ceiling_interval=(1.3, 1.5))) == "no faster"
    assert outcome_of(row(ceiling=1.4, ceiling_interval=(0.9, 1.5))) == "unclear"
    assert (
        outcome_of(row(ceiling=math.nan, ceiling_interval=(0, math.inf))) == "no faster"
    )
    other = (Loss("machine", 0.4, ""), Loss("GIL", 0.5, ""))
    assert outcome_of(row(losses=other)) == "no faster"
    taken = (Loss("machine", 0.86, ""), Loss("unexplained", 0.1, ""))
    assert outcome_of(row(losses=taken)) == "unclear"


def test_in_part_is_said_only_where_it_surely_was_not_all() -> None:
    ceiling: Any = {"ceiling": 2.2, "ceiling_interval": (2.1, 2.3)}
    assert outcome_of(row(speedup=1.8, interval=(1.3, 2.6), **ceiling)) == "unclear"
    assert outcome_of(row(speedup=1.8, interval=(1.7, 1.9), **ceiling)) == "partly"


def test_no_room_is_said_only_where_the_work_found_none_either() -> None:
    lucky = row(
        speedup=1.5, interval=(0.8, 2.1), ceiling=1.1, ceiling_interval=(0.9, 1.3)
    )
    assert outcome_of(lucky) == "unclear"


@pytest.mark.parametrize("repeat", [1, 3, 11])
def test_times_are_of_one_unit_of_work(repeat: int) -> None:
    times = {"serial_seconds": 0.01 * repeat, "seconds": 0.006 * repeat}
    found = changed(ROW, repeat=repeat, **times)
    [table] = PurePython(missing=(), gil=True, threads=found).tables()
    [cells] = table.rows
    assert cells[1:3] == ("10 ms", "6 ms")


def test_pure_python_repeats_no_loop_of_few_instructions() -> None:
    """The time of such a loop depends on what its CPU ran before."""
    call, executed = pure_python_call(1e-4), []

    def trace(frame: FrameType, event: str, _: object) -> TraceFunction:
        frame.f_trace_opcodes = True
        if event == "opcode":
            executed.append((frame.f_code.co_name, frame.f_lasti))
        return trace

    own, before = inspect.currentframe(), sys.gettrace()
    assert own is not None
    own.f_trace_opcodes = True  # 3.12 asks for it before settrace
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)
    few = 20
    windows = Counter(zip(*(executed[shift:] for shift in range(few)), strict=False))
    assert windows.most_common(1)[0][1] < len(executed) / few


def test_more_round_trips_than_their_delay_allows_are_marked() -> None:
    waiting = demo_record().waiting
    assert waiting is not None
    released, python, held = waiting.beside
    quick = dataclasses.replace(python, echoes=9_000.0)
    restless = dataclasses.replace(waiting, beside=(released, quick, held))
    assert restless.tables()[1].rows[1][-1] == "9,000 ?"
    assert "did not compute all the time" in " ".join(restless.sentences())
    assert "?" not in "".join(row[-1] for row in waiting.tables()[1].rows)
    assert "190 beside pure Python" in " ".join(waiting.sentences())


def test_message_is_not_timed_while_the_process_is_busy_with_the_last_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Busy:
        """Process that frees the memory of a large message once it has answered."""

        start_seconds, answered = 0.1, b""

        def round_trip(self, message: bytes) -> float:
            last, self.answered = self.answered, message
            return 1e-4 + 1e-9 * (len(message) + len(last))

        def close(self) -> None:
            pass

    monkeypatch.setattr(chapter_4_processes, "Courier", Busy)
    moving = chapter_4_processes.measure_moving()
    assert (moving.message, moving.data) == (1e-4, 1e-4 + 1e-9 * (8 << 20))


def test_missing_workers_are_told_by_the_measured_losses() -> None:
    lost = (
        Loss("unexplained", 0.1, ""),
        Loss("dispatch", 0.4, ""),
        Loss("GIL", -0.2, ""),
    )
    slow = row("C, held", speedup=1.7, interval=(1.6, 1.7), ceiling=2.1, losses=lost)
    assert outcome_of(slow) == "partly"
    sentence = (
        'The speedup of "C, held" is 0.30 short of 2; 0.30 of that is lost to dispatch.'
    )
    assert losses_of(slow) == [sentence]
    assert grouped([slow], {"partly": "In part"})[-1] == sentence
    assert "0.96 of that is lost to the GIL" in losses_of(row())[0]
    assert losses_of(scaling()) == []
    assert losses_of(row(losses=())) == []


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
    assert outcome_of(few) == "unclear"
    assert "too few blocks" in words_of(few)


def test_without_a_ceiling_it_is_the_workers_that_count() -> None:
    assert outcome_of(row(speedup=1.9, interval=(1.8, 2), ceiling=math.nan)) == "scales"
    assert outcome_of(row(speedup=1.4, interval=(1.3, 1.5), ceiling=math.nan)) == "partly"


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("gil", [True, False])
def test_chapters_have_words_for_every_outcome(outcome: str, gil: bool) -> None:
    found = OUTCOMES[outcome]
    waiting, extension = demo_record().waiting, demo_record().extension
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
        assert words_of(found) in said
        turns = "take turns" in said and isinstance(chapter, PurePython)
        assert turns == (
            isinstance(chapter, PurePython) and gil and outcome == "no faster"
        )


@pytest.mark.parametrize(
    ("forced", "words"),
    [
        (
            "PYTHON_GIL=1",
            "with the GIL on: PYTHON_GIL=1 turns it on. Run Python without PYTHON_GIL=1.",
        ),
        ("", "with the GIL on: the import of a module turned it on,"),
    ],
)
def test_free_threaded_build_with_the_gil_on_is_not_measured(
    forced: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chapter_8_free_threading, "gil_enabled", lambda: True)
    monkeypatch.setattr(chapter_8_free_threading, "forced_gil", lambda: forced)
    monkeypatch.setattr(sysconfig, "get_config_var", lambda _: 1)
    found = FreeThreaded.measure(Effort(quick=True, workers=2, progress=print))
    assert found.calls == ()
    (why,) = found.missing
    assert words in why


def test_words_about_a_counter() -> None:
    lock = demo_record().lock
    assert lock is not None
    assert "lost 49 %" in " ".join(lock.sentences())
    unprotected, held, atomic = lock.additions
    lucky = dataclasses.replace(
        lock, additions=(dataclasses.replace(unprotected, kept=100), held, atomic)
    )
    assert "no addition was lost this time, by luck" in " ".join(lucky.sentences())
    # A share that rounds to nothing is not nothing.
    loses = dataclasses.replace(held, kept=99)
    free = dataclasses.replace(lock, gil=False, additions=(unprotected, loses, atomic))
    assert "The call that would hold the GIL lost 1.0 %" in " ".join(free.sentences())


def test_what_pays() -> None:
    # 1 ms alone, half of it by two, and half for moving it: even.
    assert pays_from(0.5e-3, 2.0) == pytest.approx(1e-3)
    processes = demo_record().processes
    assert processes is not None
    assert processes.gain() == 1.9
    said = " ".join(processes.sentences())
    assert "pays off if it has at least about 211 µs of work and" in said
    # Rows whose times are alike do not do the same work.
    assert "about 30 ms: 2,700 in pure Python; 220,000 in C, held." in said
    nothing = dataclasses.replace(processes, processes=(row(),), sizes=(9,))
    assert nothing.gain() is None
    assert "There was no clear gain" in " ".join(nothing.sentences())


def test_shares_of_calls() -> None:
    libraries = demo_record().libraries
    assert libraries is not None
    assert [call.outcome for call in libraries.calls] == [
        "releases it",
        "holds it",
        "unclear",
    ]
    outcomes = {
        (0.5, 0.45, 0.55): "in part",
        (0.5, 0.2, 0.8): "unclear",
        (0.02, 0.0, 0.11): "releases it",
        (0.02, 0.0, 0.25): "unclear",
        (0.15, 0.09, 0.19): "unclear",
        (0.15, 0.11, 0.19): "in part",
        (0.98, 0.88, 1.0): "holds it",
        (0.85, 0.81, 0.89): "in part",
        (0.85, 0.81, 0.93): "unclear",
    }
    for held, outcome in outcomes.items():
        call = Held("a", "b", 1.0, Estimate(*held), 1.0, "")
        assert call.outcome == outcome, held
    assert "These calls used threads of their own: NumPy x." in libraries.sentences()


def test_decisions() -> None:
    table = decision_table(demo_record())
    here = {line[0]: line[2] for line in table.rows}
    assert here["Python that computes"] == (
        "2 threads 1.00x; 2 processes 1.90x; for tasks of 211 µs or more"
    )
    assert here["NumPy, pandas"] == "calls that release the GIL: 1 of 3"
    assert here["Python without a GIL"] == "-"
    unclear = demo_record(
        pure=PurePython(missing=(), gil=True, threads=OUTCOMES["unclear"])
    )
    assert "2 threads 1.40x?;" in decision_table(unclear).rows[2][2]
    nothing = demo_record(**dict.fromkeys(CHAPTERS))
    assert {line[2] for line in decision_table(nothing).rows} == {"-"}


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_text_fits_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for number, _, chapter in demo_record().chapters():
        text = demo._chapter(number, chapter, first=False)
        assert chapter.title[:20] in text
        # Tables are as wide as their figures.
        assert max(map(len, text.splitlines())) <= max(80, columns)
    assert max(map(len, demo._end(demo_record()).splitlines())) <= max(80, columns)


def test_json_brings_everything_back() -> None:
    told = demo_record()
    text = told.to_json()
    again = Demo.from_json(text)
    # Not a number is not equal to itself.
    assert again.to_json() == text
    assert again.pure == told.pure
    assert [name for _, name, _ in again.chapters()] == list(CHAPTERS)
    assert Demo.from_json(demo_record(lock=None).to_json()).lock is None


@pytest.mark.parametrize("number", [0, 9, -1])
def test_chapters_that_are_none(number: int) -> None:
    with pytest.raises(ArgumentError, match=f"chapter: expected 1 to 8, got {number}"):
        run_demo([number])


def test_efforts() -> None:
    quick, full = (Effort(quick, 2, print) for quick in (True, False))
    assert quick.seconds(1) < full.seconds(1) == 1
    assert 6 <= quick.blocks < full.blocks  # fewer than 6 have no interval
