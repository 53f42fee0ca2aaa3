"""Plans and records of audits, and the comparison of two audits."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gilx.audit import (
    Audit,
    Claim,
    Line,
    Plan,
    PlanEntry,
    compare,
    perform,
    read_plan,
    size_words,
)
from gilx.cli import main
from gilx.errors import ArgumentError
from gilx.estimate import Estimate
from tests.audit_records import audit, line, scaling, written
from tests.docs.pages import ROOT
from tests.markers import needs

if TYPE_CHECKING:
    from pathlib import Path


def test_a_plan_is_read(tmp_path: Path) -> None:
    plan = read_plan(
        written(
            tmp_path,
            """
            [defaults]
            setup = "import operator"
            budget = 2

            [[call]]
            target = "builtins:sorted"
            setup = "data = list(range(size))"
            arguments = ["data"]
            keywords = { key = "operator.neg", reverse = true }
            sizes = [3, 5]
            workers = [2, 4]

            [[call]]
            name = "a sum"
            target = "builtins:sum"
            arguments = [[1, 2], 3]
            budget = 1.5
            """,
        )
    )
    first, second = plan.entries
    assert first.name == "builtins:sorted"
    assert (first.sizes, first.workers, first.budget) == ((3, 5), (2, 4), 2.0)
    assert first.call(3)() == [0, 1, 2]
    assert first.call(5)() == [0, 1, 2, 3, 4]
    assert (second.name, second.sizes, second.budget) == ("a sum", (None,), 1.5)
    assert second.call(None)() == 6
    assert plan.only(["sum"]).entries == (second,)
    with pytest.raises(ArgumentError, match="only: expected part of one of the names"):
        plan.only(["nope"])


def test_names_in_a_plan_can_be_printed(tmp_path: Path) -> None:
    text = '[[call]]\nname = "a\\u001b[31m\\nb"\ntarget = "math:sqrt"'
    (entry,) = read_plan(written(tmp_path, text)).entries
    assert entry.name == r"a\x1b[31m b"


def test_a_call_is_made_anew_where_it_is_sent() -> None:
    # A hash can't be pickled; what makes it can.
    setup = "import hashlib\nhash = hashlib.sha256(b'x' * size)"
    entry = PlanEntry("a", "operator:methodcaller", setup, ("'digest'",))
    call = pickle.loads(pickle.dumps(entry.call(3)))
    assert call.__qualname__ == "a [3]"
    digest = PlanEntry("b", "builtins:getattr", setup, ("hash", "'name'")).call(3)
    assert pickle.loads(pickle.dumps(digest))() == "sha256"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x = ", "expected TOML: Invalid value"),
        (f"x = {'9' * 5000}", "expected TOML: Exceeds the limit"),
        ("", "call: expected at least one table"),
        ("call = 3", "call: expected at least one table"),
        ("call = [3]", "call 1: expected a table, got 3"),
        ("defaults = 3", "defaults: expected a table, got 3"),
        ("[calls]", "the file: expected keys among defaults, call; got 'calls'"),
        ("[defaults]\ntarget = 'x'", "defaults: expected keys among workers, budget"),
        ("[[call]]\nx = 1", "call 1: expected keys among target, name, arguments"),
        ("[[call]]", "call 1: expected a target, such as 'json:loads'; got none"),
        ("[[call]]\ntarget = 3", "call 1: target: expected text, got 3"),
        (
            "[[call]]\ntarget = 'nope'",
            "call 1 (nope): target: expected module:callable, got 'nope'",
        ),
        (
            "[[call]]\ntarget = 'no_such:f'",
            "call 1 (no_such:f): target: can't import 'no_such': ModuleNotFoundError",
        ),
        ("[[call]]\ntarget = 'math:pi'", "target: expected a callable, but math:pi is"),
        ("[[call]]\ntarget = 'math:sqrt'\narguments = 3", "arguments: expected a list"),
        ("[[call]]\ntarget = 'math:sqrt'\nkeywords = 3", "keywords: expected a table"),
        (
            "[[call]]\ntarget = 'math:sqrt'\narguments = ['1 +']",
            "call 1 (math:sqrt): arguments: expected Python (an expression), got '1 +'",
        ),
        (
            f"[[call]]\ntarget = 'math:sqrt'\narguments = ['{'-' * 90_000}1']",
            "call 1 (math:sqrt): arguments: expected Python (an expression), got '---",
        ),
        (
            "[[call]]\ntarget = 'math:sqrt'\nsetup = '1 +'",
            "setup: expected Python (statements), got '1 +'",
        ),
        ("[[call]]\ntarget = 'math:sqrt'\nsetup = 1", "setup: expected text, got 1"),
        (
            "[[call]]\ntarget = 'math:sqrt'\nworkers = 1",
            "workers: expected at least 2, got 1",
        ),
        (
            "[[call]]\ntarget = 'math:sqrt'\nsizes = []",
            "sizes: expected at least one number, got none",
        ),
        (
            "[[call]]\ntarget = 'math:sqrt'\nsizes = ['x']",
            "sizes: expected a whole number, got 'x'",
        ),
        ("[[call]]\ntarget = 'math:sqrt'\nbudget = 0", "budget: expected above 0, got 0"),
        ("[[call]]\ntarget = 'math:sqrt'\nclaim = 3", "claim: expected a table, got 3"),
        (
            "[[call]]\ntarget = 'math:sqrt'\nclaim = { holds = true }",
            "claim: expected keys among releases, words, link, from_size; got 'holds'",
        ),
        (
            "[[call]]\ntarget = 'math:sqrt'\nclaim = { link = 'https://a' }",
            "claim: releases: expected true or false, got None",
        ),
        (
            "[[call]]\ntarget = 'math:sqrt'\nclaim = { releases = true, link = 'a' }",
            "claim: link: expected https://..., got 'a'",
        ),
        (
            (
                "[[call]]\ntarget = 'math:sqrt'\n"
                "claim = { releases = true, link = 'https://a' }"
            ),
            "claim: words: expected text, got None",
        ),
        (
            (
                "[[call]]\ntarget = 'math:sqrt'\n[call.claim]\nreleases = true\n"
                "link = 'https://a'\nwords = 'x'\nfrom_size = -1"
            ),
            "claim: from_size: expected at least 0, got -1",
        ),
        (
            "[[call]]\ntarget = 'math:sqrt'\n[[call]]\ntarget = 'math:sqrt'",
            "call: expected one 'math:sqrt', got 2: give them names",
        ),
    ],
)
def test_a_wrong_plan(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, text)
    assert main(["audit", str(path)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"gilx audit: {path}: ")
    assert words in said.err
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path, id=path.stem, marks=needs("pandas") if "pandas" in path.stem else []
        )
        for path in sorted(ROOT.glob("examples/*.toml"))
    ],
)
def test_plans_among_the_examples(path: Path) -> None:
    plan = read_plan(path)
    assert len(plan.entries) > 5
    for entry in plan.entries:
        entry.call(entry.sizes[0])()


def test_a_plan_that_is_no_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "nope.toml"]) == 2
    assert "nope.toml: can't be read: No such file" in capsys.readouterr().err


def test_text_that_is_no_audit() -> None:
    values = json.loads(audit(line(0.1, 0.9)).to_json())
    values["lines"][0]["held"] = "much"
    with pytest.raises(ArgumentError, match=r"lines\[0\].held: expected an object"):
        Audit.from_json(json.dumps(values))


@pytest.mark.parametrize(
    ("then", "now", "verdicts"),
    [
        (line(0.2, 0.9), line(0.2, 0.9), ("no difference", "no difference")),
        (line(0.2, 0.9), line(0.5, 0.5), ("worse", "worse")),
        (line(0.5, 0.5), line(0.2, 0.9), ("better", "better")),
        # Apart, but by less than counts.
        (line(0.2, 0.9), line(0.23, 0.87), ("no difference", "no difference")),
        # Much moved, but the intervals overlap.
        (
            replace(line(0.2, 0.9), held=Estimate(0.2, 0.1, 0.35)),
            replace(
                line(0.4, 0.7, scaling=(scaling(0.7, 0.2),)), held=Estimate(0.4, 0.3, 0.5)
            ),
            ("no difference", "no difference"),
        ),
        # More than the ceiling is no more than all of it.
        (line(0.2, 4.0), line(0.2, 1.0), ("no difference", "no difference")),
        (line(0.2, 4.0), line(0.2, 0.8), ("no difference", "worse")),
        (line(math.nan, 0.9), line(0.9, math.nan), ("unknown", "unknown")),
        (
            line(0.1, 0.9),
            line(0.9, 0.9, inconclusive_reason="busy"),
            ("unknown", "no difference"),
        ),
        (
            line(0.1, 0.9),
            line(0.1, 0.5, scaling=(scaling(0.5, ceiling_kind="other work"),)),
            ("no difference", "unknown"),
        ),
        # The machine had less to give.
        (
            line(0.1, 0.9),
            line(0.1, 0.5, scaling=(scaling(0.5, ceiling=Estimate(1.1, 1.0, 1.2)),)),
            ("no difference", "unknown"),
        ),
        # It hardly had.
        (
            line(0.1, 0.9),
            line(0.1, 0.5, scaling=(scaling(0.5, ceiling=Estimate(1.95, 1.8, 1.89)),)),
            ("no difference", "worse"),
        ),
        (
            line(0.1, 0.9),
            line(0.1, 0.5, scaling=(scaling(0.5, math.inf),)),
            ("no difference", "unknown"),
        ),
        (line(0.1, 0.9), line(0.1, 0.9, error="TypeError"), ("worse",)),
        (line(0.1, 0.9, error="TypeError"), line(0.1, 0.9), ("better",)),
        (line(0, 0, error="TypeError"), line(0, 0, error="x"), ("no difference",)),
        (line(0.1, 0.9, name="g"), line(0.1, 0.9), ()),
        (
            line(0.1, 0.9),
            line(0.1, 0.5, scaling=(scaling(0.5, workers=4),)),
            ("no difference",),
        ),
    ],
)
def test_what_changed(then: Line, now: Line, verdicts: tuple[str, ...]) -> None:
    changes = compare(audit(then), audit(now))
    assert tuple(change.verdict for change in changes) == verdicts


def test_the_least_change_that_counts() -> None:
    then, now = audit(line(0.2, 0.9)), audit(line(0.25, 0.9))
    for least, verdict in ((0.04, "worse"), (0.06, "no difference")):
        assert compare(then, now, least=least)[0].verdict == verdict
    with pytest.raises(ArgumentError, match="least: expected 0 to 1"):
        compare(then, now, least=2)


def test_audits_of_other_machines() -> None:
    here = audit(line(0.1, 0.9))
    other = replace(here, environment=replace(here.environment, usable_cpus=99))
    with pytest.raises(ArgumentError, match="baseline: expected an audit of this machin"):
        compare(other, here)
    assert compare(other, here, force=True)
    # It is refused before anything is measured.
    with pytest.raises(ArgumentError, match=r"usable CPUs: .* here, 99 there"):
        perform(Plan((PlanEntry("f", "no:such"),)), baseline=other)


def test_line_names_the_line_of_code_that_holds_the_gil() -> None:
    assert "\n  held in features.py:41 `row.tolist()`\n" in str(audit(line(0.5, 0.9)))
    for unknown in (
        line(0.5, 0.9, where=""),
        line(0.5, 0.9, inconclusive_reason="too short"),
    ):
        assert "held in" not in str(audit(unknown))


@pytest.mark.parametrize("columns", [80, 120])
def test_table_fits_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = scaling(0.5), scaling(0.5, notes=("made up " * 30,))
    start = f"note: {'n' * 57}...: made up"
    made = audit(
        line(0.5, 0.9, name="hashlib:pbkdf2_hmac", size=1_000_000),
        line(0.5, 0.9, name="n" * 10_000, where="x" * 300, scaling=rows),
        line(0.5, 0.9, error="ValueError: " + "x" * 300),
    )
    lines = str(made).splitlines()
    assert max(map(len, lines)) == columns
    assert "n" * (columns - 3) + "..." in lines
    assert any(each.startswith(start) for each in lines)
    assert "hashlib:pbkdf2_hmac [1000000]" in lines
    assert Audit.from_json(made.to_json()).lines[1].name == "n" * 10_000


def test_short_names_are_a_column(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    head, row = str(audit(line(0.5, 0.9))).splitlines()[3:5]
    assert head.startswith("call    time  held  longest hold  workers  ")
    assert row.startswith("f     100 ms  50 %        100 ms        2  ")


# Claims, and what a call does at its sizes

CLAIM = Claim(releases=True, words="released", link="https://example.org", from_size=9)


def test_a_claim_is_read(tmp_path: Path) -> None:
    text = f"""
    [[call]]
    target = "math:sqrt"
    claim = {{ releases = true, from_size = 9, words = "{CLAIM.words}", link = "{CLAIM.link}" }}
    """
    assert read_plan(written(tmp_path, text)).entries[0].claim == CLAIM


@pytest.mark.parametrize(
    ("held", "low", "high", "verdict"),
    [
        (1.0, 0.95, 1.0, "holds"),
        (0.95, 0.85, 1.0, "undecided"),
        (0.5, 0.4, 0.6, "in part"),
        (0.15, 0.05, 0.2, "undecided"),
        (0.0, 0.0, 0.1, "releases"),
        (0.5, 0.0, math.inf, "undecided"),
        (math.nan, math.nan, math.nan, "undecided"),
    ],
)
def test_verdict_needs_the_whole_interval(
    held: float, low: float, high: float, verdict: str
) -> None:
    made = replace(line(held, 0.9), held=Estimate(held, low, high))
    assert made.verdict == verdict


def test_verdict_of_an_inconclusive_line() -> None:
    assert line(1.0, 0.9, inconclusive_reason="too short").verdict == "undecided"


@pytest.mark.parametrize(
    ("size", "held", "contradicted"),
    [
        (9, 1.0, True),
        (9, 0.5, False),  # it may hold it for a part of the time
        (9, 0.9, None),
        (8, 1.0, False),
        (8, 0.5, True),
        (8, 0.0, True),
        (None, 0.0, False),
        (None, 1.0, True),
    ],
)
def test_measurement_and_claim(
    size: int | None, held: float, contradicted: bool | None
) -> None:
    made = line(held, 0.9, size=size, claim=CLAIM)
    assert made.contradicts_claim is contradicted
    shown = " ".join(str(audit(made)).split())
    words = "but the claim is: released, from 9 on (https://example.org)"
    assert (words in shown) is bool(contradicted)
    assert line(held, 0.9, size=size).contradicts_claim is None


def test_claims_are_kept() -> None:
    made = audit(line(0.5, 0.9, claim=CLAIM))
    assert Audit.from_json(made.to_json()).lines[0].claim == CLAIM
    values = json.loads(made.to_json())
    values["lines"][0]["claim"]["from_size"] = -1
    with pytest.raises(ArgumentError, match=r"claim.from_size: expected at least 0"):
        Audit.from_json(json.dumps(values))


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ((1.0, 1.0, 1.0), "holds the GIL at 0 to 2"),
        ((1.0, 1.0, 0.0), "holds the GIL up to 1, releases it from 2"),
        (
            (1.0, 0.5, 0.5, 0.9, 0.0),
            (
                "holds the GIL up to 0, releases it in part at 1 to 2, undecided at 3,"
                " releases it from 4"
            ),
        ),
        ((1.0,), "holds the GIL at 0"),
    ],
)
def test_words_for_a_call_at_its_sizes(held: tuple[float, ...], words: str) -> None:
    lines = [line(each, 0.9, size=size) for size, each in enumerate(held)]
    assert size_words(reversed(lines)) == words
    shown = " ".join(str(audit(*lines)).split())
    assert (f"note: f: {words}" in shown) == (len(held) > 1)
