"""Commands whose standard output or standard error can't be written to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from tests.integration.probe_program.program_runs import write
from tests.markers import needs_watch

pytestmark = pytest.mark.any_python

TARGET = """
    import errno, os
    def call(start=0, stop=1): sum(range(10_000))
    def leave(): raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
    """
PLAN = "[[call]]\ntarget = 'target:call'\nbudget = 0.2\n"
MEASURE = ["measure", "target:call", "--blocks=1", "--workers=1", "--budget=0.2"]
GRAIN = ["grain", "target:call", "--items=8", "--workers=2", "--budget=0.4"]
PROBE = ["probe", "target:call", "--repeat=1"]

# Each with the files that it writes.
COMMANDS = [
    pytest.param([*PROBE, "--json=a.json", "--trace=b.json"], marks=needs_watch),
    pytest.param(["probe", "--json=a.json", "program.py"], marks=needs_watch),
    [*MEASURE, "--json=a.json", "--csv=b.csv"],
    *(
        pytest.param(words, marks=pytest.mark.slow)
        for words in (
            [*MEASURE, "--csv=-", "--json=a.json"],
            [*GRAIN, "--json=a.json"],
            ["latency", "target:call", "--budget=0.2", "--json=a.json"],
            ["audit", "audit.toml", "--json=a.json"],
            ["doctor", "--seconds=0.1", "--json=a.json"],
            ["demo", "--quick", "--chapter=2", "--workers=2", "--json=a.json"],
        )
    ),
]
needs_full_device = pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="needs /dev/full"
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    write(tmp_path / "target.py", TARGET)
    write(tmp_path / "program.py", "pass\n")
    write(tmp_path / "audit.toml", PLAN)
    return tmp_path


def command(
    *words: str, cwd: Path, output: int | IO[str]
) -> subprocess.CompletedProcess[str]:
    """Run the command unbuffered, which has every write meet the output at once."""
    return subprocess.run(
        [sys.executable, "-u", "-m", "gilx", *words],
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        cwd=cwd,
        timeout=100,
    )


def left_by_reader(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command with a pipe that nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return command(*words, cwd=cwd, output=writer)
    finally:
        os.close(writer)


def assert_files(words: list[str], directory: Path) -> None:
    names = [word.partition("=")[2] for word in words]
    for name in names:
        if name.endswith(".json"):
            json.loads((directory / name).read_text())
        elif name.endswith(".csv"):
            assert len((directory / name).read_text().splitlines()) == 2
    assert "a.json" in names


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_files_are_saved_if_the_reader_left(words: list[str], directory: Path) -> None:
    done = left_by_reader(*words, cwd=directory)
    assert (done.returncode, done.stderr) == (0, "")
    assert_files(words, directory)


@pytest.mark.slow
@needs_full_device
@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_files_are_saved_if_the_disk_is_full(words: list[str], directory: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = command(*words, cwd=directory, output=full)
    name, why = words[0], "can't write to standard output: No space left on device"
    assert done.stderr == f"gilx {name}: {why}\n"
    # The exit status of a program is its own.
    assert done.returncode == (0 if "program.py" in words else 1)
    assert_files(words, directory)


@needs_full_device
@pytest.mark.parametrize(
    "words",
    [
        ["kernels"],
        ["run", "primes", "--size=50"],
        [*MEASURE, "--json=-"],
        pytest.param([*PROBE, "--json=-"], marks=needs_watch),
        pytest.param(
            ["selftest", "--seconds=0.1"], marks=[needs_watch, pytest.mark.slow]
        ),
        pytest.param(
            ["demo", "--quick", "--chapter=2", "--workers=2"], marks=pytest.mark.slow
        ),
    ],
    ids=" ".join,
)
def test_full_disk_is_reported_in_one_line(words: list[str], directory: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = command(*words, cwd=directory, output=full)
    why = "can't write to standard output: No space left on device"
    assert (done.returncode, done.stderr) == (1, f"gilx {words[0]}: {why}\n")


@needs_watch
def test_callable_that_meets_a_broken_pipe_is_not_a_reader_that_left(
    directory: Path,
) -> None:
    with (directory / "output").open("w") as output:
        done = command("probe", "target:leave", cwd=directory, output=output)
    assert done.returncode == 1
    assert "BrokenPipeError: [Errno 32] Broken pipe" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        MEASURE,
        pytest.param(GRAIN, marks=pytest.mark.slow),
        ["audit", "audit.toml"],
        pytest.param(["doctor", "--seconds=0.1"], marks=pytest.mark.slow),
    ],
    ids=lambda words: words[0],
)
def test_figures_are_printed_without_standard_error(
    words: list[str], directory: Path
) -> None:
    shell = f"exec {sys.executable} -m gilx {' '.join(words)} --json 2>&-"
    done = subprocess.run(
        ["bash", "-c", shell], stdout=subprocess.PIPE, check=False, cwd=directory
    )
    assert json.loads(done.stdout)["schema"].startswith("gilx.")
    assert done.returncode in ((0, 1) if words[0] == "doctor" else (0,))


def test_problem_is_not_reported_on_standard_output(directory: Path) -> None:
    shell = f"exec {sys.executable} -m gilx measure nope 2>&-"
    done = subprocess.run(
        ["bash", "-c", shell], stdout=subprocess.PIPE, check=False, cwd=directory
    )
    assert (done.returncode, done.stdout) == (2, b"")
