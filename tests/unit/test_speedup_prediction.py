"""Predicted speedups of a report: made from a usage, shown apart from measured ones."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from gilx.errors import WorkersUnavailableError
from gilx.estimate import Estimate
from gilx.rendering.predicted_speedups import LIMITS, TITLE
from gilx.sampling.prediction import predict
from gilx.speedup import speedup_prediction
from gilx.speedup.report import Report
from gilx.speedup.speedup_prediction import SpeedupPrediction, predicted
from gilx.system.environment import Environment
from tests.made_up_rows import ROW, changed
from tests.markers import needs_gil
from tests.unit.made_up_sites import usage_with
from tests.unit.test_diagnostics import CONDITIONS

ROWS = predict([2, 8], hold=1e-3, release=1e-3, cpus=8).rows
HALF = SpeedupPrediction("f", None, ROWS)
UNKNOWN = SpeedupPrediction("<g>", None, (), "the GIL was not watched")
HERE = replace(Environment.here(), usable_cpus=2)
MEASURED = changed(ROW, speedup=Estimate(1.43, 1.4, 1.5)), changed(ROW, workers=8)
REPORT = Report(MEASURED, HERE, CONDITIONS, 0.02, 10.0, (HALF, UNKNOWN))


def target(**changes: Any) -> Any:
    return SimpleNamespace(**{"name": "f", "variant": None, "usage": None, **changes})


@needs_gil
def test_prediction_has_a_cpu_for_each_thread() -> None:
    usage = usage_with(held=100, free=900)
    found = predicted(target(usage=usage), [1, 2, 8])
    assert found.missing == ""
    assert [row.workers for row in found.rows] == [1, 2, 8]
    assert found.rows[-1].bound == pytest.approx(min(8, 1 / usage.held.value))


@needs_gil
def test_prediction_names_the_reason_that_there_is_none() -> None:
    assert predicted(target(), [8]).missing == "the GIL was not watched"
    short = usage_with(held=1, free=1)
    assert short.inconclusive_reason
    found = predicted(target(usage=short), [8])
    assert found.rows == ()
    assert short.inconclusive_reason in found.missing


@needs_gil
def test_hand_over_that_cannot_be_measured_loses_no_report() -> None:
    def refuse(*_: object, **__: object) -> None:
        raise WorkersUnavailableError("no more threads")

    usage = SimpleNamespace(inconclusive_reason="", predict=refuse)
    found = predicted(target(usage=usage), [8])
    assert found.rows == ()
    assert found.missing.endswith("could not be measured (no more threads)")


def test_without_a_gil_there_is_nothing_to_predict_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(speedup_prediction, "gil_enabled", lambda: False)
    assert predicted(target(), [8]).missing == "there is no GIL to predict from"


def test_text_has_measured_and_predicted_speedups_side_by_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = str(REPORT)
    table = text[text.index(f"{TITLE}:") :].splitlines()
    two, eight = (line.split() for line in table[3:5])
    assert two[:2] == ["f", "2"]
    assert two[-1] == "1.43x"
    assert eight[-1] == "-"  # its threads shared two CPUs
    assert " ".join(LIMITS.split()[:8]) in text
    assert "<g> has no prediction, since the GIL was not watched." in text
    assert max(map(len, text.splitlines())) <= 80


def test_text_without_predictions_does_not_mention_them() -> None:
    report = replace(REPORT, predictions=())
    assert "redict" not in str(report) + report._repr_html_()


def test_reason_alone_is_shown_without_a_table() -> None:
    text = str(replace(REPORT, predictions=(UNKNOWN,)))
    assert "<g> has no prediction" in text
    assert "measured here" not in text


def test_html_has_the_predictions() -> None:
    page = REPORT._repr_html_()
    assert "<th>measured here</th>" in page
    assert "&lt;g&gt;" in page
    assert "<g>" not in page


def test_json_and_back() -> None:
    assert Report.from_json(REPORT.to_json()) == REPORT
