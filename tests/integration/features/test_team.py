"""The native team: every kind of C function on threads that never touch Python."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import gilx
from tests.integration.test_team import NAME, WRONG, capsule, compiled
from tests.markers import needs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ITEMS, GRAIN = 1000, 7


@pytest.fixture(scope="module")
def add_one(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a C function that adds 1 to its items, and counts its calls in front of them."""
    return compiled(tmp_path_factory.mktemp("library")).add_one


@pytest.fixture
def runs() -> Iterator[Callable[[object], None]]:
    """Return what runs a function on a team, and asserts that it did every item once."""
    with gilx.Team(2) as team:

        def run(function: object) -> None:
            assert team.workers == 2
            items = np.zeros(ITEMS + 1, np.int64)
            team.run(function, items, ITEMS, grain=GRAIN)
            assert (items[1:] == 1).all()
            assert items[0] == -(-ITEMS // GRAIN)

        yield run


def test_team_runs_a_ctypes_function(
    add_one: Any, runs: Callable[[object], None]
) -> None:
    runs(add_one)


def test_team_runs_an_address(add_one: Any, runs: Callable[[object], None]) -> None:
    runs(ctypes.cast(add_one, ctypes.c_void_p).value)


def test_team_runs_a_capsule_and_refuses_another_signature(
    add_one: Any, runs: Callable[[object], None]
) -> None:
    runs(capsule(add_one, NAME))
    with pytest.raises((TypeError, ValueError), match="expected a capsule named"):
        runs(capsule(add_one, WRONG))


@needs("scipy")
def test_team_runs_a_low_level_callable(
    add_one: Any, runs: Callable[[object], None]
) -> None:
    scipy = pytest.importorskip("scipy")
    runs(scipy.LowLevelCallable(add_one))
    items = np.zeros(ITEMS + 1, np.int64)
    own = scipy.LowLevelCallable(add_one, items.ctypes.data_as(ctypes.c_void_p))
    with gilx.Team(2) as team:
        team.run(own, None, ITEMS)
    assert (items[1:] == 1).all()


@needs("numba")
def test_team_runs_a_cfunc_of_numba() -> None:
    numba = pytest.importorskip("numba")
    types = numba.types
    signature = types.void(types.CPointer(types.int64), types.int64, types.int64)

    def add(context: Any, start: int, stop: int) -> None:
        items = numba.carray(context, ITEMS)
        for i in range(start, stop):
            items[i] += 1

    items = np.zeros(ITEMS, np.int64)
    with gilx.Team(2) as team:
        team.run(numba.cfunc(signature)(add), items, ITEMS, grain=GRAIN)
    assert (items == 1).all()
