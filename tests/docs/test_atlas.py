"""The atlas: its plans, its results, its page and its workflow."""

from __future__ import annotations

import importlib.util
import json
import math
import re
import shlex
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from atlas import __main__ as script
from atlas import page
from atlas.comparison import MOST_OTHERS, changed_labels, changes, with_others_of
from atlas.results import (
    ONE_THREAD,
    PLANS,
    RESULTS,
    Result,
    command,
    compact,
    libraries,
    newest,
    results,
)

from gilx import cli
from gilx.audit import Claim, read_plan
from gilx.errors import ArgumentError
from gilx.estimate import Estimate
from tests.audit_records import audit, line, scaling
from tests.docs.pages import ROOT
from tests.page_parser import Page

if TYPE_CHECKING:
    from pathlib import Path

    from gilx.audit import Line

pytestmark = pytest.mark.any_python

CALLS = {
    library: tomllib.loads((PLANS / f"{library}.toml").read_text("utf-8"))["call"]
    for library in libraries()
}
HARMFUL = '"><script>alert(1)</script>'
CLAIM = Claim(releases=True, words="<b>", link="https://example.org/?a&b", from_size=10)


def names(library: str) -> list[str]:
    return [call.get("name", call["target"]) for call in CALLS[library]]


def result(*lines: Line, release: str = "1.2", date: str = "2026-01-31") -> Result:
    return Result("numpy", release, date, audit(*lines))


def lines_of(found: Result) -> tuple[Line, ...]:
    return (*found.audit.lines, *found.others)


def at(size: int, held: float, outcome: str, **changes: Any) -> Line:
    return line(held, 0.9, size=size, scaling=(scaling(0.9, outcome=outcome),), **changes)


def test_plans_have_a_hundred_calls_of_twelve_libraries_or_more() -> None:
    assert len(CALLS) >= 12
    assert sum(map(len, CALLS.values())) >= 100


@pytest.mark.parametrize("library", libraries())
def test_command_chooses_one_call(library: str) -> None:
    for name in names(library):
        chosen = [other for other in names(library) if name in other]
        assert chosen == [name]


@pytest.mark.parametrize("library", libraries())
def test_command_is_taken(library: str) -> None:
    words = shlex.split(command(library, names(library)[0]))
    assert words[: len(ONE_THREAD)] == [f"{key}=1" for key in ONE_THREAD]
    parser, commands = cli._parser()
    importlib.import_module("gilx.cli.audit").add_arguments(commands["audit"])
    options = parser.parse_args(words[len(ONE_THREAD) + 1 :])
    assert (ROOT / options.plan).samefile(PLANS / f"{library}.toml")


@pytest.mark.parametrize("library", libraries())
def test_calls_of_a_plan_can_be_made_again_and_again(library: str) -> None:
    module = {"pillow": "PIL", "scikit-learn": "sklearn", "python": "sys"}
    pytest.importorskip(module.get(library, library))
    for entry in read_plan(PLANS / f"{library}.toml").entries:
        for size in entry.sizes:
            call = entry.call(size)
            call()
            call()


@pytest.mark.parametrize(
    "path", sorted(RESULTS.glob("*/*.json")), ids=lambda path: path.stem
)
def test_result_names_no_file_of_the_machine(path: Path) -> None:
    found = Result.from_json(path.read_text("utf-8"))
    assert path == RESULTS / found.path
    assert not re.search(r'"/|/home/|/root/|site-packages', path.read_text("utf-8"))


def test_there_is_a_result_of_every_library() -> None:
    found = newest(results())
    assert {each.library for each in found} == set(libraries())
    assert all(each.audit.lines for each in found)


def test_results_are_kept_line_by_line(tmp_path: Path) -> None:
    made = result(line(1 / 3, 0.9, name="f"), line(0.1, 0.9, name="g"))
    text = made.save(tmp_path).read_text("utf-8")
    assert len([each for each in text.splitlines() if '"held"' in each]) == 2
    assert results(tmp_path)[0].audit.lines[0].held.value == 0.3333
    changed = result(line(1 / 3, 0.9, name="f"), line(0.5, 0.9, name="g"))
    after = changed.save(tmp_path).read_text("utf-8")
    pairs = zip(text.splitlines(), after.splitlines(), strict=True)
    assert sum(one != other for one, other in pairs) == 1


@pytest.mark.parametrize("date", ["2026-01-01", "2026-02-01"])
def test_the_newest_result_counts(date: str, tmp_path: Path) -> None:
    for release, day in (("1.10", "2026-02-01"), ("1.9", date)):
        result(line(0.1, 0.9), release=release, date=day).save(tmp_path)
    assert [each.release for each in newest(results(tmp_path))] == ["1.10"]


def test_file_that_is_no_result_is_named(tmp_path: Path) -> None:
    path = result(line(0.1, 0.9)).save(tmp_path)
    path.write_text(path.read_text("utf-8")[:500], "utf-8")
    with pytest.raises(ArgumentError, match=re.escape(f"{path}: text: expected JSON")):
        results(tmp_path)


def test_result_of_this_machine_is_found_behind_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = result(line(0.1, 0.9))
    elsewhere = replace(mine.audit.environment, usable_cpus=99)
    other = result(line(0.9, 0.9), release="1.3", date="2026-03-01")
    other = replace(other, audit=replace(other.audit, environment=elsewhere))
    other.save(tmp_path)
    assert script._before(mine, tmp_path) is None
    assert "not compared with an earlier one" in capsys.readouterr().out
    mine.save(tmp_path)
    found = script._before(mine, tmp_path)
    assert found is not None
    assert found.release == "1.2"


def test_interrupted_confirmation_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measuring(monkeypatch, [0.1, 0.9])
    words = ["python", "--results", str(tmp_path)]
    script.main(words)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(script, "_in_a_process", interrupted)
    with pytest.raises(KeyboardInterrupt):
        script.main(words)
    assert results(tmp_path)[0].audit.lines[0].held.value == 0.9


def test_a_compact_result_says_the_same() -> None:
    whole = replace(result(line(0.5, 0.9)), others=(line(0.4, 0.8),))
    small = compact(whole)
    assert len(small.to_json()) < len(whole.to_json())
    for short, full in zip(lines_of(small), lines_of(whole), strict=True):
        assert short.scaling[0].losses[0].sites == ()
        assert short.scaling[0].reading == full.scaling[0].reading
    assert Result.from_json(small.to_json()) == small


def measuring(
    monkeypatch: pytest.MonkeyPatch, held: list[float], more: list[float] | None = None
) -> list[object]:
    """Let measurements find these hold fractions, and those in more processes others.

    Return the baselines that were given, and the calls that were chosen for a process.
    """
    noted: list[object] = []

    def perform(*_: object, baseline: object, **_more: object) -> object:
        noted.append(baseline)
        return audit(line(held.pop(0), 0.9))

    def in_a_process(library: str, folder: Path, only: list[str], *, quiet: bool) -> None:
        assert quiet
        noted.append(only)
        if more:
            Result(library, "3", "2026-01-31", audit(line(more.pop(0), 0.9))).save(folder)

    monkeypatch.setattr(script, "perform", perform)
    monkeypatch.setattr(script, "_in_a_process", in_a_process)
    for name, value in ONE_THREAD.items():
        monkeypatch.setenv(name, value)
    return noted


def test_script_says_what_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    noted = measuring(monkeypatch, [0.1, 0.9], [0.8, 0.85, 0.7])
    words = ["python", "--results", str(tmp_path)]
    assert script.main(words) == 0
    assert "no earlier result to compare with" in capsys.readouterr().out
    assert script.main(words) == 0
    said = capsys.readouterr().out
    assert "held" in said
    assert "worse" in said
    assert "1 changed" in said
    assert noted[0] is None
    assert noted[1] is not None
    assert noted[2:] == [["f"]] * 3
    held = [each.held.value for each in lines_of(results(tmp_path)[0])]
    assert held == [0.9, 0.7, 0.85, 0.8, 0.1]  # of all processes, the last ones first


@pytest.mark.parametrize("more", [[0.1], [0.9, 0.8, 0.1]])
def test_change_that_a_new_process_does_not_show_does_not_count(
    more: list[float],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    measuring(monkeypatch, [0.1, 0.9], list(more))
    words = ["python", "--results", str(tmp_path)]
    script.main(words)
    script.main(words)
    assert "0 changed" in capsys.readouterr().out
    held = [each.held.value for each in lines_of(results(tmp_path)[0])]
    assert held == [0.9, *more[::-1], 0.1]


def held_of(text: str) -> tuple[float, ...]:
    return tuple(map(float, text.split()))


@pytest.mark.parametrize(
    ("before", "after", "verdict"),
    [
        ("0.1", "0.9", "worse"),
        ("0.1", "0.9 0.1", "no difference"),
        ("0.1 0.9", "0.9", "no difference"),
        ("0.1 0.5", "0.9 0.5", "no difference"),
        ("0.1 0.2", "0.9 0.8", "worse"),
        ("0.9 0.8", "0.1", "better"),
    ],
)
def test_figure_changed_if_it_did_between_all_processes(
    before: str, after: str, verdict: str
) -> None:
    then, now = (
        replace(
            result(line(held[0], 0.9), line(0.5, 0.9, name="g")),
            others=tuple(line(each, 0.9) for each in held[1:]),
        )
        for held in (held_of(before), held_of(after))
    )
    found = {
        change.label: change.verdict
        for change in changes(then, now)
        if change.figure == "held"
    }
    assert found == {"f": verdict, "g": "no difference"}


@pytest.mark.parametrize(
    ("release", "held", "kept"),
    [
        ("1.2", 0.5, (0.1, 0.9)),  # processes of one release differ
        ("1.3", 0.1, (0.1, 0.9)),  # nothing changed
        ("1.3", 0.5, ()),  # the library did
    ],
)
def test_earlier_processes_are_kept_unless_the_library_changed(
    release: str, held: float, kept: tuple[float, ...]
) -> None:
    before = replace(
        result(line(0.1, 0.9), line(0.5, 0.9, name="g")), others=(line(0.9, 0.9),)
    )
    made = result(line(held, 0.9), line(0.5, 0.9, name="g"), release=release)
    others = with_others_of(before, made).others
    assert tuple(each.held.value for each in others) == kept


def with_others(found: Result, *others: Line) -> Result:
    return replace(found, others=others)


UNKNOWN = replace(line(0.5, 0.9), inconclusive_reason="samples were late")
FAILED = line(0.0, 0.0, error="OSError: no")


def test_processes_that_know_nothing_confirm_no_change() -> None:
    before = result(line(0.1, 0.9))
    assert changed_labels(before, result(line(0.9, 0.9))) == {"f"}
    one = with_others(result(line(0.9, 0.9)), UNKNOWN, UNKNOWN)
    assert changed_labels(before, one) == set()
    two = with_others(result(line(0.9, 0.9)), UNKNOWN, line(0.8, 0.9))
    assert changed_labels(before, two) == {"f"}


def test_call_that_fails_in_one_process_only_has_not_changed() -> None:
    good, failed = result(line(0.1, 0.9)), result(FAILED)
    assert changed_labels(good, failed) == {"f"}
    assert changed_labels(failed, good) == {"f"}
    assert changed_labels(good, with_others(failed, line(0.1, 0.9))) == set()
    assert changed_labels(with_others(failed, line(0.1, 0.9)), good) == set()
    assert changed_labels(good, with_others(failed, FAILED)) == {"f"}


def test_unknown_line_does_not_replace_what_is_known() -> None:
    first = result(line(0.9, 0.9))
    second = with_others_of(first, result(UNKNOWN))
    assert [each.held.value for each in second.others] == [0.9]
    assert changed_labels(second, result(line(0.1, 0.9))) == {"f"}


def test_lines_of_calls_that_are_gone_are_not_kept() -> None:
    before = with_others(result(line(0.1, 0.9), line(0.5, 0.9, name="g")), UNKNOWN)
    made = with_others_of(before, result(line(0.5, 0.9, name="g")))
    assert not made.others


def test_so_many_processes_are_kept() -> None:
    made = result(line(0.1, 0.9))
    for _ in range(MOST_OTHERS + 2):
        made = replace(made, others=(line(0.2, 0.9), *made.others))
    assert len(with_others_of(made, made).others) == MOST_OTHERS


def test_lines_stay_as_they_are_if_new_processes_measure_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measuring(monkeypatch, [0.1, 0.9])
    words = ["python", "--results", str(tmp_path)]
    script.main(words)
    script.main(words)
    said = capsys.readouterr().out
    assert "changes are unconfirmed" in said
    assert "1 changed" in said


def test_results_of_some_calls_do_not_replace_those_of_all(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        script.main(["numpy", "--only", "sort"])
    assert caught.value.code == 2
    assert "only: expected --results with another folder" in capsys.readouterr().err


def test_script_does_not_compare_other_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    here = audit(line(0.1, 0.9))
    other = replace(here.environment, usable_cpus=99)
    old = Result("python", "3.0", "2026-01-31", replace(here, environment=other))
    old.save(tmp_path)
    monkeypatch.setattr(script, "perform", lambda *_, **__: here)
    for name, value in ONE_THREAD.items():
        monkeypatch.setenv(name, value)
    assert script.main(["python", "--results", str(tmp_path)]) == 0
    assert "not compared with an earlier one" in capsys.readouterr().out


def test_script_ends_with_1_if_a_call_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        script, "perform", lambda *_, **__: audit(line(0, 0, error="TypeError: no"))
    )
    for name, value in ONE_THREAD.items():
        monkeypatch.setenv(name, value)
    assert script.main(["python", "--results", str(tmp_path)]) == 1
    assert "f: TypeError: no" in capsys.readouterr().out


# The page


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ((1.0, 1.0), "holds"),
        ((0.0, 0.0), "releases"),
        ((1.0, 0.5, 0.0), "from a size"),
        ((0.5, 0.5), "in part"),
        ((0.0, 1.0), "in part"),
        ((0.9, 0.9), "undecided"),
    ],
)
def test_class_of_a_call_at_its_sizes(held: tuple[float, ...], expected: str) -> None:
    lines = [at(size, each, "pass") for size, each in enumerate(held)]
    assert page.gil_class(lines[::-1]) == expected


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (("pass", "pass"), "scales"),
        (("fail", "pass"), "from a size"),
        (("pass", "fail"), "does not"),
        (("inconclusive", "inconclusive"), "undecided"),
    ],
)
def test_class_of_scaling_at_several_sizes(
    outcomes: tuple[str, ...], expected: str
) -> None:
    lines = [at(size, 0.5, outcome) for size, outcome in enumerate(outcomes)]
    assert page.scaling_class(lines) == expected


def test_a_call_that_holds_the_gil_does_not_scale() -> None:
    assert page.scaling_class([at(1, 1.0, "inconclusive")]) == "does not"


def test_failed_call_has_no_figures() -> None:
    text = page.table([result(line(math.nan, 0.0, error="OSError: no", scaling=()))])
    assert "nan" not in text
    assert "<td>-</td><td>-</td><td>OSError: no</td>" in text


def test_command_quotes_any_name() -> None:
    name = 'it\'s "$(this)" `call`'
    assert shlex.split(command("numpy", name))[-1] == name


def test_page_says_where_measurement_and_claim_differ() -> None:
    held = {"name": HARMFUL, "claim": CLAIM}
    lines = at(5, 1.0, "fail", **held), at(20, 1.0, "fail", **held)
    text = page.table([result(*lines)])
    assert "Measured otherwise: holds at 20<" in text
    assert 'data-differs="yes"' in text
    assert "<script" not in text
    assert "?a&amp;b" in text
    assert "<b>" not in text
    agreed = page.table([result(at(20, 0.0, "pass", claim=CLAIM))])
    assert "Measured otherwise" not in agreed
    assert 'data-differs="no"' in agreed


def test_every_call_of_the_results_is_in_the_table() -> None:
    found = newest(results())
    text = page.table(found)
    Page(text)
    calls = {(each.library, one.name) for each in found for one in each.audit.lines}
    assert text.count("<tbody id=") == len(calls)
    anchors = re.findall(r'<tbody id="([^"]*)"', text)
    assert len(set(anchors)) == len(anchors)
    for each in found:
        assert each.date in text
        assert each.release in text


def test_page_has_the_figures_of_other_processes() -> None:
    found = replace(
        result(at(1, 0.5, "pass"), at(2, 0.5, "pass")), others=(at(2, 0.25, "pass"),)
    )
    [row] = re.findall("<tr><td>2</td>.*?another process.*?</tr>", page.table([found]))
    assert "25 %" in row or "25.0 %" in row


def test_unknown_figures_are_not_shown_as_zero() -> None:
    unknown = at(1, 0.5, "pass", inconclusive_reason="too short")
    text = page.table([result(replace(unknown, held=Estimate.unknown()))])
    assert "held unknown" in text
    assert "too short" in text


# The workflow and the session


WORKFLOWS = ROOT / ".github" / "workflows"


@pytest.mark.skipif(not WORKFLOWS.is_dir(), reason="the source archive has no workflows")
def test_workflow_runs_the_session_monthly_with_the_actions_of_the_others() -> None:
    text = (WORKFLOWS / "atlas.yml").read_text("utf-8")
    assert re.search(r'cron: "\d+ \d+ 1 \* \*"', text)
    assert "nox -s atlas" in text
    assert "atlas/results" in text
    uses = set(re.findall(r"uses: (\S+@[0-9a-f]{40} # v[\d.]+)\n", text))
    others = "".join(
        path.read_text("utf-8")
        for path in WORKFLOWS.glob("*.yml")
        if path.stem != "atlas"
    )
    assert len(uses) == text.count("uses:") == 3
    assert all(f"uses: {each}\n" in others for each in uses)


def test_results_are_json_of_the_atlas() -> None:
    for path in RESULTS.glob("*/*.json"):
        assert json.loads(path.read_text("utf-8"))["schema"] == "gilx.atlas"
