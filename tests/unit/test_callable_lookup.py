"""Callables that gilx can call and watch."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

import gilx
from gilx import testing
from gilx.callable_lookup import check_call
from gilx.errors import ArgumentError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

pytestmark = pytest.mark.any_python


async def coroutine(number: int = 0) -> int:
    return number


async def async_generator() -> AsyncIterator[int]:
    yield 0


def generator() -> Iterator[int]:
    yield 0


class Called:
    async def __call__(self) -> None:
        pass


class Works:
    def __call__(self) -> None:
        pass

    async def method(self) -> None:
        pass


ASYNC, YIELD = "is defined with async def", "is a generator"


@pytest.mark.parametrize(
    ("fn", "reason"),
    [
        (coroutine, ASYNC),
        (partial(coroutine, 3), ASYNC),
        (partial(partial(coroutine), 3), ASYNC),
        (async_generator, ASYNC),
        (Called(), ASYNC),
        (Works().method, ASYNC),
        (generator, YIELD),
        (3, "expected something to call, got 3"),
    ],
)
def test_call_whose_work_is_not_done_is_refused(fn: Any, reason: str) -> None:
    with pytest.raises(ArgumentError, match=reason):
        check_call(fn)


@pytest.mark.parametrize("fn", [Works(), Works, len, partial(len, ()), lambda: 0, Called])
def test_call_that_works_is_taken(fn: Callable[..., object]) -> None:
    check_call(fn)


@pytest.mark.parametrize(
    "judge",
    [
        gilx.probe,
        gilx.measure,
        gilx.latency,
        partial(gilx.grain, items=10),
        testing.judge_release,
        testing.judge_hold,
        testing.judge_longest_hold,
        testing.judge_scaling,
    ],
)
def test_coroutine_function_is_refused_everywhere(judge: Callable[..., object]) -> None:
    with pytest.raises(ArgumentError, match="coroutine is defined with async def"):
        judge(coroutine)
