"""Problems of a machine that distort measurements, and their remedies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gilx.formatting import duration, percent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gilx.system.conditions import Conditions
    from gilx.system.environment import Environment
    from gilx.system.gil_imports import ImportTrial

# What is taken to spoil a measurement. A neighbour with a tenth of a CPU, and a hundredth
# of the time stolen, move a speedup by more than the precision that gilx aims at, 2 %.
_OTHERS = 0.1
_STEAL = 0.01
# The clock should move at least a thousand times in the shortest sample, of some 1 ms.
_CLOCK_STEP = 1e-6
# Reading these clock sources needs no system call and takes some 20 ns.
_QUICK_CLOCKS = ("tsc", "arch_sys_counter", "kvm-clock", "hyperv_clocksource_tsc_page")
# These keep the frequency as high as it may be.
_STEADY_GOVERNORS = ("performance",)


@dataclass(frozen=True)
class Finding:
    """One finding about the machine, in a line."""

    name: str
    """A short name that stays the same, such as `throttled`."""
    is_warning: bool
    """True if it distorts measurements; otherwise the finding is a note."""
    evidence: str
    """The observation, with its figures."""
    remedy: str
    """The action that would help."""

    def __str__(self) -> str:
        return f"{self.evidence}: {self.remedy}"


def examine(environment: Environment, conditions: Conditions) -> tuple[Finding, ...]:
    """Return the findings about a machine and its conditions, warnings first."""
    found = [
        *_of_cpus(environment),
        *_of_kinds_of_cpus(environment),
        *_of_neighbours(conditions),
        *_of_clocks(conditions),
        *_of_python(environment, conditions),
        *_of_threads(conditions),
        *_of_what_is_unknown(environment, conditions),
    ]
    return tuple(sorted(found, key=lambda finding: not finding.is_warning))


def examine_imports(
    trials: Mapping[str, ImportTrial], conditions: Conditions
) -> tuple[Finding, ...]:
    """Return the imports that turn the GIL on, on a free-threaded build.

    The module that turned it on in this process is left out: `examine` reports it.

    Parameters
    ----------
    trials : mapping of str to ImportTrial
        The result of importing each module in a process of its own.
    conditions : Conditions
        Those of this process.

    """
    return tuple(_of_imports(trials, conditions))


def _of_imports(
    trials: Mapping[str, ImportTrial], conditions: Conditions
) -> Iterator[Finding]:
    is_off = conditions.gil.startswith("off")
    for name, trial in trials.items():
        if trial.turned_on is None:
            yield Finding(
                "gil-import",
                False,
                f"it is unknown if importing {name} turns the GIL on, as {trial.problem}",
                "import its extension modules one by one, and look at"
                " sys._is_gil_enabled() after each",
            )
        elif trial.turned_on and f"loading {trial.cause} turned" not in conditions.gil:
            start = "start of Python (.pth files, sitecustomize)"
            what = f"the {start}" if trial.during == "site" else f"importing {name}"
            yield Finding(
                "gil-import",
                not is_off,
                f"{what} {'would turn' if is_off else 'turns'} the GIL on"
                f"{' if nothing forced it off' if is_off else ''}, as it loads"
                f" {trial.cause or 'an extension module that is unknown'}",
                "that module does not declare that it can run without; look for a newer"
                " version of it",
            )


def _of_cpus(environment: Environment) -> Iterator[Finding]:
    cpus, usable = environment.cpus, environment.usable_cpus
    allowed = cpus.present if cpus.allowed is None else len(cpus.allowed)
    if usable == 1:
        yield Finding(
            "one-cpu",
            True,
            f"one usable CPU ({cpus.why()})",
            "no speedup is possible; allow two or more (taskset, the container's limits)",
        )
    if cpus.quota is not None and cpus.quota < allowed:
        first = ",".join(map(str, (cpus.allowed or tuple(range(allowed)))[:usable]))
        yield Finding(
            "quota",
            True,
            f"a quota of {cpus.quota:g} CPUs on {allowed} allowed ones",
            "a program that uses more is held back in bursts; raise the quota, or"
            f" run under taskset -c {first} with at most {usable} workers",
        )
    if cpus.override is not None and cpus.override > allowed:
        yield Finding(
            "cpu-count",
            True,
            f"Python was configured for {cpus.override} CPUs, and {allowed} are allowed",
            "workers would share CPUs; unset PYTHON_CPU_COUNT and -X cpu_count",
        )
    if cpus.virtual:
        yield Finding(
            "virtual",
            False,
            "this is a virtual machine",
            "other virtual machines may slow it down; trust ratios within a block, not"
            " times",
        )


def _of_kinds_of_cpus(environment: Environment) -> Iterator[Finding]:
    cpus = environment.cpus
    if cpus.performance is not None and cpus.efficiency is not None:
        fast, slow = len(cpus.performance), len(cpus.efficiency)
        yield Finding(
            "kinds",
            True,
            f"{fast} fast and {slow} slower CPUs",
            "serial work runs on a fast one, parallel work on both; run under"
            f" taskset -c {_list(cpus.performance)}",
        )
    if cpus.siblings and cpus.cores is not None:
        allowed = sum(map(len, cpus.cores))
        yield Finding(
            "smt",
            True,
            f"{allowed} allowed CPUs on {len(cpus.cores)} cores (SMT)",
            "two on a core share its units and achieve less than two cores; run under"
            f" taskset -c {_list(cpus.one_a_core() or ())}",
        )


def _list(cpus: tuple[int, ...]) -> str:
    return ",".join(map(str, cpus))


def _of_neighbours(conditions: Conditions) -> Iterator[Finding]:
    window = duration(conditions.seconds)
    if conditions.others is not None and conditions.others > _OTHERS:
        yield Finding(
            "others",
            True,
            f"other processes took {conditions.others:.2f} CPUs over {window}",
            "stop them (top shows which), or measure when they are done",
        )
    elif conditions.others is None and conditions.load is not None:
        yield Finding(
            "load",
            conditions.load > 1,
            f"the load average is {conditions.load:.2f}, and its cause is not visible",
            "measure when it is low",
        )
    if conditions.steal is not None and conditions.steal > _STEAL:
        yield Finding(
            "steal",
            True,
            f"the hypervisor took {percent(conditions.steal)} of the CPUs' time over"
            f" {window}",
            "measure at another time, or on a machine of your own",
        )
    if conditions.throttled:
        yield Finding(
            "throttled",
            True,
            f"the control group was held back for {duration(conditions.throttled)} in"
            f" {window}",
            "raise its CPU quota, or use fewer workers",
        )


def _of_clocks(conditions: Conditions) -> Iterator[Finding]:
    unsteady = [one for one in conditions.governors or () if one not in _STEADY_GOVERNORS]
    if unsteady:
        yield Finding(
            "governor",
            True,
            f"CPU frequencies are set by the governor {', '.join(unsteady)}",
            "they follow the load, serial work may get a higher one than parallel work;"
            " set it: cpupower frequency-set -g performance",
        )
    if conditions.clock_step > _CLOCK_STEP:
        yield Finding(
            "clock",
            True,
            f"the clock moves in steps of {duration(conditions.clock_step)}",
            "measure calls that last a thousand times as long",
        )
    source = conditions.clock_source
    if source is not None and source not in _QUICK_CLOCKS:
        yield Finding(
            "clock-source",
            True,
            f"the time is read from {source}",
            "reading it takes a system call; choose tsc in"
            " /sys/devices/system/clocksource/clocksource0/current_clocksource if that is"
            " available",
        )


def _of_python(environment: Environment, conditions: Conditions) -> Iterator[Finding]:
    if environment.free_threaded and environment.gil:
        reason = conditions.gil.removeprefix("on: ")
        if reason.endswith("says so"):
            remedy = "start Python without it"
        elif reason.endswith("unknown"):
            remedy = "name what you import (gilx doctor MODULE) to see which one it is"
        else:
            remedy = "look for a newer version of it, or set PYTHON_GIL=0 if you trust it"
        yield Finding(
            "gil-on", True, f"a free-threaded build with the GIL on, as {reason}", remedy
        )
    if environment.debug:
        yield Finding(
            "debug",
            True,
            "a debug build of Python",
            "it holds the GIL for longer than others do; measure with a release build",
        )


def _of_threads(conditions: Conditions) -> Iterator[Finding]:
    several = [one for one in conditions.native_threads or () if one.threads > 1]
    if several:
        words = ", ".join(
            f"{one.library} has {one.threads} threads of its own" for one in several
        )
        yield Finding(
            "native-threads",
            False,
            words,
            "a call that uses them is parallel already; set OMP_NUM_THREADS=1 to measure"
            " what threads add",
        )
    elif conditions.native_threads is None:
        settings = ", ".join(conditions.thread_settings) or "nothing limits them"
        yield Finding(
            "native-threads",
            False,
            f"libraries may start threads of their own ({settings})",
            "install threadpoolctl to list them, or set OMP_NUM_THREADS=1",
        )


def _of_what_is_unknown(
    environment: Environment, conditions: Conditions
) -> Iterator[Finding]:
    unknown = [
        words
        for words, value in (
            ("other processes' CPU time", conditions.others),
            ("steal", conditions.steal),
            ("throttling", conditions.throttled),
            ("which CPUs share a core", environment.cpus.cores),
        )
        if value is None
    ]
    if unknown:
        yield Finding(
            "unknown",
            False,
            f"the system does not tell {', '.join(unknown)}",
            "measure twice, at different times, and compare",
        )
