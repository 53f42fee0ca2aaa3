"""Standard output with `--json -`: figures alone, whatever the measured code prints."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.command import run_here, run_program
from tests.integration.probe_program.program_runs import PROBE, python, write
from tests.markers import needs_watch

if TYPE_CHECKING:
    from pathlib import Path

# Prints in every way and at every time that there is.
pytestmark = pytest.mark.any_python

NOISY = """
    import atexit, ctypes, os, subprocess, sys, threading, time
    libc = ctypes.CDLL(None)
    def noise(when):
        print(when, "print")
        libc.puts(f"{when} C".encode())  # into a buffer of C's, unless it is a terminal
        os.write(1, f"{when} descriptor\\n".encode())
    noise("import")
    standard_output = sys.stdout
    atexit.register(noise, "exit")
    threading.Thread(target=lambda: (time.sleep(0.1), noise("thread"))).start()
    def call(start=0, stop=1):
        if not noisy:
            noise("call")
            standard_output.write("call stream\\n")
            subprocess.run(["echo", "call process"])
            noisy.append(1)
        time.sleep(0.002 * (stop - start))
    noisy = []
    """
WAYS = ("print", "C", "descriptor")
CALLS = [*(f"call {way}" for way in WAYS), "call stream", "call process"]
AROUND = [f"{when} {way}" for when in ("import", "thread", "exit") for way in WAYS]

MEASURE = ["measure", "noisy:call", "--blocks", "1", "--workers", "1", "--budget", "0.2"]
COMMANDS = [
    MEASURE,
    ["latency", "noisy:call", "--budget", "0.2"],
    ["grain", "noisy:call", "--items", "8", "--workers", "2", "--budget", "0.5"],
    ["audit", "audit.toml"],
    ["doctor", "noisy", "--seconds", "0.1"],
    pytest.param(["probe", "noisy:call", "--repeat", "1"], marks=needs_watch),
]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_json_is_all_that_is_on_standard_output(words: list[str], tmp_path: Path) -> None:
    write(tmp_path / "noisy.py", NOISY)
    write(tmp_path / "audit.toml", "[[call]]\ntarget = 'noisy:call'\nbudget = 0.2\n")
    done = python("-m", "gilx", *words, "--json", cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    assert json.loads(done.stdout)["schema"].startswith("gilx.")
    expected = AROUND if words[0] == "doctor" else [*AROUND, *CALLS]
    assert set(expected) <= set(done.stderr.splitlines())


def test_csv_is_all_that_is_on_standard_output(tmp_path: Path) -> None:
    write(tmp_path / "noisy.py", NOISY)
    done = python("-m", "gilx", *MEASURE, "--csv", "-", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
    assert done.stdout.startswith("target,")


@needs_watch
def test_nothing_is_on_standard_output_if_the_call_raises(tmp_path: Path) -> None:
    write(tmp_path / "noisy.py", f"{NOISY}def fail(): call(); 1 / 0\n")
    done = python("-m", "gilx", "probe", "noisy:fail", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "ZeroDivisionError" in done.stderr


@needs_watch
def test_output_of_a_program_comes_before_its_json(tmp_path: Path) -> None:
    write(
        tmp_path / "script.py",
        "print('first')\nimport atexit\natexit.register(print, 'last')",
    )
    done = python(*PROBE, "--json=-", "script.py", cwd=tmp_path)
    *words, text = done.stdout.splitlines()
    assert words == ["first", "last"]
    assert json.loads(text)["schema"] == "gilx.usage"


@needs_watch
def test_output_is_as_before_in_a_process_that_goes_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    stream, descriptor = sys.stdout, os.fstat(1)
    done = run_here(capsys, "probe", "builtins:print", "'words'", "--json", "--repeat=1")
    assert json.loads(done.stdout)["repeats"] == 1
    assert done.stderr == "words\nwords\n"
    assert sys.stdout is stream
    assert os.path.samestat(descriptor, os.fstat(1))


@needs_watch
@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_closed_descriptor(closed: str, tmp_path: Path) -> None:
    words = f"{sys.executable} -m gilx probe builtins:print 1 --repeat 1 --json {closed}"
    done = run_program("bash", "-c", words, cwd=tmp_path)
    assert done.returncode == 0
    if closed == "2>&-":
        assert json.loads(done.stdout)["repeats"] == 1
    else:
        assert "Traceback" not in done.stderr


@needs_watch
def test_reader_of_json_may_leave(tmp_path: Path) -> None:
    words = f"{sys.executable} -m gilx probe time:sleep 0.1 --json | true; echo ${{PIPESTATUS[0]}}"
    done = run_program("bash", "-c", words, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("0\n", "")
