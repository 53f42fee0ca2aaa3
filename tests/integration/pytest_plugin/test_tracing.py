"""Verdicts while a tracer watches Python code."""

from __future__ import annotations

import functools
import json
import sys
import types
from functools import partial
from typing import TYPE_CHECKING

import pytest

from gilx import cykernels
from gilx.pytest_plugin.tracing import is_python, tracing
from tests.command import run_python
from tests.integration.pytest_plugin.plugin_runs import assert_judged_by_the_watch
from tests.markers import needs, needs_watch

if TYPE_CHECKING:
    from collections.abc import Callable


pytest_plugins = ["pytester"]


pytestmark = pytest.mark.thread_unsafe(reason="pytest runs in this process, too")


TRACED = """
import sys

def pytest_runtest_call(item):
    sys.settrace(lambda *_: None)

def pytest_runtest_teardown(item):
    sys.settrace(None)
"""


HELD_IN_CYTHON = """
import numpy as np
from gilx.cykernels import collatz_gil

OUT = np.zeros(20_000, np.int32)

def test_cython(gil):
    gil.releases(collatz_gil, 1, OUT, 0, len(OUT))
"""


@needs_watch
def test_compiled_function_that_holds_fails_under_a_tracer(
    pytester: pytest.Pytester,
) -> None:
    pytester.makeconftest(TRACED)
    pytester.makepyfile(HELD_IN_CYTHON)
    done = pytester.runpytest_subprocess("-rs", "-p", "no:cacheprovider")
    assert_judged_by_the_watch(done, 1)


TRACERS = """
import json, sys, threading
from gilx.pytest_plugin.tracing import tracing
said = [tracing()]
for start in (sys.settrace, sys.setprofile, threading.settrace):
    start(lambda *_: None)
    said.append(tracing())
    start(None)
if hasattr(sys, "monitoring"):
    sys.monitoring.use_tool_id(3, "mine")
    said.append(tracing())
print(json.dumps(said))
"""


def test_who_traces() -> None:
    done = run_python("-c", TRACERS, check=True)
    expected = ["", *["__main__ traces Python code"] * 3]
    if sys.version_info >= (3, 12):
        expected.append("mine traces Python code")
    assert json.loads(done.stdout) == expected
    assert isinstance(tracing(), str)


class Doubled:
    def __call__(self) -> None:
        pass

    @staticmethod
    def alone() -> None:
        pass


class Inherited(Doubled):
    pass


class Compiled:
    __call__ = cykernels.collatz_gil  # Cython binds it, as Python does


class Made:
    def __init__(self) -> None:
        pass


@pytest.mark.parametrize(
    ("fn", "right"),
    [
        (test_who_traces, True),
        (partial(partial(test_who_traces)), True),
        (Doubled(), True),
        (Doubled().__call__, True),
        (Inherited(), True),
        (vars(Doubled)["alone"], True),
        (functools.cache(test_who_traces), True),
        (Made, True),
        (sorted, False),
        (partial(sorted, []), False),
        ("a".join, False),
        (int, False),
        (functools.cache(sorted), False),
        (cykernels.collatz_gil, False),
        (partial(cykernels.collatz_gil, 1), False),
        (types.MethodType(cykernels.collatz_gil, 1), False),
        (Compiled(), False),
    ],
)
def test_only_functions_of_python_are_python(
    fn: Callable[..., object], *, right: bool
) -> None:
    assert is_python(fn) == right


@needs("numba")
def test_dispatcher_of_numba_is_compiled() -> None:
    numba = pytest.importorskip("numba")
    compiled = numba.njit(test_who_traces)
    assert hasattr(compiled, "__code__")
    assert not is_python(compiled)
    assert not is_python(partial(compiled, 1))
