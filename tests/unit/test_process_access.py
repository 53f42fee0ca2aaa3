"""Reasons for which another process cannot be watched, in words."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import pytest

import gilx
from gilx.sampling import process_access
from gilx.sampling.process_access import (
    checked_pid,
    command_of,
    reason_against_reading,
    start_of,
)
from gilx.sampling.process_watch import _Files, _ProcessSources, _version
from gilx.sampling.source_text import process_start
from gilx.sampling.watched_process import WatchedProcess
from tests.markers import needs_linux

_FORBIDDEN = OSError(errno.EACCES, os.strerror(errno.EACCES))
_OURS = {
    "Uid": "1000\t1000\t1000\t1000",
    "Gid": "100\t100\t100\t100",
    "CapPrm": "0000000000000000",
    "CapEff": "0000000000000000",
}
_SYS_PTRACE = f"{1 << 19:016x}"


@pytest.fixture
def says(monkeypatch: pytest.MonkeyPatch) -> object:
    """Return a function that returns the reason for a made-up process."""

    def reason(
        theirs: dict[str, str],
        ours: dict[str, str] | None = None,
        scope: str = "",
        error: OSError = _FORBIDDEN,
    ) -> str:
        found = {"self": {**_OURS, **(ours or {})}, 7: {**_OURS, **theirs}}
        monkeypatch.setattr(process_access, "status_of", found.__getitem__)
        monkeypatch.setattr(process_access, "_scope", lambda: scope)
        return reason_against_reading(7, error)

    return reason


@pytest.mark.parametrize(
    ("theirs", "ours", "scope", "words"),
    [
        (
            {"Uid": "4321987\t4321987\t4321987\t4321987"},
            {},
            "",
            "process 7 belongs to the user 4321987: run gilx as that user, or as root",
        ),
        (
            {"Gid": "101\t101\t101\t101"},
            {},
            "1",
            "process 7 runs as another group: run gilx as that group, or as root",
        ),
        (
            {"CapPrm": "0000000000000400"},
            {},
            "1",
            "process 7 has capabilities that gilx does not have: run gilx as root",
        ),
        ({}, {}, "1", "ptrace_scope is 1, which lets a process be read by those that"),
        ({}, {}, "2", "ptrace_scope is 2, which lets processes be read by those with"),
        ({}, {}, "1", "run gilx as root, or set it by sysctl kernel.yama.ptrace_scope=0"),
        ({}, {"CapEff": _SYS_PTRACE}, "3", "ptrace_scope is 3, which forbids it to all"),
        ({}, {}, "0", "called prctl(PR_SET_DUMPABLE, 0)"),
        ({}, {}, "", "in a container with the capability SYS_PTRACE"),
        (
            {"Uid": "1\t1\t1\t1"},
            {"CapEff": _SYS_PTRACE},
            "",
            "although gilx has the capability SYS_PTRACE",
        ),
    ],
)
def test_reason_says_what_to_set(
    says: object, theirs: dict[str, str], ours: dict[str, str], scope: str, words: str
) -> None:
    assert callable(says)
    assert words in says(theirs, ours, scope)


def test_reason_has_other_errors_in_the_words_of_the_system(says: object) -> None:
    assert callable(says)
    assert says({}, error=OSError(errno.ENOENT, "")) == "process 7 has ended"
    full = OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    assert says({}, error=full).endswith(f"cannot be read: {full.strerror}")


def test_process_without_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    status = {"Tgid": "7", "State": "S (sleeping)", "VmSize": "1 kB", "NSpid": "7\t1"}
    monkeypatch.setattr(process_access, "status_of", {7: status}.__getitem__)
    assert checked_pid(7) == 7
    del status["VmSize"]
    with pytest.raises(gilx.WatchUnavailableError, match="a thread of Linux itself"):
        checked_pid(7)


@needs_linux
def test_command_and_start_of_this_process_are_found() -> None:
    assert command_of(os.getpid())
    assert start_of(os.getpid()) == start_of(os.getpid())
    assert start_of(2**22) is None
    assert command_of(2**22) == ""
    assert process_start(os.getpid()) == pytest.approx(process_start(), abs=1)
    assert process_start(2**22) == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize(
    ("words", "command"),
    [
        ("/bin/python a.py --port 1", "python a.py --port 1"),
        ("python -c pass", "python -c pass"),
        (f"python {'a' * 40}.py --last", f"python {'a' * 30}..."),
        (
            "python -B -c from pool.spawn import spawn_main; spawn_main(7) --worker",
            "python ...n_main; spawn_main(7) --worker",
        ),
        (f"{'p' * 30} -c {'x' * 40}", f"{'p' * 13}... ...{'x' * 20}"),
    ],
)
def test_command_is_told_by_its_begin_or_by_the_end_of_its_code(
    words: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = words.replace(" ", "\0").encode()
    monkeypatch.setattr(Path, "read_bytes", lambda _: line)
    assert command_of(7) == command


@needs_linux
@pytest.mark.parametrize("text", ["", "7 (a) b) S 1", "7 (ended) Z" + " 1" * 50])
def test_start_that_is_not_shown_is_unknown(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: text)
    assert start_of(7) is None
    assert process_start(7) == pytest.approx(time.time(), abs=60)


@needs_linux
def test_sources_are_files_as_the_process_sees_them(tmp_path: Path) -> None:
    source = tmp_path / "source.py"
    source.write_text("x = f(1)\n")
    os.utime(source, (1, 1))
    files = _Files(os.getpid())
    directory = os.getcwd()
    assert files.path("/a/b.py") == "/a/b.py"
    assert files.path("b.py") == f"{directory}/b.py"
    texts = _ProcessSources(2e9 + 1e9, 2e9 + 1e9, files)
    assert texts.expression(str(source), 1, 1, 4, 8) == "f(1)"
    assert texts.expression("<frozen x>", 1, 1, 4, 8) == ""
    assert texts.library("f(1)", str(source), "<module>", 1) == ""
    changed = _ProcessSources(2e9 + 1e9, 0.0, files)
    assert changed.changed(("<module>", str(source), 1, 1, 1, 4, 8))
    assert not texts.changed(("<module>", str(source), 1, 1, 1, 4, 8))


@pytest.mark.parametrize(
    ("number", "text"),
    [(0x030B07F0, "3.11.7"), (0x030F00B2, "3.15.0b2"), (0x030E00C1, "3.14.0rc1")],
)
def test_version_is_in_the_words_of_python(number: int, text: str) -> None:
    assert _version(number) == text


def test_watched_process_says_how_it_ended() -> None:
    process = WatchedProcess(7, "python a.py", "3.12.1", "process_vm_readv")
    assert process.name == "process 7 (python a.py)"
    assert str(process) == "7, CPython 3.12.1, read by process_vm_readv"
    ended = WatchedProcess(7, "", "3.12.1", "/proc/PID/mem", "replaced")
    assert ended.name == "process 7"
    assert str(ended).endswith("; it executed another program while it was watched")
