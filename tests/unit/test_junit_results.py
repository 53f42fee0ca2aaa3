"""Results so far as JUnit XML: the file is complete after each change."""

from __future__ import annotations

import os
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


def test_file_is_opened_again_if_a_test_closes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    results = JUnitResults("results.xml", "pytest", "", "by gilx")
    monkeypatch.chdir("/")
    number = results._file.descriptor
    with open(tmp_path / "other", "w+b") as other:
        os.dup2(other.fileno(), number)
        results.begin("test_a.py::test_b", "this test ran")
        results.add(report("test_a.py::test_b", "passed"))
        results.end("test_a.py::test_b")
        assert entries(tmp_path / "results.xml") == [("test_a", "test_b", [])]
        results.close()
        os.fstat(number)  # is still open
        os.close(number)
    assert (tmp_path / "other").read_bytes() == b""


def test_another_file_at_the_path_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "results.xml"
    results = JUnitResults(str(path), "pytest", "", "by gilx")
    kept = path.rename(tmp_path / "kept")  # so that its inode is not used again
    before = kept.read_bytes()
    path.write_text("the program's")
    os.close(results._file.descriptor)
    with pytest.raises(OSError, match="another file took its place"):
        results.begin("", "no test ran")
    results.close()
    assert path.read_text() == "the program's"
    assert kept.read_bytes() == before
