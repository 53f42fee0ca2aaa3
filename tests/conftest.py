"""Fixtures of all tests: a test of kernels runs once for each implementation and variant."""

from __future__ import annotations

import importlib.util
import signal

import pytest

import gilx
from tests.implementations import IMPLEMENTATIONS, Implementation


def pytest_configure() -> None:
    # What a shell starts in the background ignores Ctrl-C, and so would all that the tests
    # start and interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before fixtures
def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        missing = [name for name in mark.args if importlib.util.find_spec(name) is None]
        if missing:
            pytest.skip(f"needs {', '.join(missing)}")


@pytest.fixture(params=IMPLEMENTATIONS, ids=str)
def implementation(request: pytest.FixtureRequest) -> Implementation:
    chosen: Implementation = request.param
    return chosen


@pytest.fixture(params=gilx.kernels.names())
def kernel(request: pytest.FixtureRequest) -> gilx.kernels.Kernel:
    return gilx.kernels.get(request.param)
