"""Substitutes for the compiled parts of gilx where they are not installed."""

from __future__ import annotations

import pickle
import threading
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

import gilx
from gilx.pools.python_counter import PythonCounter

PACKAGE = Path(gilx.__file__).parent


@pytest.mark.parametrize("name", ["ckernels", "cykernels", "sampling/_sampler"])
def test_stand_in_of_a_compiled_module_says_that_it_is_missing(name: str) -> None:
    spec = spec_from_file_location("stand_in", PACKAGE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    with pytest.raises(gilx.NotCompiledError, match="are not installed here"):
        spec.loader.exec_module(module_from_spec(spec))


def test_error_survives_a_pickle() -> None:
    error = pickle.loads(pickle.dumps(gilx.NotCompiledError()))
    assert str(error) == str(gilx.NotCompiledError())


def test_error_is_caught_as_one_of_the_watch_and_as_one_of_an_import() -> None:
    assert issubclass(gilx.NotCompiledError, gilx.WatchUnavailableError)
    assert issubclass(gilx.NotCompiledError, ImportError)


def test_python_counter_gives_out_each_item_once() -> None:
    counter = PythonCounter(3, 10, 3)
    assert list(iter(counter.take, None)) == [(3, 6), (6, 9), (9, 10)]
    assert counter.take() is None


def test_cancelled_python_counter_gives_out_no_more() -> None:
    counter = PythonCounter(0, 10)
    assert counter.take() == (0, 1)
    counter.cancel()
    assert counter.take() is None


@pytest.mark.concurrent_callers
def test_threads_share_the_items_of_a_python_counter() -> None:
    counter = PythonCounter(0, 5000, 3)
    claims: list[list[tuple[int, int]]] = [[] for _ in range(4)]

    def claim(taken: list[tuple[int, int]]) -> None:
        taken.extend(iter(counter.take, None))

    threads = [threading.Thread(target=claim, args=(taken,)) for taken in claims]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    begins, ends = zip(*sorted(pair for taken in claims for pair in taken), strict=True)
    assert begins == tuple(range(0, 5000, 3))
    assert ends == (*begins[1:], 5000)
