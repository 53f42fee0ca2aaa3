"""Claims of the demo's chapters, measured in full."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, TypeVar

import pytest

from gilx._compat import gil_enabled
from gilx.demo.chapter import Chapter, Effort, outcome_of
from gilx.demo.chapter_1_pure_python import PurePython
from gilx.demo.chapter_2_lock import Lock
from gilx.demo.chapter_3_waiting import Waiting
from gilx.demo.chapter_4_processes import Processes
from gilx.demo.chapter_5_libraries import Libraries
from gilx.demo.chapter_6_extension import Extension
from gilx.demo.chapter_7_interpreters import Interpreters
from gilx.demo.chapter_8_free_threading import FreeThreaded
from tests.demo_records import is_open

if TYPE_CHECKING:
    from gilx.speedup.report import ReportRow

# How much trouble `gilx demo` takes in full.
FULL = Effort(quick=False, workers=2, progress=lambda _: None)

pytestmark = [pytest.mark.idle_machine, pytest.mark.timeout(600)]


C = TypeVar("C", bound=Chapter)


def measured(chapter: type[C]) -> C:
    """Measure a chapter, up to three times as long as it is open on a restless machine."""
    for _ in range(2):
        found = chapter.measure(FULL)
        if not is_open(found):
            return found
    return chapter.measure(FULL)


def outcomes(rows: tuple[ReportRow, ...]) -> dict[str, str]:
    return {one.target: outcome_of(one) for one in rows}


def test_claim_of_pure_python() -> None:
    found = measured(PurePython)
    assert found.missing == ()
    expected = "no faster" if gil_enabled() else "scales"
    assert outcome_of(found.threads) == expected, found.sentences()


def test_claim_of_the_lock() -> None:
    found = measured(Lock)
    assert found.missing == ()
    unprotected, held, atomic = found.additions
    assert unprotected.lost > 0
    assert (held.lost == 0) == gil_enabled()
    assert atomic.lost == 0
    assert found.price.low > 1


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


def test_claim_of_processes() -> None:
    found = measured(Processes)
    assert found.missing == ()
    assert outcomes(found.processes) == {"pure Python": "scales", "C, held": "scales"}, (
        found.sentences()
    )
    assert found.moving is not None
    assert 0 < found.moving.message < found.moving.data
    assert found.gain() is not None


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


def test_claim_of_interpreters() -> None:
    found = measured(Interpreters)
    if importlib.util.find_spec("concurrent.interpreters") is None:
        assert found.held is None
        [why] = found.missing
        assert why.startswith("This chapter needs Python 3.14")
        return
    assert found.missing == ()
    assert found.held is not None
    assert outcome_of(found.held) == "scales", found.sentences()


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
