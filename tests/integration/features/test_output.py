"""Records as pages, tables, pictures, JSON and in a notebook."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from typing import TYPE_CHECKING, Any

import gilx
from gilx import ckernels
from tests.command import run_program
from tests.markers import needs, needs_watch
from tests.page_parser import Page
from tests.trying import first_that

from .interface import (
    ROOT,
    command,
    figure,
    predict,
    prediction_from_json,
    timeline_from_json,
)

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from .conftest import Watched


def assert_page(text: str, *words: str) -> None:
    """Assert that a page stands alone, draws something, and has these words."""
    assert text.startswith("<!doctype html>")
    page = Page(text)
    assert all(map(page.tags, ("table", "figure", "script", "style")))
    addresses = page.values("src") + page.values("href")
    assert all(address.startswith(("#", "data:")) for address in addresses)
    shown = " ".join(page.words.split())
    for word in words:
        assert word in shown


# ---- a report ----------------------------------------------------------------------------


def test_report_is_the_same_after_json(report: gilx.Report) -> None:
    text = report.to_json()
    assert json.loads(text)["schema"] == "gilx.report"
    again = gilx.Report.from_json(text)
    assert again.to_json() == text
    assert str(again) == str(report)
    assert [row.target for row in again.rows] == [row.target for row in report.rows]


def test_report_is_a_table_of_comma_separated_values(report: gilx.Report) -> None:
    rows = list(csv.DictReader(io.StringIO(report.to_csv())))
    assert [row["variant"] for row in rows] == ["c-gil", "c-nogil"]
    for line, row in zip(rows, report.rows, strict=True):
        assert float(line["speedup"]) == figure(row, "speedup")
        assert int(line["workers"]) == 2
        losses = [float(line[name]) for name in line if name.startswith("loss_")]
        assert losses == [loss.amount for loss in row.losses]


@needs("pandas")
def test_report_is_a_data_frame(report: gilx.Report) -> None:
    frame = report.to_pandas()
    assert list(frame["variant"]) == ["c-gil", "c-nogil"]
    assert list(frame["speedup"]) == [figure(row, "speedup") for row in report.rows]


def test_report_shows_itself_as_text_and_in_a_notebook(report: gilx.Report) -> None:
    table = report._repr_html_()
    for text in (str(report), table):
        assert "levenshtein c-gil" in text
        assert f"{figure(report.rows[0], 'speedup'):.2f}x" in text
    assert table.count("<tr") >= 3
    assert "Lost speedup, " in str(report)


@needs("vl_convert")
def test_report_is_a_page(report: gilx.Report) -> None:
    assert_page(report.to_html(), "levenshtein c-gil", "levenshtein c-nogil")


@needs("vl_convert")
def test_report_is_a_picture(report: gilx.Report, tmp_path: Path) -> None:
    report.plot().save(tmp_path / "report.png")
    assert (tmp_path / "report.png").read_bytes().startswith(b"\x89PNG")


def test_measure_writes_every_form_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")  # as `command` does
    words = ("measure", "collatz", "--size", "2000", "--workers", "1,2", "--blocks", "6")
    options = ["--json", "a.json", "--csv", "a.csv"]
    for module, option, file in (
        ("vl_convert", "--plot", "a.png"),
        ("vl_convert", "--html", "a.html"),
    ):
        if not needs(module).args[0]:
            options += [option, file]
    done = command(*words, "--budget", "0.3", *options, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    report = gilx.Report.from_json((tmp_path / "a.json").read_text())
    assert [row.workers for row in report.rows if row.variant == "c-nogil"] == [1, 2]
    assert done.stdout == f"{report}\n"
    assert (tmp_path / "a.csv").read_text() == report.to_csv()
    if "a.png" in options:
        assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    if "a.html" in options:
        assert_page((tmp_path / "a.html").read_text(), "collatz c-nogil")


# ---- what a watch found ------------------------------------------------------------------


@needs_watch
def test_usage_and_timeline_are_the_same_after_json(watched: Watched) -> None:
    usage, timeline = watched.usage, watched.timeline
    assert gilx.GilUsage.from_json(usage.to_json()) == usage
    assert timeline_from_json(timeline.to_json()) == timeline
    assert str(timeline_from_json(timeline.to_json())) == str(timeline)


@needs_watch
def test_usage_and_timeline_show_themselves_in_a_notebook(watched: Watched) -> None:
    assert "<th>thread MainThread, longest hold</th>" in watched.usage._repr_html_()
    lanes = watched.timeline._repr_html_()
    assert lanes.count("<tr") == len(watched.timeline.lanes)
    assert lanes.count("<rect") == sum(len(lane.spans) for lane in watched.timeline.lanes)
    assert all(lane.name in str(watched.timeline) for lane in watched.timeline.lanes)


@needs_watch
@needs("vl_convert")
def test_timeline_is_a_page(watched: Watched) -> None:
    names = [lane.name for lane in watched.timeline.lanes]
    assert_page(watched.timeline.to_html(), *names)


@needs_watch
@needs("vl_convert")
def test_page_of_a_watch_has_lines_and_a_flame_graph() -> None:
    def watched() -> gilx.Watch:
        with gilx.watch(stacks=True) as watch:
            ckernels.spin(20_000_000, 0, 300_000_000)
        return watch

    line = "ckernels.spin(20_000_000, 0, 300_000_000)"
    watch = first_that(
        lambda watch: line in {site.text for site in watch.usage.sites}, watched
    )
    page = watch.to_html()
    assert_page(page, "Places in the code", line, "Calls that held the GIL")
    lanes, calls = Page(page).figures()
    assert any(line in one["place"] for one in values_of(lanes["spec"], "place"))
    names = [one["name"] for one in values_of(calls["spec"], "name")]
    here = "test_page_of_a_watch_has_lines_and_a_flame_graph ("
    assert any(name.startswith(here) for name in names)


def values_of(spec: dict[str, Any], field: str) -> list[dict[str, Any]]:
    """Return the rows that a picture looks up by a field."""
    transforms = [*spec.get("transform", ()), *spec["layer"][0]["transform"]]
    (rows,) = (
        one["from"]["data"]["values"]
        for one in transforms
        if field in one.get("from", {}).get("fields", ())
    )
    found: list[dict[str, Any]] = rows
    return found


@needs_watch
@needs("vl_convert")
def test_page_of_a_probe_has_lines_and_a_flame_graph(tmp_path: Path) -> None:
    (tmp_path / "work.py").write_text("sum(i * i for i in range(5_000_000))\n")
    done = command("probe", "--html", "x.html", "work.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "x.html").read_text()
    assert_page(page, "Places in the code", "work.py:1", "Calls that held the GIL")


@needs_watch
@needs("vl_convert")
def test_usage_and_timeline_are_pictures(watched: Watched, tmp_path: Path) -> None:
    for record in (watched.usage, watched.timeline):
        record.plot().save(tmp_path / "x.png")
        assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_prediction_is_the_same_after_json() -> None:
    found = predict([1, 4], hold=1e-3, waiting=1e-3, cpus=4)
    again = prediction_from_json(found.to_json())
    assert again == found
    assert re.search(r"\d", str(again))


# ---- a notebook --------------------------------------------------------------------------

# In a process of its own: Jupyter's packages warn of things that are theirs.
EXECUTE = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], 4)
nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
nbformat.write(notebook, sys.argv[2])
"""


@needs("nbclient", "nbformat", "ipykernel", "vl_convert")
@needs_watch
def test_notebook_of_the_examples_shows_every_record(tmp_path: Path) -> None:
    given, executed = ROOT / "examples" / "reports.ipynb", tmp_path / "executed.ipynb"
    words = [sys.executable, "-c", EXECUTE, str(given), str(executed)]
    run_program(*words, check=True, timeout=110, cwd=tmp_path)
    shown: dict[str, dict[str, Any]] = {}
    for cell in json.loads(executed.read_text())["cells"]:
        for output in cell.get("outputs", ()):
            if "data" in output:
                shown["".join(cell["source"]).splitlines()[-1]] = output["data"]
    assert "<table" in "".join(shown["report"]["text/html"])
    assert "image/png" in shown["report.plot()"]
    assert "<th>thread MainThread, " in "".join(shown["usage"]["text/html"])
    assert "<svg" in "".join(shown["watch.timeline"]["text/html"])
    # What was measured where the notebook was written is nobody else's.
    assert all(not cell.get("outputs") for cell in json.loads(given.read_text())["cells"])
