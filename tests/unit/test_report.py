"""Reports: in words, as a table, HTML, JSON, CSV and a picture, and damaged ones."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

from gilx.errors import ArgumentError
from gilx.estimate import Estimate
from gilx.speedup.report import Loss, Report, ReportRow
from gilx.system.conditions import Conditions
from gilx.system.environment import Environment

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
    speedup=Estimate(1.05, 1.04, 1.06),
    interval_kind="anytime",
    single_speedup=Estimate(0.8, 0.7, 0.9),
    ceiling=Estimate(1.98, 1.96, 1.99),
    ceiling_kind="the same calls in processes",
    ceiling_fraction=Estimate(0.53, 0.52, 0.54),
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
                ceiling_fraction=Estimate(0.99, 0.98, 1.0),
            ),
            "limited by memory bandwidth or caches: native threads do no better",
        ),
        (loses("more CPU work"), "the same work takes more CPU time in parallel"),
        (
            loses("machine", ceiling_fraction=Estimate(1.0, 0.99, 1.01)),
            "limited by the machine and its neighbours",
        ),
        (loses("machine"), "the machine was busy"),
        (loses("imbalance"), "some workers end long before others"),
        (loses("dispatch"), "too short: much of the time goes into handing the work out"),
        (loses("unexplained"), "does not scale, and not because of the GIL"),
        (
            replace(ROW, speedup=Estimate(1.96, 1.95, 1.97)),
            "scales: the workers run side by side",
        ),
        (replace(ROW, speedup=Estimate.unknown()), "nothing could be compared"),
        (loses("GIL", speedup=Estimate(1.05, 0, math.inf)), "too few blocks to tell"),
        (loses("GIL", speedup=Estimate(1.05, 0.5, 2.0)), "too noisy to tell"),
        (replace(ROW, workers=1), "one worker: shows what the pool costs"),
        (replace(ROW, ceiling_kind=""), "compared with itself, it differs: by chance"),
    ],
)
def test_plain_words(row: ReportRow, words: str) -> None:
    assert words in row.reading


def test_processes_are_advised_only_where_they_were_faster() -> None:
    assert replace(ROW, ceiling=Estimate(1.01, 1.0, 1.02)).reading.endswith(
        "threads cannot help"
    )


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
    few = replace(ROW, speedup=Estimate(1.05, 0.0, math.inf))
    report = replace(REPORT, rows=(few,))
    assert Report.from_json(report.to_json()) == report


def changed(**changes: Any) -> str:
    return json.dumps({**json.loads(REPORT.to_json()), **changes})


def with_row(**changes: Any) -> str:
    return changed(rows=[{**json.loads(REPORT.to_json())["rows"][0], **changes}])


def with_speedup(**changes: Any) -> str:
    speedup = json.loads(REPORT.to_json())["rows"][0]["speedup"]
    return with_row(speedup={**speedup, **changes})


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
        (with_row(speedup=[1]), r"rows\[0\].speedup: expected an object"),
        (with_speedup(value=-1), r"rows\[0\].speedup.value: expected above 0, got -1"),
        (with_speedup(value="inf"), r"speedup.value: expected above 0, got inf"),
        (with_speedup(low=[1]), "speedup.low: expected float"),
        (with_speedup(low=2), "speedup: expected low and high, got 2.0 and 1.06"),
        (with_row(target="\x1b[2J"), r"rows\[0\].target: expected printable text"),
        (with_row(samples={"a": ["x"]}), r"samples.a\[0\]: expected float"),
        (with_row(samples={"\x1b": [1]}), "samples: expected printable text"),
        (with_row(samples=[]), "samples: expected an object"),
        (with_row(losses=[{"cause": "x"}]), r"losses\[0\]: expected a field 'amount'"),
        (with_loss(amount="x"), r"losses\[0\].amount: expected float"),
        (
            REPORT.to_json().replace('"value": 1.05', '"value": 1e999'),
            "speedup.value: expected float, got inf",
        ),
        (
            REPORT.to_json().replace('"value": 1.05', '"value": NaN'),
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
    assert values["speedup_low"] == "1.04"
    assert values["loss_GIL"] == "0.9"
    pandas = pytest.importorskip("pandas")
    frame = REPORT.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame.loc[0, "speedup"] == 1.05


def test_the_picture(tmp_path: Any) -> None:
    pytest.importorskip("matplotlib")
    rows = [
        replace(ROW, workers=n, speedup=Estimate(1 + n / 10, 1, 1.5)) for n in (1, 2, 4)
    ]
    rows += [replace(row, target="g", speedup=row.speedup.times(0.9)) for row in rows]
    rows.append(replace(ROW, speedup=Estimate.unknown()))
    path = tmp_path / "x.png"
    replace(REPORT, rows=tuple(rows)).plot().savefig(path)
    assert path.read_bytes().startswith(b"\x89PNG")
