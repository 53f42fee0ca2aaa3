"""Reports: in words, as a table, HTML, JSON, CSV and a picture, and damaged ones."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from string import Formatter
from typing import Any

import pytest

from gilx.errors import ArgumentError
from gilx.estimate import Estimate
from gilx.rendering.row_sentences import SENTENCES, case_of
from gilx.speedup.comparison import NO_CEILING
from gilx.speedup.losses import Loss
from gilx.speedup.report import Report, ReportRow
from gilx.speedup.report_comparison import compare
from gilx.system.environment import Environment
from tests.made_up_rows import ROW, changed
from tests.markers import needs
from tests.unit.made_up_sites import found, usage_with
from tests.unit.test_diagnostics import CONDITIONS

ROW = changed(
    ROW,
    single_speedup=Estimate(0.8, 0.7, 0.9),
    samples={"serial": (0.2, 0.21), "parallel": (0.19, 0.2)},
)
WITHOUT_CEILING: dict[str, Any] = {
    "ceiling_kind": NO_CEILING,
    "ceiling": Estimate.unknown(),
    "ceiling_fraction": Estimate.unknown(),
    "losses": (),
    "held": 0.0,
}
REPORT = Report((ROW,), Environment.here(), CONDITIONS, 0.02, 10.0)


def loses(name: str, **changes: Any) -> ReportRow:
    return changed(ROW, **{"losses": (Loss(name, 0.95, ""),), "held": 0.0, **changes})


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (ROW, "holds the GIL all the time: threads cannot help."),
        (loses("GIL", held=0.8), "threads cannot make it more than 1.2 times as fast"),
        (loses("GIL", held=0.3), "although a call holds it for only 30 % of its time"),
        (
            loses(
                "more CPU work",
                ceiling_kind="native threads on the same kernel",
                ceiling_fraction=Estimate(0.99, 0.98, 1.0),
            ),
            "limited by memory bandwidth or caches: native threads do no better",
        ),
        (loses("more CPU work"), "The same work takes more CPU time in parallel"),
        (
            loses("machine", ceiling_fraction=Estimate(1.0, 0.99, 1.01)),
            "limited by the machine and other work on it",
        ),
        (loses("machine"), "The machine was busy"),
        (loses("locks"), "Threads wait for locks other than the GIL."),
        (loses("locks", held=math.nan), "Threads wait for locks."),
        (loses("imbalance"), "Some workers end long before others"),
        (loses("dispatch"), "too short: much of the time goes into handing out the work"),
        (
            loses("unexplained"),
            "does not scale, and nothing shows that the GIL is the cause",
        ),
        (
            changed(ROW, speedup=Estimate(1.96, 1.95, 1.97)),
            "scales: the workers run side by side.",
        ),
        (changed(ROW, speedup=Estimate.unknown()), "No times could be compared."),
        (
            loses("GIL", speedup=Estimate(1.05, 0, math.inf)),
            "too few blocks for a conclusion",
        ),
        (loses("GIL", speedup=Estimate(1.05, 0.5, 2.0)), "too noisy for a conclusion"),
        (changed(ROW, workers=1), "One worker shows the cost of the pool."),
        (
            changed(ROW, ceiling_kind=""),
            "Compared with itself, the call shows a difference: by chance",
        ),
        (
            changed(ROW, **WITHOUT_CEILING),
            "does not fully scale; the cause is unknown without a ceiling",
        ),
        (
            changed(ROW, **WITHOUT_CEILING, speedup=Estimate(1.96, 1.95, 1.97)),
            "scales: the workers run side by side.",
        ),
    ],
)
def test_plain_words(row: ReportRow, words: str) -> None:
    assert words in row.reading


def test_processes_are_advised_only_where_they_were_faster() -> None:
    assert ROW.advice.endswith(", or use processes.")
    slow = changed(ROW, ceiling=Estimate(1.01, 1.0, 1.02))
    assert slow.advice == "Release the GIL in the code that computes."


def test_sentences_are_complete_and_each_case_has_its_own() -> None:
    diagnoses = [diagnosis for diagnosis, _ in SENTENCES.values()]
    for sentence in (*diagnoses, *(advice for _, advice in SENTENCES.values() if advice)):
        assert sentence[0].isupper()
        assert sentence.endswith(".")
    names = {name for words in diagnoses for _, name, _, _ in Formatter().parse(words)}
    assert names - {None} == {
        *("place", "held", "most", "native", "other", "line", "cause")
    }
    case = loses("not known here")
    assert case_of(case) == "other"
    assert case.reading == "The largest loss is not known here."


def test_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "90")
    text = str(REPORT)
    assert "1.05x  1.04 to 1.06    1.98x        53 %" in text
    assert "Lost speedup, 0.95 of 2: GIL +0.90, unexplained +0.05." in text
    assert "single calls" not in text
    assert "single calls        speedup 0.80x (0.70 to 0.90)\n" in REPORT.details()
    assert max(map(len, text.splitlines())) <= 90
    page = REPORT._repr_html_()
    assert "holds the GIL all the time" in page
    assert "<td>f</td>" in page


def test_a_long_name_has_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = str(replace(REPORT, rows=(ROW, changed(ROW, target="x" * 40))))
    assert "\n" + "x" * 40 + "\n" in text
    assert max(map(len, text.splitlines())) <= 80


def test_html_shows_names_as_they_are() -> None:
    page = Report(
        (changed(ROW, target="<b>"),), REPORT.environment, CONDITIONS, 0.02, 1
    )._repr_html_()
    assert "<td>&lt;b&gt;</td>" in page


def test_json_and_back() -> None:
    assert Report.from_json(REPORT.to_json()) == REPORT
    assert Report.from_json(REPORT.to_json(indent=1)) == REPORT
    few = changed(ROW, speedup=Estimate(1.05, 0.0, math.inf))
    report = replace(REPORT, rows=(few,))
    assert Report.from_json(report.to_json()) == report


def edited(**changes: Any) -> str:
    return json.dumps({**json.loads(REPORT.to_json()), **changes})


def with_row(**changes: Any) -> str:
    return edited(rows=[{**json.loads(REPORT.to_json())["rows"][0], **changes}])


def with_comparison(**changes: Any) -> str:
    comparison = json.loads(REPORT.to_json())["rows"][0]["comparison"]
    return with_row(comparison={**comparison, **changes})


def with_speedup(**changes: Any) -> str:
    speedup = json.loads(REPORT.to_json())["rows"][0]["comparison"]["speedup"]
    return with_comparison(speedup={**speedup, **changes})


def with_loss(**changes: Any) -> str:
    loss = json.loads(REPORT.to_json())["rows"][0]["comparison"]["losses"][0]
    return with_comparison(losses=[{**loss, **changes}])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (edited(rows={}), "text.rows: expected a list"),
        (edited(rows=[1]), r"text.rows\[0\]: expected an object, got 1"),
        (edited(precision="x"), "text.precision: expected float, got 'x'"),
        (edited(environment=None), "text.environment: expected an object"),
        (edited(conditions={}), "text.conditions: expected a field 'seconds'"),
        (with_comparison(workers=2.5), r"comparison.workers: expected int, got 2.5"),
        (with_comparison(workers=-1), r"comparison.workers: expected at least 1, got -1"),
        (with_comparison(speedup=[1]), r"comparison.speedup: expected an object"),
        (with_speedup(value=-1), r"comparison.speedup.value: expected above 0, got -1"),
        (with_speedup(value="inf"), r"speedup.value: expected above 0, got inf"),
        (with_speedup(low=[1]), "speedup.low: expected float"),
        (with_speedup(low=2), "speedup: expected low and high, got 2.0 and 1.06"),
        (with_row(target="\x1b[2J"), r"rows\[0\].target: expected printable text"),
        (with_comparison(samples={"a": ["x"]}), r"samples.a\[0\]: expected float"),
        (with_comparison(samples={"\x1b": [1]}), "samples: expected printable text"),
        (with_comparison(samples=[]), "samples: expected an object"),
        (
            with_comparison(losses=[{"cause": "x"}]),
            r"losses\[0\]: expected a field 'amount'",
        ),
        (with_loss(amount="x"), r"losses\[0\].amount: expected float"),
        (
            REPORT.to_json().replace('"value": 1.05', '"value": 1e999'),
            "speedup.value: expected float, got inf",
        ),
        (
            REPORT.to_json().replace('"value": 1.05', '"value": NaN'),
            "NaN is not a JSON number",
        ),
    ],
)
def test_other_text_is_refused(text: str, words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        Report.from_json(text)


@needs("pandas")
def test_csv_and_pandas() -> None:
    head, line = REPORT.to_csv().splitlines()
    assert head.startswith("target,variant,pool,workers,")
    values = dict(zip(head.split(","), line.split(","), strict=False))
    assert values["speedup_low"] == "1.04"
    assert values["loss_GIL"] == "0.9"
    pandas = pytest.importorskip("pandas")
    frame = REPORT.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.loc[0, "speedup"] == 1.05


def test_nothing_compared_is_not_a_comparison_with_itself() -> None:
    row = changed(
        ROW, blocks=0, ceiling_kind="", speedup=Estimate.unknown(), serial_seconds=None
    )
    assert not row.is_aa
    assert changed(ROW, ceiling_kind="").is_aa
    report = replace(REPORT, rows=(row,))
    assert Report.from_json(report.to_json()) == report


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "no difference"),
        ({"ceiling_fraction": Estimate(0.3, 0.2, 0.4)}, "worse"),
        ({"ceiling_fraction": Estimate(0.9, 0.8, 1.0)}, "better"),
        ({"ceiling_fraction": Estimate(0.3, 0.0, math.inf)}, "unknown"),
        # Fractions of different ceilings say nothing about each other.
        (
            {"ceiling_fraction": Estimate(0.3, 0.2, 0.4), "ceiling_kind": "other work"},
            "unknown",
        ),
    ],
)
def test_rows_are_compared_by_the_same_ceiling(
    changes: dict[str, Any], verdict: str
) -> None:
    after = replace(REPORT, rows=(changed(ROW, **changes),))
    [change] = compare(REPORT, after)
    assert change.verdict == verdict


@pytest.mark.parametrize(
    ("speedup", "verdict"),
    [
        (Estimate(1.05, 1.04, 1.06), "no difference"),
        (Estimate(1.5, 1.4, 1.6), "better"),
        (Estimate(0.5, 0.4, 0.6), "worse"),
    ],
)
def test_rows_without_a_ceiling_are_compared_by_their_speedups(
    speedup: Estimate, verdict: str
) -> None:
    before = replace(REPORT, rows=(changed(ROW, **WITHOUT_CEILING),))
    after = replace(REPORT, rows=(changed(ROW, **WITHOUT_CEILING, speedup=speedup),))
    assert not before.rows[0].is_aa
    [change] = compare(before, after)
    assert change.verdict == verdict


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        (900, ", nearly all of it in nowhere/features.py:41 `row.tolist()`: threads"),
        (600, ", most of it in nowhere/features.py:41 `row.tolist()`: threads cannot"),
        (
            400,
            ", spread over several lines (40 % in nowhere/features.py:41 `row.tolist()`):",
        ),
        (9, "holds the GIL all the time: threads cannot"),
    ],
)
def test_reading_names_the_line_that_holds_the_gil(samples: int, words: str) -> None:
    usage = usage_with(
        found(samples), found(1, line=50), held=990, free=10, texts={41: "row.tolist()"}
    )
    loss = Loss("GIL", 0.95, "", usage.lines())
    assert words in loses("GIL", losses=(loss,), held=0.99).reading
    partly = loses("GIL", losses=(loss,), held=0.8).reading
    assert partly.startswith("The call holds the GIL for 80 % of its time, ") == (
        samples >= 400
    )
    report = replace(REPORT, rows=(loses("GIL", losses=(loss,)),))
    assert Report.from_json(report.to_json()) == report
