"""CPUs of the machine: those that the process may use, their cores and their kinds."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from gilx._compat import x_option
from gilx.system.cgroups import cgroup_cpus


@dataclass(frozen=True)
class Cpus:
    """The CPUs of a process, in the operating system's numbers.

    Facts that the system does not report are None.
    """

    model: str
    """The processor's name, or that of its architecture."""
    present: int
    """Number of CPUs that the system runs on."""
    allowed: tuple[int, ...] | None
    """CPUs of the process's affinity mask."""
    quota: float | None
    """CPU time per second that its control groups allow, in CPUs; None: no limit."""
    override: int | None
    """Number that ``-X cpu_count`` or ``PYTHON_CPU_COUNT`` sets instead (Python 3.13)."""
    cores: tuple[tuple[int, ...], ...] | None
    """Allowed CPUs by core: CPUs that share a core (SMT) are in one tuple."""
    performance: tuple[int, ...] | None
    """Allowed CPUs of the fastest kind; None if all are alike."""
    efficiency: tuple[int, ...] | None
    """Allowed CPUs of slower kinds; None if all are alike."""
    virtual: bool | None
    """True if a hypervisor runs the system; None if that is not known."""

    @property
    def siblings(self) -> tuple[tuple[int, ...], ...]:
        """Allowed CPUs that share a core, two or more of each such core."""
        return tuple(core for core in self.cores or () if len(core) > 1)

    def one_a_core(self) -> tuple[int, ...] | None:
        """Return one allowed CPU of each core, of the fastest kind if kinds differ."""
        if self.cores is None:
            return self.performance
        first = [core[0] for core in self.cores if core]
        if self.performance is not None:
            first = [cpu for cpu in first if cpu in self.performance]
        return tuple(first)

    def why(self) -> str:
        """Say in words what limits the CPUs that the process may use."""
        allowed = self.present if self.allowed is None else len(self.allowed)
        words = [f"{allowed} of {self.present} by affinity"]
        if self.allowed is None:
            words = [f"{self.present} present"]
        if self.override is not None:
            words.append(f"{self.override} by PYTHON_CPU_COUNT or -X cpu_count")
        if self.quota is not None:
            words.append(f"{self.quota:g} by control group quota")
        return ", ".join(words)


def cpus_here(root: Path = Path("/")) -> Cpus:
    """Return the CPUs of this process.

    Parameters
    ----------
    root : Path
        Where to look for ``proc``, ``sys`` and mounted control groups.

    """
    allowed = (
        tuple(sorted(os.sched_getaffinity(0)))
        if hasattr(os, "sched_getaffinity")
        else None
    )
    present = _present()
    ours = tuple(range(present)) if allowed is None else allowed
    performance, efficiency = _kinds(ours, root)
    return Cpus(
        model=cpu_model(root),
        present=present,
        allowed=allowed,
        quota=cgroup_cpus(root),
        override=_override(),
        cores=_cores(ours, root),
        performance=performance,
        efficiency=efficiency,
        virtual=_virtual(root),
    )


def _present() -> int:
    """Return how many CPUs there are; os.cpu_count may return what the user has set."""
    try:
        return max(1, os.sysconf("SC_NPROCESSORS_ONLN"))
    except (AttributeError, ValueError, OSError):
        return os.cpu_count() or 1


def cpu_model(root: Path = Path("/")) -> str:
    """Return the name of the processor, or of its architecture if only that is known."""
    found = _cpuinfo("model name", root)
    return found or platform.processor() or platform.machine()


def _cpuinfo(wanted: str, root: Path) -> str | None:
    """Return the first value of a key of /proc/cpuinfo."""
    try:
        for line in (root / "proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == wanted:
                return " ".join(value.split())
    except OSError:
        pass
    return None


def _virtual(root: Path) -> bool | None:
    # x86 has a bit for a hypervisor (CPUID leaf 1, ECX bit 31), which Linux shows as a
    # flag.
    flags = _cpuinfo("flags", root)
    return None if flags is None else "hypervisor" in flags.split()


def _override() -> int | None:
    """Return the number of CPUs that the user told Python to assume."""
    if sys.version_info >= (3, 13):
        given = x_option("cpu_count")
        if given is None and not sys.flags.ignore_environment:
            given = os.environ.get("PYTHON_CPU_COUNT")
        return int(given) if isinstance(given, str) and given.isdecimal() else None
    return None


def _cores(cpus: tuple[int, ...], root: Path) -> tuple[tuple[int, ...], ...] | None:
    """Return the CPUs by core (Linux: Documentation/admin-guide/cputopology.rst)."""
    cores: list[tuple[int, ...]] = []
    for cpu in cpus:
        topology = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
        # thread_siblings_list is the older name of core_cpus_list.
        members = _cpus_in(topology / "core_cpus_list")
        if members is None:
            members = _cpus_in(topology / "thread_siblings_list")
        if members is None:
            return None
        core = tuple(each for each in members if each in cpus)
        if core not in cores:
            cores.append(core)
    return tuple(cores)


def _kinds(
    cpus: tuple[int, ...], root: Path
) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    """Return the CPUs of the fastest kind and the others; None, None if all are alike.

    Intel's hybrid processors have a performance monitoring unit for each kind, cpu_core
    and cpu_atom (Linux: tools/perf/Documentation/intel-hybrid.txt). Arm's have a capacity
    for each CPU (Documentation/ABI/testing/sysfs-devices-system-cpu).
    """
    devices = root / "sys/devices"
    fast, slow = _cpus_in(devices / "cpu_core/cpus"), _cpus_in(devices / "cpu_atom/cpus")
    if fast is None or slow is None:
        capacities = {}
        for cpu in cpus:
            try:
                text = (devices / f"system/cpu/cpu{cpu}/cpu_capacity").read_text()
                capacities[cpu] = int(text)
            except (OSError, ValueError):
                return None, None
        most = max(capacities.values(), default=0)
        fast = tuple(cpu for cpu, capacity in capacities.items() if capacity == most)
        slow = tuple(cpu for cpu in capacities if cpu not in fast)
    fast = tuple(cpu for cpu in fast if cpu in cpus)
    slow = tuple(cpu for cpu in slow if cpu in cpus)
    return (fast, slow) if fast and slow else (None, None)


def _cpus_in(path: Path) -> tuple[int, ...] | None:
    """Return the CPUs of a list such as 0-3,8; None if the file does not exist."""
    try:
        words = path.read_text().split(",")
        ranges = [[int(end) for end in word.split("-")] for word in words]
    except (OSError, ValueError):
        return None
    return tuple(cpu for ends in ranges for cpu in range(ends[0], ends[-1] + 1))
