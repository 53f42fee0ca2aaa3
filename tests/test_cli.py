"""The command, run as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gilx
from gilx import cli
from gilx._compat import gil_enabled
from gilx.rendering.text_table import format_table

needs_watch = pytest.mark.skipif(
    not gil_enabled() or sys.platform != "linux", reason="there is no GIL to watch"
)


def command(*arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gilx", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **changes},
        timeout=100,
    )


def test_version() -> None:
    assert command("--version").stdout == f"gilx {gilx.__version__}\n"


def test_kernels_are_listed() -> None:
    done = command("kernels")
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
def test_run(name: str, pool: str) -> None:
    if pool == "interpreters" and sys.version_info < (3, 14):
        pytest.skip("needs Python 3.14")
    done = command("run", name, "--size", "50", "--pool", pool, "--schedule", "static")
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


@pytest.mark.skipif(gil_enabled(), reason="needs a free-threaded build")
@pytest.mark.parametrize("arguments", [("selftest",), ("probe", "time:sleep", "0.1")])
def test_without_a_gil_there_is_nothing_to_watch(arguments: tuple[str, ...]) -> None:
    done = command(*arguments)
    assert done.returncode == 1
    assert "runs without a GIL" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("probe", "nope"), "target: expected module:callable, -m module, or a script,"),
        (("probe", "nope.py"), "target: expected a script that exists, got 'nope.py'"),
        (("probe", "nope:x"), "target: can't import 'nope': ModuleNotFoundError"),
        (
            ("probe", "script.py:work"),
            "expected the name of a module before the colon, as in json:loads, got the",
        ),
        (("probe", "math:nope"), "target: module math has no attribute 'nope'"),
        (("probe", "math:pi"), "target: expected a callable, but math:pi is of"),
        (("probe", "time:sleep", "--budget", "x"), "budget: expected a number, got 'x'"),
        (("probe", "--repeat", "0", "time:time"), "repeat: expected at least 1, got 0"),
        (("selftest", "--seconds", "0"), "seconds: expected 0.1 to 60, got 0"),
        (("run", "nope"), "gilx run: kernel: expected one of mandelbrot, "),
        (("run", "histogram", "--variant", "x"), "gilx run: variant: expected one of "),
        (("run", "histogram", "--pool", "x"), "gilx run: pool: expected one of serial, "),
        (("run", "histogram", "--workers", "0"), "workers: expected at least 1, got 0"),
        (("run", "histogram", "--workers", "-2"), "workers: expected at least 1, got -2"),
        (("run", "histogram", "--workers", "two"), "workers: expected a whole number"),
        (("run", "histogram", "--schedule", "x"), "schedule: expected one of static, "),
        (("demo", "nope"), "gilx: unrecognized arguments: nope"),
        (("demo", "--workers", "1"), "gilx demo: workers: expected at least 2, got 1"),
        (("demo", "--chapter", "9"), "gilx demo: chapter: expected 1 to 8, got 9"),
        (("demo", "--chapter", "1,x"), "gilx demo: chapter: expected whole numbers with"),
        (
            ("demo", "--save", "."),
            "save: expected a directory that is not there yet: '.'",
        ),
        (
            ("demo", "--save", "nope/x"),
            "save: can't make the directory 'nope/x': No such",
        ),
        (
            ("demo", "--save", f"{__file__}/x"),
            "test_cli.py/x': Not a directory",
        ),
        (("latency", "json"), "target: expected module:callable, got 'json'"),
        (("latency", "json:"), "target: expected module:callable, got 'json:'"),
        (("latency", "no.such:x"), "target: can't import 'no.such': ModuleNotFoundError"),
        (("latency", "json:nope"), "target: module json has no attribute 'nope'"),
        (("latency", "json:decoder.nope"), "target: 'decoder' has no attribute 'nope'"),
        (("latency", "json:__name__"), "but json:__name__ is of type str"),
        (("latency", "json:loads", "x+"), "argument 1: expected a Python literal, such"),
        (("latency", "json:loads", "1", "os"), "argument 2: expected a Python literal"),
        (("latency", "time:time", "--workers", "1,x"), "workers: expected whole numbers"),
        (
            ("latency", "time:time", "--workers", "0"),
            "workers: expected at least 1, got 0",
        ),
        (("latency", "time:time", "--period", "x"), "period: expected a number, got 'x'"),
        (("latency", "time:time", "--budget", "0"), "budget: expected above 0"),
        (
            ("run", "histogram", "--pool", "interpreters", "--variant", "numpy"),
            "gilx run: variant: expected one of c-gil, c-nogil on the interpreters pool",
        ),
        (("measure", "nope"), "target: expected module:callable or one of mandelbrot, "),
        (("measure", "triad", "3"), "argument 1: expected none, since a kernel takes"),
        (("measure", "triad", "--workers", "0"), "workers: expected at least 1, got 0"),
        (("measure", "triad", "--workers", "x"), "workers: expected whole numbers"),
        (("measure", "triad", "--budget", "-1"), "budget: expected a finite number"),
        (("measure", "triad", "--precision", "0"), "precision: expected 0.001 to 0.5"),
        (("measure", "triad", "--pools", "x"), "pools: expected one of serial, threads"),
        (("measure", "triad", "--variants", "x"), "variants: expected one of python, "),
        (("measure", "math:pi"), "target: expected a callable, but math:pi is of"),
        (("compare", "nope.json", "x"), "nope.json: can't be read: No such file"),
        (("compare", "a\nb\x1b[m", "x"), "compare: a b\\x1b[m: can't be read: No such"),
        (("audit", "a\nb\x1b[m"), "gilx audit: a b\\x1b[m: can't be read: No such file"),
        (
            ("compare", __file__, __file__),
            "test_cli.py: expected JSON of schema gilx.report",
        ),
        (
            ("probe", "--json", "script.py", "x"),
            "json: expected the name of a file for JSON, got 'script.py'; write --json=-",
        ),
        (("grain", "--json", "json:loads"), "write --json=- in front of a target"),
        (("nope",), "gilx: argument COMMAND: invalid choice: 'nope'"),
        ((), "gilx: the following arguments are required: COMMAND"),
    ],
)
def test_a_wrong_command_line_is_one_line(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as e:
        sys.exit(cli.main(arguments))
    assert e.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err
    assert err.count("\n") == 1


def test_latency() -> None:
    done = command("latency", "math:factorial", "500", "--budget", "0.3")
    assert done.returncode == 0, done.stderr
    assert "beside math:factorial(500)" in done.stdout
    assert "On this machine:" in done.stdout


def test_latency_of_a_method_in_the_current_directory(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "class A:\n    @staticmethod\n    def f(a, b):\n        assert (a, b) == (-1, 'x')\n"
    )
    script = Path(sys.executable).with_name("gilx")
    words = [script] if script.exists() else [sys.executable, "-m", "gilx"]
    done = subprocess.run(
        [
            *words,
            "latency",
            "--json",
            "--workers=1,2",
            "--budget=0.9",
            "mine:A.f",
            "-1",
            "'x'",
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        timeout=100,
    )
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
    assert gilx.Report.from_json(done.stdout).rows[1].blocks == 6


def test_measure_draws(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "a.png"
    words = ("measure", "zlib:crc32", f"{bytes(5_000)!r}", "--blocks", "1")
    done = command(*words, "--budget", "0.5", "--plot", str(path))
    assert done.returncode == 0, done.stderr
    assert path.read_bytes().startswith(b"\x89PNG")


def test_measure_of_too_much_for_the_budget() -> None:
    done = command("measure", "time:sleep", "0.1", "--budget", "0.01")
    assert done.returncode == 1
    assert "nothing could be compared" in done.stdout


def test_measure_null() -> None:
    words = ("measure", "zlib:crc32", f"{bytes(5_000)!r}", "--null")
    done = command(*words, "--blocks", "7", "--budget", "0.3")
    assert done.returncode == 0, done.stderr
    assert "compared with itself" in done.stdout


def test_compare(tmp_path: Path) -> None:
    first = tmp_path / "a.json"
    words = ("measure", "collatz", "--size", "2000", "--variants", "c-nogil")
    command(*words, "--blocks", "6", "--budget", "0.3", "--json", str(first))
    done = command("compare", str(first), str(first))
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("no difference\n")

    values = json.loads(first.read_text())
    # Whatever a busy machine made of so few blocks.
    values["rows"][0] |= {"ceiling_fraction": {"value": 0.9, "low": 0.85, "high": 0.95}}
    first.write_text(json.dumps(values))
    values["rows"][0] |= {"ceiling_fraction": {"value": 0.01, "low": 0.01, "high": 0.011}}
    worse = tmp_path / "worse.json"
    worse.write_text(json.dumps(values))
    assert command("compare", str(first), str(worse)).returncode == 1
    assert command("compare", str(worse), str(first)).returncode == 0

    values["environment"]["cpus"]["model"] = "another"
    worse.write_text(json.dumps(values))
    done = command("compare", str(first), str(worse))
    assert done.returncode == 2
    assert "after: expected a report from the same machine" in done.stderr
    assert command("compare", "--force", str(first), str(worse)).returncode == 1

    values["rows"][0]["target"] = "f"
    worse.write_text(json.dumps(values))
    done = command("compare", "--force", str(first), str(worse))
    wanted = "a row that the other report has (collatz c-nogil on threads), got f c-nogil"
    assert wanted in done.stderr


def test_tables_fit_their_width() -> None:
    table = format_table(
        ("a", "number", "words"),
        [("x", "1.00", "one two three " * 8)],
        right=(1,),
        width=60,
    )
    assert max(map(len, table.splitlines())) <= 60
    assert table.splitlines()[0] == "a  number  words"
    assert table.splitlines()[1].startswith("x    1.00  one two")
