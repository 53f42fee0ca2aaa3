"""The command, run as a user runs it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import gilx
from gilx.cli.table import format_table


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


@pytest.mark.parametrize("name", gilx.kernels.names())
@pytest.mark.parametrize("pool", ["serial", "threads", "processes", "interpreters"])
def test_run(name: str, pool: str) -> None:
    if pool == "interpreters" and sys.version_info < (3, 14):
        pytest.skip("needs Python 3.14")
    done = command("run", name, "--size", "50", "--pool", pool, "--schedule", "static")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{name} c-nogil, size 50: ")
    assert "result checked" in done.stdout


def test_demo() -> None:
    done = command("demo", "levenshtein")
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for variant in ("python", "c-gil", "c-nogil", "cython-gil", "cython-nogil"):
        assert f"\n{variant} " in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 90


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs affinity masks")
def test_demo_on_one_cpu() -> None:
    cpu = str(min(os.sched_getaffinity(0)))
    done = subprocess.run(
        ["taskset", "-c", cpu, sys.executable, "-m", "gilx", "demo", "levenshtein"],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert "one CPU only, so no speedup can be seen here" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run", "nope"), "gilx run: kernel: expected one of mandelbrot, "),
        (("run", "histogram", "--variant", "x"), "gilx run: variant: expected one of "),
        (("run", "histogram", "--pool", "x"), "gilx run: pool: expected one of serial, "),
        (("run", "histogram", "--workers", "0"), "workers: expected at least 1, got 0"),
        (("run", "histogram", "--workers", "-2"), "workers: expected at least 1, got -2"),
        (("run", "histogram", "--workers", "two"), "workers: expected a whole number"),
        (("run", "histogram", "--schedule", "x"), "schedule: expected one of static, "),
        (("demo", "nope"), "gilx demo: kernel: expected one of mandelbrot, "),
        (("demo", "--workers", "0"), "gilx demo: workers: expected at least 1, got 0"),
        (
            ("run", "histogram", "--pool", "interpreters", "--variant", "numpy"),
            "gilx run: variant: expected one of c-gil, c-nogil on the interpreters pool",
        ),
        (("nope",), "gilx: argument COMMAND: invalid choice: 'nope'"),
        ((), "gilx: the following arguments are required: COMMAND"),
    ],
)
def test_a_wrong_command_line_is_one_line(arguments: tuple[str, ...], words: str) -> None:
    done = command(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


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
