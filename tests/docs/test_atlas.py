"""The atlas: its plans, its results, its page and its workflow."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from atlas import __main__ as script
from atlas import page
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


def at(size: int, held: float, outcome: str, **changes: Any) -> Line:
    return line(held, 0.9, size=size, scaling=(scaling(0.9, outcome=outcome),), **changes)


def test_plans_have_a_hundred_calls_and_more_of_twelve_libraries() -> None:
    assert len(CALLS) == 12
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


def test_the_newest_result_counts(tmp_path: Path) -> None:
    for release, date in (("1.10", "2026-02-01"), ("1.9", "2026-01-01")):
        result(line(0.1, 0.9), release=release, date=date).save(tmp_path)
    assert [each.release for each in newest(results(tmp_path))] == ["1.10"]


def test_a_compact_audit_compares_as_before() -> None:
    whole = audit(line(0.5, 0.9))
    small = compact(whole)
    assert len(small.to_json()) < len(whole.to_json())
    assert small.lines[0].scaling[0].losses[0].sites == ()
    assert small.lines[0].scaling[0].reading == whole.lines[0].scaling[0].reading


def test_script_says_what_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [audit(line(0.1, 0.9)), audit(line(0.9, 0.9))]
    baselines = []

    def perform(*_: object, baseline: object, **_more: object) -> object:
        baselines.append(baseline)
        return found[len(baselines) - 1]

    monkeypatch.setattr(script, "perform", perform)
    for name, value in ONE_THREAD.items():
        monkeypatch.setenv(name, value)
    words = ["python", "--results", str(tmp_path)]
    assert script.main(words) == 0
    assert "no earlier result to compare with" in capsys.readouterr().out
    assert script.main(words) == 0
    said = capsys.readouterr().out
    assert "held" in said
    assert "worse" in said
    assert "1 changed" in said
    assert baselines[0] is None
    assert baselines[1] is not None


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
