"""Usages beside each other, and `gilx compare` of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import gilx
from gilx import Report, cli
from gilx.errors import ArgumentError
from gilx.sampling.ratio_interval import Ratio
from tests.unit.hold_sums import sums, usage_of
from tests.unit.made_up_sites import found, usage_with
from tests.unit.test_report import REPORT

if TYPE_CHECKING:
    from gilx.sampling.sites import FoundSite

pytestmark = pytest.mark.any_python

SLOW = usage_with(
    found(380), found(20, line=50, function="load"), texts={41: "row.tolist()"}
)
# The same program, in which a line was added above and one call was made to release.
FAST = usage_with(
    found(30, line=44, end_line=44),
    found(25, line=50, function="load"),
    held=55,
    free=945,
    texts={44: "row.tolist()"},
)


def test_line_that_moved_is_found_by_its_text() -> None:
    whole, tolist, load = gilx.compare_usages(SLOW, FAST)
    assert (whole.place, whole.before, whole.after) == ("all", SLOW.held, FAST.held)
    assert (tolist.place, tolist.text) == ("nowhere/features.py:44", "row.tolist()")
    assert (tolist.before.value, tolist.after.value) == (0.38, 0.03)
    assert (load.place, load.function) == ("nowhere/features.py:50", "load")
    assert [each.verdict for each in (whole, tolist, load)] == [
        *("less", "less", "unclear")
    ]
    again = gilx.compare_usages(FAST, SLOW)
    assert [each.verdict for each in again] == ["more", "more", "unclear"]


def test_usages_without_a_gil_are_refused() -> None:
    nothing = Ratio(*(0.0,) * 8)
    without = usage_of(sums(0, 100, own=nothing, locked=nothing), by_thread=())
    with pytest.raises(ArgumentError, match=r"^before: expected a usage with a GIL"):
        gilx.compare_usages(without, without)
    with pytest.raises(ArgumentError, match=r"^after: .* a Python without a GIL$"):
        gilx.compare_usages(SLOW, without)


def test_place_that_only_one_usage_has_is_compared_with_none() -> None:
    gone = usage_with(found(25, line=50, function="load"), held=25, free=975)
    tolist = gilx.compare_usages(SLOW, gone)[1]
    assert tolist.after.value == 0
    assert 0 < tolist.after.high < 0.01
    assert tolist.verdict == "less"
    few = usage_with(found(1, line=9), held=25, free=975)
    assert gilx.compare_usages(gone, few)[2].verdict == "unclear"


def test_sites_of_a_line_count_together_and_move_together() -> None:
    def line(number: int, *samples: int) -> list[FoundSite]:
        return [
            found(each, line=number, column=place, end_column=place + 2)
            for place, each in enumerate(samples)
        ]

    texts = {7: "f(g(x))", 9: "f(g(x))", 8: "h(x)"}
    before = usage_with(*line(7, 100, 20), *line(8, 50), texts=texts)
    # The inner call was found once in the earlier usage only.
    after = usage_with(*line(9, 110), *line(7, 10), texts=texts | {7: "new(x)"})
    changes = gilx.compare_usages(before, after)[1:]
    assert [(each.place[-2:], each.text) for each in changes] == [
        *((":9", "f(g(x))"), (":8", "h(x)"), (":7", "new(x)"))
    ]
    shares = [(each.before.value, each.after.value) for each in changes]
    assert shares == [(0.12, 0.11), (0.05, 0.0), (0.0, 0.01)]


def test_lines_of_files_in_another_directory_are_found() -> None:
    def usage(home: str, *names: str) -> gilx.GilUsage:
        sites = [found(50 + 10 * n, file=home + name) for n, name in enumerate(names)]
        return usage_with(*sites, texts={41: "f(x)"})

    before = usage("/a/work/", "one/run.py", "two/run.py", "main.py", "kept.py")
    after = usage("/b/", "one/run.py", "two/run.py", "main.py", "new.py")
    changes = gilx.compare_usages(before, after)[1:]
    assert [(each.place, each.before.value, each.after.value) for each in changes] == [
        ("work/kept.py:41", 0.08, 0.0),
        ("b/new.py:41", 0.0, 0.08),
        ("b/main.py:41", 0.07, 0.07),
        ("two/run.py:41", 0.06, 0.06),
        ("one/run.py:41", 0.05, 0.05),
    ]


def test_files_that_several_could_be_are_not_found_elsewhere() -> None:
    before = usage_with(found(50, file="/a/run.py"), texts={41: "f(x)"})
    after = usage_with(
        *(found(50, file=f"/b/{part}/run.py") for part in ("one", "two")),
        texts={41: "f(x)"},
    )
    for changes in (
        gilx.compare_usages(before, after),
        gilx.compare_usages(after, before),
    ):
        assert sorted(each.before.value for each in changes[1:]) in (
            [0, 0, 0.05],
            [0, 0.05, 0.05],
        )


def test_line_keeps_its_number_if_several_have_its_text() -> None:
    texts = {7: "f(x)", 9: "f(x)"}
    before = usage_with(found(100, line=7), found(50, line=9), texts=texts)
    after = usage_with(found(20, line=7), found(50, line=9), texts=texts)
    changes = gilx.compare_usages(before, after)[1:]
    assert [each.verdict for each in changes] == ["less", "unclear"]
    assert [each.place[-2:] for each in changes] == [":7", ":9"]


def test_command_shows_twenty_lines_and_the_number_of_the_rest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    many = usage_with(*(found(9, line=number) for number in range(1, 23)))
    paths = written(tmp_path, a=many, b=many)
    assert cli.main(["compare", *paths]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3 + 1 + 21 + 1
    assert lines[-1] == "2 more lines with smaller shares"


def test_usages_without_stacks_are_compared_as_a_whole() -> None:
    without = usage_of(sums(400, 600, stacks=0.0, stacks_squares=0.0))
    assert [each.place for each in gilx.compare_usages(without, FAST)] == ["all"]


def test_program_is_not_compared_with_calls() -> None:
    program = usage_with(found(1), program="script.py")
    with pytest.raises(
        ArgumentError, match="after: expected the usage of calls, got that of a program"
    ):
        gilx.compare_usages(SLOW, program)
    whole = gilx.compare_usages(program, program)[0]
    assert whole.before == program.locked


def written(folder: Path, **records: gilx.GilUsage | Report) -> list[str]:
    paths = [folder / f"{name}.json" for name in records]
    for path, record in zip(paths, records.values(), strict=True):
        path.write_text(record.to_json())
    return list(map(str, paths))


def test_command_shows_whether_a_change_helped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = written(tmp_path, before=SLOW, after=FAST)
    assert cli.main(["compare", before, after]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"A: {before}: {SLOW.sentence()}"
    assert [line.split()[:5] for line in lines[4:]] == [
        ["40", "%", "5.5", "%", "less"],
        ["38", "%", "3.0", "%", "less"],
        ["2.0", "%", "2.5", "%", "unclear"],
    ]
    assert lines[5].endswith("  nowhere/features.py:44 extract  row.tolist()")
    assert cli.main(["compare", after, before]) == 1
    assert cli.main(["compare", after, after]) == 0


def test_table_of_the_command_fits_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = f"convert({', '.join('abcdefghijklm')})"
    long = usage_with(found(380, function="Features.extract"), texts={41: text})
    assert cli.main(["compare", *written(tmp_path, a=long, b=long)]) == 0
    table = capsys.readouterr().out.partition("\n\n")[2]
    assert text in " ".join(table.split())
    assert max(map(len, table.splitlines())) <= 80


def test_command_says_why_lines_are_unknown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = sums(400, 600, stacks=0.0, stacks_squares=0.0)
    paths = written(tmp_path, a=usage_of(made, sites_missing="stacks are off"), b=FAST)
    assert cli.main(["compare", *paths]) == 0
    assert capsys.readouterr().out.endswith(
        "\nA: lines are unknown, since stacks are off\n"
    )


def test_command_refuses_a_usage_beside_a_report(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = written(tmp_path, a=SLOW, b=REPORT)
    assert cli.main(["compare", *paths]) == 2
    assert "after: expected a usage, got a report" in capsys.readouterr().err
    assert cli.main(["compare", *paths[::-1]]) == 2
    assert "after: expected a report, got a usage" in capsys.readouterr().err


def elsewhere(usage: gilx.GilUsage, **changes: Any) -> gilx.GilUsage:
    return replace(usage, environment=replace(usage.environment, **changes))


def test_usages_of_different_machines_are_compared_only_if_asked() -> None:
    before = usage_with(found(50), texts={41: "f(x)"})
    after = elsewhere(before, usable_cpus=99)
    with pytest.raises(
        ArgumentError,
        match=r"^after: expected a usage from the same machine, got one from another"
        r" \(usable CPUs: \d+ before, 99 after\)$",
    ):
        gilx.compare_usages(before, after)
    assert len(gilx.compare_usages(before, after, force=True)) == 2
    with pytest.raises(ArgumentError, match="cannot add usages from different machines"):
        before + after
    other = elsewhere(before, python="3.99.0")
    assert len(gilx.compare_usages(before, other)) == 2
    assert (before + other).environment == before.environment


def test_command_says_how_two_usages_differ(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = usage_with(found(50), texts={41: "f(x)"})
    paths = []
    for name, usage in (
        ("a", before),
        ("python", elsewhere(before, python="3.99.0")),
        ("machine", elsewhere(before, usable_cpus=99)),
    ):
        paths.append(str(tmp_path / name))
        Path(paths[-1]).write_text(usage.to_json())
    assert cli.main(["compare", paths[0], paths[0]]) == 0
    assert "A and B are from" not in capsys.readouterr().out
    assert cli.main(["compare", paths[0], paths[1]]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "A and B are from the same machine: Python: " in words
    assert "in A, CPython 3.99.0 in B" in words
    assert cli.main(["compare", paths[0], paths[2]]) == 2
    assert "99 after" in capsys.readouterr().err
    assert cli.main(["compare", "--force", paths[0], paths[2]]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "A and B are from different machines: usable CPUs: " in words


def test_usage_without_environment_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = json.loads(usage_with(found(50)).to_json())
    del old["environment"]
    path = tmp_path / "old.json"
    path.write_text(json.dumps(old | {"version": 2}))
    assert cli.main(["compare", str(path), str(path)]) == 2
    assert "expected JSON of schema gilx.usage, version 5; got gilx.usage, version 2" in (
        capsys.readouterr().err
    )
