"""Other processes as Linux shows them, and the reasons for which it does not."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from gilx.errors import ArgumentError, WatchUnavailableError, at_least
from gilx.formatting import printable, shortened, shortened_path

_MOST_PID = 2**22  # that Linux has
_LONGEST_COMMAND = 40  # characters
_LONGEST_PROGRAM = 16  # of them, before the end of a long command
_SYS_PTRACE = 19  # number of the capability
_SCOPES = {
    "1": "lets a process be read by those that started it only",
    "2": "lets processes be read by those with CAP_SYS_PTRACE only",
}

_REMEDIES = {"1": "start it by gilx probe -- COMMAND, ", "2": ""}


def checked_pid(pid: object) -> int:
    """Return the number of another process that is there.

    Raises
    ------
    ArgumentError
        It is not the number of another process, or it is that of a thread.
    WatchUnavailableError
        The process does not exist, is hidden, or has ended.

    """
    number = at_least("pid", pid, 1, _MOST_PID)
    if number == os.getpid():
        raise ArgumentError(
            f"pid: expected another process, got {number}, which is this one: gilx.watch"
            " watches it"
        )
    status = status_of(number)
    if not status:
        raise WatchUnavailableError(_reason_it_is_not_there(number))
    group = status.get("Tgid", str(number))
    if group != str(number):
        raise ArgumentError(
            f"pid: expected a process, got {number}, which is a thread of process {group}"
        )
    if status.get("State", "").startswith(("Z", "X")):
        raise WatchUnavailableError(f"process {number} has ended")
    if not has_memory(status):
        raise WatchUnavailableError(
            f"process {number} has no memory: it is a thread of Linux itself, or has just"
            " ended"
        )
    return number


def _reason_it_is_not_there(pid: int) -> str:
    if not Path("/proc/self/status").exists():
        return "/proc is not mounted, which is needed to read another process"
    try:
        os.kill(pid, 0)  # which asks whether it is there, and does nothing
    except ProcessLookupError:
        return f"process {pid} does not exist"
    except PermissionError:
        pass
    return (
        f"process {pid} is hidden, since /proc is mounted with hidepid: run gilx as the"
        " user of that process, as root, or in the group that the mount option gid names"
    )


def status_of(pid: int | str) -> dict[str, str]:
    """Return what Linux tells of a process in words; empty if there is none."""
    try:
        text = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, _, value in pairs}


def has_memory(status: dict[str, str]) -> bool:
    """Return whether a process has memory of its own, by its status."""
    return "VmSize" in status


def start_of(pid: int | str) -> int | None:
    """Return when a process was started, in ticks since the system was.

    It is None if the process does not exist, if it has ended, or if this system does not
    show it.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        state, *fields = text.rpartition(")")[2].split()
        return None if state in "ZX" else int(fields[18])
    except (OSError, ValueError, IndexError):
        return None


def command_of(pid: int) -> str:
    """Return the first words of a process's command line, or its short name.

    Of a long command with code after ``-c``, these are the program and the end.
    """
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        words[0] = words[0].rpartition(b"/")[2]
        name = b" ".join(words).strip() or Path(f"/proc/{pid}/comm").read_bytes().strip()
    except OSError:
        return ""
    text = printable(name.decode(errors="replace"))
    if b"-c" not in words[1:] or len(text) <= _LONGEST_COMMAND:
        return shortened(text, _LONGEST_COMMAND)
    # Workers of a pool all begin alike, with an import of the pool's module.
    program = shortened(printable(words[0].decode(errors="replace")), _LONGEST_PROGRAM)
    rest = _LONGEST_COMMAND - len(program) - 1
    return f"{program} {shortened_path(text, rest)}"


def program_of(pid: int) -> str:
    """Return the path of the program that a process runs; '' if it is not known."""
    try:
        return os.readlink(f"/proc/{pid}/exe")
    except OSError:
        return ""


def names_of_threads(pid: int) -> dict[int, str]:
    """Return the names that Linux has for threads, by native id.

    Threads without a name of their own have that of the process: they are not among them.
    """
    names = {}
    try:
        own = Path(f"/proc/{pid}/comm").read_text(errors="replace")
        ids = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return {}
    for one in ids:
        try:
            name = Path(f"/proc/{pid}/task/{one}/comm").read_text(errors="replace")
        except OSError:  # it has ended
            continue
        if name != own:
            names[int(one)] = printable(name.rstrip("\n"))
    return names


def reason_against_reading(pid: int, error: OSError) -> str:
    """Return the reason for which the memory of a process cannot be read."""
    name, status = f"process {pid}", status_of(pid)
    if error.errno in (errno.ENOENT, errno.ESRCH) or not status:
        return f"{name} has ended"
    if error.errno not in (errno.EACCES, errno.EPERM):
        return f"the memory of {name} cannot be read: {error.strerror}"
    why = _reason_of_identity(status, status_of("self"))
    if why:
        return f"{name} {why}"
    return f"the memory of {name} cannot be read{_reason_of_system()}"


def _reason_of_identity(status: dict[str, str], ours: dict[str, str]) -> str:
    """Return what a process has that gilx does not have, or ''."""
    if _has_sys_ptrace(ours):
        return ""
    user = ours["Uid"].split()[1]
    if set(status["Uid"].split()[:3]) != {user}:
        owner = _user(status["Uid"].split()[1])
        return f"belongs to the user {owner}: run gilx as that user, or as root"
    if set(status["Gid"].split()[:3]) != {ours["Gid"].split()[1]}:
        return "runs as another group: run gilx as that group, or as root"
    if int(status["CapPrm"], 16) & ~int(ours["CapPrm"], 16):
        return "has capabilities that gilx does not have: run gilx as root"
    return ""


def _reason_of_system() -> str:
    """Return the end of a sentence that says what forbids reading."""
    scope = _scope()
    if scope == "3":
        return (
            ", since kernel.yama.ptrace_scope is 3, which forbids it to all until the"
            " system starts anew"
        )
    if _has_sys_ptrace(status_of("self")):
        return (
            " although gilx has the capability SYS_PTRACE: the process may be in another"
            " user namespace, or a seccomp filter or a security module forbids it"
        )
    if scope in _SCOPES:
        return (
            f", since kernel.yama.ptrace_scope is {scope}, which {_SCOPES[scope]}:"
            f" {_REMEDIES[scope]}run gilx as root, or set it by sysctl"
            " kernel.yama.ptrace_scope=0"
        )
    return (
        ": it may have changed its user or called prctl(PR_SET_DUMPABLE, 0), or be in"
        " another user namespace, or a seccomp filter or a security module forbids it."
        " Run gilx as root, and in a container with the capability SYS_PTRACE"
    )


def _scope() -> str:
    try:
        return Path("/proc/sys/kernel/yama/ptrace_scope").read_text().strip()
    except OSError:  # this Linux is without Yama
        return ""


def _has_sys_ptrace(status: dict[str, str]) -> bool:
    return bool(int(status.get("CapEff", "0"), 16) >> _SYS_PTRACE & 1)


def _user(uid: str) -> str:
    import pwd  # noqa: PLC0415 - not in every system's Python

    try:
        return pwd.getpwuid(int(uid)).pw_name
    except KeyError:
        return uid
