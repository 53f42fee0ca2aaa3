"""A `sitecustomize` by which Python looks like that of another operating system.

Tests copy this file under that name. ``GILX_TEST_SYSTEM`` is what `sys.platform` says; of
the standard library, most of what that system lacks is removed, and ``/proc`` and ``/sys``
can't be opened.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
import sysconfig

# Their code for another system would need modules that are not there.
LOADED_BEFORE = (
    *("asyncio", "multiprocessing.connection", "multiprocessing.spawn", "numpy"),
    *("selectors", "socket", "subprocess", "tempfile", "urllib.request"),
)
NOT_ON_MACOS = {
    "os": ("sched_getaffinity", "sched_setaffinity", "memfd_create", "posix_fallocate"),
    "resource": ("RUSAGE_THREAD",),
}
NOT_ON_WINDOWS = {
    "os": (
        *NOT_ON_MACOS["os"],
        *("fork", "getloadavg", "pread", "register_at_fork", "sysconf", "O_ASYNC"),
    ),
    "select": ("poll",),
    "signal": ("pthread_sigmask", "SIG_BLOCK", "SIG_SETMASK", "SIG_UNBLOCK"),
    "socket": ("AF_UNIX", "recv_fds", "send_fds"),
}
NO_MODULES_ON_WINDOWS = ("fcntl", "grp", "pwd", "resource", "termios")


def hide_linux(event: str, arguments: tuple[object, ...]) -> None:
    """Refuse to open files that only Linux has."""
    if event in ("open", "os.scandir", "os.listdir"):
        path = str(arguments[0])
        if path.startswith(("/proc", "/sys/")):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def become(system: str) -> None:
    """Make the running interpreter look like that of another system."""
    for name in LOADED_BEFORE:
        importlib.import_module(name)
    sysconfig.get_config_vars()
    windows = system == "win32"
    for name, missing in (NOT_ON_WINDOWS if windows else NOT_ON_MACOS).items():
        module = importlib.import_module(name)
        for attribute in missing:
            if hasattr(module, attribute):
                delattr(module, attribute)
    for name in NO_MODULES_ON_WINDOWS if windows else ():
        sys.modules[name] = None  # type: ignore[assignment] # which makes it an ImportError
    if hasattr(os, "process_cpu_count"):  # from Python 3.13 on, it uses what is removed
        os.process_cpu_count = os.cpu_count
    sys.addaudithook(hide_linux)
    sys.platform = system


if __name__ == "sitecustomize" and "GILX_TEST_SYSTEM" in os.environ:
    become(os.environ["GILX_TEST_SYSTEM"])
