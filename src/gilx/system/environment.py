"""Machine, Python and libraries.

The machine's current load is in `gilx.system.conditions`.
"""

from __future__ import annotations

import os
import platform
import re
import sys
import sysconfig
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gilx
from gilx._compat import gil_enabled
from gilx.records import Record
from gilx.system.cgroups import cgroup_cpus
from gilx.system.cpus import Cpus, cpus_here

if TYPE_CHECKING:
    from pathlib import Path


_NUMPY = re.compile(r"numpy-([^-]+)(?:-py[\d.]+)?\.(?:dist|egg)-info", re.IGNORECASE)


def usable_cpus() -> int:
    """Return how many CPUs this process may use at once, at least 1.

    The least of: the CPUs of its affinity mask (or what ``-X cpu_count`` and
    ``PYTHON_CPU_COUNT`` say, on Python 3.13 and newer) and the CPU time that its control
    groups allow, rounded down.
    """
    if sys.version_info >= (3, 13):
        cpus = os.process_cpu_count() or 1
    elif hasattr(os, "sched_getaffinity"):
        cpus = len(os.sched_getaffinity(0))
    else:
        cpus = os.cpu_count() or 1
    quota = cgroup_cpus()
    return cpus if quota is None else max(1, min(cpus, int(quota)))


@dataclass(frozen=True)
class EnvironmentDifference:
    """Differences of two environments, in words; true if the machine is the same.

    A different Python or library on the same machine is something to compare; a different
    machine makes figures incomparable.
    """

    machine: tuple[str, ...]
    """Differences in the machine."""
    software: tuple[str, ...]
    """Differences in Python, the system's release and the libraries."""

    def __bool__(self) -> bool:
        return not self.machine

    def __str__(self) -> str:
        words = "different machines" if self.machine else "the same machine"
        differs = [*self.machine, *self.software]
        return f"{words}: {'; '.join(differs)}" if differs else words


@dataclass(frozen=True)
class Environment(Record, schema="gilx.environment"):
    """A machine, a Python and the libraries that matter."""

    implementation: str
    """Such as CPython."""
    python: str
    """Python's version."""
    build: str
    """The build, and its compiler."""
    debug: bool
    """True if the build has assertions and debugging aids, which make it slow."""
    free_threaded: bool
    """True if the build can run without a GIL."""
    gil: bool
    """True if it ran with a GIL."""
    switch_interval: float
    """Seconds after which the thread that holds the GIL is asked to release it."""
    system: str
    release: str
    """The operating system's release."""
    architecture: str
    usable_cpus: int
    """As `usable_cpus` finds: how many CPUs the process may use at once."""
    cpus: Cpus
    gilx: str
    numpy: str | None
    """NumPy's version; None if it is not installed."""

    @classmethod
    def here(cls, root: Path | None = None) -> Environment:
        """Return the environment of this process.

        Parameters
        ----------
        root : Path, optional
            Where to look for ``proc``, ``sys`` and control groups; by default ``/``.

        """
        return cls(
            implementation=platform.python_implementation(),
            python=platform.python_version(),
            build=f"{' '.join(platform.python_build())}, {platform.python_compiler()}",
            debug=bool(sysconfig.get_config_var("Py_DEBUG")),
            free_threaded=bool(sysconfig.get_config_var("Py_GIL_DISABLED")),
            gil=gil_enabled(),
            switch_interval=sys.getswitchinterval(),
            system=platform.system(),
            release=platform.release(),
            architecture=platform.machine(),
            usable_cpus=usable_cpus(),
            cpus=cpus_here() if root is None else cpus_here(root),
            gilx=gilx.__version__,
            numpy=_numpy_version(),
        )

    def same_machine(
        self, other: Environment, names: tuple[str, str] = ("here", "there")
    ) -> EnvironmentDifference:
        """Say what differs from another environment.

        Parameters
        ----------
        other : Environment
            The other one.
        names : (str, str)
            Words for this one and the other one, after what each has.

        Returns
        -------
        EnvironmentDifference
            True if the machine is the same, as far as that can be determined: two of the
            same make look alike.

        """
        return EnvironmentDifference(
            machine=_differences(self._machine(), other._machine(), names),
            software=_differences(self._software(), other._software(), names),
        )

    def _machine(self) -> dict[str, object]:
        cpus = self.cpus
        return {
            "system": self.system,
            "architecture": self.architecture,
            "processor": cpus.model,
            "virtual machine": cpus.virtual,
            "CPUs": cpus.present,
            "usable CPUs": self.usable_cpus,
            "CPU quota": cpus.quota,
            "cores": None if cpus.cores is None else len(cpus.cores),
            "CPUs of slower kinds": len(cpus.efficiency or ()),
        }

    def _software(self) -> dict[str, object]:
        return {
            "Python": f"{self.implementation} {self.python}",
            "build": self.build,
            "debug build": self.debug,
            "free-threaded build": self.free_threaded,
            "GIL": "on" if self.gil else "off",
            "switch interval": f"{self.switch_interval:g} s",
            "release of the system": self.release,
            "gilx": self.gilx,
            "NumPy": self.numpy,
        }

    def __str__(self) -> str:
        kinds = [
            *(["debug"] if self.debug else []),
            *(["free-threaded"] if self.free_threaded else []),
        ]
        kind = f", {' '.join(kinds)} build" if kinds else ""
        cpus = self.cpus
        gil = (
            f"GIL {'on' if self.gil else 'off'},"
            f" switch interval {self.switch_interval * 1e3:g} ms"
        )
        lines = [
            ("Python", f"{self.implementation} {self.python}{kind}, {gil}"),
            ("build", self.build),
            ("libraries", f"gilx {self.gilx}, NumPy {self.numpy or 'not installed'}"),
            ("system", f"{self.system} {self.release} {self.architecture}"),
            (
                "processor",
                f"{cpus.model}{', in a virtual machine' if cpus.virtual else ''}",
            ),
            ("usable CPUs", f"{self.usable_cpus} ({cpus.why()})"),
        ]
        if cpus.cores is not None:
            lines.append(("cores", f"{len(cpus.cores)} with usable CPUs"))
        if cpus.performance is not None and cpus.efficiency is not None:
            lines.append(
                (
                    "kinds of CPU",
                    f"{len(cpus.performance)} fast, {len(cpus.efficiency)} slower",
                )
            )
        return "\n".join(f"{name:<13}{text}" for name, text in lines)

    def summary(self) -> str:
        """Return one line: which Python and libraries on which machine."""
        build = ", free-threaded build" if self.free_threaded else ""
        cpus = f"{self.usable_cpus} usable CPU{'s' if self.usable_cpus != 1 else ''}"
        numpy = "" if self.numpy is None else f", NumPy {self.numpy}"
        return (
            f"{self.implementation} {self.python}{build}, GIL"
            f" {'on' if self.gil else 'off'}; {self.cpus.model}, {cpus}; {self.system}"
            f" {self.architecture}; gilx {self.gilx}{numpy}"
        )


def _numpy_version() -> str | None:
    """Return the version of NumPy that is installed, None if there is none.

    `importlib.metadata` is slow to load, and running the text of code, as it does while
    it is loaded, when the interpreter ends makes Python forget that it was interrupted.
    """
    for path in sys.path:
        try:
            names = os.listdir(path or os.curdir)
        except OSError:  # no such directory, or an archive
            continue
        for name in names:
            if found := _NUMPY.fullmatch(name):
                return found[1]
    return None


def _differences(
    ours: dict[str, object], theirs: dict[str, object], names: tuple[str, str]
) -> tuple[str, ...]:
    here, there = names
    return tuple(
        f"{name}: {_word(mine)} {here}, {_word(theirs[name])} {there}"
        for name, mine in ours.items()
        if mine != theirs[name]
    )


def _word(value: object) -> str:
    if value is None:
        return "none or unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def describe() -> str:
    """Return one line: which Python on which machine, and how many CPUs it may use."""
    return Environment.here().summary()
