"""Records that several features show or keep, each measured once."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import gilx
from gilx import ckernels
from tests.trying import tried

from .interface import measure

if TYPE_CHECKING:
    from typing import Any

MS = 1_000_000  # nanoseconds


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests of whole features from being run in several threads at once."""
    unsafe = pytest.mark.thread_unsafe(reason="a feature may take all of the process")
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(unsafe)


@pytest.fixture(scope="session")
def report() -> gilx.Report:
    """Return a report of a kernel that holds the GIL and of one that releases it."""
    return measure("levenshtein", size=60)


class Watched:
    """A watch of two threads, one of which holds the GIL for half of its time."""

    def __init__(self) -> None:
        with gilx.watch() as watch:
            other = threading.Thread(
                target=ckernels.spin, args=(0, 20 * MS, 300 * MS), name="released"
            )
            other.start()
            self.truth = ckernels.spin(10 * MS, 10 * MS, 300 * MS)
            other.join()
        self.usage: gilx.GilUsage = watch.usage
        self.timeline: Any = watch.timeline

    @property
    def inconclusive_reason(self) -> str:
        """Why nothing can be concluded from it."""
        return self.usage.inconclusive_reason

    @property
    def unknown(self) -> float:
        """Share of the time for which there is no good sample."""
        return self.usage.unknown


@pytest.fixture(scope="session")
def watched() -> Watched:
    """Return a watch of threads whose rhythm is known, a conclusive one if possible."""
    found: Watched = tried(Watched)
    return found
