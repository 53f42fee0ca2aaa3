"""The short form of `tests.stress`: its long form runs by hand."""

from __future__ import annotations

import pytest

from tests.markers import needs_linux
from tests.stress.cycles import SUBJECTS, cycle
from tests.stress.ends import WAYS, end_once
from tests.stress.together import many_threads

pytestmark = [
    needs_linux,
    pytest.mark.thread_unsafe(reason="counts threads and open files"),
]


@pytest.mark.slow
@pytest.mark.parametrize("name", SUBJECTS)
def test_starts_and_stops_leave_nothing(name: str) -> None:
    growth = cycle(name, 30)
    if growth is None:
        pytest.skip("this Python doesn't have it")
    # Memory is looked at in the long form: here, caches fill.
    assert (growth.threads, growth.files) == (0, 0)


@pytest.mark.slow
def test_many_threads_at_once() -> None:
    assert sum(many_threads(1.0, seed=1).values()) > 0


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_ends_at_any_moment(way: str) -> None:
    end_once(way, seed=1)
