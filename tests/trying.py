"""Tries of what a busy machine can spoil: a test that fails needs a fault, not bad luck."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["TRIES", "conclusive", "first_that", "insist", "skip_if_late", "tried"]

T = TypeVar("T")
TRIES = 5  # an interval at 95 % misses five times in a row in 3 of 10 million cases


def first_that(holds: Callable[[T], object], make: Callable[[], T]) -> T:
    """Return the first of a few records for which something holds.

    If there is none, the test fails, or is skipped if the last one says that the CPUs were
    too busy.
    """
    for _ in range(TRIES):
        record = make()
        if holds(record):
            return record
    skip_if_late(str(record))
    pytest.fail(f"in none of {TRIES} tries: {record}")


def tried(make: Callable[[], Any]) -> Any:
    """Return the first conclusive one of a few usages, or else the last."""
    for _ in range(TRIES):
        usage = make()
        if not usage.inconclusive_reason:
            break
    return usage


def skip_if_late(reason: str) -> None:
    """Skip the test if a reason for which nothing is concluded is that the CPUs were busy."""
    words = " ".join(reason.split())  # lines are wrapped
    found = re.search("samples were late for .*? of the time", words)
    if found:
        pytest.skip(f"this machine is busy: {found[0]}")


def insist(usage: Any) -> None:
    """Skip the test if the CPUs were too busy for a usage; fail if it is inconclusive otherwise."""
    skip_if_late(usage.inconclusive_reason)
    assert not usage.inconclusive_reason


def conclusive(make: Callable[[], Any]) -> Any:
    """Return the first conclusive one of a few usages, or insist on it."""
    usage = tried(make)
    insist(usage)
    return usage
