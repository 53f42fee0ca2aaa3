"""The suite of benchmarks, but for its timing: judging, files, the page, bad arguments."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.any_python

ROOT = Path(__file__).parents[2]
# Scripts import each other by name, as they do where they are run.
sys.path.append(str(ROOT / "benchmarks" / "speed"))

import figures as fig  # noqa: E402
import goals  # noqa: E402
import growth  # noqa: E402
import memory  # noqa: E402
import parts  # noqa: E402
import peers  # noqa: E402
import pictures  # noqa: E402
import startup  # noqa: E402
import suite  # noqa: E402
from performance_page import page  # noqa: E402
from results import Machine, Piece, Results  # noqa: E402
from tests.command import run_python  # noqa: E402
from tests.markers import needs  # noqa: E402

import gilx  # noqa: E402
from gilx.errors import ArgumentError  # noqa: E402
from gilx.system.conditions import between, snapshot  # noqa: E402

KERNELS = gilx.kernels.names()


def figure(
    name: str = "a / b", low: float = 0.9, value: float = 1, high: float = 1.1
) -> fig.Figure:
    return fig.Figure(name, value, low, high)


@pytest.fixture(scope="module")
def machine() -> Machine:
    return Machine.here()


@pytest.fixture(scope="module")
def conditions() -> Any:
    return between(snapshot(), snapshot())


@pytest.fixture
def empty(machine: Machine) -> Results:
    return Results(machine, "2026-01-31", quick=False)


@pytest.fixture
def full(empty: Results, conditions: Any) -> Results:
    """Return results that are invented: all pieces, every goal met."""
    results = empty
    for part, subject in parts.chosen_pieces(None):
        names = {goal.figure: goal for goal in goals.GOALS if goal.part == part}
        each = tuple(
            fig.Figure(name, value, 0.99 * value, 1.01 * value, goal.unit)
            for name, goal in names.items()
            for value in [goal.wanted * 0.5 if goal.at_most else 10.0]
            if any(subject in g.subjects for g in goals.GOALS if g.figure == name)
        )
        piece = Piece(part, subject, fig.Measured(each), conditions)
        results = results.with_piece(piece)
    return results


def with_figure(results: Results, part: str, subject: str, one: fig.Figure) -> Results:
    """Return results with another figure in place of that of its name."""
    piece = results.piece(part, subject)
    assert piece is not None
    kept = tuple(f for f in piece.measured.figures if f.name != one.name)
    measured = fig.Measured((*kept, one), piece.measured.missing)
    return results.with_piece(Piece(part, subject, measured, piece.conditions))


def row(results: Results, what: str) -> goals.Row:
    [found] = [one for one in goals.rows(results) if one.goal.what == what]
    return found


# ---- figures ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "wanted", "at_most", "outcome"),
    [
        (1.0, 1.2, 1.0, False, "met"),
        (0.9, 1.2, 1.0, False, "can't tell"),
        (0.9, 0.99, 1.0, False, "not met"),
        (0.9, 1.1, 1.1, True, "met"),
        (0.9, 1.2, 1.1, True, "can't tell"),
        (1.2, 1.3, 1.1, True, "not met"),
        (0.0, math.inf, 1.0, False, "can't tell"),
        (-math.inf, math.inf, 5.0, True, "can't tell"),
    ],
)
def test_a_goal_is_judged_by_the_whole_interval(
    low: float, high: float, wanted: float, at_most: bool, outcome: str
) -> None:
    one = fig.Figure("x", 1.0, low, high)
    assert fig.judged(one, wanted, at_most=at_most) == outcome


def test_ratios_and_differences_are_taken_within_blocks() -> None:
    seconds = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]
    twice = [2 * one for one in seconds]
    assert fig.ratio("x", twice, seconds) == fig.Figure("x", 2.0, 2.0, 2.0)
    later = [one + 0.003 for one in seconds]
    found = fig.difference("x", later, seconds, unit="ms", scale=1e3)
    assert [found.low, found.value, found.high] == pytest.approx([3, 3, 3])
    few = fig.ratio("x", twice[:3], seconds[:3])
    assert (few.low, few.high) == (0, math.inf)
    assert few.between() == "too few blocks"


def test_the_interval_of_a_geometric_mean() -> None:
    one = figure(low=math.exp(-0.3), high=math.exp(0.4))
    assert fig.geometric_mean("x", [one]).low == pytest.approx(one.low)
    four = fig.geometric_mean("x", [one] * 4)
    # Errors that are independent partly cancel: by the root of their number.
    assert math.log(four.low) == pytest.approx(-0.15)
    assert math.log(four.high) == pytest.approx(0.2)
    assert fig.geometric_mean("x", [figure(value=2), figure(value=8)]).value == 4
    unknown = fig.geometric_mean("x", [one, figure(low=0, high=math.inf)])
    assert (unknown.low, unknown.high) == (0, math.inf)


# ---- goals -----------------------------------------------------------------------------


def test_every_goal_is_of_something_that_is_measured() -> None:
    for goal in goals.GOALS:
        part = parts.PARTS[goal.part]
        assert set(goal.subjects) <= set(part.subjects)
    for name, subject in goals.REASONS:
        sides = [part.peers_ahead for part in parts.PARTS.values()]
        known = [goal for goal in goals.GOALS if goal.figure == name]
        assert any(subject in goal.subjects for goal in known) or (
            not subject and "above 1" in sides
        ), (name, subject)


def test_all_met(full: Results) -> None:
    table = goals.rows(full)
    assert len(table) == len(goals.GOALS)
    assert {one.outcome for one in table} == {"met"}
    assert goals.status(table) == 0
    assert goals.ahead(full) == []


def test_one_kernel_behind(full: Results) -> None:
    slow = figure("c-nogil / plain C", 0.7, 0.8, 0.9)
    results = with_figure(full, "kernels", "heat", slow)
    found = row(results, "each C kernel against straightforward C at `-O3 -march=native`")
    assert (found.outcome, found.figure) == ("not met", slow)
    assert found.which == "heat; met by 9 of 10; not met: heat"
    assert goals.status(goals.rows(results)) == 1
    [behind] = goals.ahead(results)
    assert behind.what == "`heat`: c-nogil / plain C"
    assert behind.reason == "The reason is not known."


def test_a_peer_may_be_ahead_though_a_goal_is_met(full: Results) -> None:
    blas = figure("c-nogil / OpenBLAS", 0.5, 0.6, 0.7)
    results = with_figure(full, "kernels", "matmul", blas)
    assert goals.status(goals.rows(results)) == 0
    [behind] = goals.ahead(results)
    assert behind.reason == goals.REASONS["c-nogil / OpenBLAS", "matmul"]


def test_in_times_a_peer_is_ahead_above_1(full: Results) -> None:
    for name, expected in (
        ("processes / ThreadPoolExecutor", 1),
        ("joblib threading / ThreadPoolExecutor", 0),  # neither is gilx's
    ):
        results = with_figure(full, "region", "", figure(name, 1.1, 2, 3))
        assert len(goals.ahead(results)) == expected
        results = with_figure(full, "region", "", figure(name, 0.3, 0.5, 1.1))
        assert goals.ahead(results) == []


def test_what_cannot_be_told_is_not_met_by_luck(full: Results) -> None:
    wide = figure("ceiling fraction", 0.9, 0.98, 1.0)
    results = with_figure(full, "scaling", "triad", wide)
    found = row(results, "share of the ceiling on `threads`, 2 workers, each kernel")
    assert (found.outcome, found.figure) == ("can't tell", wide)
    assert goals.status(goals.rows(results)) == 4


def test_a_peer_that_is_missing_is_said(full: Results, conditions: Any) -> None:
    why = {"c-nogil / numba": "numba is not installed"}
    measured = fig.Measured((figure("c-nogil / plain C", 2, 3, 4),), why)
    results = full.with_piece(Piece("kernels", "primes", measured, conditions))
    found = row(results, "each C kernel against numba, one thread")
    assert found.outcome == "not measured"
    assert "primes: numba is not installed" in found.which
    mean = next(
        one for one in goals.rows(results) if one.goal.mean and one.absent == found.absent
    )
    assert mean.outcome == "not measured"
    assert mean.which.startswith("of 9 of 10 only")
    assert goals.status(goals.rows(results)) & 8
    assert "numba is not installed" in page(results)


def test_only_what_was_run_has_rows(empty: Results, conditions: Any) -> None:
    assert goals.rows(empty) == []
    measured = fig.Measured((figure("c-nogil / numba", 2, 3, 4),))
    results = empty.with_piece(Piece("kernels", "triad", measured, conditions))
    found = row(results, "each C kernel against numba, one thread")
    assert found.outcome == "not measured"
    assert found.which == "triad; met by 1 of 10; 9 of them: not run"
    assert not [one for one in goals.rows(results) if one.goal.part != "kernels"]
    assert goals.status([], failed=True) == 8


# ---- files -----------------------------------------------------------------------------


def test_results_come_back_from_json(full: Results) -> None:
    assert Results.from_json(full.to_json()) == full
    unknown = figure("c-nogil / numba", 0, 1, math.inf)
    results = with_figure(full, "kernels", "triad", unknown)
    assert Results.from_json(results.to_json()) == results


def test_pieces_that_make_no_sense_are_refused(full: Results) -> None:
    for where, value, message in (
        ("part", "speed", r"pieces\[0\].part: expected one of kernels"),
        ("subject", "sort", r"pieces\[0\].subject: expected one of mandelbrot"),
    ):
        values = json.loads(full.to_json())
        values["pieces"][0][where] = value
        with pytest.raises(ArgumentError, match=message):
            Results.from_json(json.dumps(values))
    values = json.loads(full.to_json())
    values["pieces"][0]["measured"]["figures"][0]["high"] = 0.5
    with pytest.raises(ArgumentError, match="in its interval"):
        Results.from_json(json.dumps(values))


def test_a_piece_takes_the_place_of_the_one_before(full: Results) -> None:
    first = full.pieces[0]
    assert full.with_piece(first) == full


# ---- the page --------------------------------------------------------------------------


def test_the_page_shows_everything(full: Results) -> None:
    text = page(full)
    assert full.machine.environment.cpus.model in text
    assert full.machine.environment.python in text
    for goal in goals.GOALS:
        assert f"| {goal.what} | {goal.text()} |" in text
    for part in parts.PARTS.values():
        assert f"\n## {part.title}\n" in text
    for kernel in KERNELS:
        assert text.count(f"\n| `{kernel}` |") == 3
    assert "quick run" not in text
    # Every line of a table has as many cells as its head.
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in block.splitlines()}) == 1


def test_the_page_of_a_part_of_a_run(empty: Results) -> None:
    text = page(empty)
    assert text.count("It was not run.") == len(parts.PARTS)
    assert text.count("| not measured |") == len(goals.GOALS)


def test_nothing_measured_is_not_all_met(empty: Results, tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    file.write_text(empty.to_json(), "utf-8")
    assert suite.main(["--write-docs", str(file)], tmp_path / "page.md") == 8


def test_the_page_of_the_docs_is_that_of_the_results() -> None:
    """`python benchmarks/speed/suite.py --write-docs benchmarks/speed/results.json` makes it so."""
    results = Results.from_json(
        (ROOT / "benchmarks/speed/results.json").read_text("utf-8")
    )
    assert (ROOT / "docs/performance.md").read_text("utf-8") == page(results)


def test_the_page_is_made_of_a_file(
    full: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, target = tmp_path / "results.json", tmp_path / "performance.md"
    file.write_text(full.to_json(), "utf-8")
    assert suite.main(["--write-docs", str(file)], target) == 0
    assert target.read_text("utf-8") == page(full)
    assert "import gilx" in capsys.readouterr().out


@needs("vl_convert")
def test_pictures(full: Results, tmp_path: Path) -> None:
    drawn = pictures.draw(full, str(tmp_path / "pictures"))
    assert {path.stem for path in drawn} == {*parts.PARTS} - {"region"}  # has no goals
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in drawn)


# ---- the command -----------------------------------------------------------------------


def test_pieces_are_chosen_in_the_order_of_the_suite() -> None:
    chosen = parts.chosen_pieces(["startup", "kernels:heat", "kernels:triad", "startup"])
    assert chosen == [("kernels", "triad"), ("kernels", "heat"), ("startup", "")]
    assert len(parts.chosen_pieces(None)) == 3 * len(KERNELS) + 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--only", "speed"], "--only: expected one of kernels, growth"),
        (["--only", "kernels:sort"], "--only kernels:: expected one of mandelbrot"),
        (["--only", "startup:triad"], "expected startup, which is one piece"),
        (["--again"], "--again: expected --json"),
        (["--write-docs", "there.json", "--quick"], "expected no --quick beside it"),
        (["--write-docs", "none.json"], "none.json: can't be read"),
        (["--write-docs", "there.json"], "there.json: expected JSON of schema"),
        (["--json", "there.json"], "there.json: expected JSON of schema"),
        (["--json", "no/such/folder.json"], "--json: can't write"),
    ],
)
def test_bad_arguments(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("there.json").write_text('{"schema": "gilx.report"}')
    with pytest.raises(SystemExit) as error:
        suite.main(words, tmp_path / "page.md")
    assert error.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "page.md").exists()


def test_a_file_of_other_figures_is_not_gone_on_with(
    full: Results, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "results.json"
    values = json.loads(full.to_json())
    values["machine"]["compiler"] = "another one"
    file.write_text(json.dumps(values))
    for words, message in ((["--quick"], "expected a quick run"), ([], "compiler: ")):
        with pytest.raises(SystemExit):
            suite.main(["--json", str(file), *words])
        assert message in capsys.readouterr().err
    assert json.loads(file.read_text()) == values


def test_a_file_without_pieces_is_begun_anew(
    empty: Results, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = dataclasses.replace(machine, compiler="another one")
    file = tmp_path / "results.json"
    file.write_text(dataclasses.replace(empty, machine=elsewhere).to_json(), "utf-8")
    monkeypatch.setattr(
        suite, "_measured_apart", lambda *_, quick: pytest.fail(f"quick: {quick}")
    )
    monkeypatch.setattr(suite, "chosen_pieces", lambda _: [])
    assert suite.main(["--json", str(file)]) == 8


def test_what_the_file_has_is_not_measured_again(
    conditions: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[tuple[str, str]] = []

    def measured(part: str, subject: str, *, quick: bool) -> Piece:
        assert not quick
        asked.append((part, subject))
        if subject == "heat":
            raise MemoryError("too large")
        found = fig.Measured((figure("c-nogil / numba", 2, 3, 4),))
        return Piece(part, subject, found, conditions, ("a neighbour",))

    monkeypatch.setattr(suite, "_measured_apart", measured)
    file = tmp_path / "results.json"
    words = ["--json", str(file), "--only", "kernels:heat", "kernels:triad"]
    assert suite.main(words) & 8
    printed = capsys.readouterr()
    assert "kernels:heat: not measured: MemoryError: too large" in printed.err
    assert "warning: a neighbour" in printed.out
    # What failed is tried again, what was measured is not.
    assert suite.main(words) & 8
    assert asked.count(("kernels", "heat")) == 2
    assert asked.count(("kernels", "triad")) == 1
    suite.main([*words, "--again"])
    assert asked.count(("kernels", "triad")) == 2
    saved = Results.from_json(file.read_text())
    assert [(one.part, one.subject) for one in saved.pieces] == [("kernels", "triad")]


@pytest.mark.slow
def test_a_piece_is_measured_in_a_process_of_its_own(tmp_path: Path) -> None:
    """One whose time is bounded; what comes out does not matter."""
    file = tmp_path / "results.json"
    script = ROOT / "benchmarks" / "speed" / "suite.py"
    chosen = ("--quick", "--only", "scaling:montecarlo")
    done = run_python(script, *chosen, "--json", file)
    # Of nine kernels nothing is known.
    assert done.returncode & 8, done.stdout + done.stderr
    [piece] = Results.from_json(file.read_text()).pieces
    assert (piece.part, piece.subject) == ("scaling", "montecarlo")
    found = piece.measured
    names = [one.name for one in found.figures] or list(found.missing)
    assert names[0] == "ceiling fraction", done.stdout + done.stderr
    assert piece.conditions.seconds > 0


def test_growth_of_a_problem() -> None:
    found = growth.measure("montecarlo", 1, 2)
    [one] = found.figures
    assert one.note.startswith("2 times the work; arrays of")
    assert one.value > 0
    assert {arm: len(seconds) for arm, seconds in found.samples.items()} == {
        "default": 1,
        "large": 1,
    }


def test_the_command_loads_no_numpy() -> None:
    """Or parts could not say any more how many threads its libraries have."""
    code = "import suite, sys; sys.exit('numpy' in sys.modules)"
    run_python("-c", code, cwd=ROOT / "benchmarks" / "speed", check=True)


# ---- parts -----------------------------------------------------------------------------


def test_peers_that_are_not_there_have_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "numba",
        "rapidfuzz",
        "rapidfuzz.distance",
        "rapidfuzz.distance.Levenshtein",
    ):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "numba_kernels", raising=False)
    monkeypatch.setattr("shutil.which", lambda _: None)
    peers._library.cache_clear()
    found = peers.peers(gilx.kernels.get("levenshtein").problem(4))
    assert found.arms == {}
    assert found.missing["plain C"] == "gcc is not installed"
    assert "rapidfuzz" in found.missing["rapidfuzz"]
    assert found.missing["numba"] == "numba is not installed"


@pytest.mark.parametrize("name", ["histogram", "montecarlo"])
def test_peers_that_are_there_return_seconds(name: str) -> None:
    problem = gilx.kernels.get(name).problem(1000)
    found = peers.peers(problem)
    library, _ = peers.LIBRARIES[name]
    assert found.arms[library]() > 0


def test_large_problems_fit_into_memory() -> None:
    heat = gilx.kernels.get("heat")
    now = growth.in_memory(heat.problem())
    assert now == 3 * 8 * heat.default_size**2
    plenty = 10**15
    assert growth.largest_size(heat, now, 100, plenty) == 10 * heat.default_size
    matmul = gilx.kernels.get("matmul")
    size = growth.largest_size(matmul, 10**7, 100, plenty)
    assert size**3 == pytest.approx(100 * matmul.default_size**3, rel=0.01)
    some = growth.largest_size(heat, now, 100, 100 * now)
    assert 3 * 8 * some**2 <= 100 * now
    assert some < 10 * heat.default_size
    with pytest.raises(ArgumentError, match=r"memory: expected .* to be free for heat"):
        growth.largest_size(heat, now, 100, now)


def test_free_memory_heeds_the_control_group(tmp_path: Path) -> None:
    assert memory.free_memory(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    7 kB\n")
    assert memory.free_memory(tmp_path) == 7 * 1024
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    assert memory.free_memory(tmp_path) == 7 * 1024
    (group / "memory.max").write_text("5000\n")
    (group / "memory.current").write_text("1000\n")
    assert memory.free_memory(tmp_path) == 4000


def test_caches_are_read_by_level(tmp_path: Path) -> None:
    for number, (level, kind, size) in enumerate(
        [(1, "Data", "32K"), (1, "Instruction", "64K"), (2, "Unified", "1024K")]
    ):
        folder = tmp_path / f"sys/devices/system/cpu/cpu0/cache/index{number}"
        folder.mkdir(parents=True)
        for name, value in (("level", level), ("type", kind), ("size", size)):
            (folder / name).write_text(f"{value}\n")
    assert memory.cache_sizes(tmp_path) == {"L1": 32 << 10, "L2": 1 << 20}


def test_startup_without_pytest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    found = startup.measure("", 1)
    assert found.missing == {"the idle pytest plugin": "pytest is not installed"}
    assert found.figures[0].name == "import gilx"
