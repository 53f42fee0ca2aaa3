"""The command, run as a user runs it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

import gilx
from tests.command import CompletedProcess, run_gilx, run_here, run_program
from tests.markers import needs_no_gil, needs_watch


def command(*arguments: str, **changes: str) -> CompletedProcess:
    return run_gilx(*arguments, env=os.environ | changes)


def test_version() -> None:
    assert command("--version").stdout == f"gilx {gilx.__version__}\n"


def test_kernels_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    done = run_here(capsys, "kernels")
    assert done.returncode == 0
    for name in gilx.kernels.names():
        assert f"\n{name} " in done.stdout


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
    assert done.stdout.startswith(f"{name} c-nogil, size 50: ")
    assert "result checked" in done.stdout


@needs_watch
def test_probe_of_a_callable() -> None:
    done = command("probe", "time:sleep", "0.2", "--repeat", "2", "--json")
    assert done.returncode == 0, done.stderr
    usage = gilx.GilUsage.from_json(done.stdout)
    assert usage.repeats == 2
    assert usage.held.interval[0] < 0.1
    assert "in 3 calls" in command("probe", "--repeat", "3", "math:fabs", "-2.5").stdout


COMPILED_ON_FIRST_USE = """
from gilx import ckernels
import time
calls = 0
def work():
    global calls
    calls += 1
    if calls == 1:
        ckernels.spin(1, 0, 300_000_000)
    else:
        time.sleep(0.02)
"""


@pytest.mark.slow
@needs_watch
@pytest.mark.parametrize("timeline", [False, True])
def test_probe_warms_up(tmp_path: Path, *, timeline: bool) -> None:
    (tmp_path / "compiled.py").write_text(COMPILED_ON_FIRST_USE)
    options = ["--timeline", str(tmp_path / "trace.json")] if timeline else []

    def probed(*words: str) -> gilx.GilUsage:
        given = ("probe", "--json=-", *options, "compiled:work", *words)
        done = command(*given, PYTHONPATH=str(tmp_path))
        assert done.returncode == 0, done.stderr
        return gilx.GilUsage.from_json(done.stdout)

    warm = probed("--repeat", "9")
    assert warm.repeats == 9
    assert warm.first is not None
    assert warm.first.wall >= 0.3
    assert warm.held.interval[0] < 0.1
    cold = probed("--no-warmup", "--repeat", "1")
    assert cold.first is None
    assert cold.held.interval[1] > 0.9
    only = probed("--budget", "0.2")
    assert only.is_first
    assert only.repeats == 1


@needs_watch
def test_probe_of_a_script(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, time\ntime.sleep(0.1)\nprint(__name__, sys.argv[1:])\nsys.exit(3)\n"
    )
    trace = tmp_path / "x.json"
    done = command("probe", "--timeline", str(trace), str(script), "a", "--json")
    assert done.returncode == 3, done.stderr
    assert done.stdout.startswith("__main__ ['a', '--json']\n")
    assert "locked by anyone" in done.stdout
    assert json.loads(trace.read_text())["traceEvents"]


@needs_watch
def test_probe_of_a_call_that_raises() -> None:
    done = command("probe", "json:loads", "'[1'")
    assert done.returncode == 1
    assert "JSONDecodeError" in done.stderr
    assert "gilx: what was seen of the call until then" in done.stderr


@pytest.mark.slow
@needs_watch
def test_selftest() -> None:
    # On a machine that is busy with other things it may rightly say that it can't tell, and
    # of the few looks of so short a time too many may be off by chance: not again and again.
    for _ in range(3):
        done = command("selftest", "--seconds", "0.2")
        if done.returncode != 1:
            break
    assert done.returncode in (0, 3), done.stdout
    assert ("The watch can be trusted here." in done.stdout) == (done.returncode == 0)
    assert "always held" in done.stdout


@needs_no_gil
@pytest.mark.parametrize("arguments", [("selftest",), ("probe", "time:sleep", "0.1")])
def test_without_a_gil_there_is_nothing_to_watch(arguments: tuple[str, ...]) -> None:
    done = command(*arguments)
    assert done.returncode == 1
    assert "runs without a GIL" in done.stderr
    assert done.stderr.count("\n") == 1


def test_latency() -> None:
    done = command("latency", "math:factorial", "500", "--budget", "0.3")
    assert done.returncode == 0, done.stderr
    assert "beside math:factorial(500)" in done.stdout
    assert "On this machine:" in done.stdout


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


@pytest.mark.slow
def test_measure_writes_what_is_asked_for(tmp_path: Path) -> None:
    saved, lines = tmp_path / "a.json", tmp_path / "a.csv"
    words = ["measure", "collatz", "--size", "2000", "--workers", "1,2", "--blocks", "6"]
    words += ["--budget", "0.5", "--variants", "c-nogil"]
    done = command(*words, "--json", str(saved), "--csv", str(lines))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    report = gilx.Report.from_json(saved.read_text())
    assert done.stdout == f"{report}\n"
    assert [row.workers for row in report.rows] == [1, 2]
    assert len(lines.read_text().splitlines()) == 3
    done = command(*words, "--json", "-")
    assert gilx.Report.from_json(done.stdout).rows[1].comparison.blocks == 6


def test_measure_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "a.png"
    words = ("measure", "zlib:crc32", f"{bytes(5_000)!r}", "--blocks", "1")
    done = run_here(capsys, *words, "--budget", "0.5", "--plot", str(path))
    assert done.returncode == 0, done.stderr
    assert path.read_bytes().startswith(b"\x89PNG")


def test_measure_of_too_much_for_the_budget(capsys: pytest.CaptureFixture[str]) -> None:
    done = run_here(capsys, "measure", "time:sleep", "0.1", "--budget", "0.01")
    assert done.returncode == 1
    assert "nothing could be compared" in done.stdout


def test_measure_null(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("measure", "zlib:crc32", f"{bytes(5_000)!r}", "--null")
    done = run_here(capsys, *words, "--blocks", "7", "--budget", "0.3")
    assert done.returncode == 0, done.stderr
    assert "compared with itself" in done.stdout


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
