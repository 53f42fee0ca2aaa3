"""Processes in namespaces of their own, as containers have them, watched from outside."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import gilx
from tests.command import run_gilx, run_program
from tests.integration.test_running_process import (
    PROGRAM,
    SLEEP,
    needs_reads,
    readable,
    until,
)
from tests.markers import needs_watch
from tests.trying import first_that

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["readable"]  # a fixture

pytestmark = [needs_watch, needs_reads, pytest.mark.any_python]


def unshare() -> list[str]:
    """Return the command that runs a program in namespaces, or skip the test."""
    if shutil.which("unshare") is None:
        pytest.skip("needs the program unshare")
    users = [] if os.getuid() == 0 else ["--user", "--map-root-user"]
    words = ["unshare", *users, "--mount", "--pid", "--fork", "--mount-proc"]
    done = run_program(*words, "true")
    if done.returncode != 0:
        pytest.skip(f"namespaces are forbidden here: {done.stderr.strip()}")
    return words


@contextlib.contextmanager
def contained(*words: str) -> Iterator[tuple[int, list[int]]]:
    """Run a program in namespaces; yield its number here, and those that it prints."""
    child = subprocess.Popen(
        [*unshare(), "--kill-child", *words], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        numbers = [int(word) for word in child.stdout.readline().split()]
        children = Path(f"/proc/{child.pid}/task/{child.pid}/children")
        if not children.exists():
            pytest.skip("this Linux does not list children of processes")
        yield int(children.read_text()), numbers
    finally:
        child.kill()
        child.communicate()


def outer_ids(pid: int) -> dict[int, int]:
    """Return the ids that threads have here, by those that they have there."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        for line in (task / "status").read_text().splitlines():
            if line.startswith("NSpid:"):
                found[int(line.split()[-1])] = int(task.name)
    return found


def test_process_in_pid_namespace_is_watched_by_its_number_here() -> None:
    with contained(sys.executable, "-c", PROGRAM + SLEEP) as (pid, (worker, asker)):
        usage = until(
            lambda one: [site.function for site in one.sites][:1] == ["work"], pid
        )
        ids = outer_ids(pid)
    assert ids[1] == pid
    threads = {thread.native_id: thread for thread in usage.by_thread}
    assert threads.keys() >= {pid, ids[worker], ids[asker]}
    assert usage.by_thread[0].name == "main"
    most = max(threads.values(), key=lambda one: one.holding.value)
    assert most.native_id == ids[worker]
    assert usage.process is not None
    assert usage.process.pid == pid
    assert usage.sites[0].thread == f"thread {ids[worker]}"


def test_threads_that_begin_later_in_pid_namespace_are_identified() -> None:
    program = """
import threading, time
print(flush=True)
while True:
    thread = threading.Thread(target=lambda: sum(range(400_000)))
    thread.start()
    thread.join()
"""
    with contained(sys.executable, "-c", program) as (pid, _):
        usage = until(lambda one: _held_by_known(one) > 0.5 * one.locked.value, pid)
    assert len([one for one in usage.by_thread if one.holding.value > 0]) > 2
    assert _held_by_known(usage) > 0.5 * usage.locked.value


def _held_by_known(usage: gilx.GilUsage) -> float:
    return sum(one.holding.value for one in usage.by_thread if one.native_id is not None)


def test_process_whose_files_are_not_here_is_watched(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    program = tmp_path / "program.py"
    program.write_text(f"{PROGRAM}{SLEEP}\n")
    os.utime(program, (0, 0))  # long before the process began
    prefix = Path(sys.base_prefix)
    python = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]
    if not python.is_relative_to(prefix):
        pytest.skip("needs a Python whose program is below its prefix")
    if prefix == Path("/usr"):
        pytest.skip("needs a Python that runs from another directory")
    script = (
        'set -e; mount -t tmpfs none "$1"; mkdir "$1/python"; cp -p "$2" "$1/moved.py";'
        ' mount --bind "$3" "$1/python"; exec "$1/python/$4" "$1/moved.py"'
    )
    words = (home, program, prefix, python.relative_to(prefix))
    with contained("sh", "-c", script, "sh", *map(str, words)) as (pid, numbers):
        if not numbers:
            pytest.skip("mounting is forbidden here")
        assert list(home.iterdir()) == []
        executable = os.readlink(f"/proc/{pid}/exe")
        assert executable.startswith(str(home))
        assert not Path(executable).exists()
        usage = until(
            lambda one: [site.function for site in one.sites][:1] == ["work"], pid
        )
    assert usage.sites[0].file == f"{home}/moved.py"
    assert usage.sites[0].text == "sum(range(20_000))"


def test_command_in_namespaces_is_watched_as_subprocess() -> None:
    program = f"import time\nend = time.monotonic() + 1\n{_WORK}"
    words = (*unshare(), sys.executable, "-c", program)

    def probed() -> gilx.GilUsage:
        done = run_gilx("probe", "--subprocesses", "--json", "-", "--", *words)
        assert done.returncode == 0, done.stderr
        return gilx.ProcessesUsage.from_json(done.stdout).total

    # On a busy machine, it may end before it is watched.
    usage = first_that(lambda usage: usage.sites, probed)
    assert usage.by_thread[0].holding.value > 0


_WORK = "while time.monotonic() < end:\n    sum(range(20_000))"
