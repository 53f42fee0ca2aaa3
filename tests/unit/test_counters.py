"""Records that a monitor gives, and the arguments that it takes."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import Any

import pytest

from gilx import (
    ArgumentError,
    Counters,
    Environment,
    Estimate,
    Monitor,
    Stall,
    StateSeconds,
    ThreadCounters,
    WorldCounters,
)
from gilx.sampling import counters as counters_module
from gilx.sampling.stalls import own_place

LINE = '  File "/app/a.py", line 9 in f'
OWN = "f", "/app/a.py", 9
NONE = "", "", 0
pytestmark = pytest.mark.any_python


def counters() -> Counters:
    return Counters(
        process=17,
        wall=10.0,
        held_seconds=Estimate(2.0, 1.9, 2.1),
        waited_seconds=Estimate.unknown(),
        unknown_seconds=0.25,
        cost_seconds=0.125,
        stalls=1,
        blocked_loops=2,
        dropped_bytes=0,
        longest_hold=Estimate(0.5, 0.4, 0.6),
        by_thread=(
            ThreadCounters("MainThread", Estimate(2.0, 1.9, 2.1), Estimate.unknown()),
        ),
        environment=Environment.here(),
    )


def stall() -> Stall:
    return Stall(
        kind="gil",
        process=17,
        number=1,
        time=1.7e9,
        seconds=Estimate(0.2, 0.2, float("inf")),
        open_at_stop=False,
        waiters=3,
        thread="MainThread",
        native_id=17,
        function="match",
        file="re.py",
        line=5,
        own_function="is_valid",
        own_file="/app/orders.py",
        own_line=9,
        report=("gilx: process 17: ...", '  File "re.py", line 5 in match'),
    )


def test_counters_survive_json() -> None:
    assert Counters.from_json(counters().to_json()) == counters()
    found = json.loads(counters().to_json())
    assert (found["schema"], found["version"]) == ("gilx.counters", 1)
    assert found["waited_seconds"] is None


@pytest.mark.parametrize(
    "change",
    [
        {"wall": -1.0},
        {"stalls": -1},
        {"blocked_loops": -1},
        {"held_seconds": Estimate(2.0, 2.1, 2.2)},
        {"longest_hold": Estimate(-1.0, -1.0, 0.0)},
    ],
)
def test_counters_that_cannot_be_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        Counters.from_json(replace(counters(), **change).to_json())


def test_stall_survives_json() -> None:
    assert Stall.from_json(stall().to_json()) == stall()
    loop = replace(stall(), kind="loop", waiters=0)
    assert Stall.from_json(loop.to_json()) == loop
    world = replace(stall(), kind="world")
    assert Stall.from_json(world.to_json()) == world
    assert "has kept other threads stopped or waiting for 200 ms in" in str(world)
    assert not stall().over
    assert replace(stall(), seconds=Estimate(0.2, 0.1, 0.3)).over


@pytest.mark.parametrize(
    "change",
    [
        {"seconds": Estimate(0.2, 0.3, 0.4)},
        {"line": -1},
        {"own_line": -1},
        {"number": -1},
        {"kind": "lock"},
        {"seconds": Estimate(0.2, 0.1, 0.3), "open_at_stop": True},
    ],
)
def test_stall_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        Stall.from_json(replace(stall(), **change).to_json())


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        ([f'  File "{os.__file__}", line 7 in walk', LINE], OWN),
        (["  (the garbage collector)", "  (code that can't be read)", LINE], OWN),
        (['  File "/x/site-packages/p.py", line 7 in g', LINE], OWN),
        ([f'  File "{counters_module.__file__}", line 7 in read', LINE], NONE),
        (["  (no Python code)", "Thread 8 waits for the GIL (...):", LINE], NONE),
        (['  File "a", line 1 in b", line 2 in c'], ("c", 'a", line 1 in b', 2)),
    ],
)
def test_own_place_is_the_innermost_outside_of_libraries(
    stack: list[str], expected: tuple[str, str, int]
) -> None:
    head = [
        "gilx: process 17: the GIL was not released",
        "Thread 17 holds the GIL (...):",
    ]
    assert own_place([*head, *stack]) == expected
    assert own_place(head[:1]) == NONE


def test_texts_say_what_is_known() -> None:
    assert "held for 2 s (1.9 s to 2.1 s) of 10 s" in str(counters())
    assert "unknown how long threads waited" in str(counters())
    over = Estimate(0.2, 0.1, 0.3)
    assert str(stall()) == (
        "MainThread has held the GIL for 200 ms in re.py:5 match, called from"
        " /app/orders.py:9 is_valid"
    )
    own = replace(stall(), function="is_valid", file="/app/orders.py", line=9)
    assert str(own).endswith(" in /app/orders.py:9 is_valid")
    unknown = replace(stall(), own_function="", own_file="", own_line=0)
    assert str(unknown).endswith(" in re.py:5 match")
    assert str(replace(stall(), seconds=over)).startswith("MainThread held the GIL for")
    left = replace(stall(), open_at_stop=True)
    assert str(left) == (
        "MainThread had held the GIL for 200 ms in re.py:5 match, called from"
        " /app/orders.py:9 is_valid when the monitor was stopped"
    )
    loop = replace(left, kind="loop", waiters=0)
    assert str(loop).startswith("the event loop of MainThread had been blocked for")
    loop = replace(unknown, kind="loop", function="")
    assert (
        str(loop) == "the event loop of MainThread has been blocked for 200 ms in C code"
    )
    assert "MainThread was blocked for 200 ms" in str(replace(loop, seconds=over))


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"stall": 0.001}, "stall"),
        ({"stall": float("inf")}, "stall"),
        ({"stall": "soon"}, "stall"),
        ({"loop": 0.001}, "loop"),
        ({"loop": float("nan")}, "loop"),
        ({"loop": "soon"}, "loop"),
        ({"cost": 0}, "cost"),
        ({"cost": 0.6}, "cost"),
        ({"on_stall": "abort"}, "on_stall"),
        ({"stall": None, "lone": True}, "stall"),
        ({"stall": None, "on_stall": "exit"}, "stall"),
        ({"stall": None, "loop": 0.1, "on_stall": "exit"}, "stall"),
        ({"stall": None, "log": "log"}, "stall"),
    ],
)
def test_wrong_argument_is_named(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(ArgumentError, match=f"^{name}: expected"):
        Monitor(**arguments)


@pytest.mark.parametrize("log", [os.devnull + "/none", -1, 1 << 20, 1.5, "a\0b"])
def test_log_that_cannot_be_opened_is_named(log: Any) -> None:
    with pytest.raises(ArgumentError, match=r"^log: expected a file that can be written"):
        Monitor(log=log).start()


def test_monitor_that_was_not_started_has_no_counters() -> None:
    with pytest.raises(RuntimeError, match="was not started"):
        Monitor().read()
    with pytest.raises(RuntimeError, match="was not started"):
        _ = Monitor().stalls


SECOND = Estimate(1.0, 0.5, 2.0)
WORLD = WorldCounters(SECOND, SECOND, 3, SECOND)


def without_gil() -> Counters:
    second = SECOND
    unknown = Estimate.unknown()
    states = replace(StateSeconds(*[second] * 8), late=unknown)
    return replace(
        counters(),
        held_seconds=unknown,
        longest_hold=unknown,
        by_thread=(ThreadCounters("worker", unknown, unknown, states),),
        states=states,
        world=WORLD,
    )


def test_counters_without_a_gil_survive_json_and_say_what_is_known() -> None:
    assert Counters.from_json(without_gil().to_json()) == without_gil()
    text = str(without_gil())
    assert text.startswith(
        "process 17, without a GIL: in 10 s, threads ran attached for 1 s"
    )
    assert "; since the last reading, longest stop 1 s (500 ms to 2 s);" in text
    states = StateSeconds(*[Estimate.unknown()] * 8)
    text = str(replace(without_gil(), states=states, world=None))
    assert "threads did what can't be read here; stops of the world can't be" in text


@pytest.mark.parametrize(
    "change",
    [
        {"world": replace(WORLD, least_stops=-1)},
        {"states": StateSeconds(*[Estimate(1.0, 2.0, 3.0)] * 8)},
        {
            "world": replace(
                WORLD,
                longest_stop=Estimate(-1.0, -1.0, 0.0),
            )
        },
    ],
)
def test_states_that_cannot_be_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        Counters.from_json(replace(without_gil(), **change).to_json())
