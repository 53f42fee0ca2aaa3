"""Results so far as JUnit XML: the file is complete after each change."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any, Literal

import pytest

from gilx.pytest_plugin.junit_results import JUnitResults
from tests.markers import needs_linux

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.any_python, needs_linux]


def report(
    nodeid: str,
    outcome: Literal["passed", "failed", "skipped"],
    longrepr: Any = None,
    when: Literal["setup", "call", "teardown"] = "call",
) -> pytest.TestReport:
    place = ("test_a.py", 0, "test")
    return pytest.TestReport(nodeid, place, {}, outcome, longrepr, when, duration=0.25)


def entries(path: Path) -> list[tuple[str, str, list[str]]]:
    suite = ET.parse(path).getroot()[0]
    assert int(suite.get("tests", -1)) == len(suite)
    return [
        (one.get("classname", ""), one.get("name", ""), [each.tag for each in one])
        for one in suite
    ]


def test_file_is_complete_after_each_change(tmp_path: Path) -> None:
    path = tmp_path / "new" / "results.xml"
    results = JUnitResults(str(path), 'suite "<' * 50, "some.prefix", "by gilx")
    assert entries(path) == [("", "pytest", ["error"])]
    ended: list[tuple[str, str, list[str]]] = []
    for number in range(200):
        # Names get shorter, so that what follows a result does, too.
        name = f"test_{number}[{'x' * (200 - number)}]"
        nodeid = f"folder/test_a.py::TestClass::{name}"
        place = "some.prefix.folder.test_a.TestClass", name
        results.begin(nodeid, "this test ran")
        assert entries(path) == [*ended, (*place, ["failure"])]
        results.add(report(nodeid, "passed", when="setup"))
        if number % 2:
            results.add(report(nodeid, "failed", "line \x1b\udcff\0 ]]> <&"))
        results.end(nodeid)
        ended.append((*place, ["failure"] if number % 2 else []))
        assert entries(path) == ended
        results.begin("", "no test ran")
        assert entries(path) == [*ended, ("", "pytest", ["error"])]
    results.close()
    suite = ET.parse(path).getroot()[0]
    assert suite.get("name") == 'suite "<' * 50
    assert (suite.get("failures"), suite.get("errors")) == ("100", "1")
    assert suite[1][0].text == "line #x1B#xDCFF#x00 ]]> <&"
    assert [suite[0].get("time"), suite[1].get("time")] == ["0.250", "0.500"]


def test_parts_of_a_test_are_one_entry(tmp_path: Path) -> None:
    path = tmp_path / "results.xml"
    path.write_text("x" * 10_000)  # of an earlier run
    results = JUnitResults(str(path), "pytest", "", "by gilx")
    results.add(report("test_a.py::test_b", "failed", "wrong"))
    results.add(report("test_a.py::test_b", "failed", "broken", "teardown"))
    results.add(report("test_a.py::test_c", "skipped", ("test_a.py", 5, "Skipped: so")))
    results.end("test_a.py::test_b")
    results.end("test_a.py::test_c")
    results.end("test_a.py::unknown")
    assert entries(path) == [
        ("test_a", "test_b", ["failure", "error"]),
        ("test_a", "test_c", ["skipped"]),
    ]
    results.close()
