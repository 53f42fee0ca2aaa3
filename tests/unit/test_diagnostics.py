"""Problems that diagnostics find in made-up environments and loads, and their remedies."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gilx.system.conditions import Conditions, NativeThreads
from gilx.system.cpus import Cpus
from gilx.system.diagnostics import examine, examine_imports
from gilx.system.environment import Environment
from gilx.system.gil_imports import GilImport, ImportTrial

CPUS = Cpus(
    model="Z80",
    present=4,
    allowed=(0, 1, 2, 3),
    quota=None,
    override=None,
    cores=((0,), (1,), (2,), (3,)),
    performance=None,
    efficiency=None,
    virtual=False,
)


ENVIRONMENT = Environment(
    implementation="CPython",
    python="3.13.0",
    build="main",
    debug=False,
    free_threaded=False,
    gil=True,
    switch_interval=0.005,
    system="Linux",
    release="6.1",
    architecture="x86_64",
    usable_cpus=4,
    cpus=CPUS,
    gilx="0.1.0",
    numpy="2.0.0",
)


CONDITIONS = Conditions(
    seconds=1.0,
    load=0.1,
    others=0.02,
    steal=0.0,
    throttled=0.0,
    governors=("performance",),
    clock_source="tsc",
    clock_step=7e-8,
    gil="on: this build of Python always has it",
    native_threads=(),
    thread_settings=(),
)


def names(*, is_warning: bool, **changes: Any) -> list[str]:
    cpus = {key: changes.pop(key) for key in list(changes) if hasattr(CPUS, key)}
    here = {key: changes.pop(key) for key in list(changes) if hasattr(ENVIRONMENT, key)}
    found = examine(
        replace(ENVIRONMENT, cpus=replace(CPUS, **cpus), **here),
        replace(CONDITIONS, **changes),
    )
    for finding in found:
        assert finding.evidence
        assert finding.remedy
        assert "\n" not in str(finding)
    return [finding.name for finding in found if finding.is_warning == is_warning]


def test_an_idle_machine_has_no_warnings() -> None:
    assert examine(ENVIRONMENT, CONDITIONS) == ()


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"usable_cpus": 1}, "one-cpu"),
        ({"quota": 1.5}, "quota"),
        ({"override": 16}, "cpu-count"),
        ({"performance": (0, 1), "efficiency": (2, 3)}, "kinds"),
        ({"cores": ((0, 2), (1, 3))}, "smt"),
        ({"others": 0.5}, "others"),
        ({"others": None, "load": 3.0}, "load"),
        ({"steal": 0.05}, "steal"),
        ({"throttled": 0.01}, "throttled"),
        ({"governors": ("performance", "powersave")}, "governor"),
        ({"clock_step": 1e-3}, "clock"),
        ({"clock_source": "hpet"}, "clock-source"),
        ({"free_threaded": True, "gil": True}, "gil-on"),
        ({"debug": True}, "debug"),
    ],
)
def test_each_problem_is_a_warning(changes: dict[str, Any], name: str) -> None:
    if name == "gil-on":
        # The key stands for one field of the environment, another of the conditions.
        here = replace(ENVIRONMENT, free_threaded=True)
        assert [one.name for one in examine(here, CONDITIONS)] == ["gil-on"]
    else:
        assert names(is_warning=True, **changes) == [name]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"virtual": True}, ["virtual"]),
        ({"native_threads": (NativeThreads("blas", 4),)}, ["native-threads"]),
        ({"native_threads": (NativeThreads("blas", 1),)}, []),
        ({"native_threads": None}, ["native-threads"]),
        ({"others": None, "steal": None, "throttled": None, "load": None}, ["unknown"]),
        ({"quota": 8.0, "override": 2, "governors": None, "clock_source": None}, []),
    ],
)
def test_what_is_good_to_know(changes: dict[str, Any], expected: list[str]) -> None:
    assert names(is_warning=False, **changes) == expected
    assert names(is_warning=True, **changes) == []


def test_remedies_can_be_followed() -> None:
    (found,) = examine(
        replace(ENVIRONMENT, cpus=replace(CPUS, cores=((0, 2), (1, 3)))), CONDITIONS
    )
    assert found.remedy.endswith("taskset -c 0,1")
    (found,) = examine(
        replace(ENVIRONMENT, usable_cpus=2, cpus=replace(CPUS, quota=2.5)), CONDITIONS
    )
    assert found.remedy.endswith("taskset -c 0,1 with at most 2 workers")


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("PYTHON_GIL=1 says so", "start Python without it"),
        ("loading a.b turned it on", "look for a newer version"),
        (
            "an extension module turned it on, which one is unknown",
            "name what you import",
        ),
    ],
)
def test_why_the_gil_is_on_has_its_own_remedy(reason: str, remedy: str) -> None:
    (found,) = examine(
        replace(ENVIRONMENT, free_threaded=True),
        replace(CONDITIONS, gil=f"on: {reason}"),
    )
    assert found.evidence.endswith(f"the GIL on, as {reason}")
    assert found.remedy.startswith(remedy)


CAUSE = GilImport("b._core", "/b/_core.so")
TRIALS = {
    "a": ImportTrial(False, "", None, ""),
    "b": ImportTrial(True, "b", CAUSE, ""),
    "c": ImportTrial(True, "site", None, ""),
    "d": ImportTrial(
        None, "", None, "the process that tried it ended with exit status 3"
    ),
}


def test_imports_that_turn_the_gil_on_are_warnings_if_it_is_on() -> None:
    found = examine_imports(TRIALS, replace(CONDITIONS, gil="on: -X gil=1 says so"))
    assert [(one.name, one.is_warning) for one in found] == [
        ("gil-import", True),
        ("gil-import", True),
        ("gil-import", False),
    ]
    named, unnamed, untried = (one.evidence for one in found)
    assert named == "importing b turns the GIL on, as it loads b._core (/b/_core.so)"
    assert unnamed == (
        "the start of Python (.pth files, sitecustomize) turns the GIL on, as it loads an"
        " extension module that is unknown"
    )
    assert untried == (
        "it is unknown if importing d turns the GIL on, as the process that tried it ended"
        " with exit status 3"
    )


def test_imports_that_would_turn_the_gil_on_are_good_to_know_where_it_is_off() -> None:
    trials = {"b": TRIALS["b"]}
    (found,) = examine_imports(trials, replace(CONDITIONS, gil="off: -X gil=0 says so"))
    assert not found.is_warning
    assert found.evidence == (
        "importing b would turn the GIL on if nothing forced it off, as it loads b._core"
        " (/b/_core.so)"
    )


def test_import_that_turned_the_gil_on_here_is_said_once() -> None:
    here = replace(CONDITIONS, gil=f"on: loading {CAUSE} turned it on")
    assert examine_imports({"b": TRIALS["b"]}, here) == ()
