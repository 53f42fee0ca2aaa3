"""The command, run as a user runs it."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest

import gilx
from tests.command import CompletedProcess, run_gilx, run_here, run_program
from tests.docs.pages import ROOT
from tests.markers import needs_watch
from tests.trying import first_that


def command(*arguments: str, **changes: str) -> CompletedProcess:
    return run_gilx(*arguments, env=os.environ | changes)


def test_version() -> None:
    assert command("--version").stdout == f"gilx {gilx.__version__}\n"


@pytest.mark.parametrize(
    ("name", "pool"),
    [
        *((name, "threads") for name in gilx.kernels.names()),
        ("primes", "serial"),
        ("primes", "processes"),
        ("primes", "interpreters"),
    ],
)
def test_run(name: str, pool: str, capsys: pytest.CaptureFixture[str]) -> None:
    if pool == "interpreters" and sys.version_info < (3, 14):
        pytest.skip("needs Python 3.14")
    done = run_here(
        capsys, "run", name, "--size", "50", "--pool", pool, "--schedule", "static"
    )
    assert done.returncode == 0, done.stderr
    assert re.match(
        rf"\d+ workers? computed {name} in .*; the result is right\.\n", done.stdout
    )


@pytest.mark.slow
@needs_watch
@pytest.mark.parametrize("trace", [False, True])
def test_probe_warms_up(tmp_path: Path, *, trace: bool) -> None:
    options = ["--trace", str(tmp_path / "trace.json")] if trace else []

    def probed(*words: str) -> gilx.GilUsage:
        given = ("probe", "--json=-", *options, "tests.first_call:work", *words)
        done = command(*given, PYTHONPATH=str(ROOT))
        assert done.returncode == 0, done.stderr
        return gilx.GilUsage.from_json(done.stdout)

    warm = first_that(
        lambda usage: usage.held.interval[0] < 0.1, lambda: probed("--repeat", "9")
    )
    assert warm.repeats == 9
    assert warm.first is not None
    assert warm.first.wall >= 0.3
    cold = first_that(
        lambda usage: usage.held.interval[1] > 0.9,
        lambda: probed("--no-warmup", "--repeat", "1"),
    )
    assert cold.first is None
    only = probed("--budget", "0.2")
    assert only.is_first
    assert only.repeats == 1


@needs_watch
def test_probe_of_a_call_that_raises() -> None:
    done = command("probe", "json:loads", "'[1'")
    assert done.returncode == 1
    assert "JSONDecodeError" in done.stderr
    assert "gilx: the call's usage of the GIL until then" in done.stderr


@pytest.mark.slow
def test_latency_of_a_method_in_the_current_directory(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "class A:\n    @staticmethod\n    def f(a, b):\n        assert (a, b) == (-1, 'x')\n"
    )
    script = Path(sys.executable).with_name("gilx")
    gilx_words = [script] if script.exists() else [sys.executable, "-m", "gilx"]
    words = ("--workers=1,2", "--budget=0.9", "mine:A.f", "-1", "'x'")
    done = run_program(*gilx_words, "latency", "--json", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = gilx.Latency.from_json(done.stdout)
    assert [row.workers for row in found.rows] == [0, 1, 2]


@pytest.mark.parametrize(
    ("code", "words"),
    [("raise ValueError('a\\nb')", "ValueError: a b"), ("exit(3)", "SystemExit: 3")],
)
def test_a_module_that_fails_is_one_line(code: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(f"{code}\n")
    done = command("latency", "broken:f", PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr == f"gilx latency: target: can't import 'broken': {words}\n"


def test_measure_of_too_much_for_the_budget(capsys: pytest.CaptureFixture[str]) -> None:
    done = run_here(capsys, "measure", "time:sleep", "0.1", "--budget", "0.01")
    assert done.returncode == 1
    assert "No times could be compared." in done.stdout


def test_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = tmp_path / "a.json"
    words = ("measure", "collatz", "--size", "2000", "--variants", "c-nogil")
    run_here(capsys, *words, "--blocks", "6", "--budget", "0.3", "--json", str(first))
    done = run_here(capsys, "compare", str(first), str(first))
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("no difference\n")

    values = json.loads(first.read_text())
    # Whatever a busy machine made of so few blocks.
    comparison = values["rows"][0]["comparison"]
    comparison["ceiling_fraction"] = {"value": 0.9, "low": 0.85, "high": 0.95}
    first.write_text(json.dumps(values))
    comparison["ceiling_fraction"] = {"value": 0.01, "low": 0.01, "high": 0.011}
    worse = tmp_path / "worse.json"
    worse.write_text(json.dumps(values))
    assert run_here(capsys, "compare", str(first), str(worse)).returncode == 1
    assert run_here(capsys, "compare", str(worse), str(first)).returncode == 0

    values["environment"]["cpus"]["model"] = "another"
    worse.write_text(json.dumps(values))
    done = run_here(capsys, "compare", str(first), str(worse))
    assert done.returncode == 2
    assert "after: expected a report from the same machine" in done.stderr
    assert run_here(capsys, "compare", "--force", str(first), str(worse)).returncode == 1

    values["rows"][0]["target"] = "f"
    worse.write_text(json.dumps(values))
    done = run_here(capsys, "compare", "--force", str(first), str(worse))
    wanted = "a row that the other report has (collatz c-nogil on threads), got f c-nogil"
    assert wanted in done.stderr
