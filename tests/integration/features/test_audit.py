"""Audits of many calls, with a baseline, and the comparison of two reports."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gilx._compat import gil_enabled
from gilx.audit import Audit, compare, read_plan
from tests.trying import first_that

from .interface import command

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import gilx
    from tests.command import CompletedProcess

PLAN = """
[defaults]
workers = 2
budget = 0.5

[[call]]
name = "total"
target = "builtins:sum"
setup = "numbers = list(range(size))"
arguments = ["numbers"]
sizes = [20_000]

[[call]]
name = "sleep"
target = "time:sleep"
arguments = [0.002]
budget = 2
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a plan and what ``gilx audit`` kept and printed of it."""
    folder = tmp_path_factory.mktemp("audit")
    (folder / "audit.toml").write_text(PLAN)

    def audit() -> str:
        done = command("audit", "audit.toml", "--json", "old.json", cwd=folder)
        assert done.returncode in (0, 1), done.stderr
        return done.stdout

    def is_known(_: str) -> bool:
        lines = Audit.from_json((folder / "old.json").read_text()).lines
        return not gil_enabled() or not all(line.inconclusive_reason for line in lines)

    (folder / "printed.txt").write_text(first_that(is_known, audit))
    return folder


def test_audit_has_a_line_for_each_call_and_size(audited: Path) -> None:
    assert [one.name for one in read_plan(audited / "audit.toml").entries] == [
        "total",
        "sleep",
    ]
    audit = Audit.from_json((audited / "old.json").read_text())
    assert [line.label for line in audit.lines] == ["total [20000]", "sleep"]
    printed = (audited / "printed.txt").read_text()
    for line in audit.lines:
        assert line.name in printed
        assert not line.error
        if gil_enabled():  # else the call is not watched
            assert line.seconds > 0
        assert [scaling.workers for scaling in line.scaling] == [2]
        [scaling] = line.scaling
        low, high = scaling.ceiling_fraction.interval
        assert (
            scaling.comparison.blocks == 0
            or low <= scaling.ceiling_fraction.value <= high
        )
    if gil_enabled():
        total, sleep = audit.lines
        assert total.inconclusive_reason or total.held.interval[1] > 0.5
        assert sleep.inconclusive_reason or sleep.held.interval[0] < 0.5


def estimate(value: float, low: float, high: float) -> dict[str, float]:
    """Return the JSON of a figure with its interval."""
    return {"value": value, "low": low, "high": high}


def edited(audit: Path, **figures: Any) -> str:
    """Return an audit in which every line has such a share of the ceiling."""
    values = json.loads(audit.read_text())
    for line in values["lines"]:
        for scaling in line["scaling"]:
            scaling["comparison"].update(figures)
    return json.dumps(values)


def test_audit_calls_worse_what_clearly_fell_behind_the_baseline(audited: Path) -> None:
    before = edited(audited / "old.json", ceiling_fraction=estimate(0.9, 0.85, 0.95))
    after = edited(audited / "old.json", ceiling_fraction=estimate(0.2, 0.15, 0.25))
    good, bad = Audit.from_json(before), Audit.from_json(after)

    def changes(first: Audit, second: Audit) -> set[str]:
        return {
            change.verdict for change in compare(first, second) if change.figure != "held"
        }

    assert changes(good, good) == {"no difference"}
    assert changes(good, bad) == {"worse"}
    assert changes(bad, good) == {"better"}


def test_audit_with_a_baseline_ends_with_its_answer(audited: Path) -> None:
    easy = edited(audited / "old.json", ceiling_fraction=estimate(0.01, 0, 0.02))
    (audited / "easy.json").write_text(easy)
    words = ("audit", "audit.toml", "--only", "sleep", "--baseline")

    def answers(status: int, verdict: str) -> Callable[[CompletedProcess], bool]:
        # On a busy machine, wide intervals may hide the difference.
        return lambda done: done.returncode == status and verdict in done.stdout

    first_that(answers(0, "better"), lambda: command(*words, "easy.json", cwd=audited))
    # A call that releases the GIL cannot fall behind by itself: it holds it now.
    hard = edited(audited / "old.json", ceiling_fraction=estimate(1.0, 0.99, 1.01))
    (audited / "hard.json").write_text(hard)
    held = PLAN.replace('"time:sleep"', '"builtins:sum"')
    held = held.replace("[0.002]", '["range(100_000)"]')
    (audited / "held.toml").write_text(held)
    words = ("audit", "held.toml", "--only", "sleep", "--baseline")
    first_that(answers(1, "worse"), lambda: command(*words, "hard.json", cwd=audited))


def test_compare_ends_with_its_answer(report: gilx.Report, tmp_path: Path) -> None:
    def write(name: str, share: float, model: str = "") -> None:
        values = json.loads(report.to_json())
        for row in values["rows"]:
            row["comparison"]["ceiling_fraction"] = estimate(
                share, share - 0.01, share + 0.01
            )
        if model:
            values["environment"]["cpus"]["model"] = model
        (tmp_path / name).write_text(json.dumps(values))

    write("good.json", 0.9)
    write("bad.json", 0.5)
    write("other.json", 0.9, model="another")

    def status(*words: str) -> int:
        return command("compare", *words, cwd=tmp_path).returncode

    assert status("good.json", "good.json") == 0
    assert status("good.json", "bad.json") == 1
    assert status("bad.json", "good.json") == 0
    assert status("good.json", "other.json") == 2
    assert status("--force", "good.json", "other.json") == 0
