"""Audits that measure, and the command `gilx audit`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from gilx.audit import (
    Audit,
    Plan,
    PlanEntry,
    perform,
)
from gilx.cli import main
from tests.audit_records import audit, line, written
from tests.markers import needs_watch

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_an_audit() -> None:
    plan = Plan(
        (
            PlanEntry(
                "crc",
                "zlib:crc32",
                "data = bytes(size)",
                ("data",),
                sizes=(50_000, 90_000),
                budget=1,
            ),
            PlanEntry("wrong", "math:sqrt", arguments=(-1,), budget=1),
            PlanEntry("none", "math:sqrt", "import no_such", (1,), budget=1),
        )
    )
    shown: list[str] = []
    found = perform(plan, progress=shown.append)
    labels = [each.label for each in found.lines]
    assert labels == ["crc [50000]", "crc [90000]", "wrong", "none"]
    for each in found.lines[:2]:
        assert each.error == ""
        assert [one.workers for one in each.scaling] == [2]
        # Where there is no GIL to watch, the line says so.
        assert (
            each.inconclusive_reason
            or 0 <= each.held.interval[0] <= each.held.interval[1] <= 1
        )
    assert found.lines[2].error.startswith("ValueError: ")  # Python's own words
    assert "no_such" in found.lines[3].error
    assert not found.complete
    assert "failed: ValueError: " in str(found)
    assert any("1 of 4, crc: " in text for text in shown)
    assert shown[-1] == ""
    # Figures that are not numbers are not equal to themselves; their text is.
    assert Audit.from_json(found.to_json()).to_json() == found.to_json()


@pytest.mark.slow
@needs_watch
def test_first_calls_do_not_count() -> None:
    # A quarter of the budget is for the hold fraction: less than the first call takes.
    plan = Plan((PlanEntry("f", "tests.first_call:work", budget=1.0),))
    found = perform(plan).lines[0]
    assert not found.error
    assert found.held.interval[0] < 0.1, found


@pytest.mark.slow
@needs_watch
def test_a_line_of_a_setup_that_holds_the_gil_has_its_text() -> None:
    setup = "\ndef count():\n    return sum(i for i in range(30_000))"
    entry = PlanEntry("f", "operator:call", setup, ("count",), budget=1.0)
    found = perform(Plan((entry,))).lines[0]
    assert found.where == "setup:3 `return sum(i for i in range(30_000))`"


def test_what_looks_worse_is_measured_again() -> None:
    plan = Plan((PlanEntry("f", "math:sqrt", arguments=(-1,), budget=0.2),))
    shown: list[str] = []
    perform(plan, baseline=audit(line(0.1, 0.9)), progress=shown.append)
    assert any("again: " in text for text in shown)
    shown.clear()
    perform(
        plan, baseline=audit(line(0.1, 0.9, error="ValueError")), progress=shown.append
    )
    assert not any("again: " in text for text in shown)


@pytest.mark.slow
def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(
        tmp_path,
        """
        [defaults]
        budget = 1
        [[call]]
        target = "zlib:crc32"
        arguments = ["bytes(30_000)"]
        [[call]]
        name = "left out"
        target = "math:sqrt"
        arguments = [-1]
        """,
    )
    saved = tmp_path / "a.json"
    words = ["audit", str(path), "--only", "crc"]
    assert main([*words, "--json", str(saved)]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    found = Audit.from_json(saved.read_text())
    assert said.out == f"{found}\n"
    assert main([*words, "--json", "-"]) == 0
    assert Audit.from_json(capsys.readouterr().out).lines[0].name == "zlib:crc32"
    # A call that raises: it could not be measured.
    assert main(["audit", str(path), "--only", "left"]) == 1
    assert "failed: ValueError" in capsys.readouterr().out


@pytest.mark.slow
def test_the_command_with_a_baseline(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "[[call]]\nname = 'f'\ntarget = 'math:sqrt'\narguments = [-1]\nbudget = 0.2\n"
    path, old = written(tmp_path, text), tmp_path / "old.json"
    words = ["audit", str(path), "--baseline", str(old)]
    old.write_text(audit(line(0.1, 0.9), line(0.1, 0.9, name="g")).to_json())
    assert main(words) == 1
    said = capsys.readouterr().out
    assert "1 changed, 0 show no difference, 0 can't be compared" in said
    assert "not in this audit: g" in said
    assert ["f", "call", "-", "-", "worse"] in [row.split() for row in said.splitlines()]

    crc = "[[call]]\nname = 'f'\ntarget = 'zlib:crc32'\narguments = ['bytes(9999)']\nbudget = 1\n"
    path.write_text(crc)
    best = line(math.nan, math.nan)
    old.write_text(audit(best).to_json())
    assert main(words) == 0
    assert "0 changed, 0 show no difference, 2 can't" in capsys.readouterr().out

    for wrong, said in (
        ("{}", f"gilx audit: {old}: expected JSON of schema gilx.audit"),
        ("", f"gilx audit: {old}: expected JSON of schema gilx.audit"),
    ):
        old.write_text(wrong)
        assert main(words) == 2
        assert capsys.readouterr().err.startswith(said)
    with pytest.raises(SystemExit, match="2"):
        main([*words, "--least", "x"])
    assert "least: expected a number, got 'x'" in capsys.readouterr().err
