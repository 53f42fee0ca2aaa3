"""Grains: the choice among rows, words, and records."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest

import gilx
from gilx.errors import ArgumentError
from gilx.estimate import Estimate
from gilx.speedup import grain
from gilx.speedup.grain_record import Grain, GrainRow
from gilx.system.conditions import between, snapshot
from gilx.system.environment import Environment
from tests.made_up_rows import COMPARISON


def row(size: int, low: float) -> GrainRow:
    comparison = replace(
        COMPARISON,
        serial_seconds=2e-3,
        seconds=1e-3,
        speedup=Estimate(low + 0.1, low, low + 0.2),
    )
    return GrainRow(size, comparison)


FOUND = Grain(
    target="collatz",
    variant="c-nogil",
    pool="threads",
    workers=2,
    grain=8,
    work=1e-3,
    region=Estimate(4e-5, 3e-5, 5e-5),
    claim=3e-8,
    release=1e-7,
    handover=None,
    item=1e-5,
    blocks=9,
    rows=(row(4, 0.8), row(8, 1.5)),
    environment=Environment.here(),
    conditions=between(snapshot(), snapshot()),
)


@pytest.mark.parametrize(
    ("lows", "expected"),
    [
        ([0.5, 0.9], None),
        ([1.1], 1),
        ([0.5, 1.1, 1.2], 2),
        # One that wins by chance does not count if a larger one loses.
        ([1.1, 0.9, 1.2, 1.3], 4),
        ([1.1, 1.2, 0.9], None),
    ],
)
def test_the_smallest_grain_that_wins(lows: list[float], expected: int | None) -> None:
    found = grain._smallest([row(2**n, low) for n, low in enumerate(lows)])
    assert (None if found is None else found.grain) == expected


def test_which_grains_are_tried() -> None:
    assert grain._grains(expected=0.01, most=1000) == [1]
    assert grain._grains(expected=1, most=1000) == [1, 2, 4, 8, 16, 32, 64]
    assert grain._grains(expected=1e9, most=10) == [1, 2, 4, 8]


def test_the_budget_is_kept() -> None:
    blocks, chosen = grain._plan([1, 2, 4], 1e-3, 1e-4, 2, 60)
    assert (blocks, chosen) == (101, [1, 2, 4])
    # The largest is left out.
    blocks, chosen = grain._plan([1, 2, 4], 1e-2, 1e-4, 2, 1.5)
    assert (blocks, chosen) == (11, [1, 2])
    assert blocks >= 9
    with pytest.raises(
        ArgumentError, match="budget: expected at least 41 seconds for 10"
    ):
        grain._plan([1, 2, 4], 1.0, 1e-2, 2, 5)


def one_line(found: Grain) -> str:
    """Return its words however the lines were broken."""
    return " ".join(str(found).split())


def test_words() -> None:
    assert one_line(FOUND).startswith(
        "collatz c-nogil: 2 workers (threads) beat one thread if each gets at least 8"
        " items (1 ms of work) handing"
    )
    even = "the workers should break even with one thread at 4 items each."
    assert f"\nBy these costs, {even}\n" in str(FOUND)
    assert "\nitems  one thread  2 workers  speedup " in str(FOUND)
    assert "hand" not in str(FOUND).split("back")[1].split("\n")[0]
    busy = replace(FOUND, conditions=replace(FOUND.conditions, others=0.9))
    assert "about these figures: * " in one_line(busy)
    assert " * other processes took 0.90 CPUs" in one_line(busy)
    never = replace(
        FOUND, variant=None, target="f", grain=None, work=None, rows=(row(8, 0.8),)
    )
    assert one_line(never).startswith(
        "f: 2 workers (threads) did not beat one thread with up to 8 items each"
    )
    alone = replace(never, environment=replace(FOUND.environment, usable_cpus=1))
    assert "with one usable CPU they can't" in one_line(alone)
    several = replace(FOUND.environment, usable_cpus=2, gil=True)
    idle: dict[str, Any] = {"others": 0.0, "steal": 0.0, "throttled": 0.0}
    never = replace(never, conditions=replace(never.conditions, **idle))
    words = "gilx probe shows whether the work holds the GIL"
    assert words in one_line(replace(never, environment=several))
    assert words not in one_line(replace(never, environment=replace(several, gil=False)))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"others": 0.9}, "other processes took 0.90 CPUs over 5 s"),
        ({"steal": 0.2}, "the hypervisor took 20 % of the CPUs' time over 5 s"),
        ({"throttled": 2.0}, "the control group was held back for 2 s in 5 s"),
        ({"others": None, "load": 4.0}, "the load average is 4.00, and its cause"),
    ],
)
def test_busy_machine_is_blamed_before_the_gil(
    changes: dict[str, Any], words: str
) -> None:
    idle: dict[str, Any] = {
        "seconds": 5.0,
        "others": 0.0,
        "steal": 0.0,
        "throttled": 0.0,
        "load": 0.0,
    }
    conditions = replace(FOUND.conditions, **(idle | changes))
    environment = replace(FOUND.environment, usable_cpus=2, gil=True)
    lost = replace(
        FOUND, grain=None, rows=(row(8, 0.8),), environment=environment,
        conditions=conditions,
    )  # fmt: skip
    head = one_line(lost).partition("handing out")[0]
    assert f"; {words}" in head
    assert head.endswith(", so measure again on an idle machine ")
    assert "GIL" not in head
    for calm in (idle, idle | {"others": None, "load": 0.2}):
        found = replace(lost, conditions=replace(FOUND.conditions, **calm))
        assert "gilx probe shows whether the work holds the GIL" in one_line(found)


@pytest.mark.parametrize(
    ("target", "arguments", "words"),
    [
        ("nope", {}, "kernel: expected one of mandelbrot, "),
        (3, {}, "target: expected a kernel, its name, or a callable that takes start"),
        (print, {}, "items: expected the callable's number of items, got None"),
        (print, {"items": 0}, "items: expected at least 1, got 0"),
        (
            len,
            {"items": 9},
            "target: expected a callable that takes start and stop, after",
        ),
        (
            lambda start: start,
            {"items": 9},
            "<lambda>, which can't be called with them: too many positional arguments",
        ),
        (lambda *items, more: (items, more), {"items": 9, "args": (1,)}, "'more'"),
        (print, {"items": 1}, "items: expected an item for each of 2 workers, got 1"),
        (print, {"items": 9, "size": 3}, "size: expected None for a callable, got 3"),
        (print, {"items": 9, "variant": "x"}, "variant: expected None for a callable"),
        ("collatz", {"args": (5,)}, "args: expected none for a kernel, got 5"),
        ("collatz", {"items": 9}, "items: expected None for a kernel, since its size"),
        ("collatz", {"size": 1}, "size: expected an item for each of 2 workers, got 1"),
        ("collatz", {"size": 0}, "size: expected at least 1, got 0"),
        ("collatz", {"variant": "x"}, "variant: expected one of python, "),
        ("collatz", {"workers": 1}, "workers: expected at least 2, got 1"),
        ("collatz", {"pool": "serial"}, "pool: expected one of threads"),
        ("collatz", {"pool": "native"}, "pool: expected one of threads"),
        ("collatz", {"budget": 0}, "budget: expected 0.1 to 3600 seconds, got 0"),
        ("collatz", {"seed": -1}, "seed: expected at least 0, got -1"),
    ],
)
def test_bad_input(target: Any, arguments: dict[str, Any], words: str) -> None:
    given = {"workers": 2, **arguments}
    args = given.pop("args", ())
    with pytest.raises(ArgumentError) as caught:
        gilx.grain(target, *args, **given)
    assert words in str(caught.value)


def test_bad_files() -> None:
    fields = json.loads(FOUND.to_json())
    for change, words in (
        ({"rows": []}, "text.rows: expected at least one row"),
        ({"workers": 0}, "text.workers: expected at least 1"),
        ({"blocks": 0}, "text.blocks: expected at least 1, got 0"),
        ({"grain": -1}, "text.grain: expected at least 1, got -1"),
        (
            {"rows": [{**fields["rows"][0], "grain": -1}]},
            "text.rows[0].grain: expected at least 1, got -1",
        ),
        ({"environment": None}, "text.environment: expected an object, got None"),
        ({"rows": [{}]}, "text.rows[0]: expected a field 'grain', got none"),
    ):
        with pytest.raises(ArgumentError) as caught:
            Grain.from_json(json.dumps({**fields, **change}))
        assert words in str(caught.value)


def test_the_expected_grain() -> None:
    assert FOUND.expected == pytest.approx(4)
    assert replace(FOUND, item=0.0).expected == math.inf
    assert "even" not in str(replace(FOUND, item=0.0))
