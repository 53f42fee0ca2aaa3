"""The usage that `gilx probe` reports of a program."""

from __future__ import annotations

import html
import json
import sys
from typing import TYPE_CHECKING

import pytest

import gilx
from tests.command import run_program
from tests.integration.probe_program.program_runs import (
    PROBE,
    assert_one_usage,
    assert_same,
    python,
    write,
)
from tests.markers import needs, needs_watch
from tests.trying import first_that

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = [
    needs_watch,
]


THREADS = """
    import threading, time
    def spin():
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            pass
    def later():
        time.sleep(0.2)
        spin()
    threads = [threading.Thread(target=later, name=f"worker-{i}") for i in range(2)]
    for thread in threads:
        thread.start()
"""


@pytest.mark.slow
def test_usage_of_program_leads_with_all_threads(tmp_path: Path) -> None:
    write(tmp_path / "script.py", THREADS)
    assert assert_same(tmp_path, "script.py")
    workers = {"worker-0", "worker-1"}
    usage = first_that(
        lambda usage: {one.name for one in usage.by_thread[1:3]} == workers,
        lambda: gilx.GilUsage.from_json(_json(tmp_path)),
    )
    assert usage.program == "script.py"
    assert usage.wall > 0.5  # the main thread is at its end at once
    main, *others = usage.by_thread
    assert main.name == "MainThread"
    assert usage.locked.value > max(share.holding.value for share in others)
    assert (
        usage.inconclusive_reason
        or "the thread that holds it most is worker-" in usage.sentence()
    )


def test_threads_of_a_program_that_closes_all_descriptors_are_known(
    tmp_path: Path,
) -> None:
    write(
        tmp_path / "script.py",
        """
        import os, time
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            pass
        """,
    )
    done = python(*PROBE, "--json=usage.json", "script.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    usage = gilx.GilUsage.from_json((tmp_path / "usage.json").read_text())
    assert usage.sums.identified
    assert usage.by_thread[0].name == "MainThread"
    assert usage.by_thread[0].holding.known


def _json(directory: Path) -> str:
    return python(*PROBE, "--json=-", "script.py", cwd=directory).stdout


def test_files_are_written_where_the_command_was_started(tmp_path: Path) -> None:
    write(tmp_path / "script.py", "import os; os.chdir('/')")
    words = ("--trace", "trace.json", "script.py")
    done = python(*PROBE, *words, cwd=tmp_path)
    assert done.stderr == ""
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]


@pytest.mark.slow
@needs("vl_convert")
def test_page_and_picture_lead_with_the_program(tmp_path: Path) -> None:
    pytest.importorskip("vl_convert")
    write(tmp_path / "script.py", "import time; time.sleep(0.5)")
    words = ("--html", "x.html", "--plot", "x.svg", "script.py")
    done = python(*PROBE, *words, cwd=tmp_path)
    assert done.stderr == ""
    sentence = done.stdout.partition("\n")[0]
    assert f"<p>{sentence}. " in (tmp_path / "x.html").read_text()
    assert f'aria-label="{html.escape(sentence)}. ' in (tmp_path / "x.svg").read_text()


def test_program_that_fails_keeps_its_status_if_a_file_cannot_be_written(
    tmp_path: Path,
) -> None:
    text = "import os, sys; os.rmdir('there'); sys.exit(5)"
    write(tmp_path / "script.py", text)
    (tmp_path / "there").mkdir()
    done = python(*PROBE, "--trace", "there/x.json", "script.py", cwd=tmp_path)
    assert done.returncode == 5
    assert done.stderr.startswith("gilx probe: trace: can't write ")
    assert done.stderr.count("\n") == 1
    assert_one_usage(done.stdout)


@pytest.mark.parametrize(
    "change",
    ["os.close(1)", "os.close(1); kept = open('data', 'w+')", "os.dup2(log.fileno(), 1)"],
)
def test_usage_is_not_written_to_files_of_the_program(
    change: str, tmp_path: Path
) -> None:
    write(
        tmp_path / "script.py",
        f"import os, sys\nlog = open('log', 'w')\n{change}\nsys.stdout = None",
    )
    done = python(*PROBE, "script.py", cwd=tmp_path)
    assert done.stdout == ""
    assert_one_usage(done.stderr)
    for name in ("log", "data"):
        assert not (tmp_path / name).exists() or (tmp_path / name).read_text() == ""


def test_reader_of_the_usage_may_leave(tmp_path: Path) -> None:
    write(tmp_path / "script.py", "import sys; sys.exit(4)")
    shell = f"{sys.executable} -m gilx probe script.py | true; echo ${{PIPESTATUS[0]}}"
    done = run_program("bash", "-c", shell, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("4\n", "")
